"""Measures of ranked answers, and of the modality gap in them, in numpy.

A ranking is an int array of item numbers, best first; a negative number is an empty place (a
search that found fewer than k answers pads with -1). The public functions take one ranking (k,)
with one set of right answers, or many rankings (n, k) with a sequence of n sets, and return one
value for each ranking, float64 (n,), or a float for one ranking. They and
:func:`gapless.evaluate`, whose items may have any ids, share the formulas over `Judged`.
"""

from __future__ import annotations

import operator
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..batch import whole
from ..errors import InvalidArgument

__all__ = [
    "ANY_GAIN",
    "BiasRate",
    "Judged",
    "average_precision",
    "first_rank",
    "intra_modal_bias",
    "ndcg",
    "ndcg_at_k",
    "precision",
    "recall",
    "recall_at_k",
    "reciprocal",
    "reciprocal_rank",
    "success",
]

ANY_GAIN = float(np.nextafter(0.0, 1.0))  # the least number above 0: whoever gains is relevant

Ranking = npt.ArrayLike
Array = npt.NDArray[np.float64]
Values = float | Array


@dataclass(frozen=True, slots=True)
class Judged:
    """Rankings in which the gain of every place is known.

    Attributes
    ----------
    gains : ndarray (n, depth) float64
        Gain of the item at each place of each ranking, best first; 0 where it is not judged and
        where a ranking has ended.
    ideal : sequence of n ndarrays (j,) float64
        The positive gains of all judged items of each query, found or not, in descending order.
    level : float
        An item is relevant when it gains at least this.
    """

    gains: Array
    ideal: Sequence[Array]
    level: float = ANY_GAIN

    def hits(self, k: int | None = None) -> npt.NDArray[np.bool_]:
        """Which of the first k places hold a relevant item: bool (n, min(k, depth))."""
        reached: npt.NDArray[np.bool_] = self.gains[:, :k] >= self.level
        return reached

    @property
    def relevant(self) -> Array:
        """How many items are relevant to each query, (n,)."""
        return np.array([(best >= self.level).sum() for best in self.ideal], dtype=np.float64)


def _over(values: Array, counts: Array) -> Array:
    """Divide, taking 0 over 0 as 0: a query without relevant items scores 0."""
    return np.where(counts > 0, values / np.maximum(counts, ANY_GAIN), 0.0)


def recall(judged: Judged, k: int | None = None) -> Array:
    """Relevant items among the first k, over all relevant items; 0 for a query without any."""
    return _over(judged.hits(k).sum(axis=1).astype(np.float64), judged.relevant)


def precision(judged: Judged, k: int) -> Array:
    """Relevant items among the first k, over k even where the ranking is shorter."""
    return np.asarray(judged.hits(k).sum(axis=1) / k)


def success(judged: Judged, k: int) -> Array:
    """1 where a relevant item is among the first k, else 0."""
    return np.asarray(judged.hits(k).any(axis=1), dtype=np.float64)


def first_rank(judged: Judged) -> Array:
    """Rank of the first relevant item, from 1; inf where there is none."""
    hits = judged.hits()
    if not hits.shape[1]:
        return np.full(len(hits), np.inf)
    return np.where(hits.any(axis=1), hits.argmax(axis=1) + 1.0, np.inf)


def reciprocal(judged: Judged, k: int | None = None) -> Array:
    """One over the rank of the first relevant item, 0 where none is among the first k."""
    rank = first_rank(judged)
    return np.where(rank <= (np.inf if k is None else k), 1.0 / rank, 0.0)


def average_precision(judged: Judged, k: int | None = None) -> Array:
    """Precision at the place of each relevant item among the first k, over all relevant items."""
    hits = judged.hits(k)
    at_place = hits.cumsum(axis=1) / np.arange(1, hits.shape[1] + 1)
    return _over((at_place * hits).sum(axis=1), judged.relevant)


def ndcg(judged: Judged, k: int | None = None) -> Array:
    """Discounted gain of the first k places over that of the best order of all judged items."""
    found = judged.gains[:, :k]
    total = (found / np.log2(np.arange(found.shape[1]) + 2)).sum(axis=1)
    best = [(own[:k] / np.log2(np.arange(len(own[:k])) + 2)).sum() for own in judged.ideal]
    return _over(total, np.array(best, dtype=np.float64))


