"""The benchmark's data: real sentence embeddings, and larger sets grown from them.

    python bench/datasets.py d100       # 100,000 x 384; --help lists the others

d100  100,000 rows and 2,000 queries: sentences of Debian's package descriptions by MiniLM
d1    300,000 rows: the same and longer ones, list items and clauses, by MiniLM
d768  up to 100,000 rows of 768 numbers: short sentences by all-mpnet-base-v2
d1m   1,000,000 x 384: d1's rows and 700,000 made from them (not real ones; see grown.py)
d2    300,000 x 256 with queries of another modality; made by cross_modal.py

Beside test queries, all but d100 have ``tune`` queries: held out too, and never measured on.
Everything is kept in bench/.cache, so it is made only once.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

import encoders
from texts import CACHE, DatasetError, described, fragments, sentences

ROWS, QUERIES, TUNE = 100_000, 2_000, 4_000
ROWS_D1, ROWS_D1M = 300_000, 1_000_000
SEED = 20_240_229
SHORT, BLOCK = 70, 2_048  # of d768: characters of a sentence, sentences kept at a time
NAMES = {
    "d100": ("debian-minilm", "Debian package sentences, all-MiniLM-L6-v2"),
    "d1": ("debian-minilm-300k", "Debian package sentences and clauses, all-MiniLM-L6-v2"),
    "d2": ("debian-cross-modal", "description rows, package-name queries, contrastive towers"),
    "d768": ("debian-mpnet", "Debian package sentences, all-mpnet-base-v2"),
    "d1m": ("grown-minilm-1m", "grown from Debian sentences, all-MiniLM-L6-v2"),
}
Rows = NDArray[np.float32]


@dataclass(frozen=True)
class Dataset:
    """float32 unit rows (n, dim), held-out test and tuning queries, and a line about them."""

    name: str
    rows: Rows
    queries: Rows
    tune: Rows


def save(path: Path, rows: Rows) -> None:
    """Write an array so that a reader never sees half of it."""
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.save(file, rows)
    partial.replace(path)


def keep(name: str, rows: Rows, queries: Rows, tune: Rows, **about: object) -> None:
    """Write one set into the cache, with a note on how it was made."""
    stem = NAMES[name][0]
    for kind, part in (("tune", tune), ("queries", queries), ("rows", rows)):
        save(CACHE / f"{stem}-{kind}.npy", part)
    (CACHE / f"{stem}.json").write_text(json.dumps({"seed": SEED, **about}, indent=1))


def _need(pool: Sequence[str], count: int) -> None:
    if len(pool) < count:
        raise DatasetError(
            f"apt knows only {len(pool):,} distinct texts, {count:,} are needed; run "
            '`apt-get update` with Acquire::Languages "en" so that the full descriptions are here'
        )


def make_d100(threads: int | None) -> None:
    """Encode 102,000 sampled sentences in float32."""
    from gapless.encode import TextEncoder

    pool = sentences([field for _, field in described()])
    _need(pool, ROWS + QUERIES)
    chosen = random.Random(SEED).sample(pool, ROWS + QUERIES)
    encoder = TextEncoder(encoders.minilm_folder(), threads=threads)
    start = time.perf_counter()
    vectors = encoder.encode(chosen, batch_size=64, progress=True)
    seconds = time.perf_counter() - start
    (CACHE / "debian-minilm.txt").write_text("\n".join(chosen), encoding="utf-8")
    none = np.zeros((0, vectors.shape[1]), np.float32)
    about = {"sentences": len(pool), "encode_seconds": seconds}
    keep("d100", vectors[:ROWS], vectors[ROWS:], none, **about)


def texts_d1() -> tuple[list[str], int]:
    """Return d1's texts in the order rows, queries, tune; and the number to choose from.

    Those of d100 are among them, so that their vectors need not be made again.
    """
    known = (CACHE / "debian-minilm.txt").read_text(encoding="utf-8").split("\n")
    pool = fragments([field for _, field in described()])
    need = ROWS_D1 + QUERIES + TUNE
    _need(pool, need - ROWS_D1 // 100)
    others = sorted(set(pool) - set(known))
    chance = random.Random(SEED)
    chosen = known + chance.sample(others, min(len(others), need - len(known)))
    chance.shuffle(chosen)
    return chosen, len(pool)


def make_d1(threads: int | None) -> None:
    """Encode what d100 lacks, by the fastest encoder at hand, and shuffle it all together."""
    known = load("d100", threads)
    old = (CACHE / "debian-minilm.txt").read_text(encoding="utf-8").split("\n")
    at = {text: row for row, text in enumerate(old)}
    chosen, count = texts_d1()
    missing = [row for row, text in enumerate(chosen) if text not in at]
    out = np.empty((len(chosen), known.rows.shape[1]), np.float32)
    out[[row for row, text in enumerate(chosen) if text in at]] = np.concatenate(
        [known.rows, known.queries]
    )[[at[text] for text in chosen if text in at]]
    encoder = encoders.minilm(threads)
    start = time.perf_counter()
    before = 0
    for done, vectors in encoders.in_blocks(encoder, [chosen[row] for row in missing]):
        out[missing[before:done]] = vectors
        before = done
    seconds = time.perf_counter() - start
    (CACHE / "debian-minilm-300k.txt").write_text("\n".join(chosen), encoding="utf-8")
    rows = len(chosen) - QUERIES - TUNE
    keep(
        "d1",
        out[:rows],
        out[rows : rows + QUERIES],
        out[rows + QUERIES :],
        texts=count,
        encoded=len(missing),
        encode_seconds=seconds,
        encoder=type(encoder).__name__,
    )


def make_d768(threads: int | None, rows: int = ROWS) -> None:
    """Encode short sentences by all-mpnet-base-v2 in bfloat16: some 60 a second on 2 cores.

    Vectors are kept as they come, so that a run that was stopped, or had fewer rows, goes on.
    """
    if not encoders.has_fast_bfloat16():
        raise DatasetError("d768 wants torch, transformers and a processor with avx512_bf16")
    pool = [text for text in sentences([field for _, field in described()]) if len(text) <= SHORT]
    random.Random(SEED).shuffle(pool)
    held = QUERIES + TUNE // 2
    chosen = pool[: held + rows]
    _need(chosen, held + rows)
    parts = CACHE / "debian-mpnet-parts"
    parts.mkdir(exist_ok=True)
    encoder: encoders.Bfloat16Encoder | None = None
    for start in range(0, len(chosen), BLOCK):
        part = parts / f"{start:07}.npy"
        if not part.is_file():
            encoder = encoder or encoders.Bfloat16Encoder(encoders.mpnet_weights(), threads)
            save(part, encoder.encode(pool[start : start + BLOCK]))
            print(f"{start + BLOCK:,} of {len(chosen):,} encoded", flush=True)
    files = [parts / f"{start:07}.npy" for start in range(0, len(chosen), BLOCK)]
    vectors = np.concatenate([np.load(file) for file in files])[: len(chosen)]
    keep("d768", vectors[held:], vectors[:QUERIES], vectors[QUERIES:held], sentences=len(pool))


def make_d1m(threads: int | None) -> None:
    """Grow d1's rows to a million; its queries stay as they are."""
    from grown import NEAR, SPREAD, grow

    d1 = load("d1", threads)
    rows = grow(d1.rows, ROWS_D1M, SEED, threads)
    keep("d1m", rows, d1.queries, d1.tune, real_rows=len(d1.rows), near=NEAR, spread=SPREAD)


