"""The nDCG of every training query, for any weights, fast enough to try thousands of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InvalidArgument
from ..evaluation.runs import Id, Qrels
from .candidates import Candidates, Float64
from .rules import Rule

__all__ = ["JudgedQueries", "judge"]

BLOCK = 4_000_000  # numbers compared at once


@dataclass(frozen=True, slots=True, eq=False)
class JudgedQueries:
    """Queries with what their lists said, and where among it the relevant items are.

    Attributes
    ----------
    queries : tuple of str or int
        Those that have something relevant to find, (q,).
    values : ndarray (q, items, lists) float64
        Queries with fewer items than the longest end in NaN.
    asking, place : ndarray (r,) intp
        Query and place of every relevant item that was found.
    gain : ndarray (r,) float64
    ideal : ndarray (q,) float64
        The discounted gain of the best order of all judged items, found or not.
    relevant : int
        Relevant items of these queries, found or not.
    k : int
        How many answers count.
    """

    queries: tuple[Id, ...]
    values: Float64
    asking: npt.NDArray[np.intp]
    place: npt.NDArray[np.intp]
    gain: Float64
    ideal: Float64
    relevant: int
    k: int

    def __len__(self) -> int:
        return len(self.queries)

    def ndcg(self, rule: Rule, weights: Float64) -> Float64:
        """Give the nDCG@k of every query, (q,), when the lists have these weights (lists,)."""
        scores = rule(self.values, weights)
        rank = np.empty(len(self.place))
        step = max(1, BLOCK // scores.shape[1])
        for start in range(0, len(rank), step):
            part = slice(start, start + step)
            place, others = self.place[part, None], scores[self.asking[part]]
            own = np.take_along_axis(others, place, axis=1)
            before = (others == own) & (np.arange(scores.shape[1]) < place)
            ahead = ((others > own) | before).sum(axis=1)
            rank[part] = np.where(np.isneginf(own[:, 0]), np.inf, 1.0 + ahead)
        found = np.where(rank <= self.k, self.gain / np.log2(1.0 + rank), 0.0)
        return np.asarray(np.bincount(self.asking, found, len(self)) / self.ideal)


def judge(
    candidates: Mapping[Any, Candidates],
    qrels: Qrels,
    transform: Callable[[Float64], Float64],
    k: int,
) -> JudgedQueries:
    """Look up which candidates are relevant; queries without anything relevant are left out.

    Raises
    ------
    InvalidArgument
        When no query has both candidates and something relevant.
    """
    queries = tuple(q for q in candidates if max(qrels.get(q, {}).values(), default=0.0) > 0)
    if not queries:
        raise InvalidArgument(
            f"none of the {len(candidates)} queries with candidates has a relevant item among the "
            f"{len(qrels)} of qrels: name them alike (1 and '1' are two ids)"
        )
    longest = max(1, max(len(candidates[query].ids) for query in queries))
    lists = candidates[queries[0]].normalised.shape[1]
    values = np.full((len(queries), longest, lists), np.nan)
    asking: list[int] = []
    place: list[int] = []
    gain: list[float] = []
    ideal = np.zeros(len(queries))
    relevant = 0
    for row, query in enumerate(queries):
        found = candidates[query]
        values[row, : len(found.ids)] = transform(found.normalised)
        own = {item: value for item, value in qrels[query].items() if value > 0}
        relevant += len(own)
        best = np.sort(np.array([*own.values()]))[::-1][:k]
        ideal[row] = (best / np.log2(np.arange(len(best)) + 2)).sum()
        for at, item in enumerate(found.ids):
            if item in own:
                asking.append(row)
                place.append(at)
                gain.append(own[item])
    return JudgedQueries(
        queries,
        values,
        np.array(asking, np.intp),
        np.array(place, np.intp),
        np.array(gain, np.float64),
        ideal,
        relevant,
        k,
    )
