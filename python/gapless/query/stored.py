"""The rows that stored items fill a collection's fields with, as queries for more like them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from ..errors import UnknownId
from ..index_rows import all_rows, present
from ..row_labels import labels
from ..storage import Storage
from .parts import ItemId, Part

__all__ = ["keys_of_likes", "stored_rows"]


def stored_rows(storage: Storage, item: ItemId) -> Mapping[str, npt.NDArray[np.float32]]:
    """Fetch the unit rows (rows, dim) of an item by field; without those that it does not fill.

    Raises
    ------
    UnknownId
        When it is not in the collection.
    """
    keys = labels(keys_of_likes(storage, [Part(like=item)]))
    found = {}
    for field, index in storage.indexes.items():
        rows = all_rows(index, keys) if storage.schema.fields[field].several else keys
        there = rows[present(index, rows)]
        if len(there):
            found[field] = np.asarray(index.vectors(there), np.float32)
    return found


def keys_of_likes(storage: Storage, parts: Iterable[Part]) -> list[int]:
    """Look up the keys of the stored items that parts name.

    Raises
    ------
    UnknownId
        When one is not in the collection.
    """
    names = [part.like for part in parts if part.like is not None]
    if not names:
        return []
    keys = storage.live().keys_of(names)
    for name, key in zip(names, keys, strict=True):
        if key is None:
            raise UnknownId(f"there is no item {name!r} to find more like: give the id of one")
    return [key for key in keys if key is not None]
