"""How a collection lies in a table: one row per item, and columns for each field.

``id`` int64 or string (``id_int`` and ``id_str``, one of them null, where a collection has both
kinds); ``metadata`` string, JSON; ``uri`` string; per field ``vector_NAME``, a fixed-size list of
float32, or a list of those where the field takes several rows, null where the item lacks the
field; and ``spans_NAME``, a list of {start, end} with an entry for each row, null where it has
none. The schema lies as JSON under ``gapless.schema`` in the metadata of the file.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

from gapless.errors import MissingExtra
from gapless.schema import Schema

__all__ = ["SCHEMA_KEY", "arrow", "arrow_schema", "arrow_submodule"]

SCHEMA_KEY = b"gapless.schema"


def arrow() -> ModuleType:
    """Import pyarrow.

    Raises
    ------
    MissingExtra
        When it is not installed.
    """
    return arrow_submodule("")


def arrow_submodule(name: str) -> ModuleType:
    """Import a module of pyarrow, such as ``".parquet"``.

    Raises
    ------
    MissingExtra
        When it is not installed.
    """
    try:
        return importlib.import_module(f"pyarrow{name}")
    except ImportError as error:
        raise MissingExtra(
            "parquet and arrow files need pyarrow: pip install 'gapless[arrow]' (.npy, .npz and "
            "faiss files need nothing)"
        ) from error


def arrow_schema(schema: Schema, id_kinds: tuple[str, ...]) -> Any:
    """Columns of the table for a collection whose ids are of `id_kinds` (int, str)."""
    pa = arrow()
    types = {"int": pa.int64(), "str": pa.string()}
    kinds = id_kinds or ("int",)
    columns = (
        [pa.field("id", types[kinds[0]], nullable=False)]
        if len(kinds) == 1
        else [pa.field(f"id_{kind}", types[kind]) for kind in ("int", "str")]
    )
    columns += [pa.field("metadata", pa.string()), pa.field("uri", pa.string())]
    span = pa.struct([("start", pa.float64()), ("end", pa.float64())])
    for name, field in schema.fields.items():
        row = pa.list_(pa.float32(), schema.dim(name))
        columns.append(pa.field(f"vector_{name}", pa.list_(row) if field.several else row))
        columns.append(pa.field(f"spans_{name}", pa.list_(span)))
    return pa.schema(columns, metadata={SCHEMA_KEY: schema.to_json().encode()})
