"""Measures of ranked answers and of the modality gap in them, in numpy.

A ranking is an int array of item numbers, best first; a negative number is an empty place (a
search that found fewer than k answers pads with -1). Every function takes one ranking (k,) with
one set of right answers, or many rankings (n, k) with a sequence of n sets, and returns one value
for each ranking, float64 (n,), or a float for one ranking.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from gapless.errors import InvalidArgument

__all__ = ["BiasRate", "intra_modal_bias", "ndcg_at_k", "recall_at_k", "reciprocal_rank"]

Ranking = npt.ArrayLike
Values = float | npt.NDArray[np.float64]


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


def _check_k(k: int) -> None:
    if k < 1:
        raise InvalidArgument(f"k is {k}; it has to be at least 1")


def _rows(ranking: Ranking, truth: Sequence[Any], what: str) -> tuple[npt.NDArray[np.int64], bool]:
    """Bring a ranking to two dimensions and check it against its truths."""
    array = np.asarray(ranking)
    if array.size and not np.issubdtype(array.dtype, np.integer):
        raise InvalidArgument(f"a ranking holds item numbers, not {array.dtype}; pass integers")
    if array.ndim not in (1, 2):
        raise InvalidArgument(f"a ranking has 1 or 2 dimensions, not {array.ndim}")
    single = array.ndim == 1
    rows = array.astype(np.int64)[None] if single else array.astype(np.int64)
    if not single and len(truth) != len(rows):
        raise InvalidArgument(
            f"{len(rows)} rankings but {len(truth)} {what}; pass one for each ranking"
        )
    for number, row in enumerate(rows):
        found = row[row >= 0]
        if len(np.unique(found)) != len(found):
            raise InvalidArgument(f"ranking {number} has an item twice; rank each item once")
    return rows, single


def _result(values: npt.NDArray[np.float64], single: bool) -> Values:
    return float(values[0]) if single else values


def _hits(
    ranking: Ranking, relevant: Collection[int] | Sequence[Collection[int]], k: int
) -> tuple[npt.NDArray[np.bool_], list[frozenset[int]], bool]:
    _check_k(k)
    rows, single = _rows(ranking, relevant, "sets of relevant items")  # type: ignore[arg-type]
    raw: Any = [relevant] if single else relevant
    sets = [frozenset(int(item) for item in right) for right in raw]
    for number, right in enumerate(sets):
        if not right:
            raise InvalidArgument(
                f"query {number} has no relevant item, so its score is undefined; leave it out"
            )
    rows = rows[:, :k]
    hits = np.array(
        [[item in right for item in row] for row, right in zip(rows, sets, strict=True)],
        dtype=np.bool_,
    ).reshape(rows.shape)
    return hits, sets, single


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
    hits, sets, single = _hits(ranking, relevant, k)
    sizes = np.array([len(right) for right in sets], dtype=np.float64)
    return _result(hits.sum(axis=1) / sizes, single)


def reciprocal_rank(
    ranking: Ranking, relevant: Collection[int] | Sequence[Collection[int]]
) -> Values:
    """One over the place of the first relevant item, 0 if there is none.

    Parameters, errors and shapes are those of :func:`recall_at_k`, over the whole ranking.

    >>> reciprocal_rank([4, 1, 9], {1, 9})
    0.5
    """
    depth = max(1, np.asarray(ranking).shape[-1])
    hits, _, single = _hits(ranking, relevant, depth)
    if hits.shape[1] == 0:
        return _result(np.zeros(len(hits)), single)
    first = hits.argmax(axis=1)
    return _result(np.where(hits.any(axis=1), 1.0 / (first + 1), 0.0), single)


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
    _check_k(k)
    rows, single = _rows(ranking, gains, "mappings of gains")  # type: ignore[arg-type]
    judged: Any = [gains] if single else gains
    values = np.empty(len(rows))
    for number, (row, gain) in enumerate(zip(rows[:, :k], judged, strict=True)):
        ideal = np.sort(np.fromiter(gain.values(), dtype=np.float64))[::-1]
        if not np.isfinite(ideal).all() or (ideal < 0).any():
            raise InvalidArgument(
                f"query {number} has a gain that is negative or not finite; pass gains >= 0"
            )
        if not ideal.any():
            raise InvalidArgument(
                f"query {number} has no item of positive gain, so its score is undefined; "
                "leave it out"
            )
        found = np.array([gain.get(int(item), 0.0) for item in row], dtype=np.float64)
        ideal = ideal[:k]
        values[number] = (found / np.log2(np.arange(len(found)) + 2)).sum() / (
            ideal / np.log2(np.arange(len(ideal)) + 2)
        ).sum()
    return _result(values, single)


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
    _check_k(k)
    own = np.asarray(modalities) == query_modality
    rows, _ = _rows(ranking, list(np.atleast_2d(np.asarray(ranking))), "rankings")
    rows = rows[:, :k]
    if rows.size and rows.max() >= len(own):
        raise InvalidArgument(
            f"the ranking has item {rows.max()} but there are modalities for {len(own)} items"
        )
    members = own if population is None else own[np.asarray(population, dtype=np.bool_)]
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
