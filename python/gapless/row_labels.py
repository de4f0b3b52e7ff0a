"""Labels of index rows: whose row it is, and which of that item's rows in the field.

``label = ordinal << 40 | key``. Ordinals count from 0 without holes, so the first row of an item
bears the item's key itself, and so does the only row in a field that takes one per item.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = [
    "KEYS",
    "MAX_ROWS",
    "SHIFT",
    "first_rows",
    "item_keys",
    "labels",
    "ordinals",
    "row_labels",
]

Int64: TypeAlias = "npt.NDArray[np.int64]"

SHIFT = 40
KEYS = (1 << SHIFT) - 1
MAX_ROWS = 1 << 23  # rows of an item in one field: what is left of 63 bits


def labels(keys: list[int]) -> Int64:
    """Catalogue keys, or other labels, as an array: those of the items' first rows."""
    return np.array(keys, np.int64)


def row_labels(keys: Int64, counts: Int64) -> Int64:
    """Labels of the first ``counts[i]`` rows of each of the items `keys`, item by item."""
    ends = np.cumsum(counts)
    places = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - counts, counts)
    return places << SHIFT | np.repeat(keys, counts)


def item_keys(rows: Int64) -> Int64:
    """Keys of the items that these rows belong to."""
    return rows & KEYS


def ordinals(rows: Int64) -> Int64:
    """Place of each row among the rows of its item."""
    return rows >> SHIFT


def first_rows(rows: Int64) -> Int64:
    """Those of `rows` that are the first of their item: its keys, each once."""
    return rows[rows <= KEYS]
