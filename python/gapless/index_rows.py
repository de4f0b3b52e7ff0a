"""Rows of a field's index by their labels: which are there, and how pending ones get in."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from .catalog import Catalog
from .errors import CorruptFile
from .row_labels import MAX_ROWS, SHIFT, first_rows, labels, row_labels
from .segments import Index

__all__ = ["all_rows", "count_rows", "filling", "labels", "present", "put", "replay"]

Int64: TypeAlias = "npt.NDArray[np.int64]"


def count_rows(index: Index, keys: Int64) -> Int64:
    """Count the rows of each of the items `keys` in `index`.

    As ordinals have no holes, it is enough to find the last one, by doubling and then halving.
    """
    last = np.where(present(index, keys), 0, -1)  # the highest ordinal known to be there
    first = np.where(last < 0, 0, 1)  # the next to look at; while doubling
    rising = np.flatnonzero(last == 0)
    while len(rising):
        rising = rising[first[rising] < MAX_ROWS]
        rising = rising[present(index, first[rising] << SHIFT | keys[rising])]
        last[rising] = first[rising]
        first[rising] *= 2
    while len(open_ := np.flatnonzero(first - last > 1)):
        middle = (first[open_] + last[open_]) // 2
        there = present(index, middle << SHIFT | keys[open_])
        last[open_[there]], first[open_[~there]] = middle[there], middle[~there]
    return last + 1


def all_rows(index: Index, keys: Int64, several: bool = True) -> Int64:
    """Labels of all rows that the items `keys` have in `index`, item by item."""
    if not several:
        return keys[present(index, keys)]
    return row_labels(keys, count_rows(index, keys))


def filling(index: Index) -> Int64:
    """Keys of the items that have a row in `index`, ascending: the labels of their first rows."""
    return first_rows(np.asarray(index.ids()))


def present(index: Index, rows: Int64) -> npt.NDArray[np.bool_]:
    """Which of `rows` are in `index`."""
    return np.asarray(index.contains(rows), bool)


def put(index: Index, names: Int64, rows: npt.NDArray[np.float32]) -> None:
    """Add the rows whose label is new to `index`, and replace the others."""
    old = present(index, names)
    if old.any():
        index.update(names[old], rows[old])
    if not old.all():
        index.add(rows[~old], ids=names[~old])


def replay(catalog: Catalog, field: str, index: Index, after: int) -> None:
    """Bring `index` to what the catalogue's pending rows after a sequence number say.

    Raises
    ------
    CorruptFile
        For a pending vector of a wrong size.
    """
    size = 4 * index.dim
    for rows in catalog.pending(field, after):
        gone = labels([row.label for row in rows if row.vector is None])
        gone = gone[present(index, gone)]
        if len(gone):
            index.remove(gone)
        keys = labels([row.label for row in rows if row.vector is not None])
        blobs = [row.vector for row in rows if row.vector is not None]
        if any(len(blob) != size for blob in blobs):
            raise CorruptFile(
                f"{catalog.path}: a pending vector of field {field!r} is not {size} bytes long: "
                "restore the folder from a backup"
            )
        if blobs:
            vectors = np.frombuffer(b"".join(blobs), np.float32)
            put(index, keys, vectors.reshape(len(blobs), index.dim))
