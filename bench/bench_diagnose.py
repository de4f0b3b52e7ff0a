"""What a diagnosis of a large collection costs.

    python bench/bench_diagnose.py                       # 1,000,000 rows of 512 dims, two fields
    python bench/bench_diagnose.py --rows 100000 --times 5

Half of the rows are images and half are captions, one of each for every item: they share what they
mean, differ by noise, and lie in two cones with a gap as wide as CLIP's. Measured are, over a
collection in a folder, `Collection.diagnose` raw and under ``center`` and `Collection.doctor`, and
`gapless.diagnose` over the same rows as arrays: seconds, and the memory needed beside what was
held before (Linux). How far a reading depends on the sample is told by its range over several
seeds. Filling the collection takes some minutes, is not measured, and needs twice the rows' bytes
on disk.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import gapless
from measure import unit

Rows = npt.NDArray[np.float32]

CHUNK = 50_000
RANK = 64  # dimensions that meaning has
CONE = 0.85  # length of each cone's axis, beside rows of length about 1
NOISE = 0.5


def pairs(count: int, dim: int, seed: int) -> dict[str, Rows]:
    """Draw matched rows of both modalities: {field: (count, dim)}."""
    common = np.random.default_rng(0)
    basis = common.normal(size=(RANK, dim)).astype(np.float32) / np.float32(np.sqrt(dim))
    axes = common.normal(size=(2, dim)) / np.sqrt(dim)
    random = np.random.default_rng(seed)
    meaning = random.standard_normal((count, RANK), dtype=np.float32) / np.float32(np.sqrt(RANK))
    found = {}
    for field, axis in zip(("image", "caption"), axes, strict=True):
        noise = random.standard_normal((count, dim), dtype=np.float32)
        noise *= np.float32(NOISE / np.sqrt(dim))
        found[field] = unit(meaning @ basis + noise + (CONE * axis).astype(np.float32))
    return found


def timed(call: Callable[[], Any], times: int) -> tuple[Any, list[float], float]:
    """Return the last result, the seconds of every call, and MiB it needed beside what was held."""
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before, seconds = status("VmRSS"), []
    found = None
    for _ in range(times):
        start = time.perf_counter()
        found = call()
        seconds.append(time.perf_counter() - start)
    return found, seconds, status("VmHWM") - before


def status(name: str) -> float:
    """Return a figure of this process's memory in MiB (Linux)."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def fill(folder: Path, rows: int, dim: int) -> gapless.Collection:
    """Store the rows; flat indexes, as a graph of them would take an hour and is not asked."""
    schema = gapless.Schema(
        {"clip": gapless.Space(dim)},
        {
            "image": gapless.Field("clip", "image", index="flat"),
            "caption": gapless.Field("clip", "text", index="flat"),
        },
    )
    col = gapless.open(folder, schema)
    for start in range(0, rows // 2, CHUNK):
        count = min(CHUNK, rows // 2 - start)
        col.upsert(list(range(start, start + count)), pairs(count, dim, start + 1))
        col.checkpoint()
    return col


def ranges(col: gapless.Collection, seeds: int) -> dict[str, tuple[float, float]]:
    """Lowest and highest value of some readings over several samples."""
    seen: dict[str, list[float]] = {}
    for seed in range(seeds):
        found = col.diagnose(seed=seed)
        for pair in found.pairs:
            seen.setdefault(f"{pair.alignment} gap", []).append(pair.gap)
            seen.setdefault(f"{pair.alignment} separability", []).append(pair.separability or 0.0)
        for where, readings in (("the sample", found.bias), ("all rows", found.whole)):
            for bias in readings:
                name = f"{bias.alignment} {bias.query_modality} bias@{bias.k} over {where}"
                seen.setdefault(name, []).append(bias.rate)
    return {name: (min(values), max(values)) for name, values in seen.items()}


def main() -> None:
    """Measure and print, and write a JSON file where one is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--wait", type=Path, help="measure when this file is there (quiet machine)")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    lines: dict[str, Any] = {"rows": given.rows, "dim": given.dim, "cores": os.cpu_count()}
    with tempfile.TemporaryDirectory() as folder:
        col = fill(Path(folder) / "c", given.rows, given.dim)
        print(f"filled: {len(col):,} items", flush=True)
        while given.wait and not given.wait.exists():
            time.sleep(0.2)
        calls: dict[str, Callable[[], Any]] = {"diagnose, raw": col.diagnose}
        for part in ("raw", "center"):
            if part == "center":
                col.align("center")
                calls = {"diagnose, raw and centred": col.diagnose, "doctor, centred": col.doctor}
            for name, call in calls.items():
                _, seconds, grown = timed(call, given.times)
                lines[name] = {"seconds": seconds, "grown_mib": grown}
                print(f"{name}: {min(seconds):.2f} to {max(seconds):.2f} s, +{grown:.0f} MiB")
        lines["ranges"] = ranges(col, given.seeds)
        col.close()
    count = given.rows // 2
    arrays = {field: np.empty((count, given.dim), np.float32) for field in ("image", "caption")}
    for start in range(0, count, CHUNK):
        for field, rows in pairs(min(CHUNK, count - start), given.dim, start + 1).items():
            arrays[field][start : start + len(rows)] = rows
    _, seconds, grown = timed(lambda: gapless.diagnose(arrays, paired=True), given.times)
    lines["diagnose, arrays"] = {"seconds": seconds, "grown_mib": grown}
    print(f"diagnose, arrays: {min(seconds):.2f} to {max(seconds):.2f} s, +{grown:.0f} MiB")
    for name, (low, high) in lines["ranges"].items():
        print(f"{name}, {given.seeds} seeds: {low:.3f} to {high:.3f}")
    if given.out:
        given.out.write_text(json.dumps(lines, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
