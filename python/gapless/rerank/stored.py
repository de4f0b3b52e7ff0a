"""Scores of stored rows for a `VectorScorer`: cosine, or MaxSim where there are several rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from ..alignment.versions import AlignmentVersion, home_of
from ..arrays import as_matrix
from ..errors import InvalidArgument, UnknownField
from ..index_rows import count_rows
from ..row_labels import row_labels
from ..schema import Schema
from ..segments import Index
from .scorers import VectorScorer

__all__ = ["Asked", "StoredVectors", "max_sim"]

Float64: TypeAlias = "npt.NDArray[np.float64]"
Float32: TypeAlias = "npt.NDArray[np.float32]"
Int64: TypeAlias = "npt.NDArray[np.int64]"
Encode: TypeAlias = "Callable[[str, Any, str], Float32]"


class Asked(Protocol):
    """What is read of a question's vectors; one object per part and space."""

    @property
    def space(self) -> str:
        """Where the vector lives."""

    @property
    def modality(self) -> str | None:
        """What the asker gave."""

    @property
    def vector(self) -> Float32:
        """Unit rows (1, tokens, dim)."""

    @property
    def weight(self) -> float:
        """Below 0 for what the items are not to be like."""


@dataclass(frozen=True, slots=True)
class StoredVectors:
    """What a search gives `rerank` as ``stored``: `scores` of the candidates in a field.

    Parameters
    ----------
    schema : Schema
    indexes : mapping of field to index
        Under the alignment that the search uses.
    keys : ndarray (n,) int64
        Catalogue keys of the candidates.
    question : mapping of part to value
        Such as ``{"text": "a dog"}``, for spaces in which nothing was asked.
    asked : sequence of query vectors
        Of the search: space, modality, vector (1, tokens, dim) and weight of each.
    encode : callable, optional
        ``encode(modality, item, space)`` gives rows (tokens, dim) float32.
    alignment : AlignmentVersion, optional
        The one in use, which says where it takes queries from one space into another.
    """

    schema: Schema
    indexes: Mapping[str, Index]
    keys: Int64
    question: Mapping[str, Any]
    asked: Sequence[Asked] = ()
    encode: Encode | None = None
    alignment: AlignmentVersion | None = None

    def scores(self, field: str, scorer: VectorScorer) -> Float64:
        """Score the candidates' rows in a field: (n,) float64, NaN where one has none.

        A question of several parts scores by their mean, weighted; parts of negative weight, which
        items are not to be like, count against it.

        Raises
        ------
        UnknownField
            For a field that the schema lacks.
        InvalidVector
            For a query of the wrong shape.
        InvalidArgument
            When nothing was asked in the field's space and nothing can be encoded for it.
        """
        if field not in self.schema.fields:
            raise UnknownField(
                f"VectorScorer names the field {field!r}: the collection has "
                f"{', '.join(map(repr, self.schema.fields))}"
            )
        total, weights = np.zeros(len(self.keys)), 0.0
        for rows, modality, weight in self._queries(field, scorer):
            total += weight * max_sim(self.indexes[field], self.keys, rows, modality)
            weights += abs(weight)
        return np.asarray(total / weights)

    def _queries(self, field: str, scorer: VectorScorer) -> list[tuple[Float32, str | None, float]]:
        if scorer.query is not None:
            given = scorer.query[None] if scorer.query.ndim == 1 else scorer.query
            dim = self.schema.spaces[self._home(field, scorer.modality)].dim
            return [(as_matrix("VectorScorer.query", given, dim), scorer.modality, 1.0)]
        found = [
            (np.asarray(each.vector)[0], each.modality, each.weight)
            for each in self.asked
            if each.space == self._home(field, each.modality)
        ]
        if not found and self.encode is not None:
            found = [
                (self.encode(modality, item, self._home(field, modality)), modality, 1.0)
                for modality, item in self.question.items()
            ]
        if not found:
            raise InvalidArgument(
                f"VectorScorer({field!r}) has no query in space {self._home(field, None)!r}: give "
                f"VectorScorer({field!r}, query=q), or search with text or image where that space "
                "has an encoder"
            )
        return found

    def _home(self, field: str, modality: str | None) -> str:
        return home_of(self.alignment, self.schema, field, modality)


def max_sim(index: Index, keys: Int64, query: Float32, modality: str | None = None) -> Float64:
    """Mean over the query's rows of the largest score with one of an item's rows.

    Parameters
    ----------
    index : index of a field
    keys : ndarray (n,) int64
    query : ndarray (tokens, dim) float32
        Unit rows.
    modality : str, optional
        Of the query, for the alignment.

    Returns
    -------
    ndarray (n,) float64
        -1 to 1; NaN for an item without a row.
    """
    counts = count_rows(index, keys)
    labels, owners = row_labels(keys, counts), np.repeat(np.arange(len(keys)), counts)
    best = np.full((len(query), len(keys)), np.nan)
    for token, vector in enumerate(query):
        scores = np.asarray(index.score(vector, labels, query_modality=modality), np.float64)
        np.fmax.at(best[token], owners, scores)
    return np.asarray(best.mean(axis=0))
