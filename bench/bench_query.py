"""A question over three fields beside the same job by hand: faiss HNSW per field, numpy or ranx.

    pip install '.[bench]' && python bench/bench_query.py        # everything, some ten minutes
    python bench/bench_query.py rates --kind shared              # --help lists the parts

Both sides are asked the same questions in one run and take turns. Each part writes what it measured
into bench/results/query.json, beside that of the others. Indexes are built once and kept in
bench/.cache.

merge     four lists of 200 into the ten best, one at a time and in a batch
rates     3 fields x 100,000 x 384, depth 100, ten answers: questions a second at equal recall
latency   single questions, from one thread and from two at once
overhead  what Python adds to the native call of a search, reading ten hits included
scaling   a batch of 1,000 questions on one and on two threads
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import numpy as np

import gapless as gl
import handmade
import query_data
from gapless import _core
from handmade import Lists
from measure import Point, front, rate_at
from peers import RESULTS, cell, machine, show
from query_data import Questions
from query_sides import DEPTH, ByHand, K, Ours, Sides

QUESTIONS = 1_000
METHODS = ("rrf", "minmax")  # by rank, and by score, for which every item is scored everywhere
TARGETS = (0.90, 0.95, 0.99)
EFFORTS = (100, 128, 160, 224, 320, 448, 640, 900)
ENOUGH = 0.99  # a sweep ends where both methods have this recall
SINGLE = 0.95  # the recall at which single questions are timed
ROUNDS, TURNS = 3, 3
LISTS, LENGTH, MERGES = 4, 200, 1_000
Report = dict[str, Any]


def seconds(call: Callable[[], Any], turns: int = TURNS) -> float:
    """Return the median of some turns."""
    times = []
    for _ in range(turns):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


class Sweep:
    """(ef, recall, qps) of one side, by method, threads and round; it ends where recall is enough.

    The recall is measured once, as the answers of a further round are the same.
    """

    def __init__(self, side: Ours | ByHand, questions: Questions) -> None:
        self.side, self.questions = side, questions
        self.floors = {method: questions.floor(method, K) for method in METHODS}
        self.recalls: dict[tuple[str, int], float] = {}
        self.rounds: dict[tuple[str, int], list[list[Point]]] = {}

    def run(self, threads: int, enough: float = ENOUGH) -> None:
        """Measure one round."""
        time.sleep(0.2)  # threads of the other side's pool may still be spinning
        points: dict[str, list[Point]] = {method: [] for method in METHODS}
        self.side.timed(self.questions.queries[:100], METHODS, EFFORTS[0], threads)  # wakes it
        for ef in EFFORTS:
            for method, (ids, spent) in self.side.timed(
                self.questions.queries, METHODS, ef, threads
            ).items():
                known = self.recalls.get((method, ef))
                if known is None:
                    known = self.questions.recall(method, ids, self.floors[method])
                    self.recalls[method, ef] = known
                points[method].append({"ef": ef, "recall": known, "qps": len(ids) / spent})
            if all(one[-1]["recall"] >= enough for one in points.values()):
                break
        for method, one in points.items():
            self.rounds.setdefault((method, threads), []).append(one)

    def effort(self, method: str, target: float) -> int:
        """Return the least effort that reaches a recall, or else the most there was."""
        reached = [ef for (of, ef), one in self.recalls.items() if of == method and one >= target]
        return min(reached, default=EFFORTS[-1])


def at_targets(rounds: list[list[Point]]) -> dict[str, dict[str, float] | None]:
    """Return the median and the best rate at each recall."""
    at: dict[str, dict[str, float] | None] = {}
    for target in TARGETS:
        known = [rate for points in rounds if (rate := rate_at(points, target)) is not None]
        at[f"{target:.2f}"] = (
            {"median": statistics.median(known), "best": max(known)} if known else None
        )
    return at


def rates(sides: Sides, options: argparse.Namespace) -> Report:
    """Questions a second of whole batches, at equal recall of the fused ten."""
    sweeps = [Sweep(side, sides.questions) for side in sides.all]
    for _ in range(options.rounds):
        for threads in options.threads:
            for sweep in sweeps:
                sweep.run(threads)
    report: Report = {}
    for method in METHODS:
        for threads in options.threads:
            report[f"{method}, {threads} thread{'s' if threads > 1 else ''}"] = {
                sweep.side.label: {
                    "qps": at_targets(sweep.rounds[method, threads]),
                    "front": front(sweep.rounds[method, threads]),
                }
                for sweep in sweeps
            }
    return report | {"fusing": fusing(sides.questions, sides.by_hand[0])}


def fusing(questions: Questions, side: ByHand) -> Report:
    """Microseconds a question that fusing takes by hand, one thread; ranx on some of them."""
    lists = side.faiss.search(questions.queries, DEPTH, DEPTH, 1)
    count, queries, fields = len(questions.queries), questions.queries, questions.fields
    ways: dict[str, Callable[[], Any]] = {
        "rrf, numpy": lambda: handmade.rrf(lists[1], K),
        "minmax completed by faiss": lambda: handmade.minmax(
            lists, queries, fields, K, handmade.complete_by_faiss
        ),
        "minmax completed by numpy": lambda: handmade.minmax(
            lists, queries, fields, K, handmade.complete_by_numpy
        ),
    }
    import_module("faiss").omp_set_num_threads(1)
    found = {name: seconds(way) / count * 1e6 for name, way in ways.items()}
    return found | by_ranx(lists)


def by_ranx(lists: Lists) -> dict[str, float]:
    """Microseconds a question that ranx.fuse takes; nothing where it is not installed."""
    call = handmade.rrf_by_ranx(lists)
    if call is None:
        return {}
    call()  # numba compiles
    return {"rrf, ranx": seconds(call) / len(lists[0]) * 1e6}


def percentiles(times: Iterable[float]) -> dict[str, float]:
    low, high, most = np.percentile(np.array([*times]) * 1e6, [50, 95, 99])
    return {"p50_us": float(low), "p95_us": float(high), "p99_us": float(most)}


def ask_at_once(side: Ours | ByHand, questions: Questions, ef: int, threads: int) -> list[float]:
    """Let so many threads ask their share of the questions one by one; seconds of each."""
    barrier, times = threading.Barrier(threads), [[] for _ in range(threads)]  # type: ignore[var-annotated]

    def ask(number: int) -> None:
        own = questions.queries[number::threads]
        if isinstance(side, ByHand):
            import_module("faiss").omp_set_num_threads(1)
        for query in own[:20]:
            side.single(query, "rrf", ef)
        barrier.wait()
        for query in own:
            start = time.perf_counter()
            side.single(query, "rrf", ef)
            times[number].append(time.perf_counter() - start)

    askers = [threading.Thread(target=ask, args=(number,)) for number in range(threads)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    return [spent for own in times for spent in own]


def latency(sides: Sides, options: argparse.Namespace) -> Report:
    """Single questions at the least effort of that recall, from one thread and from two."""
    report: Report = {}
    for side in sides.all:
        sweep = Sweep(side, sides.questions)
        sweep.run(options.threads[-1], SINGLE)
        ef = sweep.effort("rrf", SINGLE)
        report[side.label] = {"ef": ef, "recall": sweep.recalls["rrf", ef]}
    for threads in options.threads:
        times: dict[str, list[dict[str, float]]] = {side.label: [] for side in sides.all}
        for _ in range(options.rounds):
            for side in sides.all:
                time.sleep(0.2)
                spent = ask_at_once(side, sides.questions, report[side.label]["ef"], threads)
                times[side.label].append(percentiles(spent))
        for label, rounds in times.items():
            report[label][f"{threads} at once"] = {
                name: statistics.median(one[name] for one in rounds) for name in rounds[0]
            }
    return report


class Native:
    """Keeps how long the native calls of searches take, while it is entered."""

    def __init__(self) -> None:
        self.spent = 0.0
        self.places: tuple[tuple[Any, str], ...] = (
            (_core, "search_fields"),
            (_core.RepeatedSearch, "ask"),
        )
        self.kept = [getattr(owner, name) for owner, name in self.places]

    def _timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **how: Any) -> Any:
            start = time.perf_counter()
            try:
                return call(*args, **how)
            finally:
                self.spent += time.perf_counter() - start

        return timed

    def __enter__(self) -> Native:
        for (owner, name), call in zip(self.places, self.kept, strict=True):
            setattr(owner, name, self._timed(call))
        return self

    def __exit__(self, *_: object) -> None:
        for (owner, name), call in zip(self.places, self.kept, strict=True):
            setattr(owner, name, call)


def overhead(sides: Sides, _: argparse.Namespace) -> Report:
    """Microseconds of a search outside its native call, and of reading ten hits.

    An item is read from the catalogue when it is found for the first time, and kept in memory. A
    question like an earlier one, but for its vectors, is not planned again; "planned anew" are
    questions that each differ from all others, in their limit of time.
    """
    col, report = sides.ours.col, {}
    for name in ("items found first", "items in memory", "planned anew"):
        taken: dict[str, list[float]] = {"python": [], "native": [], "metadata": []}
        gc.collect()
        with Native() as native:
            for row, query in enumerate(sides.questions.queries):
                timeout = 60.0 + (row * 1e-3 if name == "planned anew" else 0.0)
                native.spent = 0.0
                start = time.perf_counter()
                hits = col.search(
                    vectors={"text": query}, limit=K, fusion="rrf", ef=DEPTH, timeout=timeout
                )
                for hit in hits:
                    _, _, _ = hit.id, hit.score, hit.field
                taken["python"].append(time.perf_counter() - start - native.spent)
                taken["native"].append(native.spent)
                start = time.perf_counter()
                for hit in hits:
                    _ = hit.metadata
                taken["metadata"].append(time.perf_counter() - start)
        assert min(taken["native"]) > 0, "the search took another way"
        report[name] = {what: percentiles(times) for what, times in taken.items()}
    return report


def merge(_: Sides, __: argparse.Namespace) -> Report:
    """Microseconds of merging four lists of 200 into ten, by reciprocal ranks."""
    rng = np.random.default_rng(0)
    ids = np.stack([rng.permuted(np.arange(400), axis=0)[:LENGTH] for _ in range(LISTS * MERGES)])
    ids = ids.reshape(MERGES, LISTS, LENGTH)
    scores = -np.sort(-rng.random(ids.shape).astype(np.float32), axis=2)
    batch = [(np.array(scores[:, at]), np.array(ids[:, at])) for at in range(LISTS)]
    singles = [[(s[row], i[row]) for s, i in batch] for row in range(MERGES)]
    found = {
        "gapless.fuse, one call": seconds(lambda: [gl.fuse(one, K) for one in singles]),
        "gapless.fuse, a batch": seconds(lambda: gl.fuse(batch, K)),
        "numpy, one call": seconds(
            lambda: [handmade.rrf(ids[row : row + 1], K) for row in range(MERGES)]
        ),
        "numpy, a batch": seconds(lambda: handmade.rrf(ids, K)),
        "Python dict": seconds(lambda: [handmade.rrf_by_dict(one, K) for one in ids.tolist()]),
    }
    report = {name: spent / MERGES * 1e6 for name, spent in found.items()}
    return report | by_ranx((scores, ids))


def scaling(sides: Sides, options: argparse.Namespace) -> Report:
    """Seconds of a batch on one thread and on all."""
    side, questions, report = sides.ours, sides.questions, {}
    for method in METHODS:
        spent: dict[int, list[float]] = {threads: [] for threads in (1, options.threads[-1])}
        for _ in range(options.rounds * TURNS):
            for threads, times in spent.items():
                ask = partial(side.batch, questions.queries, method, DEPTH, threads)
                times.append(seconds(ask, 1))
        medians = {threads: statistics.median(times) for threads, times in spent.items()}
        one, more = medians.values()
        report[method] = {
            "seconds": {str(threads): value for threads, value in medians.items()},
            "speedup": one / more,
        }
    return report


PARTS: dict[str, Callable[[Sides, argparse.Namespace], Report]] = {
    "merge": merge,
    "rates": rates,
    "latency": latency,
    "overhead": overhead,
    "scaling": scaling,
}


def tables(report: Report) -> str:
    """Write the rates as a markdown table."""
    lines = [
        "| rates | side | " + " | ".join(f"{t:.2f}" for t in TARGETS) + " | recall at ef=100 |"
    ]
    lines.append("|---|---|" + "--:|" * (len(TARGETS) + 1))
    for name, sides in report.items():
        for label, found in sides.items():
            if isinstance(found, dict):
                cells = " | ".join(cell(found["qps"][f"{t:.2f}"]) for t in TARGETS)
                lines.append(f"| {name} | {label} | {cells} | {found['front'][0]['recall']:.3f} |")
    return "\n".join(lines)


def version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], help="default: all")
    parser.add_argument("--kind", nargs="+", choices=query_data.KINDS, default=query_data.KINDS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--questions", type=int, default=QUESTIONS, help="at most 1,000")
    cores = os.cpu_count() or 1
    parser.add_argument("--threads", type=int, nargs="+", default=sorted({1, min(2, cores)}))
    parser.add_argument("--m", type=int, nargs="+", default=[16, 32], help="of faiss")
    parser.add_argument("--build-threads", type=int, default=cores)
    parser.add_argument("--out", type=Path, default=RESULTS / "query.json")
    options = parser.parse_args()
    report = json.loads(options.out.read_text()) if options.out.is_file() else {}
    packages = ("gapless", "faiss-cpu", "ranx", "numpy")
    report["machine"] = machine()
    report["versions"] = {name: version(name) for name in packages}
    for kind in options.kind:
        questions = query_data.load(kind, QUESTIONS, DEPTH).first(options.questions)
        sides = Sides(questions, options.m, options.build_threads)
        for part in options.parts or PARTS:
            found = PARTS[part](sides, options)
            report.setdefault(kind, {}).setdefault(part, {}).update(found)
            show(tables(found) if part == "rates" else json.dumps(found, indent=1))
            options.out.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
