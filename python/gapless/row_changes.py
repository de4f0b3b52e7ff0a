"""What one write does to the rows of one field: worked out first, then committed, then followed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from .catalog import Catalog
from .catalog_rows import SpanRow
from .field_rows import FieldRows
from .index_rows import all_rows, count_rows
from .row_labels import ordinals, row_labels
from .segments import Index

__all__ = ["RowChange", "removal", "replacement"]

Int64: TypeAlias = "npt.NDArray[np.int64]"


@dataclass(frozen=True, slots=True)
class RowChange:
    """The rows that come to a field and those that go.

    Attributes
    ----------
    labels : ndarray (n,), int64
        Of rows that are new or replaced.
    rows : ndarray (n, dim), float32
    gone : ndarray (m,), int64
        Labels of rows that are in the index and leave it.
    keys : list of int
        Items whose spans in the field are replaced with `spans`.
    spans : list of SpanRow
    """

    labels: Int64
    rows: npt.NDArray[np.float32]
    gone: Int64
    keys: list[int]
    spans: list[SpanRow]

    @property
    def touched(self) -> Int64:
        """Labels of all rows that come, change or go."""
        return np.concatenate([self.labels, self.gone]) if len(self.gone) else self.labels

    def write(self, catalog: Catalog, field: str) -> None:
        """Take part in a transaction of the catalogue."""
        catalog.add_pending(field, self.labels.tolist(), self.rows)
        catalog.add_pending(field, self.gone.tolist(), None)
        catalog.put_spans(field, self.keys, self.spans)


def replacement(index: Index, keys: Int64, told: FieldRows, several: bool) -> RowChange:
    """Give the items `keys` the rows that an upsert has told for them, in place of those there."""
    given = told.given
    owners, counts = keys[given], told.counts[given]
    gone = np.empty(0, np.int64)
    if several:
        before = count_rows(index, owners)
        old = row_labels(owners, before)
        gone = old[ordinals(old) >= np.repeat(counts, before)]
    spans = []
    if told.spans is not None:
        columns = (keys[told.spans.positions], told.spans.ordinals, *told.spans.bounds.T)
        spans = list(map(SpanRow, *(column.tolist() for column in columns)))
    return RowChange(row_labels(owners, counts), told.rows, gone, owners.tolist(), spans)


def removal(index: Index, keys: Int64, several: bool) -> RowChange:
    """Take all rows of the items `keys` out of a field."""
    none = np.empty((0, index.dim), np.float32)
    gone = all_rows(index, keys, several)
    return RowChange(np.empty(0, np.int64), none, gone, keys.tolist(), [])
