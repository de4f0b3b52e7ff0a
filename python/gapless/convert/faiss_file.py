"""Faiss index files: read flat rows out of them, and write them.

The layout is that of ``faiss/impl/index_write.cpp`` (little-endian). An index is a four-letter
code and a header of int32 d, int64 ntotal, two unused int64, a bool, int32 metric_type and, above
metric_type 1, a float32; then what the code stands for. A vector is a uint64 length and its items.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from gapless.convert.binary import BinaryFile
from gapless.convert.row_file import Block, RowFile, check_dim
from gapless.errors import InvalidArgument

__all__ = ["is_faiss", "read_faiss", "write_faiss"]

FLAT = {b"IxFI": "IndexFlatIP", b"IxF2": "IndexFlatL2", b"IxFl": "IndexFlat"}
ID_MAPS = {b"IxMp": "IndexIDMap", b"IxM2": "IndexIDMap2"}
HNSW = {b"IHNf": "IndexHNSWFlat"}
LOSSY = {
    b"IHN2": "IndexHNSW2Level",
    b"IHNp": "IndexHNSWPQ",
    b"IHNs": "IndexHNSWSQ",
    b"INSf": "IndexNSGFlat",
    b"IvPQ": "IndexIVFPQ",
    b"IvQR": "IndexIVFPQR",
    b"IwFl": "IndexIVFFlat",
    b"IwPQ": "IndexIVFPQ",
    b"IwQR": "IndexIVFPQR",
    b"IwSQ": "IndexIVFScalarQuantizer",
    b"IwSq": "IndexIVFScalarQuantizer",
    b"IxPQ": "IndexPQ",
    b"IxPT": "IndexPreTransform",
    b"IxPq": "IndexPQ",
    b"IxRF": "IndexRefine",
    b"IxRo": "IndexResidualQuantizer",
    b"IxSQ": "IndexScalarQuantizer",
    b"Ixpq": "IndexPQ",
}
METRICS = {0: "inner_product", 1: "l2"}
DEEPEST = 4  # indexes within each other; people nest two or three
UNUSED = 1 << 20  # what the library writes into the two unused numbers of a header


@dataclass(frozen=True, slots=True)
class _Flat:
    """Where the rows of a flat index lie, and the ids of the maps around it."""

    kind: str
    count: int
    dim: int
    metric: str
    offset: int
    ids: npt.NDArray[np.int64] | None
    notes: tuple[str, ...]


def is_faiss(start: bytes) -> bool:
    """Whether a file that begins with these bytes looks like an index of faiss."""
    code = start[:4]
    return len(code) == 4 and code[:1] == b"I" and code.isalnum()


def read_faiss(path: Path) -> RowFile:
    """Describe the rows of an IndexFlat, alone or in an IndexIDMap, IDMap2 or HNSWFlat.

    Parameters
    ----------
    path : Path

    Raises
    ------
    CorruptFile
        When the file is damaged; names section and offset.
    InvalidArgument
        For another kind of index, another metric than inner product and L2, and rows of too many
        components.
    """
    with BinaryFile(path) as file:
        flat = _index(file, 1)

    def read(rows: int) -> Iterator[Block]:
        with BinaryFile(path) as file:
            file.offset = flat.offset
            for first in range(0, flat.count, rows):
                last = min(first + rows, flat.count)
                found = file.array("rows", "<f4", (last - first, flat.dim))
                ids = range(first, last) if flat.ids is None else flat.ids[first:last].tolist()
                yield ids, found

    return RowFile(
        path=path,
        format=f"faiss {flat.kind}",
        count=flat.count,
        dim=flat.dim,
        metric=flat.metric,
        ids="ordinal" if flat.ids is None else "int64",
        notes=flat.notes,
        read=read,
    )


def _index(file: BinaryFile, depth: int) -> _Flat:
    start = file.offset
    code = file.read("code of the index", 4)
    if code in FLAT:
        return _flat(file, FLAT[code])
    if code not in ID_MAPS and code not in HNSW:
        raise _refusal(file.path, code, start)
    if depth == DEEPEST:
        raise file.damaged("code of the index", f"more than {DEEPEST} indexes within each other")
    count, dim, metric = _header(file)
    inner = _map(file, depth) if code in ID_MAPS else _hnsw(file, depth, count)
    if (count, dim, metric) != (inner.count, inner.dim, inner.metric):
        raise file.damaged(
            f"{(ID_MAPS | HNSW)[code]}",
            f"it has {count} rows of {dim} by {metric}, and the {inner.kind} in it "
            f"{inner.count} of {inner.dim} by {inner.metric}",
        )
    kind = f"{(ID_MAPS | HNSW)[code]} over {inner.kind}"
    return _Flat(kind, count, dim, metric, inner.offset, inner.ids, inner.notes)


def _header(file: BinaryFile) -> tuple[int, int, str]:
    """Read rows, dimension and metric."""
    dim, count, _, _, trained, number = file.unpack("header", "<iqqqBi")
    if trained > 1:
        raise file.damaged("header", f"is_trained is {trained}, and is 0 or 1 in every index")
    check_dim(file.path, dim, count)
    metric = METRICS.get(number)
    if metric is None:
        raise InvalidArgument(
            f"{file.path} has the faiss metric {number}: a collection compares cosines, to which "
            "rows made for inner product (0) or L2 (1) can be taken over. Save the rows with "
            "numpy.save() if they are meant to be compared so"
        )
    return count, dim, metric


def _flat(file: BinaryFile, kind: str) -> _Flat:
    count, dim, metric = _header(file)
    numbers = file.length("rows", 4)  # counted by float32
    if numbers != count * dim:
        raise file.damaged("rows", f"{numbers} numbers for {count} rows of {dim}")
    offset = file.skip("rows", numbers * 4)
    return _Flat(kind, count, dim, metric, offset, None, ())


def _map(file: BinaryFile, depth: int) -> _Flat:
    inner = _index(file, depth + 1)
    count = file.length("id_map", 8)
    if count != inner.count:
        raise file.damaged("id_map", f"{count} ids for {inner.count} rows")
    ids = file.array("id_map", "<i8", (count,))
    return _Flat(inner.kind, count, inner.dim, inner.metric, inner.offset, ids, inner.notes)


def _hnsw(file: BinaryFile, depth: int, rows: int) -> _Flat:
    for section, width in {"assign_probas": 8, "cum_nneighbor_per_level": 4}.items():
        file.skip(section, file.length(section, width) * width)
    for section, width, wanted in (("levels", 4, rows), ("offsets", 8, rows + 1)):
        count = file.length(section, width)
        if count != wanted:
            raise file.damaged(section, f"{count} numbers for {rows} rows, which want {wanted}")
        file.skip(section, count * width)
    file.skip("neighbors", file.length("neighbors", 4) * 4)
    file.skip("graph", 5 * 4)  # entry point, top level, efConstruction, efSearch, upper_beam
    inner = _index(file, depth + 1)
    note = "the graph is not taken over: the collection builds its own"
    return _Flat(inner.kind, inner.count, inner.dim, inner.metric, inner.offset, inner.ids, (note,))


def _refusal(path: Path, code: bytes, offset: int) -> InvalidArgument:
    told = code.decode("ascii", "backslashreplace")
    kind = f", which is {LOSSY[code]}" if code in LOSSY else ""
    return InvalidArgument(
        f"{path} has an index {told!r}{kind} at offset {offset}; read are IndexFlat (IxFI, IxF2), "
        "IndexIDMap (IxMp, IxM2) and IndexHNSWFlat (IHNf), which keep the rows as they were given. "
        "Take the rows out with faiss (index.reconstruct_n(0, index.ntotal)), numpy.save() them, "
        "and convert that"
    )


def write_faiss(
    file: BinaryIO, blocks: Iterable[npt.NDArray[np.float32]], ids: npt.NDArray[np.int64], dim: int
) -> None:
    """Write an IndexIDMap2 over an IndexFlatIP.

    Parameters
    ----------
    file : binary file, opened to write
    blocks : iterable of ndarray (n, dim), float32
        As many rows as there are ids.
    ids : ndarray (count,), int64
    dim : int
    """
    header = struct.pack("<iqqqBi", dim, len(ids), UNUSED, UNUSED, 1, 0)
    file.write(b"IxM2" + header + b"IxFI" + header + struct.pack("<Q", len(ids) * dim))
    for rows in blocks:
        file.write(np.ascontiguousarray(rows, "<f4").data)
    file.write(struct.pack("<Q", len(ids)) + ids.astype("<i8").tobytes())
