"""gapless beside its peers: build time, memory, queries per second at equal recall, latency.

    pip install '.[bench]' && python bench/peers.py --data d1    # table, JSON and plot

Every index lives in a process of its own, made fresh, with the same rows already in memory; its
memory is how much that process grew by building. All processes stay alive and take turns: in each
of three rounds every system sweeps its effort, so that a disturbance hits them all. Queries go in
one batch; then, at the least effort that gives a recall of 0.95, one by one. The rate at a recall
is read off the sweep (straight line in recall and log rate).
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import datasets
from datasets import Dataset
from measure import (
    TARGETS,
    Point,
    effort_for,
    exact_floor,
    front,
    latency,
    rates,
    sweep,
    unit,
)
from others import ENTRIES
from systems import EF_CONSTRUCTION, KINDS, Entry, Means, System
from texts import CACHE

ROUNDS = 3
SINGLE = 0.95  # the recall at which single calls are timed
CENTRED = "-centred"  # after a name: rows and queries less their means, of unit length again
CROSS_MODAL = ("d2",)  # here a system that can learn from queries gets the tuning queries
RESULTS = Path(__file__).parent / "results"


def resident_bytes() -> int:
    """Return the resident size of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def floor_file(data: str, rows: int, k: int) -> Path:
    return CACHE / f"floor-{data}-{rows}-k{k}.npy"


def chosen(options: argparse.Namespace) -> tuple[Dataset, Means | None]:
    """Return the rows and queries to compare on, and the means that were taken from them."""
    data = datasets.load(options.data.removesuffix(CENTRED), mmap=True)
    data = replace(data, rows=data.rows[: options.rows])
    if not options.data.endswith(CENTRED):
        return data, None
    means = Means(data.rows.mean(axis=0), np.asarray(data.tune).mean(axis=0))
    centred = replace(
        data,
        name=f"{data.name}, rows and queries less their own means",
        rows=unit(data.rows - means.rows),
        queries=unit(data.queries - means.queries),
        tune=unit(data.tune - means.queries),
    )
    return centred, means


def worker(options: argparse.Namespace) -> None:
    """Serve one index: build it, say what it took, then answer requests line by line."""
    package, kind, degree = options.worker
    m = int(degree)
    data, means = chosen(options)
    scored, queries, tune = data.rows, np.array(data.queries), np.array(data.tune)
    count, dim = scored.shape
    floors = {k: np.load(floor_file(options.data, count, k)) for k in options.k}
    system: System = KINDS[package][kind](dim, m)
    rows = np.array(scored)
    if means is not None and hasattr(system, "align"):  # moves the rows itself
        system.align(means)
        plain = datasets.load(options.data.removesuffix(CENTRED), mmap=True)
        rows, queries, tune = (
            np.array(part) for part in (plain.rows[:count], plain.queries, plain.tune)
        )
    learn = getattr(system, "learn", None)
    if learn and options.data.removesuffix(CENTRED) in CROSS_MODAL:
        learn(tune)
    gc.collect()
    before, start, worked = resident_bytes(), time.perf_counter(), time.process_time()
    system.build(rows, options.build_threads)
    built = {
        "build_s": time.perf_counter() - start,
        "build_cpu_s": time.process_time() - worked,
    }
    gc.collect()
    print(json.dumps({**built, "bytes": resident_bytes() - before}), flush=True)
    del rows  # from here on the answers are scored from the file, which all processes share
    for line in sys.stdin:
        asked = json.loads(line)
        k = asked["k"]
        answer: Any = (
            latency(system, queries, asked["ef"], k)
            if "ef" in asked
            else sweep(system, scored, queries, floors[k], m, asked["threads"], k, data.queries)
        )
        print(json.dumps(answer), flush=True)


