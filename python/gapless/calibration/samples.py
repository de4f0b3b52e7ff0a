"""Turn pairs that match into scores to calibrate on: matches, others, and each query's level."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from .. import _core
from ..alignment.rows import align_rows
from ..batch import as_array, as_matrix
from ..errors import InvalidArgument, SpaceMismatch
from .maps import QUANTILE, Samples

__all__ = [
    "LEAST",
    "MOST",
    "NEGATIVES",
    "PairType",
    "Pool",
    "as_rows",
    "draw_pools",
    "type_name",
]

BACKGROUND = 1_000  # rows of a field that stand for all of it; as many as a cohort has
NEGATIVES = 200  # others per match, at most: more change the fit by less than its own error
MOST = 5_000  # matches per pair type, drawn at random where there are more
SAMPLES = 200_000  # scores per pair type; a fit is then known far better than its pairs are
LEAST = 10  # below, five folds hold a single match each

PairType: TypeAlias = "tuple[str, str]"  # query modality, field
Float32: TypeAlias = "npt.NDArray[np.float32]"
Float64: TypeAlias = "npt.NDArray[np.float64]"
Numbers: TypeAlias = "npt.NDArray[np.int64]"


@dataclass(frozen=True, slots=True)
class Pool:
    """The scores of one pair type.

    Attributes
    ----------
    samples : Samples
        Every match, then `negatives` others for each.
    pair : ndarray (n,) int64
        Which match each sample is, or is another to.
    cluster : ndarray (matches,) int64
        Matches that share a query or a document have one number, so that none of them is judged
        by a map fitted on the others.
    negatives : int
        Others per match.
    """

    samples: Samples
    pair: Numbers
    cluster: Numbers
    negatives: int

    @property
    def matches(self) -> int:
        """How many pairs match."""
        return len(self.cluster)


def type_name(pair_type: PairType) -> str:
    """Write a pair type as people read it."""
    return f"{pair_type[0] or 'vector'} -> {pair_type[1]}"


def draw_pools(
    pairs: Mapping[PairType, tuple[npt.ArrayLike, npt.ArrayLike]],
    documents: Mapping[str, npt.ArrayLike],
    labels: Mapping[PairType, tuple[npt.ArrayLike, Sequence[Hashable]]],
    alignment: Mapping[str, _core.Alignment],
    negatives: int,
    seed: int,
) -> dict[PairType, Pool]:
    """Score the matches of every pair type, and the same number of others for each of them.

    Others are drawn from the background of the field: `documents`, or where there are none the
    documents of the pairs. Never an other is a row that equals the query, or one that some pair
    gives for the same query. The level of a query is a quantile of its scores against the whole
    background, without these. `labels` are rows and a label of each: rows of one label match, and
    rows of others are the background.

    Raises
    ------
    InvalidArgument, InvalidVector, SpaceMismatch
        See `gapless.calibrate`.
    """
    rng = np.random.default_rng(seed)
    known = {
        name: _some(as_rows(f"documents[{name!r}]", rows), BACKGROUND, rng)
        for name, rows in documents.items()
    }
    scored: dict[PairType, _Scores] = {}
    for pair_type, (queries, rows) in pairs.items():
        name = f"pairs[{pair_type!r}]"
        asking, asked = as_rows(f"the queries of {name}", queries), as_rows(name, rows)
        if len(asking) != len(asked):
            raise InvalidArgument(
                f"{name} has {len(asking)} queries and {len(asked)} documents: give as many of "
                "each, row i of one matching row i of the other"
            )
        scored[pair_type] = _score(
            pair_type, asking, asked, known.get(pair_type[1]), alignment.get(pair_type[1]), rng
        )
    for pair_type, (rows, named) in labels.items():
        if pair_type in pairs:
            raise InvalidArgument(
                f"{type_name(pair_type)} has pairs and labels: give one of the two"
            )
        what = f"labels[{pair_type!r}]"
        unit, group = as_rows(f"the rows of {what}", rows), _groups(what, named)
        if len(unit) != len(group):
            raise InvalidArgument(
                f"{what} has {len(unit)} rows and {len(group)} labels: give one label for each row"
            )
        chosen = np.sort(rng.permutation(len(unit))[:BACKGROUND])
        unit, group = unit[chosen], group[chosen]
        first, second = _partners(group, rng)
        scored[pair_type] = _score(
            pair_type, unit[first], unit[second], unit, alignment.get(pair_type[1]), rng,
            (group[first], group),
        )  # fmt: skip
    most = max(len(each.matches) for each in scored.values())
    fewest = min(each.fewest for each in scored.values())
    count = min(negatives, fewest, max(LEAST, SAMPLES // most))
    return {pair_type: each.pool(count, rng) for pair_type, each in scored.items()}


def as_rows(what: str, rows: npt.ArrayLike) -> Float32:
    """Make unit float32 rows (n, dim) of any array of that shape."""
    array = as_array(what, rows)
    return as_matrix(what, array, array.shape[1] if array.ndim == 2 and array.shape[1] else 1)


@dataclass(frozen=True, slots=True)
class _Scores:
    matches: Float64  # (n,)
    others: Float64  # (n, background)
    allowed: npt.NDArray[np.bool_]  # (n, background)
    levels: Float64  # (n,)
    cluster: Numbers

    @property
    def fewest(self) -> int:
        return int(self.allowed.sum(axis=1).min())

    def pool(self, count: int, rng: np.random.Generator) -> Pool:
        n = len(self.matches)
        order = np.where(self.allowed, rng.random(self.allowed.shape), 2.0)
        chosen = np.argpartition(order, count - 1, axis=1)[:, :count]
        others = np.take_along_axis(self.others, chosen, axis=1).ravel()
        pair = np.concatenate([np.arange(n), np.repeat(np.arange(n), count)])
        samples = Samples(
            np.concatenate([self.matches, others]), self.levels[pair], np.arange(len(pair)) < n
        )
        return Pool(samples, pair, self.cluster, count)


def _score(
    pair_type: PairType,
    queries: Float32,
    documents: Float32,
    background: Float32 | None,
    alignment: _core.Alignment | None,
    rng: np.random.Generator,
    groups: tuple[Numbers, Numbers] | None = None,
) -> _Scores:
    known: dict[bytes, int] = {}
    asking, asked = _numbers(queries, known), _numbers(documents, known)
    _, kept = np.unique(np.stack([asking, asked], axis=1), axis=0, return_index=True)
    if len(kept) < LEAST:
        raise InvalidArgument(
            f"{type_name(pair_type)}: there are {len(kept)} distinct pairs and a calibration needs "
            f"at least {LEAST}, better some hundreds; give more, or search with fusion='cohort'"
        )
    matches: dict[int, list[int]] = {}
    for query, document in zip(asking.tolist(), asked.tolist(), strict=True):
        matches.setdefault(query, [query]).append(document)
    if len(kept) > MOST:
        kept = rng.choice(kept, MOST, replace=False)
    kept.sort()
    queries, documents, asking, asked = queries[kept], documents[kept], asking[kept], asked[kept]
    if background is None:
        _, first = np.unique(asked, return_index=True)
        background = _some(documents[np.sort(first)], BACKGROUND, rng)
    numbers = _numbers(background, known)
    # Neither the query itself nor any of its matches is a counter-example.
    seen = allowed = np.stack([~np.isin(numbers, matches[query]) for query in asking.tolist()])
    if groups is not None:
        allowed = seen & (groups[0][kept][:, None] != groups[1])
    if allowed.sum(axis=1).min() < 2:
        raise InvalidArgument(
            f"{type_name(pair_type)}: some query has fewer than 2 rows to compare with among "
            f"{len(background)}, the others being its matches; give documents={{{pair_type[1]!r}: "
            "rows}, a sample of the field"
        )
    side = align_rows(queries, alignment, None if alignment is None else pair_type[0])
    aligned = align_rows(documents, alignment)
    if side.shape[1] != aligned.shape[1]:
        raise SpaceMismatch(
            f"{type_name(pair_type)}: queries have dim {side.shape[1]} and documents "
            f"{aligned.shape[1]}; give vectors of one space"
        )
    others = side @ align_rows(background, alignment).T
    levels = np.nanquantile(np.where(seen, others, np.nan), QUANTILE, axis=1)
    return _Scores(
        np.sum(side * aligned, axis=1), others, allowed, levels, _clusters(asking, asked)
    )


def _some(rows: Float32, most: int, rng: np.random.Generator) -> Float32:
    return rows if len(rows) <= most else rows[np.sort(rng.choice(len(rows), most, replace=False))]


def _numbers(rows: Float32, known: dict[bytes, int]) -> Numbers:
    """Give rows that are equal bit by bit one number."""
    found = [known.setdefault(row.tobytes(), len(known)) for row in rows]
    return np.array(found, np.int64)


def _groups(what: str, labels: Sequence[Hashable]) -> Numbers:
    if isinstance(labels, (str, bytes)) or not hasattr(labels, "__len__"):
        raise InvalidArgument(f"{what} has labels {labels!r:.60}: give a list, one for each row")
    known: dict[Hashable, int] = {}
    try:
        return np.array([known.setdefault(label, len(known)) for label in labels], np.int64)
    except TypeError as error:
        raise InvalidArgument(f"{what} has labels that are no words or numbers: {error}") from error


def _partners(group: Numbers, rng: np.random.Generator) -> tuple[Numbers, Numbers]:
    """Pair every row with another of its group, at random: places of the rows and the partners."""
    shuffled = rng.permutation(len(group))
    order = shuffled[np.argsort(group[shuffled], kind="stable")]
    sides = []
    for places in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        if len(places) > 1:
            sides.append(np.stack([places, np.roll(places, 1)]))
    first, second = np.concatenate([np.zeros((2, 0), np.int64), *sides], axis=1)
    return first, second


def _clusters(asking: Numbers, asked: Numbers) -> Numbers:
    group = np.arange(len(asking))
    while True:
        before = group
        for side in (asking, asked):
            least = np.full(int(side.max()) + 1, len(asking))
            np.minimum.at(least, side, group)
            group = least[side]
        if (group == before).all():
            return np.asarray(group)
