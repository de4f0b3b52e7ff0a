"""Write a collection's rows, or all of it, to a file that other libraries read.

==================  ===========================================================================
suffix              what is written
==================  ===========================================================================
.parquet .pq        every item with id, metadata, uri, vectors and spans; the schema in the
.arrow .feather     metadata of the file. `gapless.convert.importing` makes the same collection
.ipc                of it. Needs pyarrow
.npz                arrays ``ids`` and ``vectors`` of one field
.npy                the rows of one field, and the ids in ``NAME.ids.npy`` beside it
.faiss .index       one field as IndexIDMap2 over IndexFlatIP; all ids are integers
==================  ===========================================================================

Rows are those that the collection keeps: unit norm, float32, no alignment applied.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias

import numpy as np
import numpy.typing as npt

from gapless.batch import ItemId, known_fields
from gapless.convert.faiss_file import write_faiss
from gapless.convert.formats import format_of_name
from gapless.convert.numpy_file import id_array, ids_beside, write_ids, write_npy, write_npz
from gapless.convert.row_file import block_rows
from gapless.convert.table_layout import arrow
from gapless.convert.table_writing import write_table
from gapless.errors import InvalidArgument, UnknownId
from gapless.results.item import Item
from gapless.segments import fsync

if TYPE_CHECKING:
    from gapless.collection import Collection

__all__ = ["Exported", "export_collection"]

MOST_ITEMS = 4096
Progress: TypeAlias = "Callable[[int, int], None]"


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export has written.

    Attributes
    ----------
    collection : str
        Folder of the collection.
    paths : tuple of str
        The file, and for a .npy the file of its ids.
    format : str
    field : str or None
        The field written; None where all were.
    items : int
    skipped : int
        Items that lack the field.
    bytes : int
        Length of the files together.
    """

    collection: str
    paths: tuple[str, ...]
    format: str
    field: str | None
    items: int
    skipped: int
    bytes: int

    def to_dict(self) -> dict[str, Any]:
        """Return it as a dict ready for JSON."""
        return asdict(self)


