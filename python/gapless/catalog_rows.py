"""What the catalogue keeps about rows: vectors that wait for a segment, and where rows lie."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .row_labels import KEYS, MAX_ROWS, SHIFT
from .spans import Span

__all__ = ["SPANS", "PendingRow", "RowTables", "SpanRow"]

# Came later; made where a collection is older. The last column is not named end, a word of SQL.
SPANS = """
CREATE TABLE IF NOT EXISTS spans (
    field TEXT NOT NULL, key INTEGER NOT NULL, ordinal INTEGER NOT NULL,
    start REAL NOT NULL, stop REAL NOT NULL, PRIMARY KEY (field, key, ordinal)) WITHOUT ROWID
"""


class PendingRow(NamedTuple):
    """The last word on one row of a field since its segment: a vector, or None for removed."""

    label: int
    vector: bytes | None


class SpanRow(NamedTuple):
    """Where one row lies in its item."""

    key: int
    ordinal: int
    start: float
    stop: float


class RowTables:
    """The part of `Catalog` that concerns the rows of fields.

    A row is named by its label, which says its item's key and its ordinal (see `index_rows`); the
    column of `pending` that holds it is called key, as it was when an item had one row.
    """

    pending_rows: int
    pending_bytes: int
    spanned: set[str]  # fields that have a span, or had one since this catalogue was opened
    _writer: sqlite3.Connection
    reading: Callable[[], AbstractContextManager[sqlite3.Connection]]
    _damage: Callable[[], AbstractContextManager[None]]
    _last: Callable[[str], int]

    def add_pending(
        self, field: str, labels: Sequence[int], vectors: npt.NDArray[np.float32] | None
    ) -> None:
        """Queue rows of a field, (n, dim) float32 in C order, or their removal (None)."""
        rows: Iterable[tuple[str, int, memoryview | None]]
        if vectors is None:
            rows = ((field, label, None) for label in labels)
        else:
            rows = ((field, label, row.data) for label, row in zip(labels, vectors, strict=True))
        self._writer.executemany("INSERT INTO pending (field, key, vector) VALUES (?,?,?)", rows)

    def recount_pending(self, rows: int, size: int) -> None:
        """Note what a committed transaction has added to `pending`."""
        self.pending_rows += rows
        self.pending_bytes += size

    def _count_pending(self) -> tuple[int, int]:
        query = "SELECT COUNT(*), COALESCE(SUM(LENGTH(vector)), 0) FROM pending"
        rows, size = self._writer.execute(query).fetchone()
        return int(rows), int(size)

    def last_seq(self) -> int:
        """Highest sequence number ever given to a pending row; 0 at the beginning."""
        return self._last("pending")

    def pending_fields(self) -> list[str]:
        """Fields with something in `pending`."""
        with self._damage():
            return [row[0] for row in self._writer.execute("SELECT DISTINCT field FROM pending")]

    def waits(self, field: str, after: int, last: int) -> bool:
        """Whether a write to `field` with `after` < seq <= `last` is pending."""
        query = "SELECT 1 FROM pending WHERE field = ? AND seq > ? AND seq <= ? LIMIT 1"
        with self._damage():
            return self._writer.execute(query, (field, after, last)).fetchone() is not None

    def pending(self, field: str, after: int, batch: int = 8192) -> Iterator[list[PendingRow]]:
        """Yield the last write of each row of `field` with seq > `after`, oldest first."""
        # With a single MAX(), SQLite takes the other columns from the row that has the maximum.
        query = (
            "SELECT key, vector, MAX(seq) FROM pending WHERE field = ? AND seq > ? "
            "GROUP BY key ORDER BY 3"
        )
        with self.reading() as db:
            cursor = db.execute(query, (field, after))
            while rows := cursor.fetchmany(batch):
                yield [PendingRow(label, vector) for label, vector, _ in rows]

    # -- spans --------------------------------------------------------------------------------

    def _fields_with_spans(self, fields: Iterable[str]) -> set[str]:
        query = "SELECT 1 FROM spans WHERE field = ? LIMIT 1"
        return {name for name in fields if self._writer.execute(query, (name,)).fetchone()}

    def put_spans(self, field: str, keys: Iterable[int], spans: Sequence[SpanRow]) -> None:
        """Replace the spans that the items `keys` have in `field` with these, of the same items."""
        if field in self.spanned:
            self._writer.executemany(
                "DELETE FROM spans WHERE field = ? AND key = ?", ((field, key) for key in keys)
            )
        if spans:
            self.spanned.add(field)
            self._writer.executemany(
                "INSERT INTO spans (field, key, ordinal, start, stop) VALUES (?,?,?,?,?)",
                ((field, *row) for row in spans),
            )

    def spans(self, field: str, labels: Iterable[int]) -> dict[int, Span]:
        """Start and end of these rows of a field, by label; rows without a span are left out."""
        found: dict[int, Span] = {}
        if field not in self.spanned:
            return found
        # One look-up per row: SQLite answers a list of (key, ordinal) by reading the whole table.
        query = "SELECT start, stop FROM spans WHERE field = ? AND key = ? AND ordinal = ?"
        with self.reading() as db:
            for label in labels:
                row = db.execute(query, (field, label & KEYS, label >> SHIFT)).fetchone()
                if row is not None:
                    found[label] = row
        return found

    def spans_of(
        self, field: str, key: int, first: int = 0, last: int = MAX_ROWS
    ) -> dict[int, Span]:
        """Spans of the rows `first` to `last` of an item, by ordinal; rows without are left out."""
        if field not in self.spanned:
            return {}
        query = (
            "SELECT ordinal, start, stop FROM spans "
            "WHERE field = ? AND key = ? AND ordinal BETWEEN ? AND ?"
        )
        with self.reading() as db:
            rows = db.execute(query, (field, key, first, last))
            return {ordinal: (start, stop) for ordinal, start, stop in rows}