def make_d2(threads: int | None) -> None:
    """Train the two towers of cross_modal.py."""
    import cross_modal

    cross_modal.make(threads=threads)


def load(name: str = "d100", threads: int | None = None, mmap: bool = False) -> Dataset:
    """Return a data set, making it first where the cache lacks it.

    d100 takes about 4 minutes on 2 idle cores, and half an hour on busy ones.

    Raises
    ------
    DatasetError
        The texts or a model are not to be had on this machine.
    """
    CACHE.mkdir(exist_ok=True)
    stem, line = NAMES[name]
    files = [CACHE / f"{stem}-{kind}.npy" for kind in ("rows", "queries", "tune")]
    if not all(file.is_file() for file in files[:2]):
        MAKERS[name](threads)
    mode: Literal["r"] | None = "r" if mmap else None
    rows, queries = (np.load(file, mmap_mode=mode) for file in files[:2])
    tune = np.load(files[2]) if files[2].is_file() else queries[:0]
    return Dataset(line, rows, queries, tune)


MAKERS = {
    "d100": make_d100,
    "d1": make_d1,
    "d2": make_d2,
    "d768": make_d768,
    "d1m": make_d1m,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("name", nargs="?", default="d100", choices=NAMES, help="which set")
    parser.add_argument("--out", type=Path, help="also link NAME_{rows,queries,tune}.npy here")
    parser.add_argument("--rows", type=int, help="make d768 anew with so many rows")
    parser.add_argument("--threads", type=int, help="threads for the encoder (default: all cores)")
    options = parser.parse_args()
    if options.rows:
        make_d768(options.threads, options.rows)
    data = load(options.name, options.threads)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        for file in sorted(CACHE.glob(f"{NAMES[options.name][0]}-*.npy")):
            kind = file.stem.removeprefix(NAMES[options.name][0] + "-")
            if kind in ("rows", "queries", "tune"):
                link = options.out / f"{options.name}_{kind}.npy"
                link.unlink(missing_ok=True)
                link.symlink_to(file.resolve())
    shapes = f"{data.rows.shape} rows, {data.queries.shape} queries, {data.tune.shape} to tune"
    print(f"{data.name}: {shapes}, in {CACHE}")


if __name__ == "__main__":
    main()
