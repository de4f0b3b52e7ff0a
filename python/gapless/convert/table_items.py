"""Put the items of an exported table into a collection, in their order."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gapless.batch import ItemId
from gapless.convert.row_file import block_rows
from gapless.convert.table_reading import Table, TableRows
from gapless.errors import CorruptFile, DuplicateId, InvalidVector

if TYPE_CHECKING:
    from gapless.collection import Collection

__all__ = ["import_table"]

MOST_ITEMS = 8192


def import_table(
    table: Table, col: Collection, progress: Callable[[int, int], None] | None
) -> None:
    """Write every item of a table into an empty collection.

    Parameters
    ----------
    table : Table
        With the fields of the collection.
    col : Collection
    progress : callable, optional
        Called with (done, all).

    Raises
    ------
    CorruptFile, InvalidArgument, InvalidVector, DuplicateId
    """
    fields = col.schema.fields
    lacking = [name for name in fields if f"vector_{name}" not in table.names]
    if lacking:
        raise CorruptFile(
            f"{table.path} is damaged: its schema has the fields {', '.join(map(repr, fields))}, "
            f"and no column is 'vector_{lacking[0]}'"
        )
    size = min(MOST_ITEMS, block_rows(sum(col.schema.dim(name) for name in fields)))
    done = 0
    for batch in table.batches(size):
        items = _Items(table, batch, done, col)
        for first, last in items.runs():
            items.write(first, last)
        done += batch.num_rows
        if progress is not None:
            progress(done, table.count)
    if len(col) != done:
        raise DuplicateId(f"{table.path} has {done} items of {len(col)} ids: give each its own id")


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows of one field, and where those of each item end."""

    found: TableRows
    ends: npt.NDArray[np.int64]
    spans: list[Any]

    def part(self, first: int, last: int) -> npt.NDArray[np.float32]:
        start = self.ends[first - 1] if first else 0
        return self.found.rows[start : self.ends[last - 1]]


class _Items:
    """One batch of a table."""

    def __init__(self, table: Table, batch: Any, first: int, col: Collection) -> None:
        self._table, self._col = table, col
        self._ids: list[ItemId] = table.ids(batch, first)
        self._metadata = table.metadata(batch, first)
        self._uris = table.texts(batch, "uri")
        self._rows: dict[str, _Rows] = {}
        for name in col.schema.fields:
            found = table.rows(batch, f"vector_{name}", col.schema.dim(name))
            ends = np.cumsum(np.maximum(found.counts, 0))
            self._rows[name] = _Rows(found, ends, table.spans(batch, name))

    def runs(self) -> Iterator[tuple[int, int]]:
        """Stretches of items that fill the same fields, which one write can take.

        They are not grouped further: the order of first insertion breaks ties in every ranking.
        """
        filled = np.stack([rows.found.counts > 0 for rows in self._rows.values()])
        breaks = np.flatnonzero((filled[:, 1:] != filled[:, :-1]).any(0)) + 1
        bounds = [0, *breaks.tolist(), len(self._ids)]
        return ((a, b) for a, b in itertools.pairwise(bounds) if a < b)

    def write(self, first: int, last: int) -> None:
        """Write a run."""
        names = self._ids[first:last]
        vectors: dict[str, Any] = {}
        spans: dict[str, Any] = {}
        for name, rows in self._rows.items():
            if rows.found.counts[first] <= 0:
                continue
            if self._col.schema.fields[name].several:
                vectors[name] = [rows.part(i, i + 1) for i in range(first, last)]
            else:
                vectors[name] = rows.part(first, last)
            if any(spans_of is not None for spans_of in rows.spans[first:last]):
                spans[name] = rows.spans[first:last]
        emptied = {} if vectors else self._placeholder(names)
        self._col.upsert(
            names, vectors or emptied, self._metadata[first:last], self._uris[first:last],
            spans=spans or None,
        )  # fmt: skip
        for name in emptied:  # as it came to be: an item all of whose rows have gone
            none = np.empty((0, self._col.schema.dim(name)), np.float32)
            self._col.upsert(names, {name: [none] * len(names)})

    def _placeholder(self, names: list[ItemId]) -> dict[str, Any]:
        """Rows for items without any, as only a present item may be without rows.

        Raises
        ------
        InvalidVector
            When no field lets an item be without.
        """
        schema = self._col.schema
        for name, field in schema.fields.items():
            if field.several:
                return {name: np.eye(1, schema.dim(name), dtype=np.float32).repeat(len(names), 0)}
        raise InvalidVector(
            f"{self._table.path} has no vector for the id {names[0]!r}: an item fills at least one "
            "field"
        )
