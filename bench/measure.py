"""The comparison's arithmetic: exact answers, sweeps of the effort, rates at equal recall."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from systems import Rows, System

TARGETS = (0.90, 0.95, 0.99)
ENOUGH = 0.995  # a sweep ends at this recall,
TOO_SLOW = 60.0  # or when one point of it took so many seconds
EFFORTS = (10, 12, 16, 20, 28, 40, 56, 80, 112, 160, 224, 320, 448, 640, 896, 1280)
LONG_ENOUGH = 0.1  # seconds of searching behind each point: batches are repeated until then
TIE = 1e-6  # a neighbour as near as the last true one counts: the texts hold near-duplicates
Point = dict[str, float]


def unit(rows: NDArray[Any]) -> Rows:
    """Scale rows to unit length."""
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), np.float32)


def efforts(k: int) -> tuple[int, ...]:
    """Return the efforts to sweep, none below k; they end at ten times as much as k or 1280."""
    low = [effort for effort in EFFORTS if effort >= k]
    return tuple(sorted({k, *low, *(effort * k // 10 for effort in EFFORTS if k > 10)}))


def exact_floor(rows: Rows, queries: Rows, k: int = 10) -> Rows:
    """Return the score of each query's k-th true neighbour, by numpy."""
    parts = max(1, len(queries) * len(rows) // 20_000_000)
    floors = [
        np.partition(part @ rows.T, -k, axis=1)[:, -k] for part in np.array_split(queries, parts)
    ]
    return np.concatenate(floors)


def recall(ids: NDArray[Any], rows: Rows, queries: Rows, floor: Rows) -> float:
    """Return the share of answers that score as the k-th true neighbour does, or better."""
    good = 0
    for start in range(0, len(ids), 200):
        part = slice(start, start + 200)
        scores = np.einsum("qd,qkd->qk", queries[part], rows[np.maximum(ids[part], 0)])
        good += int(((scores >= floor[part, None] - TIE) & (ids[part] >= 0)).sum())
    return good / ids.size


def sweep(
    system: System,
    rows: Rows,
    queries: Rows,
    floor: Rows,
    m: int,
    threads: int,
    k: int = 10,
    scored: Rows | None = None,
) -> list[Point]:
    """Measure (ef, recall, qps) along the efforts until recall passes 0.995.

    A rate is that of the median batch, of as many as take a tenth of a second. ``scored``: the
    queries as ``rows`` and ``floor`` know them, where the system gets others.
    """
    if m == 0:
        queries, floor = queries[:500], floor[:500]
    scored = queries if scored is None else scored[: len(queries)]
    points: list[Point] = []
    wanted: Sequence[int] = getattr(system, "efforts", efforts(k)) if m else (0,)
    system.search(queries[:50], k, wanted[0], threads)  # wakes the thread pool
    for ef in wanted:
        times: list[float] = []
        worked = time.process_time()
        while sum(times) < LONG_ENOUGH:
            start = time.perf_counter()
            ids = system.search(queries, k, ef, threads)
            times.append(time.perf_counter() - start)
        worked = (time.process_time() - worked) / len(times)
        seconds = statistics.median(times)
        points.append(
            {
                "ef": ef,
                "recall": recall(ids, rows, scored, floor),
                "qps": len(queries) / seconds,
                "cpu_us_per_query": worked / len(queries) * 1e6,
            }
        )
        if points[-1]["recall"] >= ENOUGH or seconds > TOO_SLOW:
            break
    return points


def latency(system: System, queries: Rows, ef: int, k: int, calls: int = 1000) -> Point:
    """Time calls of one query each, in one thread: median and 99th percentile in microseconds."""
    times = []
    for at in range(calls + 50):
        query = queries[at % len(queries)][None]
        start = time.perf_counter_ns()
        system.search(query, k, ef, 1)
        times.append((time.perf_counter_ns() - start) / 1e3)
    low, high = np.percentile(times[50:], [50, 99])
    return {"ef": ef, "p50_us": float(low), "p99_us": float(high)}


def effort_for(points: list[Point], target: float) -> int | None:
    """Return the least effort of a sweep that reaches a recall."""
    return next((int(point["ef"]) for point in points if point["recall"] >= target), None)


def rate_at(points: list[Point], target: float) -> float | None:
    """Return the rate at a recall: interpolated, or that of the least effort that reaches it.

    None where no effort reaches the target. Below the recall of the least effort (ef = k cannot be
    undercut) the rate of the least effort counts.
    """
    previous = None
    for point in points:
        if point["recall"] >= target:
            if previous is None or point["recall"] <= previous["recall"]:
                return point["qps"]
            span = point["recall"] - previous["recall"]
            share = (target - previous["recall"]) / span
            logs = np.log([previous["qps"], point["qps"]])
            return float(np.exp(logs[0] + share * (logs[1] - logs[0])))
        previous = point
    return None


def rates(rounds: list[list[Point]], graph: bool) -> dict[str, dict[str, float] | None]:
    """Return the median and the best rate of the rounds, at each recall aimed at."""
    at: dict[str, dict[str, float] | None] = {}
    for target in TARGETS if graph else (1.0,):
        found = [rate_at(points, target if graph else 0.0) for points in rounds]
        known = [rate for rate in found if rate is not None]
        at[f"{target:.2f}"] = (
            {"median": statistics.median(known), "best": max(known)} if known else None
        )
    return at


def front(rounds: list[list[Point]]) -> list[Point]:
    """Return one point an effort: its recall, and the median rate of the rounds."""
    kept: dict[float, list[Point]] = {}
    for points in rounds:
        for point in points:
            kept.setdefault(point["ef"], []).append(point)
    return [
        {
            "ef": ef,
            "recall": statistics.median(point["recall"] for point in same),
            "qps": statistics.median(point["qps"] for point in same),
        }
        for ef, same in sorted(kept.items())
    ]