class Process:
    """A worker and the pipe to it."""

    def __init__(self, entry: Entry, options: argparse.Namespace) -> None:
        self.entry = entry
        here = entry.version is not None
        self.version = entry.version if here else entry.version_in(options.python)
        command = [sys.executable if here else options.python, __file__]
        command += ["--worker", entry.package, entry.kind, str(entry.m)]
        for name in ("data", "rows", "build_threads"):
            command += [f"--{name.replace('_', '-')}", str(getattr(options, name))]
        command += ["--k", *map(str, options.k)]
        self.pipe = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.built: dict[str, float] = self._read()
        self.sweeps: dict[tuple[int, int], list[list[Point]]] = {}  # by k and threads
        self.singles: dict[int, list[Point]] = {k: [] for k in options.k}

    def _read(self) -> Any:
        assert self.pipe.stdout is not None
        for line in self.pipe.stdout:
            if line[:1] in "[{" and line.endswith(("]\n", "}\n")):  # else a library's own talk
                try:
                    answer = json.loads(line)
                except json.JSONDecodeError:
                    continue
                if "error" in answer:
                    raise RuntimeError(f"{self.entry.label}: {answer['error']}")
                return answer
        code = self.pipe.wait()
        raise RuntimeError(f"{self.entry.label}: the worker ended with {code}; its error is above")

    def _ask(self, **what: int) -> Any:
        assert self.pipe.stdin is not None
        self.pipe.stdin.write(json.dumps(what) + "\n")
        self.pipe.stdin.flush()
        return self._read()

    def measure(self, k: int, threads: int) -> None:
        """Let the worker sweep once, and with one thread time single calls too."""
        points = self._ask(k=k, threads=threads)
        self.sweeps.setdefault((k, threads), []).append(points)
        ef = effort_for(points, SINGLE)
        if threads == 1 and ef is not None and self.entry.m:
            self.singles[k].append(self._ask(k=k, ef=ef))

    def close(self) -> None:
        """Let the worker end."""
        assert self.pipe.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.pipe.stdin.close()
        self.pipe.wait(60)


def machine() -> dict[str, Any]:
    """Return the machine line: processor, cores, memory, system, load when it was asked."""
    info = Path("/proc/cpuinfo").read_text()
    model = next((x for x in info.splitlines() if x.startswith("model name")), ": unknown")
    wanted = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile")
    flags = {f for f in wanted if f" {f} " in info}
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


def summarise(process: Process, k: int) -> dict[str, Any]:
    """Return one entry's figures; rates are medians over the rounds, with the best beside."""
    single = {
        key: statistics.median(point[key] for point in process.singles[k])
        for key in ("ef", "p50_us", "p99_us")
        if process.singles[k]
    }
    sweeps = {threads: rounds for (of, threads), rounds in process.sweeps.items() if of == k}
    graph = process.entry.m > 0
    return {
        "label": process.entry.label,
        "package": process.entry.package,
        "version": process.version,
        "m": process.entry.m,
        **process.built,
        "qps": {str(threads): rates(rounds, graph) for threads, rounds in sweeps.items()},
        "front": {str(threads): front(rounds) for threads, rounds in sweeps.items()},
        "single": single,
        "sweeps": sweeps,
    }


def cell(value: dict[str, float] | None) -> str:
    return "not reached" if value is None else f"{value['median']:,.0f} ({value['best']:,.0f})"