def export_collection(
    col: Collection,
    path: str | os.PathLike[str],
    *,
    field: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Exported:
    """Write a collection to a file whose suffix says the format; all of the file, or none.

    Parameters
    ----------
    col : Collection
    path : str or path
    field : str, optional
        For formats of one matrix; needed where the collection has several fields.
    overwrite : bool
        Replace a file that is there.
    progress : callable, optional
        Called with (done, all) items.

    Raises
    ------
    InvalidArgument
        For another suffix, a file that is there, a field to be named, items with several rows in
        a format of one matrix, and ids that the format cannot hold; the message says which can.
    UnknownField
        For a field that the collection lacks.
    UnknownId
        When an item, or its vector, is removed meanwhile.
    MissingExtra
        For parquet and arrow without pyarrow.

    Examples
    --------
    >>> import gapless as gl, numpy as np, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> schema = gl.Schema({"clip": gl.Space(4)}, {"image": gl.Field("clip", "image")})
    >>> with gl.open(folder + "/col", schema) as col:
    ...     col.upsert(["a", "b"], {"image": np.eye(2, 4)})
    ...     export_collection(col, folder + "/rows.npz").items
    2
    >>> with np.load(folder + "/rows.npz") as arrays:
    ...     arrays["ids"].tolist(), arrays["vectors"].shape
    (['a', 'b'], (2, 4))
    """
    target = Path(path)
    kind = format_of_name(target)
    ids_path = ids_beside(target) if kind == "npy" else None
    paths = [target] if ids_path is None else [ids_path, target]
    for each in paths:
        if each.is_dir() or (each.exists() and not overwrite):
            what = "is a folder" if each.is_dir() else "is there already"
            raise InvalidArgument(
                f"{each} {what}: give another path, or overwrite=True (--overwrite) for a file"
            )
    if not target.parent.is_dir():
        raise InvalidArgument(f"{target.parent} is no folder: make it, or give another path")
    if kind in ("parquet", "arrow"):
        if field is not None:
            raise InvalidArgument(
                f"a {kind} table takes all fields: leave field={field!r} out, or write a .npz"
            )
        arrow()
        ids = col.ids()
        kinds = tuple(k.__name__ for k in (int, str) if any(isinstance(i, k) for i in ids))
        with _whole_files([target]) as (file,):
            write_table(file, _batches(col, ids, progress), col.schema, kinds, kind)
        skipped = 0
    else:
        field = _one_field(col, field)
        ids, skipped = _having(col, field)
        rows = (_matrix(items, field) for items in _batches(col, ids, progress))
        _check_ids(kind, ids)
        with _whole_files(paths) as files:
            _write(kind, files, rows, ids, col.schema.dim(field))
    return Exported(
        collection=str(col.path),
        paths=tuple(str(each) for each in reversed(paths)),
        format=kind,
        field=field,
        items=len(ids),
        skipped=skipped,
        bytes=sum(each.stat().st_size for each in paths),
    )


def _write(
    kind: str,
    files: Sequence[BinaryIO],
    rows: Iterator[npt.NDArray[np.float32]],
    ids: list[ItemId],
    dim: int,
) -> None:
    if kind == "faiss":
        write_faiss(files[0], rows, np.array(ids, np.int64), dim)
    elif kind == "npz":
        write_npz(files[0], rows, ids, dim)
    else:
        write_ids(files[0], ids)
        write_npy(files[1], rows, len(ids), dim)


def _check_ids(kind: str, ids: list[ItemId]) -> None:
    if kind != "faiss":
        id_array(ids)
        return
    other = next((name for name in ids if not isinstance(name, int)), None)
    if other is not None:
        raise InvalidArgument(
            f"the id {other!r} is a string, and faiss takes integers: export to .npz or .parquet"
        )


def _one_field(col: Collection, field: str | None) -> str:
    """Name of the field to write, in which every item has one row at most."""
    names = list(col.schema.fields)
    if field is None:
        if len(names) > 1:
            raise InvalidArgument(
                f"the collection has the fields {', '.join(map(repr, names))}, and this format "
                "takes one: name it with field= (--field), or export to a table (.parquet)"
            )
        field = names[0]
    known_fields(col.schema, [field])
    found = col.stats()["fields"][field]
    if col.schema.fields[field].several and found["rows"] != found["items"]:
        raise InvalidArgument(
            f"items have several rows in the field {field!r} ({found['rows']} of {found['items']} "
            "items), and this format has one for each id: export to a table (.parquet)"
        )
    return field


def _having(col: Collection, field: str) -> tuple[list[ItemId], int]:
    """Ids of the items that fill a field, and how many do not."""
    ids = col.ids()
    if col.stats()["fields"][field]["rows"] == len(ids):
        return ids, 0
    having: list[ItemId] = []
    for first in range(0, len(ids), MOST_ITEMS):
        items = col.get(ids[first : first + MOST_ITEMS])
        having += [item.id for item in items if field in item.fields]
    return having, len(ids) - len(having)


def _batches(col: Collection, ids: list[ItemId], progress: Progress | None) -> Iterator[list[Item]]:
    width = sum(col.schema.dim(name) for name in col.schema.fields)
    size = min(MOST_ITEMS, block_rows(width))
    for first in range(0, len(ids), size):
        yield col.get(ids[first : first + size], vectors=True)
        if progress is not None:
            progress(min(first + size, len(ids)), len(ids))


def _matrix(items: list[Item], field: str) -> npt.NDArray[np.float32]:
    rows = []
    for item in items:
        found = item.vectors.get(field)
        if found is None or (found.ndim == 2 and len(found) != 1):
            raise UnknownId(
                f"the item {item.id!r} had one row in {field!r} and has none or more now: another "
                "thread is writing, so export again"
            )
        rows.append(found.reshape(-1))
    return np.stack(rows)


@contextmanager
def _whole_files(paths: Sequence[Path]) -> Iterator[list[BinaryIO]]:
    """Open files beside the paths, and move them there when the block ends well."""
    beside = [path.parent / f".{path.name}.{secrets.token_hex(4)}.exporting" for path in paths]
    files: list[BinaryIO] = []
    try:
        try:
            for path in beside:  # one by one, so that those before one that fails are closed
                files.append(path.open("xb"))
            yield files
            for file in files:
                file.flush()
                os.fsync(file.fileno())
        finally:
            for file in files:
                file.close()
        for source, path in zip(beside, paths, strict=True):
            source.replace(path)
        fsync(paths[0].parent)
    except BaseException:
        for path in beside:
            path.unlink(missing_ok=True)
        raise
