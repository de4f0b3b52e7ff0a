"""Write items as a parquet or arrow table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, BinaryIO

import numpy as np

from gapless.convert.table_layout import arrow, arrow_schema, arrow_submodule
from gapless.results.item import Item
from gapless.schema import Schema

__all__ = ["write_table"]


def write_table(
    file: BinaryIO,
    batches: Iterable[Sequence[Item]],
    schema: Schema,
    id_kinds: tuple[str, ...],
    kind: str,
) -> None:
    """Write batches of items with their vectors, one row group or record batch each.

    Parameters
    ----------
    file : binary file, opened to write
    batches : iterable of sequences of Item
    schema : Schema
    id_kinds : tuple
        ``"int"``, ``"str"`` or both.
    kind : {"parquet", "arrow"}

    Raises
    ------
    MissingExtra
        Without pyarrow.
    """
    pa = arrow()
    columns = arrow_schema(schema, id_kinds)
    if kind == "parquet":
        # Dictionaries gain nothing on vectors, and plain float32 is read ten times faster.
        writer = arrow_submodule(".parquet").ParquetWriter(
            file, columns, use_dictionary=["metadata", "uri"], compression="zstd"
        )
    else:
        writer = arrow_submodule(".ipc").new_file(file, columns)
    with writer:
        for items in batches:
            arrays = [_column(pa, column, items, schema) for column in columns]
            batch = pa.record_batch(arrays, schema=columns)
            writer.write_batch(batch)


def _column(pa: Any, column: Any, items: Sequence[Item], schema: Schema) -> Any:
    name = column.name
    if name == "id":
        return pa.array([item.id for item in items], column.type)
    if name in ("id_int", "id_str"):
        kind = int if name == "id_int" else str
        return pa.array([i.id if isinstance(i.id, kind) else None for i in items], column.type)
    if name == "metadata":
        return pa.array([_json(item.metadata) for item in items], column.type)
    if name == "uri":
        return pa.array([item.uri for item in items], column.type)
    part, _, field = name.partition("_")
    if part == "spans":
        return pa.array([_spans(item, field) for item in items], column.type)
    return _vectors(pa, items, field, schema)


def _json(metadata: dict[str, Any] | None) -> str | None:
    # ASCII, so that a lone surrogate is an escape, which any file can hold.
    return None if metadata is None else json.dumps(metadata, allow_nan=False)


def _spans(item: Item, field: str) -> list[dict[str, float] | None] | None:
    found = item.spans.get(field)
    if found is None:
        return None
    return [None if pair is None else {"start": pair[0], "end": pair[1]} for pair in found]


def _vectors(pa: Any, items: Sequence[Item], field: str, schema: Schema) -> Any:
    dim = schema.dim(field)
    rows = [item.vectors.get(field) for item in items]
    missing = np.array([row is None for row in rows])
    if schema.fields[field].several:
        parts = [row for row in rows if row is not None]
        flat = np.concatenate(parts) if parts else np.empty((0, dim), np.float32)
        inner = pa.FixedSizeListArray.from_arrays(pa.array(flat.reshape(-1)), dim)
        ends = np.cumsum([0] + [0 if row is None else len(row) for row in rows]).astype(np.int32)
        offsets = pa.array(ends, mask=np.append(missing, False))
        return pa.ListArray.from_arrays(offsets, inner)
    flat = np.zeros((len(items), dim), np.float32)  # zeros below the nulls
    for i, row in enumerate(rows):
        if row is not None:
            flat[i] = row
    mask = pa.array(missing) if missing.any() else None
    return pa.FixedSizeListArray.from_arrays(pa.array(flat.reshape(-1)), dim, mask=mask)