def table(results: list[dict[str, Any]], cores: list[int]) -> str:
    """Return two markdown tables: the graphs at equal recall, and the exact indexes."""
    lines = [
        "| index | build s (CPU s) | memory MiB | threads | "
        + " | ".join(f"QPS at {target:.2f}" for target in TARGETS)
        + f" | p50, p99 us at {SINGLE:.2f} |",
        "|---|--:|--:|--:|" + "--:|" * (len(TARGETS) + 1),
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
            if not result["m"]:
                exact.append(f"{head} {threads} | {cells} |")
                continue
            single = result["single"] if threads == 1 else {}
            times = f"{single['p50_us']:,.0f}, {single['p99_us']:,.0f}" if single else ""
            lines.append(f"{head} {threads} | {cells} | {times} |")
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


def run(
    wanted: list[Entry], options: argparse.Namespace, cores: list[int]
) -> tuple[list[Process], dict[str, str]]:
    """Build every index and let the processes take turns; return them, and what failed."""
    processes: list[Process] = []
    failed: dict[str, str] = {}
    try:
        for entry in wanted:
            try:
                processes.append(Process(entry, options))
            except RuntimeError as error:
                failed[entry.label] = str(error)
                print(error, file=sys.stderr, flush=True)
                continue
            print(f"built {entry.label} in {processes[-1].built['build_s']:.1f} s", flush=True)
        for _ in range(options.rounds):
            for k, threads in itertools.product(options.k, cores):
                for process in [p for p in processes if p.entry.label not in failed]:
                    try:
                        process.measure(k, threads)
                    except (RuntimeError, BrokenPipeError) as error:
                        failed[process.entry.label] = str(error)
                        print(error, file=sys.stderr, flush=True)
    finally:
        for process in processes:
            process.close()
    return [p for p in processes if p.entry.label not in failed], failed


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data",
        default="d100",
        choices=[*datasets.NAMES, *(name + CENTRED for name in CROSS_MODAL)],
        help="default d100",
    )
    parser.add_argument("--rows", type=int, default=10**9, help="rows to index (default: all)")
    parser.add_argument("--k", type=int, nargs="+", default=[10], help="neighbours to find")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="rounds of measurement")
    parser.add_argument("--build-threads", type=int, default=os.cpu_count(), help="default: all")
    parser.add_argument(
        "--only", nargs="*", help=f"packages ({' '.join(KINDS)}), or parts of the labels shown"
    )
    parser.add_argument(
        "--m", nargs="*", type=int, default=[0, 16, 32], help="graph degrees to compare; 0 = exact"
    )
    parser.add_argument(
        "--python", default="", help="another interpreter, for packages that this one lacks"
    )
    parser.add_argument("--out", type=Path, help="folder, default bench/results")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        try:
            worker(options)
        except RuntimeError as error:  # what a library refuses belongs into the report
            print(json.dumps({"error": str(error)}), flush=True)
        return
    data, _ = chosen(options)
    for k in options.k:
        floor = exact_floor(data.rows, data.queries, k)
        np.save(floor_file(options.data, len(data.rows), k), floor)
    about = machine()
    wanted = [
        e
        for e in ENTRIES
        if e.m in options.m and (not options.only or any(o in e.label for o in options.only))
    ]
    ready = [e for e in wanted if e.version or (options.python and e.version_in(options.python))]
    for missing in sorted({e.package for e in wanted} - {e.package for e in ready}):
        print(f"{missing} is not installed and left out: pip install {missing}", file=sys.stderr)
    cores = sorted({1, os.cpu_count() or 1})
    processes, failed = run(ready, options, cores)
    versions = {p.entry.package: p.version for p in processes} | {"numpy": np.__version__}
    about["load_1min_after"] = round(os.getloadavg()[0], 2)
    rows, dim = data.rows.shape
    for k in options.k:
        results = [summarise(process, k) for process in processes]
        setting = {
            "data": f"{data.name}: {rows:,} x {dim}, {len(data.queries):,} queries",
            "k": k,
            "ef_construction": EF_CONSTRUCTION,
            "build_threads": options.build_threads,
            "rounds": options.rounds,
        }
        report = {"machine": about, "versions": versions, "setting": setting, "failed": failed}
        out = (options.out or RESULTS) / f"peers-{options.data}-{rows}-k{k}.json"
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(report | {"results": results}, indent=1))
        print(json.dumps(report, indent=1))
        show(table(results, cores))
        print(f"\nevery point is in {out}; `python bench/pareto.py {out}` draws them", flush=True)


if __name__ == "__main__":
    main()
