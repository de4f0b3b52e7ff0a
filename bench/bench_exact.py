"""Exact search, one query at a time and in a batch, beside faiss: `python bench/bench_exact.py`.

One thread each, on d1 (see datasets.py); medians of the processor's time, in turns.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import datasets
import gapless

SINGLES = 30
BATCH = 1_000
TURNS = 3


def seconds(call: Callable[[], Any]) -> float:
    """Return the seconds of this thread that a call takes."""
    start = time.thread_time()
    call()
    return time.thread_time() - start


def main() -> None:
    import faiss  # a peer: what collects this folder's tests has none

    data = datasets.load("d1", mmap=True)
    rows, queries = np.array(data.rows), np.array(data.queries)
    faiss.omp_set_num_threads(1)
    theirs = faiss.IndexFlatIP(rows.shape[1])
    theirs.add(rows)
    ours = gapless.FlatIndex(rows.shape[1])
    ours.add(rows)
    ours.search(queries[:2], 10)  # codes are made by the first search
    ways: dict[str, Callable[[Any], Any]] = {
        "gapless": lambda some: ours.search(some, 10, threads=1),
        "faiss FlatIP": lambda some: theirs.search(some, 10),
    }
    print(f"| {len(rows):,} x {rows.shape[1]} | one query, ms | batch of {BATCH:,}, ms |")
    print("|---|--:|--:|")
    single: dict[str, list[float]] = {name: [] for name in ways}
    batch: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(TURNS):
        for name, search in ways.items():
            for at in range(turn * SINGLES, (turn + 1) * SINGLES):
                one = queries[at : at + 1]
                single[name].append(seconds(lambda one=one, search=search: search(one)))  # type: ignore[misc]
            batch[name].append(seconds(lambda search=search: search(queries[:BATCH])))  # type: ignore[misc]
    for name in ways:
        one_ms, all_ms = (1e3 * statistics.median(of[name]) for of in (single, batch))
        print(f"| {name} | {one_ms:.2f} | {all_ms:,.0f} |")


if __name__ == "__main__":
    main()
