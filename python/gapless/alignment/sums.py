"""Sums of the rows of a collection that follow the items as they arrive, change and leave."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ..index_rows import present
from ..segments import Index
from .rows import CHUNK, Float32, RowSums

__all__ = ["RunningSums", "chunks_of"]

Keys: TypeAlias = "npt.NDArray[np.int64]"


class RunningSums:
    """Count and sum of the unit rows of every field, in float64.

    The first question about a field costs one pass over its rows. From then on the sums are kept
    by what comes and goes, so that means, and how far they have moved, cost nothing.

    Parameters
    ----------
    indexes : mapping of field to index
        Whoever writes to them calls `leave` before and `enter` after, one at a time.
    """

    def __init__(self, indexes: Mapping[str, Index]) -> None:
        self._indexes = indexes
        self._known: dict[str, RowSums] = {}

    def of(self, field: str) -> RowSums:
        """Give the sums over all present rows of a field."""
        known = self._known.get(field)
        if known is None:
            known = self._known[field] = RowSums(
                f"field {field!r}", chunks_of(self._indexes[field])
            )
        return known

    def leave(self, field: str, keys: Keys) -> None:
        """Take out the rows of these keys, those that are there, before they go or change."""
        self._follow(field, keys, -1)

    def enter(self, field: str, keys: Keys) -> None:
        """Take in the rows of these keys, which have come or changed."""
        self._follow(field, keys, 1)

    def _follow(self, field: str, keys: Keys, sign: int) -> None:
        known = self._known.get(field)
        if known is None:
            return
        index = self._indexes[field]
        rows = index.vectors(keys[present(index, keys)])
        self._known[field] = known.add(RowSums(known.what, rows), sign)


def chunks_of(index: Index) -> Iterator[Float32]:
    """Give all rows of an index, some thousands at a time, in order of their keys."""
    keys = np.asarray(index.ids())
    for start in range(0, len(keys), CHUNK):
        yield index.vectors(keys[start : start + CHUNK])
