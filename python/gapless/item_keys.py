"""From the ids that callers use to the keys that rows are stored under, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .batch import ItemId, read_id, read_ids
from .catalog import Catalog
from .errors import InvalidArgument, UnknownId

__all__ = ["keys_of", "listed_ids", "read_key_pairs"]


def listed_ids(ids: ItemId | np.integer[Any] | Iterable[ItemId]) -> tuple[list[ItemId], bool]:
    """Check ids, and tell whether a lone one was given."""
    if isinstance(ids, (str, int, np.integer)):
        return [read_id(ids)], True
    return read_ids(ids), False


def keys_of(catalog: Catalog, ids: Sequence[ItemId]) -> list[int]:
    """Key of each id.

    Raises
    ------
    UnknownId
        When there is no such item.
    """
    keys = []
    for item, key in zip(ids, catalog.keys_of(ids), strict=True):
        if key is None:
            raise UnknownId(
                f"there is no item {item!r}{_twin(catalog, item)}: upsert it first or leave it out"
            )
        keys.append(key)
    return keys


def read_key_pairs(catalog: Catalog, pairs: Any) -> tuple[Any, npt.NDArray[np.int64] | None]:
    """Turn pairs of ids into keys (n, 2); pairs of any other form are handed back as they are.

    Raises
    ------
    InvalidArgument
        For a list with anything else than two ids in an entry.
    UnknownId
        When there is no such item.
    """
    if pairs is None or isinstance(pairs, Mapping):
        return pairs, None
    if isinstance(pairs, str) or not isinstance(pairs, Iterable):
        raise InvalidArgument(
            f"pairs is a {type(pairs).__name__}: give {{field: (n, dim) rows}}, or a list of "
            "pairs of ids"
        )
    entries = list(pairs)
    if entries and all(isinstance(entry, Mapping) for entry in entries):
        return entries, None
    ids: list[ItemId] = []
    for i, entry in enumerate(entries):
        if isinstance(entry, (str, Mapping)) or not hasattr(entry, "__len__") or len(entry) != 2:
            raise InvalidArgument(f"pairs[{i}] is {entry!r}: give two ids, such as ('a', 'b')")
        ids += [read_id(item, i) for item in entry]
    return None, np.array(keys_of(catalog, ids), np.int64).reshape(-1, 2)


def _twin(catalog: Catalog, item: ItemId) -> str:
    """Point out that the id is there as the other type, the likely slip."""
    try:
        other: ItemId = int(item) if isinstance(item, str) else str(item)
        return f" (but {other!r} is there)" if catalog.keys_of([other])[0] is not None else ""
    except (ValueError, OverflowError):
        return ""
