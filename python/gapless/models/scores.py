"""Measure the score ranges of a model card from vectors of one's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations_with_replacement
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..batch import as_array, as_matrix, whole
from ..collection import Collection
from ..errors import InvalidArgument, SpaceMismatch
from ..mining.quarry import field_rows
from .cards import MIN_SCORES, ModelCard, ScoreRange, Spread

__all__ = ["measure_card"]

SAMPLE = 200_000  # scores per range; a mean of them is steady to a thousandth

Float64: TypeAlias = "npt.NDArray[np.float64]"
Rows: TypeAlias = "npt.NDArray[np.int64]"


def measure_card(
    name: str,
    vectors: Mapping[str, npt.ArrayLike] | Sequence[str],
    items: Mapping[str, Iterable[Any]] | None = None,
    *,
    source: str,
    collection: Collection | None = None,
    sample: int = SAMPLE,
    seed: int = 0,
    **facts: Any,
) -> ModelCard:
    """Make a card from one's own vectors: the score range of each pair of modalities.

    Parameters
    ----------
    name : str
    vectors : mapping of modality to array-like (n, dim), or names of fields
        Non-zero rows of any length, of one space; as raw or aligned as they are searched. With
        `collection` its fields, as its active alignment leaves them.
    items : mapping of modality to sequence, optional
        The item of each row. Two rows match when they are of one item: images and captions of it
        across modalities, several captions of it within one. None takes row i of every modality
        for item i. A collection knows by itself.
    source : str
        What these data are; a range means nothing without.
    collection : Collection, optional
    sample : int
        Scores per range at most; more pairs than that are drawn at random.
    seed : int
        Draws them.
    **facts
        Other attributes of the `ModelCard`.

    Raises
    ------
    InvalidArgument
        For no rows, items of another length, unknown facts, an empty source.
    InvalidVector, SpaceMismatch, UnknownField
        For bad rows, different dims, and names that are no field.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> image = rng.normal(size=(100, 8))
    >>> card = measure_card("mine", {"image": image, "text": image}, source="toy")
    >>> round(card.scores_of("text", "image").matched.mean, 6)
    1.0
    """
    if not isinstance(source, str) or not source:
        raise InvalidArgument(f"source is {source!r}: name the data that are measured")
    unknown = facts.keys() - ModelCard.__dataclass_fields__.keys()
    given_twice = facts.keys() & {"scores", "dim", "modalities"}
    if unknown or given_twice:
        raise InvalidArgument(
            f"facts {sorted(unknown | given_twice)} are no free attributes of a ModelCard: "
            "leave them out"
        )
    if collection is not None:
        if items is not None:
            raise InvalidArgument("items is given beside collection, which knows: leave it out")
        vectors, items, _ = field_rows(collection, vectors)
    if not isinstance(vectors, Mapping) or not vectors:
        raise InvalidArgument(
            f"vectors is a {type(vectors).__name__}: give a dict of modality to rows (n, dim), or "
            "collection and its fields"
        )
    rng = np.random.default_rng(whole("seed", seed, 0))
    most = whole("sample", sample, MIN_SCORES)
    rows = {name: _unit(name, block) for name, block in vectors.items()}
    dims = {name: block.shape[1] for name, block in rows.items()}
    if len(set(dims.values())) > 1:
        raise SpaceMismatch(f"the vectors have dims {dims}: give rows of one space")
    codes = _codes(rows, items)
    ranges = []
    for one, other in combinations_with_replacement(rows, 2):
        alone = one == other
        matched, apart = (
            _scores(rows[one], rows[other], *pairs)
            for pairs in (
                _same(codes[one], codes[other], alone, most, rng),
                _apart(codes[one], codes[other], most, rng),
            )
        )
        ranges.append(
            ScoreRange(
                (one, other), Spread.of(matched), Spread.of(apart), _auc(matched, apart), source
            )
        )
    return ModelCard(name, tuple(rows), next(iter(dims.values())), scores=tuple(ranges), **facts)


def _unit(name: str, block: npt.ArrayLike) -> npt.NDArray[np.float32]:
    shape = as_array(repr(name), block).shape
    if len(shape) != 2 or not shape[0]:
        raise InvalidArgument(f"{name!r} has shape {shape}: give rows (n, dim), n at least 1")
    return as_matrix(repr(name), block, shape[1])


def _codes(
    rows: Mapping[str, npt.NDArray[np.float32]], items: Mapping[str, Iterable[Any]] | None
) -> dict[str, Rows]:
    if items is None:
        lengths = {name: len(block) for name, block in rows.items()}
        if len(set(lengths.values())) > 1:
            raise InvalidArgument(
                f"vectors have {lengths} rows: give items, or row i of each for item i"
            )
        return {name: np.arange(length) for name, length in lengths.items()}
    number: dict[Any, int] = {}
    codes = {}
    for name, block in rows.items():
        listed = list(items.get(name, ())) if isinstance(items, Mapping) else []
        if len(listed) != len(block):
            raise InvalidArgument(
                f"items has {len(listed)} entries for the {len(block)} rows of {name!r}: "
                "give a dict with one per row"
            )
        try:
            numbers = [number.setdefault(one, len(number)) for one in listed]
        except TypeError as error:
            raise InvalidArgument(
                f"items of {name!r} cannot be compared ({error}): give strings or numbers"
            ) from error
        codes[name] = np.array(numbers, np.int64)
    return codes


def _same(
    left: Rows, right: Rows, alone: bool, most: int, rng: np.random.Generator
) -> tuple[Rows, Rows]:
    """Row numbers of pairs of one item, each pair once, `most` at random of more."""
    order = np.argsort(right, kind="stable")
    first = np.searchsorted(right[order], left, side="left")
    ends = np.cumsum(np.searchsorted(right[order], left, side="right") - first)
    total = int(ends[-1])
    # Within one modality every pair comes twice, and every row with itself.
    wanted = 2 * most + len(left) if alone else most
    picked = np.arange(total) if total <= wanted else rng.choice(total, wanted, replace=False)
    i = np.searchsorted(ends, picked, side="right")
    j = order[first[i] + picked - np.where(i > 0, ends[i - 1], 0)]
    if alone:
        i, j = i[i < j], j[i < j]
    return i[:most], j[:most]


def _apart(left: Rows, right: Rows, most: int, rng: np.random.Generator) -> tuple[Rows, Rows]:
    """Row numbers of pairs of different items, drawn with replacement."""
    i = rng.integers(len(left), size=most)
    j = rng.integers(len(right), size=most)
    keep = left[i] != right[j]
    return i[keep], j[keep]


def _scores(
    left: npt.NDArray[np.float32], right: npt.NDArray[np.float32], i: Rows, j: Rows
) -> Float64:
    scores = np.empty(len(i))
    for start in range(0, len(i), 8_192):
        part = slice(start, start + 8_192)
        a, b = left[i[part]].astype(np.float64), right[j[part]].astype(np.float64)
        scores[part] = np.einsum("ij,ij->i", a, b)
    return scores


def _auc(matched: Float64, apart: Float64) -> float | None:
    if min(len(matched), len(apart)) < MIN_SCORES:
        return None
    ranked = np.sort(apart)
    below = np.searchsorted(ranked, matched, "left") + np.searchsorted(ranked, matched, "right")
    return float(below.mean() / (2 * len(ranked)))
