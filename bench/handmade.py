"""What a user writes without gapless: faiss HNSW for each field, fused by numpy over the batch.

Written as well as we can, since it is what `bench_query.py` compares with: searches of a whole
batch, one sort of packed integers instead of a loop over queries, no Python per query.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from systems import EF_CONSTRUCTION, Ids, Rows

Fused = tuple[Rows, Ids]
Lists = tuple[Rows, Ids]  # scores and ids, (nq, fields, depth), each best first
Complete = Callable[[Rows, Rows, Ids], Rows]  # queries, rows of a field, ids (nq, n; -1) -> scores

SLOT = 12  # bits for a place among all lists of a query: 4,096 of them
CHUNK = 64  # queries fused at once: their arrays then stay in the second-level cache


class FaissFields:
    """One faiss HNSW over the rows of each field; inner product of unit rows is the cosine."""

    def __init__(self, fields: Sequence[Rows], m: int) -> None:
        self.fields, self.m = fields, m
        self.indexes: list[Any] = []

    def build(self, threads: int, cache: Path | None = None) -> None:
        """Build every field, or read what an earlier run left as CACHE-FIELD.faiss."""
        faiss = import_module("faiss")
        faiss.omp_set_num_threads(threads)
        for at, rows in enumerate(self.fields):
            path = cache.with_name(f"{cache.name}-{at}.faiss") if cache else None
            if path and path.is_file():
                self.indexes.append(faiss.read_index(str(path)))
                continue
            index = faiss.IndexHNSWFlat(rows.shape[1], self.m, faiss.METRIC_INNER_PRODUCT)
            index.hnsw.efConstruction = EF_CONSTRUCTION
            index.add(rows)
            self.indexes.append(index)
            if path:
                faiss.write_index(index, str(path))

    def search(self, queries: Rows, depth: int, ef: int, threads: int) -> Lists:
        """Search every field for the whole batch."""
        import_module("faiss").omp_set_num_threads(threads)
        shape = (len(queries), len(self.indexes), depth)
        scores, ids = np.empty(shape, np.float32), np.empty(shape, np.int64)
        for at, index in enumerate(self.indexes):
            index.hnsw.efSearch = ef
            scores[:, at], ids[:, at] = index.search(queries, depth)
        return scores, ids


def exact_lists(fields: Sequence[Rows], queries: Rows, depth: int) -> Lists:
    """Search every field by plain numpy."""
    shape = (len(queries), len(fields), depth)
    scores, ids = np.empty(shape, np.float32), np.empty(shape, np.int64)
    for start in range(0, len(queries), 200):
        part = slice(start, start + 200)
        for at, rows in enumerate(fields):
            all_scores = queries[part] @ rows.T
            best = np.argpartition(-all_scores, depth - 1, axis=1)[:, :depth]
            found = np.take_along_axis(all_scores, best, axis=1)
            order = np.lexsort((best, -found), axis=1)
            scores[part, at] = np.take_along_axis(found, order, axis=1)
            ids[part, at] = np.take_along_axis(best, order, axis=1)
    return scores, ids


def rrf(ids: Ids, k: int, rrf_k: float = 60.0, threads: int = 1) -> Fused:
    """Fuse by reciprocal ranks: ids (nq, fields, depth) -> scores and ids (nq, k).

    Scores are float32, and equal ones rank by ascending id.
    """
    fields, depth = ids.shape[1:]
    share = np.tile(1.0 / (rrf_k + np.arange(1, depth + 1)), fields).astype(np.float32)

    def chunk(part: slice) -> Fused:
        items, slots = _sorted_union(ids[part])
        gained = share[slots]
        total = gained.copy()
        for step in range(1, fields):  # an item has at most one entry of each field
            total[:, :-step] += gained[:, step:] * (items[:, step:] == items[:, :-step])
        total[:, 1:][items[:, 1:] == items[:, :-1]] = 0.0
        total[items < 0] = 0.0
        return _best(total, items, k)

    return _in_chunks(chunk, len(ids), threads)


def rrf_by_dict(lists: list[list[int]], k: int) -> list[int]:
    """Fuse one question's lists in plain Python."""
    total: dict[int, float] = {}
    for one in lists:
        for rank, item in enumerate(one, 1):
            total[item] = total.get(item, 0.0) + 1.0 / (60 + rank)
    return sorted(total, key=lambda item: (-total[item], item))[:k]


