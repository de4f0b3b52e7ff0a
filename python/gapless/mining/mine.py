"""Mine hard negatives: near misses of the index, for training on (query, positive, negative)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .._core import FlatIndex, HnswIndex
from ..batch import whole
from ..collection import Collection
from ..errors import InvalidArgument
from .negatives import HardNegatives, NegativeStage
from .quarry import ArrayQuarry, CollectionQuarry, Quarry

__all__ = ["SCHEDULES", "mine_hard_negatives"]

SCHEDULES = ("hard", "random-first")
CHUNK = 64  # queries answered at once: with 100 candidates each, some 13 MB of rows of 512 dims
POOL = 1024  # documents that the random negatives of one chunk are drawn from

Keys: TypeAlias = "npt.NDArray[np.int64]"
Scores: TypeAlias = "npt.NDArray[np.float32]"
Mask: TypeAlias = "npt.NDArray[np.bool_]"


@dataclass(frozen=True, slots=True)
class _Rules:
    """The checked arguments."""

    first: int
    last: int
    margin: float
    per_positive: int
    hard: int
    duplicates: float | None
    stages: tuple[str, ...]
    seed: int


def mine_hard_negatives(
    queries: npt.ArrayLike | str,
    documents: npt.ArrayLike | str | None,
    positives: Iterable[Any] | Mapping[Any, Any] | None = None,
    *,
    k_range: tuple[int, int] = (10, 100),
    margin: float = 0.05,
    per_positive: int = 7,
    hard_per_positive: int | None = None,
    exclude_duplicates: float | None = 0.95,
    index: FlatIndex | HnswIndex | None = None,
    collection: Collection | None = None,
    query_modality: str | None = None,
    schedule: str = "hard",
    seed: int = 0,
) -> HardNegatives:
    """Find negatives that are hard to tell from the positives, yet are none.

    For each query q and each of its positives p, negatives n are drawn among the ranks `k_range`
    of the index's answer such that

        n is no positive of the query,
        score(q, n) < score(q, p) - margin,
        cos(n, p') < exclude_duplicates for every positive p' of the query.

    A mined negative is false when it is a positive that nobody has labelled, or a copy of one:
    the start of `k_range` and the two bounds keep such documents out. Where too few are left, the
    rest is drawn blindly among documents that keep the same rules and do not rank above
    `k_range`; they are marked as random.

    Parameters
    ----------
    queries : array-like (n, dim), or str
        Non-zero rows; or with `collection` the name of the field whose vectors ask.
    documents : array-like (n, dim), str or None
        Rows, numbered from 0; or the name of the field that is asked. None when `index` has them.
    positives : sequence of int or of sequences of int, or mapping of id to id or ids, optional
        Positive documents of each query: row numbers, or labels of `index`. For a collection, a
        dict of query id to document ids; None takes every item that fills both fields as the
        positive of itself.
    k_range : (int, int)
        First and last rank that hard ones come from, 1-based and inclusive.
    margin : float
        How far a negative scores below the positive at least, 0 to 2. Scores are comparable
        within one (query modality, field) pair only, so mine one pair at a time.
    per_positive : int
        Negatives per (query, positive); 7 is BGE's (arXiv 2309.07597).
    hard_per_positive : int, optional
        How many of them may be hard; the others are random. None is all. With
        ``per_positive=8, hard_per_positive=1`` there are seven random for each hard one, which
        keeps a model from collapsing onto a few directions.
    exclude_duplicates : float or None
        Cosine of the stored rows from which a document is a copy of a positive; None for none.
    index : FlatIndex or HnswIndex, optional
        Searched instead of a FlatIndex of `documents`. Its alignment, if any, is in the scores.
    collection : Collection, optional
        Mine between two of its fields, which are of one space. Ranks are those of the active
        alignment, scores are raw cosines. Of an item with several rows in a field the first one
        asks, and is what copies are told by; documents score by their best row. No other thread
        may remove items meanwhile.
    query_modality : str, optional
        Modality of array queries, for an index with an alignment.
    schedule : {"hard", "random-first"}
        ``"random-first"`` gives two stages, one all random and then the hard one.
    seed : int
        Draws among the eligible; the same arguments give the same negatives.

    Returns
    -------
    HardNegatives
        Pairs in the order of the queries. Memory beyond this result and the index is bounded:
        queries are worked off in chunks.

    Raises
    ------
    InvalidArgument
        For arguments outside their ranges, a query without a positive, unequal lengths.
    InvalidVector, UnknownId, UnknownField, SpaceMismatch
        For bad rows, positives that do not exist, and unfit fields.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> documents = rng.normal(size=(200, 16))
    >>> queries = documents[:20] + 0.3 * rng.normal(size=(20, 16))
    >>> mined = mine_hard_negatives(queries, documents, range(20), per_positive=3)
    >>> mined.stages[0].negatives.shape
    (20, 3)
    """
    rules = _check(
        k_range, margin, per_positive, hard_per_positive, exclude_duplicates, schedule, seed
    )
    quarry: Quarry
    if collection is None:
        if isinstance(queries, str) or isinstance(documents, str):
            raise InvalidArgument("queries and documents are field names: give collection as well")
        if positives is None:
            raise InvalidArgument("positives is None: give the positive documents of each query")
        quarry = ArrayQuarry(queries, documents, positives, index, query_modality)
    else:
        if index is not None or query_modality is not None:
            raise InvalidArgument(
                "index or query_modality is given beside collection, which brings its own: "
                "leave them out"
            )
        quarry = CollectionQuarry(collection, queries, documents, positives)
    return _mine(quarry, rules)


def _mine(quarry: Quarry, rules: _Rules) -> HardNegatives:
    counts = [len(keys) for keys in quarry.positives]
    pairs, shape = sum(counts), (sum(counts), rules.per_positive)
    stages = tuple(
        NegativeStage(
            name,
            np.full(shape, -1, np.int64),
            np.full(shape, np.nan, np.float32),
            np.zeros(shape, np.int32),
        )
        for name in rules.stages
    )
    scores = np.empty(pairs, np.float32)
    rng = np.random.default_rng(rules.seed)
    pair = 0
    for start in range(0, len(counts), CHUNK):
        stop = min(start + CHUNK, len(counts))
        chunk = _Chunk(quarry, start, stop, rules, rng)
        for query in range(start, stop):
            candidates = chunk.of(query)
            for positive in candidates.positive_scores:
                scores[pair] = positive
                for stage in stages:
                    _fill(stage, pair, candidates, positive, rules, rng)
                pair += 1
    return HardNegatives(
        np.repeat(quarry.query_keys, counts),
        np.concatenate([np.empty(0, np.int64), *quarry.positives]),
        scores,
        stages,
        quarry.ids,
    )


@dataclass(frozen=True, slots=True)
class _Candidates:
    """What one query may draw: documents, their ranks (0 for none) and scores.

    `pooled` tells which may be drawn blindly; `allowed` is False for positives, copies of them,
    and what ranks above the range.
    """

    keys: Keys
    ranks: npt.NDArray[np.int32]
    pooled: Mask
    scores: Scores
    allowed: Mask
    positive_scores: Scores


class _Chunk:
    """Answers, random pool and rows of some queries."""

    def __init__(
        self, quarry: Quarry, start: int, stop: int, rules: _Rules, rng: np.random.Generator
    ) -> None:
        self._quarry, self._rules, self._start = quarry, rules, start
        every = quarry.documents
        self._found = quarry.search(start, stop, min(rules.last, len(every)))
        self._pool = every
        if len(every) > POOL:
            self._pool = every[np.sort(rng.choice(len(every), POOL, replace=False, shuffle=False))]
        needed = [self._found.ravel(), self._pool, *quarry.positives[start:stop]]
        known = np.unique(np.concatenate(needed))
        self._known = known[known >= 0]
        self._rows = quarry.rows(self._known)

    def of(self, query: int) -> _Candidates:
        """Join the answer of `query` with the pool, each document once."""
        found = self._found[query - self._start]
        found = found[found >= 0]
        blind = self._pool[~np.isin(self._pool, found)]
        keys = np.concatenate([found, blind])
        ranks = np.zeros(len(keys), np.int32)
        ranks[: len(found)] = np.arange(1, len(found) + 1)
        positives = self._quarry.positives[query]
        rows, right = self._take(keys), self._take(positives)
        allowed = ~np.isin(keys, positives) & ~((ranks > 0) & (ranks < self._rules.first))
        if self._rules.duplicates is not None:
            allowed &= (rows @ right.T).max(axis=1) < self._rules.duplicates
        return _Candidates(
            keys,
            ranks,
            np.isin(keys, self._pool),
            self._quarry.score(query, keys, rows),
            allowed,
            self._quarry.score(query, positives, right),
        )

    def _take(self, keys: Keys) -> Scores:
        return self._rows[np.searchsorted(self._known, keys)]


def _fill(
    stage: NegativeStage,
    pair: int,
    candidates: _Candidates,
    positive: np.float32,
    rules: _Rules,
    rng: np.random.Generator,
) -> None:
    bound = np.float64(positive) - rules.margin
    # A document without a score (NaN) compares as False, so it is never drawn.
    eligible = candidates.allowed & (candidates.scores.astype(np.float64) < bound)
    ranked = np.flatnonzero(eligible & (candidates.ranks > 0))
    hard = _draw(rng, ranked, rules.hard if stage.name == "hard" else 0)
    eligible[hard] = False
    blind = _draw(rng, np.flatnonzero(eligible & candidates.pooled), rules.per_positive - len(hard))
    chosen = np.concatenate([hard, blind])
    stage.negatives[pair, : len(chosen)] = candidates.keys[chosen]
    stage.scores[pair, : len(chosen)] = candidates.scores[chosen]
    stage.ranks[pair, : len(hard)] = candidates.ranks[hard]


def _draw(rng: np.random.Generator, places: Keys, count: int) -> Keys:
    """Up to `count` of the places, in their order."""
    if len(places) <= count:
        return places
    return places[np.sort(rng.choice(len(places), count, replace=False))]


def _check(
    k_range: Any,
    margin: object,
    per_positive: object,
    hard_per_positive: object,
    exclude_duplicates: object,
    schedule: object,
    seed: object,
) -> _Rules:
    try:
        low, high = k_range
    except (TypeError, ValueError):
        raise InvalidArgument(f"k_range is {k_range!r}: give (first, last) ranks") from None
    first, last = whole("k_range[0]", low), whole("k_range[1]", high)
    if first > last:
        raise InvalidArgument(f"k_range is {k_range!r}: the first rank must not exceed the last")
    wanted = whole("per_positive", per_positive)
    hard = wanted if hard_per_positive is None else whole("hard_per_positive", hard_per_positive, 0)
    if hard > wanted:
        raise InvalidArgument(
            f"hard_per_positive is {hard} of per_positive {wanted}: give at most as many"
        )
    if schedule not in SCHEDULES:
        raise InvalidArgument(f"schedule is {schedule!r}: choose one of {', '.join(SCHEDULES)}")
    return _Rules(
        first,
        last,
        _number("margin", margin, 0.0, 2.0),
        wanted,
        hard,
        None
        if exclude_duplicates is None
        else _number("exclude_duplicates", exclude_duplicates, -1.0, 2.0),
        ("random", "hard") if schedule == "random-first" else ("hard",),
        whole("seed", seed, 0),
    )


def _number(what: str, value: object, low: float, high: float) -> float:
    if (
        isinstance(value, (int, float, np.integer, np.floating))
        and not isinstance(value, bool)
        and low <= value <= high
    ):
        return float(value)
    raise InvalidArgument(f"{what} is {value!r}: give a number from {low:g} to {high:g}")