class BiasRate(NamedTuple):
    """How far one modality crowds the first answers of its own queries.

    Attributes
    ----------
    rate
        Mean share of the first k answers that have the query's modality, in [0, 1].
    lift
        ``(rate - s) / (1 - s)`` with s the share of that modality in the whole index: 0 is no
        preference, 1 is nothing but the own modality, negative is avoidance.
    """

    rate: float
    lift: float


def _rows(ranking: Ranking, truth: Sequence[Any], what: str) -> tuple[npt.NDArray[np.int64], bool]:
    """Bring a ranking to two dimensions and check it against its truths."""
    try:
        array = np.asarray(ranking)
    except ValueError as error:
        raise InvalidArgument(
            f"the rankings differ in length ({error}): fill the shorter ones with -1"
        ) from error
    if array.size and not np.issubdtype(array.dtype, np.integer):
        raise InvalidArgument(f"a ranking holds item numbers, not {array.dtype}; pass integers")
    if array.ndim not in (1, 2):
        raise InvalidArgument(f"a ranking has 1 or 2 dimensions, not {array.ndim}")
    single = array.ndim == 1
    rows = array.astype(np.int64)[None] if single else array.astype(np.int64)
    given = len(truth) if hasattr(truth, "__len__") else 1
    if not single and (given != len(rows) or isinstance(truth, (Set, Mapping))):
        raise InvalidArgument(f"{len(rows)} rankings but {given} {what}; pass one for each ranking")
    for number, row in enumerate(rows):
        found = row[row >= 0]
        if len(np.unique(found)) != len(found):
            raise InvalidArgument(f"ranking {number} has an item twice; rank each item once")
    return rows, single


def _result(values: npt.NDArray[np.float64], single: bool) -> Values:
    return float(values[0]) if single else values


def _judge(rows: npt.NDArray[np.int64], gains: Sequence[Mapping[int, float]]) -> Judged:
    """Look the gain of every ranked item up."""
    found = np.array(
        [
            [gain.get(item, 0.0) for item in row]
            for row, gain in zip(rows.tolist(), gains, strict=True)
        ],
        dtype=np.float64,
    ).reshape(rows.shape)
    ideal = [np.sort(np.fromiter(gain.values(), dtype=np.float64))[::-1] for gain in gains]
    return Judged(np.where(rows >= 0, found, 0.0), [best[best > 0] for best in ideal])


def _judge_sets(
    ranking: Ranking, relevant: Collection[int] | Sequence[Collection[int]]
) -> tuple[Judged, bool]:
    rows, single = _rows(ranking, relevant, "sets of relevant items")  # type: ignore[arg-type]
    raw: Any = [relevant] if single else relevant
    sets = [_numbers(number, right) for number, right in enumerate(raw)]
    for number, right in enumerate(sets):
        if not right:
            raise InvalidArgument(
                f"query {number} has no relevant item, so its score is undefined; leave it out"
            )
    return _judge(rows, sets), single


def _numbers(query: int, right: Any) -> dict[int, float]:
    try:
        return dict.fromkeys((operator.index(item) for item in right), 1.0)
    except TypeError:
        raise InvalidArgument(
            f"the relevant items of query {query} are {right!r:.60}: give a set of item numbers"
        ) from None


def recall_at_k(
    ranking: Ranking, relevant: Collection[int] | Sequence[Collection[int]], k: int
) -> Values:
    """Share of the relevant items that are among the first k.

    Parameters
    ----------
    ranking
        Item numbers, best first: int (depth,) or (n, depth).
    relevant
        The right answers: a set of item numbers, or one set for each ranking.
    k
        How many answers count, at least 1.

    Returns
    -------
    float or float64 (n,)
        ``|first k and relevant| / |relevant|`` in [0, 1].

    Raises
    ------
    InvalidArgument
        ``k < 1``, a query without a relevant item, an item ranked twice, or unequal lengths.

    Examples
    --------
    >>> recall_at_k([4, 1, 9], {1, 7}, k=2)
    0.5
    """
    whole("k", k)
    judged, single = _judge_sets(ranking, relevant)
    return _result(recall(judged, k), single)


def reciprocal_rank(
    ranking: Ranking, relevant: Collection[int] | Sequence[Collection[int]]
) -> Values:
    """One over the place of the first relevant item, 0 if there is none.

    Parameters, errors and shapes are those of :func:`recall_at_k`, over the whole ranking.

    >>> reciprocal_rank([4, 1, 9], {1, 9})
    0.5
    """
    judged, single = _judge_sets(ranking, relevant)
    return _result(reciprocal(judged), single)


def _gain(value: object) -> float:
    return float(value) if isinstance(value, (int, float, np.number)) else np.nan


