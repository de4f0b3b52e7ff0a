"""Take over rows from index files of faiss and hnswlib, arrays, and tables.

==============  =================================  ===========================================
format          what is read                       ids
==============  =================================  ===========================================
faiss           IndexFlat, IndexIDMap(2) over it,  of the map, else numbers from 0
                IndexHNSWFlat, and maps over that
hnswlib         ``saveIndex`` of float32 spaces,   its labels
                without what is marked as deleted
numpy ``.npy``  a matrix of real numbers           a second .npy, else numbers from 0
numpy ``.npz``  its array ``vectors``, or the      its array ``ids``, else numbers from 0
                only matrix in it
parquet, arrow  a collection, or a column of       columns ``id``, or ``id_int`` and ``id_str``
                lists of numbers                   else numbers from 0
==============  =================================  ===========================================

A collection compares cosines, so rows get unit length. That changes no ranking where they have it
already; where they do not, rankings by L2 distance or inner product differ from those that the
file was made for, and a finding says so (or an error, with ``strict``). Graphs are built anew.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from gapless.batch import ItemId
from gapless.convert.binary import file_path
from gapless.convert.faiss_file import read_faiss
from gapless.convert.formats import format_of_content
from gapless.convert.hnswlib_file import read_hnswlib
from gapless.convert.new_collection import new_collection
from gapless.convert.norms import Norms
from gapless.convert.numpy_file import ids_beside, read_npy, read_npz
from gapless.convert.row_file import RowFile
from gapless.convert.table_items import import_table
from gapless.convert.table_reading import Table, read_table_rows
from gapless.errors import CorruptFile, DuplicateId, InvalidArgument, SchemaMismatch
from gapless.findings import Finding
from gapless.schema import Field, Schema, Space

if TYPE_CHECKING:
    from gapless.collection import Collection

__all__ = ["Imported", "import_collection", "import_rows"]

PathLike: TypeAlias = "str | os.PathLike[str]"
Progress: TypeAlias = "Callable[[int, int], None]"


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import has made.

    Attributes
    ----------
    folder : str
        The new collection.
    source, format : str
    items : int
    rows : dict of str to int
        Rows of each field.
    skipped : int
        Rows of the file that are marked as deleted.
    metric : str or None
        What the file's rows were compared by, where it says.
    findings : tuple of Finding
        ``ROWS_NORMALISED`` where rows have not kept their length.
    notes : tuple of str
        What of the file was not taken over.
    """

    folder: str
    source: str
    format: str
    items: int
    rows: dict[str, int]
    skipped: int
    metric: str | None
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it as a dict ready for JSON."""
        return asdict(self)


def import_rows(
    path: PathLike, *, ids: PathLike | None = None, array: str | None = None
) -> RowFile:
    """Describe a file of rows, whose (ids, rows) blocks come when it is iterated.

    The format is told from the content. Blocks are read one after another, so memory is bounded
    whatever the file's size.

    Parameters
    ----------
    path : str or path
    ids : str or path, optional
        For a .npy: another with the ids. By default ``X.ids.npy`` beside ``X.npy``, if it is there.
    array : str, optional
        For .npz, parquet and arrow: the array, column or field with the rows.

    Returns
    -------
    RowFile
        Rows as stored, not normalised.

    Raises
    ------
    CorruptFile
        When the file is damaged; names file, section and offset.
    InvalidArgument
        For a file of another format, a kind of index that does not keep its rows, and arrays of
        another shape or of objects (nothing is ever unpickled).
    MissingExtra
        For parquet and arrow without pyarrow.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> path = tempfile.mkdtemp() + "/rows.npy"
    >>> np.save(path, np.eye(3, 4))
    >>> for names, rows in import_rows(path):
    ...     print(list(names), rows.shape, rows.dtype)
    [0, 1, 2] (3, 4) float32
    """
    found = file_path(path)
    kind = format_of_content(found)
    if ids is not None and kind != "npy":
        raise InvalidArgument(f"ids= goes with a .npy, and {found} is {kind}, which has its own")
    if array is not None and kind not in ("npz", "parquet", "arrow"):
        raise InvalidArgument(f"array= names one of several, and {found} ({kind}) has one alone")
    if kind == "npy":
        beside = ids_beside(found)
        names = file_path(ids) if ids is not None else beside if beside.is_file() else None
        return read_npy(found, names)
    if kind == "npz":
        return read_npz(found, array)
    if kind in ("parquet", "arrow"):
        return read_table_rows(found, kind, array)
    return read_faiss(found) if kind == "faiss" else read_hnswlib(found)


def import_collection(
    path: PathLike,
    folder: PathLike,
    *,
    schema: Schema | None = None,
    field: str | None = None,
    modality: str | None = None,
    encoder: str | None = None,
    revision: str | None = None,
    index: str = "hnsw",
    ids: PathLike | None = None,
    array: str | None = None,
    strict: bool = False,
    progress: Progress | None = None,
) -> Imported:
    """Make a new collection of a file: all of it, or none.

    It is built beside `folder` and put there when it is whole and on the disk.

    Parameters
    ----------
    path : str or path
    folder : str or path
        Must not be there, or be empty.
    schema : Schema, optional
        By default that of an exported table, and otherwise one field as the next four say.
    field, modality : str, optional
        Which field the rows fill, and what they were made of; each is by default the other.
    encoder, revision : str, optional
        The model that made them, so that queries can be encoded.
    index : {"hnsw", "flat"}
        Index of the field.
    ids, array
        As `import_rows`.
    strict : bool
        Refuse rows that are not of unit length (within 1e-3), instead of a finding.
    progress : callable, optional
        Called with (done, all) items after each write.

    Raises
    ------
    CorruptFile, MissingExtra
        As `import_rows`.
    InvalidVector
        For zero, NaN and infinite rows; names the row.
    DuplicateId
        When the file has an id twice.
    NotACollection
        When the folder holds something.
    SchemaMismatch, InvalidArgument
        When the file does not fit the schema, or names of fields are wanted.
    """
    found = file_path(path)
    kind = format_of_content(found)
    if kind in ("parquet", "arrow") and array is None and ids is None:
        table = Table(found, kind)
        if table.schema is not None:
            if any(value is not None for value in (field, modality, encoder, revision)):
                raise InvalidArgument(
                    f"{found} was exported from a collection and has its own schema: leave out "
                    "field, modality, encoder and revision, or take one of its columns with array="
                )
            return _import_table(table, folder, schema, progress)
    source = import_rows(found, ids=ids, array=array)
    schema, name = _one_field(source, schema, field, modality, encoder, revision, index)
    with new_collection(folder, schema) as col:
        norms = Norms(source)
        read = 0
        for names, rows in source:
            norms.look(names, rows, strict)
            if len(names):
                _upsert(col, source, names, {name: rows})
            read += len(names)
            if progress is not None:
                progress(read, source.count)
        if len(col) != read:
            raise _twice(source)
        found_rows = _rows_of(col)
    return Imported(
        folder=str(Path(folder).absolute()),
        source=str(found),
        format=source.format,
        items=read,
        rows=found_rows,
        skipped=source.count - read,
        metric=source.metric,
        findings=norms.findings(),
        notes=source.notes,
    )


def _upsert(
    col: Collection, source: RowFile, names: Sequence[ItemId], vectors: dict[str, Any]
) -> None:
    try:
        col.upsert(names, vectors)
    except DuplicateId as error:
        raise _twice(source) from error


def _twice(source: RowFile) -> Exception:
    """Find the id that a file has twice, by reading the file again."""
    seen: set[ItemId] = set()
    for names, _ in source:
        for name in names:
            if name in seen:
                return DuplicateId(
                    f"{source.path} has the id {name!r} twice: a collection has each id once. Give "
                    "the rows ids of their own (for .npy with ids=)"
                )
            seen.add(name)
    return CorruptFile(f"{source.path} has changed while it was read: convert it again")


def _rows_of(col: Collection) -> dict[str, int]:
    return {name: int(found["rows"]) for name, found in col.stats()["fields"].items()}


def _import_table(
    table: Table, folder: PathLike, schema: Schema | None, progress: Progress | None
) -> Imported:
    with new_collection(folder, _fitting(table, schema)) as col:
        import_table(table, col, progress)
        items, rows = len(col), _rows_of(col)
    return Imported(
        folder=str(Path(folder).absolute()),
        source=str(table.path),
        format=f"{table.kind} of a collection",
        items=items,
        rows=rows,
        skipped=0,
        metric=None,
        findings=(),
        notes=("alignments and calibrations are not in a table: make them anew",),
    )


def _fitting(table: Table, given: Schema | None) -> Schema:
    """Take the schema of a table, or the one given if the table's rows fit it."""
    own = table.schema
    assert own is not None
    if given is None:
        return own
    shapes = [
        {name: (schema.dim(name), field.several) for name, field in schema.fields.items()}
        for schema in (own, given)
    ]
    if shapes[0] != shapes[1]:
        raise SchemaMismatch(
            f"{table.path} has the fields {shapes[0]} (dim, several), and the schema given "
            f"{shapes[1]}: leave the schema out to use that of the file"
        )
    return given


