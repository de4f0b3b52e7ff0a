"""What an alignment costs an index, and what linking the rows anew under it is worth.

    python bench/bench_alignment.py                # all parts, on d1 and d2 (see datasets.py)
    python bench/bench_alignment.py --part recall --rows 60000

*factors*: seconds until r, a float32 per row, is there for 1,000,000 rows, by kind of map. *share*:
time of a search under an offset and without, at the same effort. *recall*: under ``center``, by
effort: a graph linked over the rows as they came, the same after `fit_queries`, after `reindex`,
and a graph of rows that were centred before they were added.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import datasets
import gapless
from measure import Rows, exact_floor, recall, unit

EFFORTS = (10, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
MILLION, DIM = 1_000_000, 384
TURNS = 15


def median_of(call: Callable[[], Any], times: int = 5) -> float:
    """Return the median seconds of several calls."""
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def factors() -> None:
    """Time `set_alignment` over a million rows, whose values do not matter for it."""
    random = np.random.default_rng(0)
    index = gapless.FlatIndex(DIM)
    for _ in range(10):
        index.add(unit(random.normal(size=(MILLION // 10, DIM)).astype(np.float32)))
    offset = (random.normal(size=DIM) / 40).astype(np.float32)
    low_rank = np.eye(DIM, dtype=np.float32)
    low_rank -= 2 * np.outer(offset, offset) / float(offset @ offset)
    maps = {
        "offset (center, shift)": gapless.Alignment(offset=offset),
        "linear of full rank": gapless.Alignment(
            offset=offset, linear=random.normal(size=(DIM, DIM)).astype(np.float32) / 20
        ),
        "linear, identity less one direction": gapless.Alignment(linear=low_rank),
    }
    print(f"| map | ms until r is there, 1,000,000 x {DIM}, {os.cpu_count()} cores |\n|---|--:|")
    for name, alignment in maps.items():
        seconds = median_of(lambda alignment=alignment: index.set_alignment(alignment), 3)  # type: ignore[misc]
        print(f"| {name} | {seconds * 1e3:,.0f} |", flush=True)


def share(rows: Rows, queries: Rows) -> None:
    """Time searches under an offset and without, in turns, at the same effort."""
    index = gapless.HnswIndex(rows.shape[1])
    index.add(rows)
    # A tiny offset leaves every answer as it is, so that only the arithmetic differs.
    aligned = gapless.Alignment(offset=np.full(rows.shape[1], 1e-6, np.float32))
    print("| ef | us a query, raw | us a query, aligned | dearer by |\n|--:|--:|--:|--:|")
    for ef in (14, 32, 128):
        times: dict[bool, list[float]] = {False: [], True: []}
        for _ in range(TURNS):
            for on in times:
                index.set_alignment(aligned if on else None)
                index.search(queries[:200], 10, ef=ef, threads=1)
                start = time.perf_counter()
                index.search(queries, 10, ef=ef, threads=1)
                times[on].append((time.perf_counter() - start) / len(queries) * 1e6)
        raw, under = statistics.median(times[False]), statistics.median(times[True])
        print(f"| {ef} | {raw:.1f} | {under:.1f} | {under / raw - 1:+.1%} |", flush=True)


def worth_of_reindexing(rows: Rows, queries: Rows, tune: Rows) -> None:
    """Compare recall and speed under ``center`` by what the graph was linked over."""
    of_rows, of_queries = rows.mean(axis=0), tune.mean(axis=0)
    moved, asked = unit(rows - of_rows), unit(queries - of_queries)
    floor = exact_floor(moved, asked)
    index = gapless.HnswIndex(rows.shape[1])
    index.add(rows)
    query = {"name": (-of_queries, None)}
    index.set_alignment(gapless.Alignment(offset=-of_rows, query=query))

    def sweep(label: str, of: Any, given: Rows, **options: Any) -> None:
        cells = []
        for ef in EFFORTS:
            seconds = median_of(
                lambda ef=ef: of.search(given, 10, ef=ef, threads=1, **options),  # type: ignore[misc]
                3,
            )
            ids = of.search(given, 10, ef=ef, **options)[1]
            reached = recall(ids, moved, asked, floor)
            cells.append(f"{reached:.3f} at {len(given) / seconds:,.0f}")
        print(f"| {label} | " + " | ".join(cells) + " |", flush=True)

    print("| graph over | " + " | ".join(f"ef {ef}" for ef in EFFORTS) + " |")
    print("|---|" + "--:|" * len(EFFORTS))
    sweep("rows as they came", index, queries, query_modality="name")
    start = time.perf_counter()
    index.reindex()
    seconds = time.perf_counter() - start
    sweep(f"linked anew ({seconds:.0f} s)", index, queries, query_modality="name")
    index.fit_queries(tune, modality="name")
    sweep("linked anew, and fitted to queries", index, queries, query_modality="name")
    centred = gapless.HnswIndex(rows.shape[1])
    centred.add(moved)
    sweep("rows centred before", centred, asked)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", choices=["factors", "share", "recall"], help="default: all")
    parser.add_argument("--rows", type=int, default=10**9, help="of d1 and d2 (default: all)")
    options = parser.parse_args()
    if options.part in (None, "factors"):
        factors()
    if options.part in (None, "share"):
        data = datasets.load("d1", mmap=True)
        share(np.array(data.rows[: options.rows]), np.array(data.queries))
    if options.part in (None, "recall"):
        data = datasets.load("d2", mmap=True)
        rows = np.array(data.rows[: options.rows])
        worth_of_reindexing(rows, np.array(data.queries), np.array(data.tune))


if __name__ == "__main__":
    main()
