"""Score with an alignment that is not the active one, leaving the indexes as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .. import _core
from ..segments import Index

__all__ = ["candidates_under"]

CHUNK = 2_048  # rows fetched at once: copies of more would need fresh memory each time

Keys: TypeAlias = "npt.NDArray[np.int64]"
Query: TypeAlias = "tuple[npt.NDArray[np.float32], str | None]"


def candidates_under(
    maps: Mapping[str, _core.Alignment],
    asked: Mapping[str, Sequence[Query]],
    indexes: Mapping[str, Index],
    depth: int,
    background: Mapping[str, Keys],
) -> dict[str, _core.FlatIndex]:
    """Gather all rows that a search under other maps can look at, in small exact indexes.

    Every row of the fields is scored once, so a graph field costs as much as an exact one.

    Parameters
    ----------
    maps : mapping of field to Alignment
        A field left out is scored raw.
    asked : mapping of field to sequence of (query vector, query modality)
    indexes : mapping of field to index
        Nobody may remove rows meanwhile.
    depth : int
        Rows that each query retrieves.
    background : mapping of field to keys
        Rows wanted beside those retrieved.

    Returns
    -------
    dict of field to FlatIndex
        With its map set, holding the first `depth` rows of each query, the rows of the items that
        other fields' queries retrieve, and the background.
    """
    found: dict[str, Keys] = {}
    for name, queries in asked.items():
        best = [_Best(depth) for _ in queries]
        keys = np.asarray(indexes[name].ids())
        for start in range(0, len(keys), CHUNK):
            some = _copy(indexes[name], keys[start : start + CHUNK], maps.get(name))
            for (vector, modality), top in zip(queries, best, strict=True):
                top.take(*some.search(vector, min(depth, len(some)), query_modality=modality))
        found[name] = np.concatenate([top.keys for top in best])
    items = np.unique(np.concatenate(list(found.values())))
    chosen = {
        name: np.union1d(items, background.get(name, np.empty(0, np.int64))) for name in asked
    }
    return {
        name: _copy(indexes[name], keys[_there(indexes[name], keys)], maps.get(name))
        for name, keys in chosen.items()
    }


class _Best:
    """The first `depth` of scores that come in chunks; ties go to the lower key."""

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self.scores: npt.NDArray[np.float32] = np.empty(0, np.float32)
        self.keys: Keys = np.empty(0, np.int64)

    def take(self, scores: npt.NDArray[Any], keys: npt.NDArray[Any]) -> None:
        scores = np.concatenate([self.scores, np.ravel(scores)])
        keys = np.concatenate([self.keys, np.ravel(keys)])
        first = np.lexsort((keys, -scores))[: self._depth]
        self.scores, self.keys = scores[first], keys[first]


def _copy(index: Index, keys: Keys, alignment: _core.Alignment | None) -> _core.FlatIndex:
    copy = _core.FlatIndex(index.dim)
    if len(keys):
        copy.add(index.vectors(keys), ids=keys)
    copy.set_alignment(alignment)
    return copy


def _there(index: Index, keys: Keys) -> npt.NDArray[np.bool_]:
    return np.asarray(index.contains(keys), bool)
