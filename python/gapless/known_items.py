"""The items that searches have met lately, so that they need not ask the catalogue again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence

from .catalog import Catalog, ItemRow

__all__ = ["KnownItems"]

MAX_ITEMS = 200_000
MAX_TEXT = 2_000  # characters of metadata and uri; longer ones are fetched every time


class KnownItems:
    """Items by key, as the catalogue has them.

    No key is given twice, so an entry stays true until its item is removed or its metadata or uri
    change. At most `limit` are held; all are dropped when there would be more.
    """

    def __init__(self, limit: int = MAX_ITEMS) -> None:
        self._limit = limit
        self._items: dict[int, ItemRow] = {}
        self._changes = 0
        self._lock = threading.Lock()

    def items_of(self, keys: Sequence[int], catalog: Callable[[], Catalog]) -> list[ItemRow | None]:
        """Item of each key, None for one that the catalogue lacks; it is asked once, if at all."""
        found = list(map(self._items.get, keys))
        if None not in found:
            return found
        changes = self._changes
        fetched = catalog().items(
            [key for key, item in zip(keys, found, strict=True) if item is None]
        )
        with self._lock:
            if changes == self._changes:  # else one of them may have changed since
                self._put(fetched)
        return [
            fetched.get(key) if item is None else item
            for key, item in zip(keys, found, strict=True)
        ]

    def _put(self, fresh: Mapping[int, ItemRow]) -> None:
        if len(self._items) + len(fresh) > self._limit:
            self._items = {}
        if len(fresh) <= self._limit:
            self._items.update(
                (key, item)
                for key, item in fresh.items()
                if len(item.metadata or "") + len(item.uri or "") <= MAX_TEXT
            )

    def forget(self, keys: Iterable[int]) -> None:
        """Drop items that have been removed or changed."""
        with self._lock:
            self._changes += 1
            for key in keys:
                self._items.pop(key, None)
