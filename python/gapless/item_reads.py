"""Read stored items, and single rows of them, while others may be writing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .batch import ItemId, known_fields
from .catalog import SegmentRow
from .errors import InvalidArgument, UnknownId
from .index_rows import count_rows, filling, labels, present
from .item_keys import keys_of
from .results.hits import Item
from .results.row import Row
from .row_labels import row_labels
from .schema import Field
from .segments import Index
from .storage import Storage

__all__ = ["field_stats", "read_items", "read_neighbours"]


def read_items(storage: Storage, names: Sequence[ItemId], vectors: bool) -> list[Item]:
    """Fetch items in the order of their ids.

    Raises
    ------
    UnknownId
        When one is not there, or goes meanwhile.
    """
    catalog = storage.live()
    fields = storage.schema.fields
    while True:
        keys = keys_of(catalog, names)
        try:
            filled = {
                field: _Filled(index, labels(keys), fields[field].several, vectors)
                for field, index in storage.indexes.items()
            }
        except UnknownId:  # a writer has taken rows away between look and fetch: look again
            continue
        rows = catalog.items(keys)
        break
    items = []
    for i, (name, key) in enumerate(zip(names, keys, strict=True)):
        if key not in rows:
            raise UnknownId(f"there is no item {name!r}: it was removed just now")
        there = [field for field, found in filled.items() if found.counts[i]]
        spans = {field: catalog.spans_of(field, key) for field in there}
        text = rows[key].metadata
        items.append(
            Item(
                id=name,
                metadata=None if text is None else json.loads(text),
                uri=rows[key].uri,
                fields=tuple(there),
                vectors={field: filled[field].vectors(i) for field in there} if vectors else {},
                spans={
                    field: [spans[field].get(j) for j in range(filled[field].counts[i])]
                    for field in there
                    if spans[field]
                },
            )
        )
    return items


class _Filled:
    """How many rows items have in one field, and the rows themselves when they are wanted."""

    def __init__(
        self, index: Index, keys: npt.NDArray[np.int64], several: bool, vectors: bool
    ) -> None:
        self._several = several
        self.counts = count_rows(index, keys) if several else present(index, keys).astype(np.int64)
        if vectors:
            self._ends = np.cumsum(self.counts)
            self._rows = index.vectors(row_labels(keys, self.counts))

    def vectors(self, i: int) -> npt.NDArray[np.float32]:
        """Rows of the item in place `i`, (rows, dim); its only one, (dim,), where one is taken."""
        rows = self._rows[self._ends[i] - self.counts[i] : self._ends[i]]
        return rows if self._several else rows[0]


def read_neighbours(
    storage: Storage,
    name: ItemId,
    field: str,
    row: int,
    before: int,
    after: int,
    vectors: bool,
) -> list[Row]:
    """Fetch the rows `row` - `before` to `row` + `after` of an item, those that it has.

    Raises
    ------
    UnknownField, UnknownId
    InvalidArgument
        When the item has no such row.
    """
    catalog = storage.live()
    known_fields(storage.schema, [field])
    index = storage.indexes[field]
    while True:
        key = keys_of(catalog, [name])[0]
        count = int(count_rows(index, labels([key]))[0])
        if not 0 <= row < count:
            wanted = f"give a row from 0 to {count - 1}" if count else "choose a field it fills"
            raise InvalidArgument(
                f"row is {row}, and item {name!r} has {count} rows in field {field!r}: {wanted}"
            )
        places = np.arange(max(row - before, 0), min(row + after, count - 1) + 1)
        found: Any = [None] * len(places)
        try:
            if vectors:
                found = index.vectors(row_labels(labels([key]), np.array([count]))[places])
        except UnknownId:  # replaced by fewer rows, or removed, between look and fetch
            continue
        spans = catalog.spans_of(field, key, int(places[0]), int(places[-1]))
        return [
            Row(place, spans.get(place), vector)
            for place, vector in zip(places.tolist(), found, strict=True)
        ]


def field_stats(field: Field, index: Index, segment: SegmentRow | None) -> dict[str, Any]:
    """Say what a field holds and costs, ready for JSON."""
    rows = len(index)
    said: dict[str, Any] = {
        "space": field.space,
        "modality": field.modality,
        "index": field.index,
        "dim": index.dim,
        "rows": rows,
        "memory_bytes": index.memory_bytes,
        "segment": None if segment is None else segment.file,
    }
    if field.several:
        said["items"] = len(filling(index))
        said["rows_per_item"] = rows / said["items"] if said["items"] else 0.0
    return said
