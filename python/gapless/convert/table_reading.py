"""Read parquet and arrow tables in batches, with every value checked (extra ``arrow``)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gapless.batch import ItemId
from gapless.convert.row_file import Block, RowFile, check_dim
from gapless.convert.table_layout import SCHEMA_KEY, arrow, arrow_submodule
from gapless.errors import CorruptFile, GaplessError, InvalidArgument
from gapless.schema import Schema

__all__ = ["Table", "TableRows", "read_table_rows"]


@dataclass(frozen=True, slots=True)
class TableRows:
    """The rows of one column in a batch of n items.

    Attributes
    ----------
    counts : ndarray (n,), int64
        Rows of each item; -1 where the column is null.
    rows : ndarray (total, dim), float32
    """

    counts: npt.NDArray[np.int64]
    rows: npt.NDArray[np.float32]


class Table:
    """A parquet or arrow file.

    Parameters
    ----------
    path : Path
    kind : {"parquet", "arrow"}

    Attributes
    ----------
    names : list of str
        Of its columns.
    count : int
        Items in it.
    schema : Schema or None
        That of the collection it was exported from; None for a table of another origin.

    Raises
    ------
    CorruptFile
        When pyarrow cannot read it.
    MissingExtra
        Without pyarrow.
    """

    def __init__(self, path: Path, kind: str) -> None:
        self.path = path
        self._pa = arrow()
        self.kind = kind
        with self._open() as file:
            self.columns = file.schema_arrow if kind == "parquet" else file.schema
            self.names: list[str] = [str(name) for name in self.columns.names]
            if kind == "parquet":
                self.count = int(file.metadata.num_rows)
            else:  # kept per batch alone
                batches = range(file.num_record_batches)
                self.count = sum(file.get_batch(i).num_rows for i in batches)
            told = (self.columns.metadata or {}).get(SCHEMA_KEY)
        if len(set(self.names)) != len(self.names):
            raise InvalidArgument(f"{path} has two columns of one name: {self.names}")
        self.schema = None if told is None else self._schema(told)

    def _schema(self, told: bytes) -> Schema:
        try:
            return Schema.from_json(told.decode())
        except (GaplessError, UnicodeDecodeError, RecursionError) as error:
            raise CorruptFile(f"{self.path} is damaged: {SCHEMA_KEY.decode()}: {error}") from error

    @contextmanager
    def _open(self) -> Iterator[Any]:
        """Open the file, and call what pyarrow cannot read damage."""
        pa = self._pa
        with self.path.open("rb") as file:  # not mapped: a file that shrinks must not crash us
            try:
                if self.kind == "parquet":
                    with arrow_submodule(".parquet").ParquetFile(file) as reader:
                        yield reader
                else:
                    with arrow_submodule(".ipc").open_file(file) as reader:
                        yield reader
            except GaplessError:
                raise
            except (pa.ArrowException, OSError, ValueError, LookupError, OverflowError) as error:
                why = " ".join(str(error).split())
                raise CorruptFile(f"{self.path} is damaged: as {self.kind}: {why}") from error

    def batches(self, rows: int) -> Iterator[Any]:
        """Record batches of at most so many items, checked by pyarrow to be sound.

        Raises
        ------
        CorruptFile
        """
        with self._open() as file:
            if self.kind == "parquet":
                found = file.iter_batches(batch_size=rows)
            else:
                found = self._slices(file, rows)
            for batch in found:
                batch.validate(full=True)
                yield batch

    def _slices(self, file: Any, rows: int) -> Iterator[Any]:
        for i in range(file.num_record_batches):
            batch = file.get_batch(i)
            batch.validate(full=True)
            for first in range(0, batch.num_rows, rows):
                yield batch.slice(first, rows)

    def ids(self, batch: Any, first: int) -> list[ItemId]:
        """Ids of a batch whose items are numbered from `first`.

        Raises
        ------
        InvalidArgument
            For ids of another kind, and items without one.
        """
        if "id" in self.names:
            found = self._id_column(batch, "id")
        elif {"id_int", "id_str"} <= set(self.names):
            pairs = zip(
                self._id_column(batch, "id_int"), self._id_column(batch, "id_str"), strict=True
            )
            found = [text if number is None else number for number, text in pairs]
        else:
            return list(range(first, first + batch.num_rows))
        if None in found:
            raise InvalidArgument(
                f"{self.path} has no id for the item {first + found.index(None)}: give each one"
            )
        return found

    def _id_column(self, batch: Any, name: str) -> list[Any]:
        types = self._pa.types
        column = batch.column(self.names.index(name))
        kind = column.type
        if types.is_integer(kind) or types.is_string(kind) or types.is_large_string(kind):
            found: list[Any] = column.to_pylist()
            return found
        raise InvalidArgument(
            f"{self.path} has a column {name!r} of {kind}: ids are integers or strings"
        )

    def texts(self, batch: Any, name: str) -> list[str | None]:
        """Strings of a column; None for each item where it is not there.

        Raises
        ------
        InvalidArgument
            For a column of another type.
        """
        if name not in self.names:
            return [None] * batch.num_rows
        column = batch.column(self.names.index(name))
        if not (self._pa.types.is_string(column.type) or self._pa.types.is_null(column.type)):
            raise InvalidArgument(
                f"{self.path} has a column {name!r} of {column.type}: it holds strings in tables "
                "of a collection"
            )
        found: list[str | None] = column.to_pylist()
        return found

    def metadata(self, batch: Any, first: int) -> list[dict[str, Any] | None]:
        """Metadata of a batch.

        Raises
        ------
        CorruptFile
            For what is no JSON object.
        """
        found: list[dict[str, Any] | None] = []
        for i, text in enumerate(self.texts(batch, "metadata")):
            try:
                value = None if text is None else json.loads(text)
            except (ValueError, RecursionError) as error:
                raise self._no_metadata(first + i, str(error)) from error
            if value is not None and not isinstance(value, dict):
                raise self._no_metadata(first + i, f"a {type(value).__name__}")
            found.append(value)
        return found

    def _no_metadata(self, item: int, why: str) -> CorruptFile:
        return CorruptFile(f"{self.path} is damaged: metadata of item {item}: no JSON dict: {why}")

    def spans(self, batch: Any, field: str) -> list[Any]:
        """One list of (start, end) or None, or None, for each item."""
        name = f"spans_{field}"
        if name not in self.names:
            return [None] * batch.num_rows
        found = batch.column(self.names.index(name)).to_pylist()
        try:
            return [
                each and [None if pair is None else (pair["start"], pair["end"]) for pair in each]
                for each in found
            ]
        except (TypeError, LookupError) as error:
            raise InvalidArgument(
                f"{self.path} has a column {name!r} that holds no lists of {{start, end}}"
            ) from error

    def rows(self, batch: Any, name: str, dim: int | None = None) -> TableRows:
        """Rows of a column of lists of numbers, or of lists of those.

        Raises
        ------
        InvalidArgument
            For a column of another type, and rows of another length than `dim` or each other.
        """
        column = batch.column(self.names.index(name))
        counts = _counts(column)
        inner = column.flatten()
        if not _is_list(self._pa, inner.type):  # one row per item
            counts, inner = np.where(counts < 0, -1, 1), column.drop_null()
        lengths = _counts(inner)
        values = inner.flatten()
        if not _is_real(self._pa, values.type) or values.null_count or (lengths < 0).any():
            raise InvalidArgument(
                f"{self.path} has a column {name!r} of {column.type}: vectors are lists of real "
                "numbers without nulls"
            )
        wanted = dim if dim is not None else int(lengths[0]) if len(lengths) else 1
        if (lengths != wanted).any():
            other = int(lengths[lengths != wanted][0])
            raise InvalidArgument(
                f"{self.path} has vectors of {other} numbers in the column {name!r}, and others "
                f"of {wanted}: all of a field have one length"
            )
        with np.errstate(over="ignore"):
            rows = values.to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
        return TableRows(counts.astype(np.int64), rows.reshape(-1, wanted))

    def vector_column(self, asked: str | None) -> str:
        """Name of the column with the rows: the one asked for, or the only one that could be.

        Raises
        ------
        InvalidArgument
        """
        able = [
            str(column.name)
            for column in self.columns
            if _is_list(self._pa, column.type) and not str(column.name).startswith("spans_")
        ]
        if asked is not None:
            for name in (f"vector_{asked}", asked):
                if name in able:
                    return name
        elif len(able) == 1:
            return able[0]
        what = f"no column {asked!r} of vectors" if asked else "no only column of vectors"
        raise InvalidArgument(
            f"{self.path} has {what}: lists are in {', '.join(map(repr, able)) or 'none'}; name "
            "one with array="
        )


def read_table_rows(path: Path, kind: str, array: str | None) -> RowFile:
    """Describe the rows of one column; an item with several has its id repeated.

    Parameters
    ----------
    path : Path
    kind : {"parquet", "arrow"}
    array : str, optional
        The column, or the field of a collection; not needed where one alone holds vectors.

    Raises
    ------
    CorruptFile, InvalidArgument, MissingExtra
    """
    table = Table(path, kind)
    name = table.vector_column(array)
    dim, count = 0, 0
    for batch in table.batches(256):  # lists may lack a length in their type
        found = table.rows(batch, name, dim or None)
        count += len(found.rows)
        dim = dim or (found.rows.shape[1] if len(found.rows) else 0)
    check_dim(path, dim or 1, count)
    known = {"id", "id_int", "id_str", name}
    others = [other for other in table.names if other not in known]

    def read(rows: int) -> Iterator[Block]:
        first = 0
        for batch in table.batches(rows):
            ids, found = table.ids(batch, first), table.rows(batch, name, dim or None)
            first += batch.num_rows
            repeated = [
                item for item, n in zip(ids, found.counts.tolist(), strict=True) for _ in range(n)
            ]
            yield repeated, found.rows

    return RowFile(
        path=path,
        format=f"{kind} ({name})",
        count=count,
        dim=dim or 1,
        metric=None,
        ids="str" if "id_str" in table.names else _id_kind(table),
        notes=(f"not taken over: {', '.join(map(repr, others))}",) if others else (),
        read=read,
    )


def _id_kind(table: Table) -> str:
    if "id" not in table.names:
        return "ordinal"
    return "int64" if "int" in str(table.columns.field("id").type) else "str"


def _is_list(pa: Any, kind: Any) -> bool:
    types = pa.types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _is_real(pa: Any, kind: Any) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _counts(column: Any) -> npt.NDArray[np.int64]:
    """Length of each list; -1 for a null, and where the column holds no lists."""
    pa = arrow()
    if not _is_list(pa, column.type):
        return np.full(len(column), -1, np.int64)
    lengths = arrow_submodule(".compute").list_value_length(column)
    found: npt.NDArray[np.int64] = lengths.fill_null(-1).to_numpy(zero_copy_only=False)
    return found.astype(np.int64)
