"""Filtered search beside faiss and hnswlib: `python bench/bench_filter.py`.

One thread, on rows of d1 (see datasets.py), k = 10. A filter allows a share of the rows: drawn at
random, or all those nearest to one row, and then it is asked by the queries nearest to that row or
by those farthest from it. Each system has its filter made beforehand, as what is asked often is.
For each filter a system takes the least effort of its sweep that reaches the recall; rates are of
the processor's time, of which the best of three rounds counts, in which all systems take turns.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

import datasets
import gapless
from measure import exact_floor, recall
from peers import machine

SHARES = (0.5, 0.1, 0.01, 0.001)
KINDS = ("random", "near", "far")
EFFORTS = (10, 14, 20, 32, 64, 128, 256, 512, 1024, 2048, 4096)
DEFAULT = 64
K = 10
QUERIES = 50
TARGET = 0.95
ROUNDS = 3
M = 32
EF_CONSTRUCTION = 200
RESULTS = Path(__file__).parent / "results" / "filter-d1-100000-k10.json"
Rows = NDArray[np.float32]
Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Case:
    """A filter, the queries that are asked under it, and the score of their tenth neighbour."""

    share: float
    kind: str
    allowed: Ids  # ascending
    mask: NDArray[np.bool_]
    queries: Rows
    floor: Rows


class System(Protocol):
    """An index of the rows; `efforts` are those worth trying, none where there is no choice."""

    efforts: tuple[int, ...]

    def filtered(self, case: Case) -> Any:
        """Return the case's filter in the system's form."""
        ...

    def search(self, queries: Rows, made: Any, ef: int) -> Ids:
        """Return ids (nq, K), -1 where nothing was found."""
        ...


class Gapless:
    """HnswIndex as it comes."""

    efforts = EFFORTS

    def __init__(self, rows: Rows) -> None:
        self.index = gapless.HnswIndex(rows.shape[1], m=M, ef_construction=EF_CONSTRUCTION)
        self.index.add(rows, threads=1)

    def filtered(self, case: Case) -> Any:
        """Return a Filter of a packed bitset."""
        return gapless._core.Filter(np.packbits(case.mask, bitorder="little"))

    def search(self, queries: Rows, made: Any, ef: int) -> Ids:
        """Return ids (nq, K)."""
        return self.index.search(queries, K, ef=ef, filter=made, threads=1)[1]


class FaissGraph:
    """IndexHNSWFlat with a bitmap."""

    efforts = EFFORTS

    def __init__(self, rows: Rows) -> None:
        import faiss

        self.faiss = faiss
        faiss.omp_set_num_threads(1)
        self.index = faiss.IndexHNSWFlat(rows.shape[1], M, faiss.METRIC_INNER_PRODUCT)
        self.index.hnsw.efConstruction = EF_CONSTRUCTION
        self.index.add(rows)

    def filtered(self, case: Case) -> Any:
        """Return an IDSelectorBitmap."""
        return self.faiss.IDSelectorBitmap(np.packbits(case.mask, bitorder="little"))

    def search(self, queries: Rows, made: Any, ef: int) -> Ids:
        """Return ids (nq, K)."""
        how = self.faiss.SearchParametersHNSW(sel=made, efSearch=ef)
        found: Ids = self.index.search(queries, K, params=how)[1]
        return found


class FaissFlat:
    """IndexFlatIP: exact. An array of ids, of which it scores no other row."""

    efforts = (0,)

    def __init__(self, rows: Rows) -> None:
        import faiss

        self.faiss = faiss
        faiss.omp_set_num_threads(1)
        self.index = faiss.IndexFlatIP(rows.shape[1])
        self.index.add(rows)

    def filtered(self, case: Case) -> Any:
        """Return an IDSelectorArray."""
        return self.faiss.IDSelectorArray(case.allowed)

    def search(self, queries: Rows, made: Any, ef: int) -> Ids:
        """Return ids (nq, K)."""
        how = self.faiss.SearchParameters(sel=made)
        found: Ids = self.index.search(queries, K, params=how)[1]
        return found


class FaissBitmap(FaissFlat):
    """IndexFlatIP with a bitmap."""

    def filtered(self, case: Case) -> Any:
        """Return an IDSelectorBitmap."""
        return self.faiss.IDSelectorBitmap(np.packbits(case.mask, bitorder="little"))


class Hnswlib:
    """hnswlib.Index, whose filter is a function of Python."""

    efforts = EFFORTS

    def __init__(self, rows: Rows) -> None:
        import hnswlib

        self.index = hnswlib.Index(space="ip", dim=rows.shape[1])
        self.index.init_index(len(rows), M=M, ef_construction=EF_CONSTRUCTION)
        self.index.add_items(rows, num_threads=1)

    def filtered(self, case: Case) -> Any:
        """Return a function that says of an id whether it is allowed."""
        allowed: Callable[[int], bool] = case.mask.tolist().__getitem__
        return allowed

    def search(self, queries: Rows, made: Any, ef: int) -> Ids:
        """Return ids (nq, K); it raises where it finds fewer than K, which counts as none."""
        self.index.set_ef(ef)
        found = np.full((len(queries), K), -1, np.int64)
        for i, query in enumerate(queries):
            try:
                found[i] = self.index.knn_query(query, K, num_threads=1, filter=made)[0]
            except RuntimeError:
                continue
        return found


SYSTEMS: dict[str, Callable[[Rows], System]] = {
    "gapless": Gapless,
    "faiss HNSW": FaissGraph,
    "faiss Flat": FaissFlat,
    "faiss Flat, bitmap": FaissBitmap,
    "hnswlib": Hnswlib,
}


def cases(rows: Rows, queries: Rows) -> list[Case]:
    """Return every kind of filter at every share."""
    random = np.random.default_rng(0)
    some = random.choice(len(queries), QUERIES, replace=False)
    centre = rows[np.argmax(rows @ queries[some[0]])]
    nearest = np.argsort(-(rows @ centre), kind="stable")
    by_distance = np.argsort(-(queries @ centre), kind="stable")
    asked = {"random": some, "near": by_distance[:QUERIES], "far": by_distance[-QUERIES:]}
    made = []
    for share in SHARES:
        count = round(share * len(rows))
        for kind in KINDS:
            drawn = random.choice(len(rows), count, replace=False)
            allowed = np.sort(drawn if kind == "random" else nearest[:count])
            mask = np.zeros(len(rows), dtype=bool)
            mask[allowed] = True
            of = queries[asked[kind]]
            made.append(Case(share, kind, allowed, mask, of, exact_floor(rows[allowed], of, K)))
    return made


def timed(system: System, case: Case, made: Any, ef: int) -> tuple[Ids, float]:
    """Return what is found and the queries a second of this thread's time."""
    start = time.thread_time()
    found = system.search(case.queries, made, ef)
    return found, len(case.queries) / (time.thread_time() - start)


