"""Index files of a collection: written whole, never changed, alive only while a row names them."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

from . import _core
from .catalog import SEGMENT_FOLDER as FOLDER
from .catalog import SegmentRow
from .errors import CorruptFile, InvalidArgument, StorageError
from .schema import Field, Schema

__all__ = [
    "FOLDER",
    "SUFFIX",
    "Index",
    "fsync",
    "load_segment",
    "make_index",
    "refuse_forgotten",
    "remove_unnamed",
    "write_segment",
]

SUFFIX = ".gap"
TEMPORARY = ".tmp"

Index: TypeAlias = "_core.FlatIndex | _core.HnswIndex"


def make_index(schema: Schema, field: str) -> Index:
    """Make the empty index that `field` asks for."""
    spec: Field = schema.fields[field]
    if spec.index == "flat":
        return _core.FlatIndex(schema.dim(field))
    return _core.HnswIndex(
        schema.dim(field), m=spec.m, ef_construction=spec.ef_construction, codes=spec.codes
    )


def write_segment(folder: Path, schema: Schema, field: str, index: Index, seq: int) -> SegmentRow:
    """Write `index` so that its file is whole and on disk before any row can name it.

    The order is the guarantee: `save` writes ``*.tmp``, fsyncs it, renames it and fsyncs the
    folder. Only then may the caller commit the row returned.

    Raises
    ------
    StorageError
        When the file cannot be written. What is pending stays so.
    """
    position = list(schema.fields).index(field)
    slug = re.sub(r"[^A-Za-z0-9]+", "-", field).strip("-")[:24] or "field"
    name = f"{position:02d}-{slug}-{seq:012d}{SUFFIX}"
    target = folder / FOLDER / name
    try:
        if not target.parent.is_dir():
            target.parent.mkdir()
            fsync(folder)
        index.save(os.fspath(target))
    except OSError as error:
        raise StorageError(
            f"{target} cannot be written ({error}): every write is safe in the catalogue; see that "
            "the disk has room and the folder can be written to, and call checkpoint() again"
        ) from error
    return SegmentRow(name, seq, len(index))


def load_segment(folder: Path, schema: Schema, field: str, row: SegmentRow) -> Index:
    """Read the segment that the catalogue names.

    Raises
    ------
    CorruptFile
        When the file is missing or damaged, or is the file of some other field.
    """
    path = folder / FOLDER / row.file
    remedy = "restore the folder from a backup"
    if not path.is_file():
        raise CorruptFile(f"{path} is missing, and the catalogue names it: {remedy}")
    kind = _core.FlatIndex if schema.fields[field].index == "flat" else _core.HnswIndex
    try:
        index: Index = kind.load(os.fspath(path))
    except InvalidArgument as error:  # whole, and yet not this field's: files were mixed up
        raise CorruptFile(f"{error}; the catalogue wants field {field!r}: {remedy}") from error
    if index.dim != schema.dim(field) or len(index) != row.rows:
        raise CorruptFile(
            f"{path} holds {len(index)} rows of dim {index.dim}, and the catalogue says "
            f"{row.rows} rows of dim {schema.dim(field)} for field {field!r}: {remedy}"
        )
    return index


def refuse_forgotten(
    folder: Path,
    schema: Schema,
    named: Mapping[str, SegmentRow],
    last: int,
    waits: Callable[[str, int, int], bool],
) -> None:
    """See that files which no row names are what a checkpoint cut short has left.

    A checkpoint names its segments and clears from `pending` what they hold in one transaction, so
    a segment newer than the one named stands beside pending writes that it holds. Where there are
    none, it was named once and the catalogue has lost that row: its rows are nowhere else. (Power
    loss with durability "normal" may lose the pending writes, and then their numbers with them.)

    Parameters
    ----------
    named : mapping of field to SegmentRow
    last : int
        Highest number ever given to a pending write.
    waits : callable (field, after, last) -> bool
        Whether `pending` has a write to the field with after < seq <= last.

    Raises
    ------
    CorruptFile
        Naming the file, or the field whose segment is newer than every write.
    """
    for field, row in named.items():
        if row.seq > last:
            raise CorruptFile(
                f"{folder}: the segment of field {field!r} holds writes up to {row.seq}, and the "
                f"catalogue has counted {last}: restore the folder from a backup"
            )
    fields = list(schema.fields)
    for path in sorted((folder / FOLDER).glob(f"*{SUFFIX}")):
        told = re.fullmatch(r"(\d+)-.*-(\d+)", path.stem)
        if told is None or int(told[1]) >= len(fields):
            continue
        field, seq = fields[int(told[1])], int(told[2])
        known = named[field].seq if field in named else 0
        if known < seq <= last and not waits(field, known, seq):
            raise CorruptFile(
                f"{path} holds writes to field {field!r} that the catalogue has forgotten: "
                "restore the folder from a backup, or move that file away to do without them"
            )


def remove_unnamed(folder: Path, named: Iterable[str]) -> list[str]:
    """Delete segment and temporary files that no row names; only the lock's holder may call it.

    Returns the names deleted. Files of any other kind are left alone.
    """
    keep = set(named)
    removed = []
    for path in sorted((folder / FOLDER).glob(f"*{SUFFIX}*")):
        if path.name not in keep and path.name.endswith((SUFFIX, SUFFIX + TEMPORARY)):
            # A file that cannot be deleted now costs space, not correctness: the next open retries.
            with contextlib.suppress(OSError):
                path.unlink()
                removed.append(path.name)
    return removed


def fsync(path: Path) -> None:
    """Wait until the folder at `path`, with the names in it, is on disk."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