def minmax(
    lists: Lists,
    queries: Rows,
    fields: Sequence[Rows],
    k: int,
    complete: Complete,
    threads: int = 1,
) -> Fused:
    """Fuse scores mapped by each list's range to [0, 1], every item scored in every field."""
    scores, ids = lists
    count, depth = ids.shape[1:]

    def chunk(part: slice) -> Fused:
        items, slots = _sorted_union(ids[part])
        first = np.ones(items.shape, np.bool_)
        np.not_equal(items[:, 1:], items[:, :-1], out=first[:, 1:])
        row = np.arange(len(items))[:, None]
        place = np.cumsum(first, axis=1) - 1  # of an item among its query's
        union = np.full(items.shape, -1)
        union[row, place] = items
        own = np.full((count, *items.shape), np.nan, np.float32)
        flat = scores[part].reshape(len(items), -1)
        own[slots // depth, row, place] = np.take_along_axis(flat, slots, axis=1)
        total = np.zeros(items.shape, np.float32)
        for known, rows, listed in zip(own, fields, scores[part].swapaxes(0, 1), strict=True):
            absent = np.isnan(known)
            completed = complete(queries[part], rows, np.where(absent, union, -1))
            np.copyto(known, completed, where=absent)
            low, high = listed[:, -1:], listed[:, :1]
            total += (known - low) / (high - low)
        total[union < 0] = -np.inf
        return _best(total, union, k)

    return _in_chunks(chunk, len(ids), threads)


def rrf_by_ranx(lists: Lists) -> Callable[[], Any] | None:
    """Give a call of ranx.fuse, its runs made beforehand; None where ranx is not installed."""
    try:
        ranx = import_module("ranx")
    except ImportError:
        return None
    runs = [
        ranx.Run(
            {
                f"q{query}": {f"d{item}": float(score) for item, score in zip(*row, strict=True)}
                for query, row in enumerate(zip(ids.tolist(), scores.tolist(), strict=True))
            }
        )
        for scores, ids in zip(lists[0].swapaxes(0, 1), lists[1].swapaxes(0, 1), strict=True)
    ]
    return lambda: ranx.fuse(runs, norm=None, method="rrf", params={"k": 60})


def complete_by_faiss(queries: Rows, rows: Rows, ids: Ids) -> Rows:
    """Dot products of each query with the rows it names, (nq, n); -inf for an id of -1."""
    faiss = import_module("faiss")
    queries, ids = np.ascontiguousarray(queries), np.ascontiguousarray(ids)
    out = np.empty(ids.shape, np.float32)
    faiss.fvec_inner_products_by_idx(
        faiss.swig_ptr(out),
        faiss.swig_ptr(queries),
        faiss.swig_ptr(rows),
        faiss.swig_ptr(ids),
        rows.shape[1],
        *ids.shape,
    )
    return out


def complete_by_numpy(queries: Rows, rows: Rows, ids: Ids) -> Rows:
    """Do the same in numpy: gather all rows named, then one product for each."""
    asking, place = np.nonzero(ids >= 0)
    out = np.full(ids.shape, -np.inf, np.float32)
    out[asking, place] = np.einsum("nd,nd->n", queries[asking], rows[ids[asking, place]])
    return out


def _sorted_union(ids: Ids) -> tuple[Ids, Ids]:
    """All entries of each query by ascending item: items and slots (nq, fields * depth)."""
    flat = ids.reshape(len(ids), -1)
    packed = (flat << SLOT) | np.arange(flat.shape[1])  # sorted as one integer, by SIMD
    packed.sort(axis=1)
    return packed >> SLOT, packed & ((1 << SLOT) - 1)


def _best(total: Rows, items: Ids, k: int) -> Fused:
    """Give the k best of each row; items ascend in it, so that places break ties."""
    bits = total.view(np.int32).astype(np.int64)
    ordered = np.where(bits < 0, bits ^ 0x7FFF_FFFF, bits)  # floats as integers of their order
    width = total.shape[1]
    packed = (ordered << SLOT) | np.arange(width - 1, -1, -1)
    packed.partition(width - k, axis=1)
    best = width - 1 - (-np.sort(-packed[:, -k:], axis=1) & ((1 << SLOT) - 1))
    return np.take_along_axis(total, best, axis=1), np.take_along_axis(items, best, axis=1)


def _in_chunks(fuse: Callable[[slice], Fused], count: int, threads: int) -> Fused:
    """Fuse chunk by chunk, on as many threads; numpy lets others run beside its loops."""
    chunks = [slice(start, start + CHUNK) for start in range(0, count, CHUNK)]
    if threads == 1 or len(chunks) == 1:
        parts = [fuse(chunk) for chunk in chunks]
    else:
        with ThreadPoolExecutor(threads) as pool:
            parts = list(pool.map(fuse, chunks))
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])