def ndcg_at_k(
    ranking: Ranking, gains: Mapping[int, float] | Sequence[Mapping[int, float]], k: int
) -> Values:
    """Normalised discounted cumulative gain (Järvelin and Kekäläinen 2002).

    ``DCG = sum(gain / log2(place + 1))`` over the first k places, divided by that of the best
    possible order of *all* judged items, not only of the ones that were found: a ranking that
    misses right answers cannot reach 1 by ordering the others well.

    Parameters
    ----------
    ranking
        Item numbers, best first: int (depth,) or (n, depth).
    gains
        Item number -> gain >= 0, for every judged item; one mapping for each ranking. An item
        that is not judged gains nothing.
    k
        How many answers count, at least 1.

    Returns
    -------
    float or float64 (n,)
        In [0, 1].

    Raises
    ------
    InvalidArgument
        ``k < 1``, a negative gain, a query without a positive gain, an item ranked twice, or
        unequal lengths.

    Examples
    --------
    >>> round(ndcg_at_k([4, 1], {1: 1.0, 7: 1.0}, k=2), 3)
    0.387
    """
    whole("k", k)
    rows, single = _rows(ranking, gains, "mappings of gains")  # type: ignore[arg-type]
    judged: Any = [gains] if single else gains
    for number, gain in enumerate(judged):
        if not isinstance(gain, Mapping):
            raise InvalidArgument(
                f"the gains of query {number} are {gain!r:.60}: give {{item number: gain}}"
            )
        given = np.array([*map(_gain, gain.values())], dtype=np.float64)
        if not np.isfinite(given).all() or (given < 0).any():
            raise InvalidArgument(
                f"query {number} has a gain that is negative or not finite; pass gains >= 0"
            )
        if not given.any():
            raise InvalidArgument(
                f"query {number} has no item of positive gain, so its score is undefined; "
                "leave it out"
            )
    return _result(ndcg(_judge(rows, judged), k), single)


def intra_modal_bias(
    ranking: Ranking,
    modalities: npt.ArrayLike,
    query_modality: Any,
    k: int,
    *,
    population: npt.ArrayLike | None = None,
) -> BiasRate:
    """How much the first k answers favour the query's own modality.

    Parameters
    ----------
    ranking
        Item numbers, best first: int (depth,) or (n, depth); they index ``modalities``.
    modalities
        Modality of every item of the index, (items,).
    query_modality
        Modality of these queries, a value of ``modalities``.
    k
        How many answers count, at least 1. Empty places do not count.
    population
        bool (items,): the items that could have been found, if not all of them.

    Returns
    -------
    BiasRate
        Mean over the queries that found anything.

    Raises
    ------
    InvalidArgument
        ``k < 1``, an item beyond ``modalities``, nothing found at all, or a population in which
        the query's modality has no item or every item, where the lift has no meaning.

    Examples
    --------
    >>> intra_modal_bias([0, 1, 2], ["text", "text", "image", "image"], "text", k=2)
    BiasRate(rate=1.0, lift=1.0)
    """
    whole("k", k)
    own = np.asarray(np.asarray(modalities) == query_modality)
    if own.ndim != 1:
        raise InvalidArgument(f"modalities has shape {own.shape}: give one for each item")
    rows, _ = _rows(ranking, list(np.atleast_2d(np.asarray(ranking))), "rankings")
    rows = rows[:, :k]
    if rows.size and rows.max() >= len(own):
        raise InvalidArgument(
            f"the ranking has item {rows.max()} but there are modalities for {len(own)} items"
        )
    able = np.ones(len(own), np.bool_) if population is None else np.asarray(population)
    if able.dtype != np.bool_ or able.shape != own.shape:
        raise InvalidArgument(
            f"population is {able.dtype} of shape {able.shape}: give bool, one for each of the "
            f"{len(own)} items"
        )
    members = own[able]
    share = float(members.mean()) if len(members) else 0.0
    if not 0.0 < share < 1.0:
        raise InvalidArgument(
            f"the share of {query_modality!r} among the items is {share:g}; the bias needs an "
            "index with items of the query's modality and of another"
        )
    found = rows >= 0
    counts = found.sum(axis=1)
    if not counts.any():
        raise InvalidArgument("no ranking has an answer, so there is no bias to measure")
    hits = (own[np.where(found, rows, 0)] & found).sum(axis=1)
    rate = float((hits[counts > 0] / counts[counts > 0]).mean())
    return BiasRate(rate, (rate - share) / (1.0 - share))
