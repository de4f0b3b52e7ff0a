"""Score with an alignment that is not the active one, leaving the indexes as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .. import _core
from ..index_rows import all_rows, present
from ..row_labels import first_rows, item_keys
from ..segments import Index

__all__ = ["candidates_under"]

CHUNK = 2_048  # rows fetched at once: copies of more would need fresh memory each time

Rows: TypeAlias = "npt.NDArray[np.int64]"
Query: TypeAlias = "tuple[npt.NDArray[np.float32], str | None]"


def candidates_under(
    maps: Mapping[str, _core.Alignment],
    asked: Mapping[str, Sequence[Query]],
    indexes: Mapping[str, Index],
    depth: int,
    background: Mapping[str, Rows],
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
        Items that each query retrieves.
    background : mapping of field to labels
        Rows wanted beside those retrieved.

    Returns
    -------
    dict of field to FlatIndex
        With its map set, holding all rows of the first `depth` items of each query, and of those
        that other fields' queries retrieve, and the background.
    """
    found: dict[str, Rows] = {}
    for name, queries in asked.items():
        best = [_Best(depth) for _ in queries]
        rows = np.asarray(indexes[name].ids())
        once = len(first_rows(rows)) == len(rows)
        for start in range(0, len(rows), CHUNK):
            some = _copy(indexes[name], rows[start : start + CHUNK], maps.get(name))
            deep = min(depth, len(some)) if once else len(some)  # an item may fill the first places
            for (vector, modality), top in zip(queries, best, strict=True):
                top.take(*some.search(vector, deep, query_modality=modality))
        found[name] = np.concatenate([top.rows for top in best])
    items = np.unique(item_keys(np.concatenate(list(found.values()))))
    copies = {}
    for name in asked:
        beside = background.get(name, np.empty(0, np.int64))
        beside = beside[present(indexes[name], beside)]
        rows = np.union1d(all_rows(indexes[name], items), beside)
        copies[name] = _copy(indexes[name], rows, maps.get(name))
    return copies


class _Best:
    """The best rows of the first `depth` items, from scores that come in chunks.

    Ties go to the lower label.
    """

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self.scores: npt.NDArray[np.float32] = np.empty(0, np.float32)
        self.rows: Rows = np.empty(0, np.int64)

    def take(self, scores: npt.NDArray[Any], rows: npt.NDArray[Any]) -> None:
        scores = np.concatenate([self.scores, np.ravel(scores)])
        rows = np.concatenate([self.rows, np.ravel(rows)])
        order = np.lexsort((rows, -scores))
        _, once = np.unique(item_keys(rows[order]), return_index=True)
        first = order[np.sort(once)[: self._depth]]
        self.scores, self.rows = scores[first], rows[first]


def _copy(index: Index, rows: Rows, alignment: _core.Alignment | None) -> _core.FlatIndex:
    copy = _core.FlatIndex(index.dim)
    if len(rows):
        copy.add(index.vectors(rows), ids=rows)
    copy.set_alignment(alignment)
    return copy