def least_effort(system: System, rows: Rows, case: Case, made: Any) -> tuple[int, float]:
    """Return the least effort that reaches the recall, or the most there is, and its recall."""
    reached = 0.0
    for ef in system.efforts:
        reached = recall(system.search(case.queries, made, ef), rows, case.queries, case.floor)
        if reached >= TARGET:
            return ef, reached
    return system.efforts[-1], reached


def compare(systems: dict[str, System], rows: Rows, case: Case) -> dict[str, Any]:
    """Return for one filter what each system reached, and how fast."""
    filters = {name: system.filtered(case) for name, system in systems.items()}
    efforts = {
        name: least_effort(system, rows, case, filters[name]) for name, system in systems.items()
    }
    default = ("gapless", DEFAULT)
    rates: dict[tuple[str, int], float] = {}
    found = {}
    for _ in range(ROUNDS):
        for name, ef in [*((name, ef) for name, (ef, _) in efforts.items()), default]:
            found[name, ef], rate = timed(systems[name], case, filters[name], ef)
            rates[name, ef] = max(rate, rates.get((name, ef), 0.0))
    results = {
        name: {"ef": ef, "recall": reached, "qps": rates[name, ef]}
        for name, (ef, reached) in efforts.items()
    }
    by_default = recall(found[default], rows, case.queries, case.floor)
    results["gapless, default"] = {"ef": DEFAULT, "recall": by_default, "qps": rates[default]}
    return {"share": case.share, "kind": case.kind, "systems": results}


def table(results: list[dict[str, Any]]) -> str:
    """Return the rates as a table; where the recall was not reached, it stands beside."""
    names = list(results[0]["systems"])
    lines = [f"| filter | {' | '.join(names)} |", f"|---|{'--:|' * len(names)}"]
    for case in results:
        cells = []
        for name in names:
            of = case["systems"][name]
            beside = name.endswith("default") or of["recall"] < TARGET
            cells.append(f"{of['qps']:,.0f}" + (f" ({of['recall']:.3f})" if beside else ""))
        lines.append(f"| {100 * case['share']:g} %, {case['kind']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Print the table and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    data = datasets.load("d1", mmap=True)
    rows, queries = np.array(data.rows[: options.rows]), np.array(data.queries)
    asked = cases(rows, queries)
    systems = {name: make(rows) for name, make in SYSTEMS.items()}
    results = []
    for case in asked:
        results.append(compare(systems, rows, case))
        print(table(results).splitlines()[-1], flush=True)
    report = {
        "data": data.name,
        "rows": len(rows),
        "dim": rows.shape[1],
        "k": K,
        "target": TARGET,
        "m": M,
        "ef_construction": EF_CONSTRUCTION,
        "machine": machine(),
        "versions": versions(),
        "results": results,
    }
    options.out.write_text(json.dumps(report, indent=1) + "\n")
    print(table(results))


def versions() -> dict[str, str]:
    """Return the versions of the systems."""
    from importlib import metadata

    import faiss

    return {
        "gapless": gapless.__version__,
        "faiss": faiss.__version__,
        "hnswlib": metadata.version("hnswlib"),
    }


if __name__ == "__main__":
    main()
