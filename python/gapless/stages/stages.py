"""The stages of a search, each a plain value; `Fuse` and `Rerank` are the same as elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from ..batch import whole
from ..errors import InvalidArgument, InvalidFilter
from ..filters.dialects import as_expression
from ..given import as_number
from ..query.fusion import Fuse
from ..rerank.how import Rerank

__all__ = [
    "STAGES",
    "Diversify",
    "Filter",
    "GroupBy",
    "Limit",
    "MinConfidence",
    "Stage",
    "VectorSearch",
    "stage_name",
]

WEIGHTS = (1e-6, 1e6)  # as `Collection.search` takes them


@dataclass(frozen=True, slots=True)
class VectorSearch:
    """Retrieve items by one field.

    Parameters
    ----------
    field : str
    top_k : int
        Items that the field retrieves, before lists meet.
    weight : float
        Of this list in the fusion, 1e-6 to 1e6.
    query : str, optional
        Modality of the part of the question that asks here, such as ``"image"``; every part that
        can reach the field by default.

    Raises
    ------
    InvalidArgument
        For values of the wrong kind.
    """

    field: str
    top_k: int = 100
    weight: float = 1.0
    query: str | None = None

    def __post_init__(self) -> None:
        _word("VectorSearch.field", self.field)
        object.__setattr__(self, "top_k", whole("VectorSearch.top_k", self.top_k))
        weight = _number("VectorSearch.weight", self.weight, *WEIGHTS)
        object.__setattr__(self, "weight", weight)
        if self.query is not None:
            _word("VectorSearch.query", self.query)


@dataclass(frozen=True, slots=True)
class Filter:
    """Retrieve only items whose metadata agree; every field searches among those.

    Parameters
    ----------
    where : mapping or filter expression
        As `Collection.search` takes it, in any of the dialects; an expression is kept as the dict
        that it stands for.

    Raises
    ------
    InvalidFilter
        When it is malformed.
    """

    where: Any

    def __post_init__(self) -> None:
        read = as_expression(self.where)
        if read is None:
            raise InvalidFilter("Filter.where is None: leave the stage out to search all items")
        given = self.where if isinstance(self.where, Mapping) else read.to_dict()
        object.__setattr__(self, "where", json.loads(json.dumps(given, default=_plain)))


@dataclass(frozen=True, slots=True)
class MinConfidence:
    """Leave out items whose calibrated probability of relevance is lower, from 0 to 1."""

    probability: float

    def __post_init__(self) -> None:
        value = _number("MinConfidence.probability", self.probability, 0.0, 1.0)
        object.__setattr__(self, "probability", value)


@dataclass(frozen=True, slots=True)
class Diversify:
    """Prefer items unlike those ranked above them: 0 not at all, 1 whatever their relevance."""

    diversity: float

    def __post_init__(self) -> None:
        value = _number("Diversify.diversity", self.diversity, 0.0, 1.0)
        object.__setattr__(self, "diversity", value)


@dataclass(frozen=True, slots=True)
class GroupBy:
    """Make one hit of the items that have the same value.

    Parameters
    ----------
    path : str
        In the metadata.
    size : int, optional
        Items kept of each group, the first of them included; as `Collection.search` has it by
        default.

    Raises
    ------
    InvalidArgument
        For values of the wrong kind.
    """

    path: str
    size: int | None = None

    def __post_init__(self) -> None:
        _word("GroupBy.path", self.path)
        if self.size is not None:
            object.__setattr__(self, "size", whole("GroupBy.size", self.size))


@dataclass(frozen=True, slots=True)
class Limit:
    """Give the best `n`, after the first `offset`."""

    n: int
    offset: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", whole("Limit.n", self.n))
        object.__setattr__(self, "offset", whole("Limit.offset", self.offset, 0))


Stage: TypeAlias = (
    "VectorSearch | Filter | Fuse | MinConfidence | Rerank | Diversify | GroupBy | Limit"
)

# Names in JSON, in the order in which stages may stand; those of equal rank may mix.
STAGES: Mapping[str, type[Any]] = {
    "vector_search": VectorSearch,
    "filter": Filter,
    "rank_fusion": Fuse,
    "min_confidence": MinConfidence,
    "rerank": Rerank,
    "diversify": Diversify,
    "group_by": GroupBy,
    "limit": Limit,
}


def stage_name(stage: object) -> str | None:
    """Give the name of a stage in JSON; None for what is no stage."""
    return next((name for name, kind in STAGES.items() if type(stage) is kind), None)


def _plain(value: Any) -> Any:
    """Give numpy's numbers and arrays, tuples and sets that filters read as JSON has them."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    return list(value)


def _word(what: str, value: object) -> None:
    if not isinstance(value, str) or not value:
        raise InvalidArgument(f"{what} is {value!r:.60}: give a name")


def _number(what: str, value: object, low: float, high: float) -> float:
    number = as_number(value)
    if number is None or not low <= number <= high:
        raise InvalidArgument(f"{what} is {value!r:.60}: give a number from {low:g} to {high:g}")
    return number
