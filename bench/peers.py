"""gapless beside faiss-cpu and hnswlib: build time, memory, queries per second at equal recall.

    pip install '.[bench]' && python bench/peers.py      # table on stdout, bench/.cache/peers.json

Every index lives in a process of its own, made fresh, with the same rows already in memory; its
memory is how much that process grew by building. All processes stay alive and take turns: in each
of three rounds every system sweeps its effort, so that a disturbance hits them all. Queries go in
one batch. The rate at a recall is read off the sweep (straight line in recall and log rate).
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import datasets
from systems import EF_CONSTRUCTION, ENTRIES, KINDS, Entry, System

K = 10
TARGETS = (0.90, 0.95, 0.99)
EFFORTS = (10, 12, 16, 20, 28, 40, 56, 80, 112, 160, 224, 320, 448, 640, 896, 1280)
ROUNDS = 3
TIE = 1e-6  # a neighbour as near as the tenth true one counts: the texts hold near-duplicates


def resident_bytes() -> int:
    """Return the resident size of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def worker(package: str, m: int, build_threads: int, limit: int) -> None:
    """Serve one index: build it, say what it took, then answer requests line by line."""
    data = datasets.load()
    rows, queries = np.array(data.rows[:limit]), np.array(data.queries)
    exact_floor = np.load(datasets.CACHE / "peers-floor.npy")
    system: System = KINDS[package](rows.shape[1], m)
    gc.collect()
    before, start, worked = resident_bytes(), time.perf_counter(), time.process_time()
    system.build(rows, build_threads)
    built = {
        "build_s": time.perf_counter() - start,
        "build_cpu_s": time.process_time() - worked,
    }
    gc.collect()
    print(json.dumps({**built, "bytes": resident_bytes() - before}), flush=True)
    for line in sys.stdin:
        threads = json.loads(line)["threads"]
        print(json.dumps(sweep(system, rows, queries, exact_floor, m, threads)), flush=True)


def sweep(
    system: System,
    rows: NDArray[np.float32],
    queries: NDArray[np.float32],
    floor: NDArray[np.float32],
    m: int,
    threads: int,
) -> list[dict[str, float]]:
    """Measure (ef, recall, qps) along the efforts until recall passes 0.995."""
    if m == 0:
        queries, floor = queries[:500], floor[:500]
    points = []
    system.search(queries[:50], K, 40, threads)  # wakes the thread pool
    for ef in EFFORTS if m else (0,):
        start, worked = time.perf_counter(), time.process_time()
        ids = system.search(queries, K, ef, threads)
        seconds, worked = time.perf_counter() - start, time.process_time() - worked
        scores = np.einsum("qd,qkd->qk", queries, rows[np.maximum(ids, 0)])
        good = (scores >= floor[:, None] - TIE) & (ids >= 0)
        points.append(
            {
                "ef": ef,
                "recall": float(good.mean()),
                "qps": len(queries) / seconds,
                "cpu_us_per_query": worked / len(queries) * 1e6,
            }
        )
        if points[-1]["recall"] >= 0.995:
            break
    return points


def rate_at(points: list[dict[str, float]], target: float) -> float | None:
    """Return the rate at a recall: interpolated, or that of the least effort that reaches it.

    None where no effort reaches the target. Below the recall of the least effort (ef = k cannot be
    undercut) the rate of the least effort counts.
    """
    previous = None
    for point in points:
        if point["recall"] >= target:
            if previous is None:
                return point["qps"]
            span = point["recall"] - previous["recall"]
            share = (target - previous["recall"]) / span
            logs = np.log([previous["qps"], point["qps"]])
            return float(np.exp(logs[0] + share * (logs[1] - logs[0])))
        previous = point
    return None


class Process:
    """A worker and the pipe to it."""

    def __init__(self, entry: Entry, build_threads: int, limit: int) -> None:
        self.entry = entry
        command = [sys.executable, __file__, "--worker", entry.package, str(entry.m)]
        command += ["--build-threads", str(build_threads), "--limit", str(limit)]
        self.pipe = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.built: dict[str, float] = self._read()
        self.sweeps: dict[int, list[list[dict[str, float]]]] = {}

    def _read(self) -> Any:
        assert self.pipe.stdout is not None
        line = self.pipe.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker for {self.entry.label} ended; its error is above")
        return json.loads(line)

    def measure(self, threads: int) -> None:
        """Let the worker sweep once and keep the points."""
        assert self.pipe.stdin is not None
        self.pipe.stdin.write(json.dumps({"threads": threads}) + "\n")
        self.pipe.stdin.flush()
        self.sweeps.setdefault(threads, []).append(self._read())

    def close(self) -> None:
        """Let the worker end."""
        assert self.pipe.stdin is not None
        self.pipe.stdin.close()
        self.pipe.wait(30)


