"""Damage to every kind of file of a collection, and what is said about it.

One file of a collection is damaged: a byte or a bit flipped, the end cut off, a block replaced by
another part of the file, or zeroed. Then the collection is opened, read and searched in a process
of its own, so that a crash is seen. What it says is one of:

- *right*: every item and every answer is as it was;
- *CorruptFile*, or *another error* of gapless.errors;
- *wrong*: something is otherwise, and no error says so. Segments have checksums and are never
  so. SQLite's pages have none, and of its log it takes a damaged end for one that a crash has cut
  off, so here the catalogue and its log can be;
- *foreign error*: an exception that gapless.errors does not have;
- *crash*, or *hang*: more than 20 s of processor time.
"""

from __future__ import annotations

import collections
import functools
import json
import os
import resource
import shutil
import signal
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np

import gapless as gl
from gapless.collection import Collection
from gapless.errors import CorruptFile, GaplessError
from gapless.storage import CheckpointPolicy
from torture_shim import Forked
from torture_writes import DIM

WAYS = ("bit", "byte", "cut", "splice", "zero")
FATES = ("right", "CorruptFile", "another error", "wrong", "foreign error", "crash", "hang")
ALONE = CheckpointPolicy(rows=1 << 40, bytes=1 << 60, closing_share=1e9)
PART = 100  # damages a process tries before the next one takes over


def make(folder: Path) -> Path:
    """Make a collection whose files are of every kind: segments, catalogue and log."""
    rng = np.random.default_rng(0)
    fields = {
        "flat": gl.Field("clip", "text", index="flat"),
        "f32": gl.Field("clip", "image", m=4, ef_construction=20, codes="f32", several=True),
        "i8": gl.Field("clip", "audio", m=4, ef_construction=20, codes="i8"),
        "cascade": gl.Field("clip", "video", m=4, ef_construction=20, codes="cascade"),
    }
    path = folder / "live"
    col = Collection(path, gl.Schema({"clip": gl.Space(DIM)}, fields), policy=ALONE)
    ids: list[str | int] = [f"item {i}" if i % 2 else i for i in range(150)]
    rows = {name: rng.normal(size=(150, DIM)) for name in fields}
    spans = [[(float(i), i + 1.0)] for i in range(150)]
    about = [{"n": i, "text": "about " * (i % 9)} for i in range(150)]
    col.upsert(ids, rows, about, [f"/{i}" for i in range(150)], spans={"f32": spans})
    col.align("center", tolerance=1.0)
    col.checkpoint()
    col.upsert(ids[:20], {"flat": rng.normal(size=(20, DIM))})
    col.remove(ids[140:])
    col.upsert(["late"], {"i8": rng.normal(size=(1, DIM))}, [{"n": 999}])
    intact = folder / "intact"
    shutil.copytree(path, intact)  # while it is open, so with the log; nothing writes now
    (intact / "catalog.sqlite-shm").unlink(missing_ok=True)
    col.close()
    shutil.rmtree(path)
    return intact


def answers(path: Path) -> Any:
    """Open the collection, read it whole and search every field."""
    rng = np.random.default_rng(1)
    with Collection(path, policy=ALONE) as col:
        items = [
            (
                item.id,
                item.metadata,
                item.uri,
                {name: np.asarray(rows).tobytes() for name, rows in item.vectors.items()},
                {name: tuple(spans) for name, spans in item.spans.items()},
            )
            for item in col.get(col.ids(), vectors=True)
        ]
        hits = [
            [(hit.id, hit.score, hit.metadata) for hit in found]
            for name, field in col.schema.fields.items()
            for found in [
                col.search(
                    vectors={"clip": rng.normal(size=DIM)},
                    modality=field.modality,
                    fields=[name],
                    limit=200,
                    ef=400,
                )
            ]
        ]
        where = col.search(vectors={"clip": np.ones(DIM)}, modality="text", filter={"n": 7})
        return items, hits, where.ids, None if col.alignment is None else col.alignment.version