def _one_field(
    source: RowFile,
    schema: Schema | None,
    field: str | None,
    modality: str | None,
    encoder: str | None,
    revision: str | None,
    index: str,
) -> tuple[Schema, str]:
    """Say which collection to make, and which of its fields takes the rows."""
    if schema is None:
        name = field or modality
        if name is None:
            raise InvalidArgument(
                f"{source.path} does not say what its rows were made of: give modality='image', "
                "'text', or a word of your own (on the command line: --modality image)"
            )
        made = Field("vectors", modality or name, index=index)
        return Schema({"vectors": Space(source.dim, encoder, revision)}, {name: made}), name
    if modality is not None or encoder is not None or revision is not None:
        raise InvalidArgument("modality, encoder and revision are in the schema given: leave out")
    names = list(schema.fields)
    if field is None and len(names) == 1:
        field = names[0]
    if field is None or field not in schema.fields:
        raise InvalidArgument(
            f"field is {field!r}: name the one of {', '.join(map(repr, names))} that the rows of "
            f"{source.path} fill"
        )
    if schema.dim(field) != source.dim:
        raise SchemaMismatch(
            f"{source.path} has rows of {source.dim} components, and the field {field!r} takes "
            f"{schema.dim(field)}: correct the space's dim, or name another field"
        )
    return schema, field
