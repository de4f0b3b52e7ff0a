"""From keys back to ids without asking the catalogue, and the versions that caches go by."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gapless as gl
from collection_kit import DIM, eye, mixed_schema
from gapless.catalog import Catalog, ItemRow
from gapless.collection import Collection
from gapless.item_keys import keys_of
from gapless.known_items import KnownItems


def filled(path: Path) -> Collection:
    col = gl.open(path, mixed_schema())
    col.upsert(["a", 1, "1"], {"image": eye(0, 1, 2)})
    return col


class Asked:
    """A catalogue that counts how often it is asked, and may be changed while it answers."""

    def __init__(self, ids: dict[int, str | int], meanwhile: Callable[[], None] | None = None):
        self.ids = ids
        self.asked: list[list[int]] = []
        self.meanwhile = meanwhile

    def get(self) -> Any:
        return self

    def items(self, keys: list[int]) -> dict[int, ItemRow]:
        self.asked.append(list(keys))
        found = {key: ItemRow(key, self.ids[key], None, None) for key in keys if key in self.ids}
        if self.meanwhile is not None:
            self.meanwhile()
        return found


def ids(items: list[ItemRow | None]) -> list[str | int | None]:
    return [None if item is None else item.id for item in items]


def test_items_of_keys_are_those_of_the_catalogue(tmp_path: Path) -> None:
    with filled(tmp_path / "c") as col:
        storage = col._storage
        keys = keys_of(storage.live(), ["a", 1, "1"])
        assert ids(storage.items_of([*keys[::-1], 99])) == ["1", 1, "a", None]
        col.remove("a")
        assert ids(storage.items_of(keys)) == [None, 1, "1"]
        col.upsert(["a"], {"image": eye(3)})
        again = keys_of(storage.live(), ["a"])
        assert ids(storage.items_of([*keys, *again])) == [None, 1, "1", "a"]
        col.upsert([1], metadata=[{"x": 2}], uris=["there"])
        assert storage.items_of(keys[1:2]) == [ItemRow(keys[1], 1, '{"x": 2}', "there")]
    with gl.open(tmp_path / "c") as col:
        assert ids(col._storage.items_of([*keys, *again])) == [None, 1, "1", "a"]
        assert col._storage.items_of([]) == []
    with pytest.raises(gl.errors.InvalidArgument, match="closed"):
        col._storage.items_of([98])


def test_known_keys_are_not_asked_for_again() -> None:
    catalog, known = Asked({1: "a", 2: 7}), KnownItems()
    assert ids(known.items_of([2, 1], catalog.get)) == [7, "a"]
    assert ids(known.items_of([1, 2, 1], catalog.get)) == ["a", 7, "a"]
    assert ids(known.items_of([1, 5], catalog.get)) == ["a", None]
    assert catalog.asked == [[2, 1], [5]]


def test_an_item_removed_while_it_is_fetched_is_not_kept() -> None:
    known = KnownItems()
    catalog = Asked({1: "a"}, meanwhile=lambda: known.forget([1]))
    assert ids(known.items_of([1], catalog.get)) == ["a"]
    catalog.ids.clear()
    assert known.items_of([1], catalog.get) == [None]


def test_no_more_items_are_held_than_the_limit() -> None:
    catalog, known = Asked({key: str(key) for key in range(30)}), KnownItems(limit=10)
    for key in range(30):
        assert ids(known.items_of([key], catalog.get)) == [str(key)]
        assert 0 < len(known._items) <= 10
    assert ids(known.items_of(list(range(30)), catalog.get)) == list(map(str, range(30)))
    assert len(known._items) <= 10


@pytest.mark.parametrize(
    ("write", "rows", "items"),
    [
        (lambda col: col.upsert(["b"], {"image": eye(3)}), True, True),
        (lambda col: col.upsert(["a"], {"image": eye(3)}), True, False),
        (lambda col: col.upsert(["a"], metadata=[{"x": 1}]), True, True),
        (lambda col: col.upsert(["a"], {"image": eye(3)}, metadata=[None]), True, False),
        (lambda col: col.upsert(["a"], uris=["here"]), True, True),
        (lambda col: col.remove("a"), True, True),
        (lambda col: col.upsert([], {}), False, False),
        (lambda col: col.search(vectors={"clip": np.ones(DIM)}), False, False),
        (lambda col: col.checkpoint(), False, False),
    ],
)
def test_versions_grow_with_what_has_been_written(
    tmp_path: Path, write: Callable[[Collection], Any], rows: bool, items: bool
) -> None:
    with filled(tmp_path / "c") as col:
        storage = col._storage
        before = storage.version, storage.metadata_version
        write(col)
        assert (storage.version > before[0], storage.metadata_version > before[1]) == (rows, items)


def test_a_refused_write_changes_no_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with filled(tmp_path / "c") as col:
        storage = col._storage
        before = storage.version, storage.metadata_version

        def full(*_: object) -> None:
            raise OSError("disk full")

        monkeypatch.setattr(Catalog, "set_metadata", full)
        with pytest.raises(OSError, match="disk full"):
            col.upsert(["a"], metadata=[{"x": 1}])
        assert (storage.version, storage.metadata_version) == before