def machine() -> dict[str, Any]:
    """Return the machine line: processor, cores, memory, system, load when it was asked."""
    info = Path("/proc/cpuinfo").read_text()
    model = next((x for x in info.splitlines() if x.startswith("model name")), ": unknown")
    flags = {f for f in ("avx2", "avx512f", "avx512_bf16", "amx_tile") if f" {f} " in info}
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return {
        "cpu": model.split(":", 1)[1].strip(),
        "flags": sorted(flags),
        "cores": os.cpu_count(),
        "memory_gib": round(memory, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_1min": round(os.getloadavg()[0], 2),
    }


def exact_floor(rows: NDArray[np.float32], queries: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the score of each query's tenth true neighbour, by numpy."""
    floors = [
        np.partition(part @ rows.T, -K, axis=1)[:, -K] for part in np.array_split(queries, 20)
    ]
    return np.concatenate(floors)


def summarise(process: Process) -> dict[str, Any]:
    """Return one entry's figures; rates are medians over the rounds, with the best beside."""
    rates: dict[str, Any] = {}
    for threads, rounds in process.sweeps.items():
        at = {}
        for target in TARGETS if process.entry.m else (1.0,):
            found = [rate_at(points, target if process.entry.m else 0.0) for points in rounds]
            known = [rate for rate in found if rate is not None]
            at[f"{target:.2f}"] = (
                {"median": statistics.median(known), "best": max(known)} if known else None
            )
        rates[str(threads)] = at
    return {
        "label": process.entry.label,
        "version": process.entry.version,
        "m": process.entry.m,
        **process.built,
        "qps": rates,
        "sweeps": process.sweeps,
    }


def cell(value: dict[str, float] | None) -> str:
    return "not reached" if value is None else f"{value['median']:,.0f} ({value['best']:,.0f})"


def table(results: list[dict[str, Any]], cores: list[int]) -> str:
    """Return two markdown tables: the graphs at equal recall, and the exact indexes."""
    lines = [
        "| index | build s (CPU s) | memory MiB | threads | "
        + " | ".join(f"QPS at {target:.2f}" for target in TARGETS)
        + " |",
        "|---|--:|--:|--:|" + "--:|" * len(TARGETS),
    ]
    exact = [
        "| exact index | build s (CPU s) | memory MiB | threads | QPS |",
        "|---|--:|--:|--:|--:|",
    ]
    for result in results:
        build = f"{result['build_s']:.1f} ({result['build_cpu_s']:.1f})"
        head = f"| {result['label']} | {build} | {result['bytes'] / 2**20:.0f} |"
        for threads in cores:
            at = result["qps"][str(threads)]
            cells = " | ".join(cell(at[key]) for key in at)
            (lines if result["m"] else exact).append(f"{head} {threads} | {cells} |")
    return "\n".join([*lines, "", *exact])


def show(text: str) -> None:
    """Print markdown, by rich where it is installed and a person is looking."""
    if sys.stdout.isatty():
        try:
            from rich.console import Console
            from rich.markdown import Markdown
        except ImportError:
            pass
        else:
            Console().print(Markdown(text))
            return
    print(text)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--limit", type=int, default=datasets.ROWS, help="rows to index")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="rounds of measurement")
    parser.add_argument("--build-threads", type=int, default=os.cpu_count(), help="default: all")
    parser.add_argument("--only", nargs="*", default=list(KINDS), help="packages to compare")
    parser.add_argument(
        "--m", nargs="*", type=int, default=[0, 16, 32], help="graph degrees to compare; 0 = exact"
    )
    parser.add_argument("--out", type=Path, default=datasets.CACHE / "peers.json")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        package, m = options.worker
        worker(package, int(m), options.build_threads, options.limit)
        return
    data = datasets.load()
    rows = data.rows[: options.limit]
    np.save(datasets.CACHE / "peers-floor.npy", exact_floor(rows, data.queries))
    about = machine()
    wanted = [e for e in ENTRIES if e.package in options.only and e.m in options.m]
    for missing in sorted({e.package for e in wanted if e.version is None}):
        print(f"{missing} is not installed and left out: pip install {missing}", file=sys.stderr)
    cores = sorted({1, os.cpu_count() or 1})
    processes: list[Process] = []
    try:
        for entry in wanted:
            if entry.version is not None:
                processes.append(Process(entry, options.build_threads, options.limit))
                print(f"built {entry.label} in {processes[-1].built['build_s']:.1f} s", flush=True)
        for _ in range(options.rounds):
            for threads in cores:
                for process in processes:
                    process.measure(threads)
    finally:
        for process in processes:
            process.close()
    results = [summarise(process) for process in processes]
    versions = {p.entry.package: p.entry.version for p in processes} | {"numpy": np.__version__}
    about["load_1min_after"] = round(os.getloadavg()[0], 2)
    setting = {
        "data": f"{data.name}: {len(rows):,} x {rows.shape[1]}, {len(data.queries):,} queries",
        "k": K,
        "ef_construction": EF_CONSTRUCTION,
        "build_threads": options.build_threads,
        "rounds": options.rounds,
    }
    report = {"machine": about, "versions": versions, "setting": setting, "results": results}
    options.out.write_text(json.dumps(report, indent=1))
    print(json.dumps({"machine": about, "versions": versions, "setting": setting}, indent=1))
    show(table(results, cores))
    print(f"\nall points of every sweep are in {options.out}")


if __name__ == "__main__":
    main()