def damaged(data: bytes, way: str, rng: np.random.Generator) -> bytes:
    """Give `data` damaged; never as it was."""
    while True:
        now = bytearray(data)
        at = int(rng.integers(len(data)))
        size = int(min(2 ** rng.integers(0, 13), len(data) - at))
        if way == "bit":
            now[at] ^= 1 << int(rng.integers(8))
        elif way == "byte":
            now[at] = int(rng.integers(256))
        elif way == "cut":
            del now[at:]
        elif way == "zero":
            now[at : at + size] = bytes(size)
        else:
            source = int(rng.integers(len(data) - size + 1))
            now[at : at + size] = data[source : source + size]
        if now != data:
            return bytes(now)


def kind_of(name: str) -> str:
    """Say which kind of file it is."""
    if name.endswith(".gap"):
        return "segment " + name.split("-")[1]
    return {"catalog.sqlite": "catalogue", "catalog.sqlite-wal": "log"}.get(name, name)


def fate(path: Path, wanted: Any) -> tuple[str, str]:
    """Say what becomes of opening and reading it."""
    try:
        found = answers(path)
    except CorruptFile as error:
        return "CorruptFile", str(error)
    except GaplessError as error:
        return "another error", f"{type(error).__name__}: {error}"
    except Exception as error:
        return "foreign error", f"{type(error).__name__}: {error}"
    if found == wanted:
        return "right", ""
    parts = ("items", "hits", "filtered", "alignment")
    return "wrong", ", ".join(
        part for part, a, b in zip(parts, found, wanted, strict=True) if a != b
    )


def attempt(intact: Path, folder: Path, wanted: Any, seed: int, first: int, says: int) -> None:
    """Try `PART` damages, numbered from `first`, and say the fate of each."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")
    files = sorted(path for path in intact.rglob("*") if path.is_file() and path.name != "lock")
    with os.fdopen(says, "w") as out:
        for number in range(first, first + PART):
            rng = np.random.default_rng((seed, number))
            victim = files[number % len(files)]
            way = WAYS[number // len(files) % len(WAYS)]
            print(json.dumps([number, kind_of(victim.name), way]), file=out, flush=True)
            target = folder / "damaged"
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(intact, target)
            place = target / victim.relative_to(intact)
            place.write_bytes(damaged(place.read_bytes(), way, rng))
            segments = {path.name for path in target.glob("segments/*.gap")}
            signal.setitimer(signal.ITIMER_PROF, 20)
            said, why = fate(target, wanted)
            signal.setitimer(signal.ITIMER_PROF, 0)
            deleted = len(segments - {path.name for path in target.glob("segments/*.gap")})
            print(json.dumps([said, why, deleted]), file=out, flush=True)


def run(count: int, seed: int, folder: Path, verbose: bool = False) -> dict[str, dict[str, int]]:
    """Damage `count` times; count the fates by kind of file."""
    intact = make(folder)
    shutil.copytree(intact, folder / "damaged")
    wanted = answers(folder / "damaged")
    counts: dict[str, collections.Counter[str]] = {}
    number = 0
    while number < count:
        process = Forked(functools.partial(attempt, intact, folder, wanted, seed, number))
        died, _, told = process.wait()
        lines = [json.loads(line) for line in told.decode().splitlines()]
        if len(lines) % 2:  # the last one ended the process
            lines.append(["hang" if died == signal.SIGPROF else "crash", f"signal {died}", 0])
        for (at, kind, way), (said, why, deleted) in zip(lines[::2], lines[1::2], strict=True):
            number = at + 1
            if number > count:
                break
            own = counts.setdefault(kind, collections.Counter(dict.fromkeys(FATES, 0)))
            own[said] += 1
            own["segments deleted"] += deleted
            if said in ("foreign error", "crash", "hang") or (verbose and said == "wrong"):
                print(f"damage {at} ({way} in {kind}): {said}: {why}", file=sys.stderr)
            if deleted:
                print(f"damage {at} ({way} in {kind}): {deleted} segments gone", file=sys.stderr)
    return {kind: dict(own) for kind, own in sorted(counts.items())}


if __name__ == "__main__":
    print(json.dumps(run(int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[1]), True), indent=1))
