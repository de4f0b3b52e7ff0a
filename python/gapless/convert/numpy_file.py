"""Arrays of numpy: ``.npy`` with the rows, ``.npz`` with rows and ids; never a pickle."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO

import numpy as np
import numpy.typing as npt

from gapless.batch import ItemId
from gapless.convert.binary import BinaryFile, file_path
from gapless.convert.npy_header import NpyHeader, npy_header, read_npy_header
from gapless.convert.row_file import Block, RowFile, check_dim, int64_ids
from gapless.errors import CorruptFile, InvalidArgument

__all__ = ["ids_beside", "read_npy", "read_npz", "write_npy", "write_npz"]

IDS = "ids"
ROWS = "vectors"
MOST_IDS = 1 << 31  # bytes of an array of ids, which is held in memory
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    LookupError,
    ValueError,
    OverflowError,
)


def ids_beside(path: Path) -> Path:
    """Where the ids of a ``.npy`` lie that an export has written: ``rows.ids.npy``."""
    return path.with_suffix(f".{IDS}.npy")


# -- reading --------------------------------------------------------------------------------------


def read_npy(path: Path, ids: Path | None) -> RowFile:
    """Describe the rows of a ``.npy`` matrix of numbers.

    It is read in blocks, not mapped: a file that shrinks meanwhile is an error, not a crash.

    Parameters
    ----------
    path : Path
    ids : Path, optional
        A ``.npy`` of int64 or strings, one for each row; by default the rows are numbered.

    Raises
    ------
    CorruptFile
        When a file is damaged.
    InvalidArgument
        For arrays of objects, of another shape, and another number of ids.
    """
    with BinaryFile(path) as file:
        header = read_npy_header(path, lambda count: file.read("header", count))
        _check_rows(path, header)
        file.offset = header.bytes
        file.require("rows", header.data_bytes)
    count, dim = header.shape
    names: Sequence[ItemId] = range(count)
    if ids is not None:
        with BinaryFile(file_path(ids)) as file:
            told = read_npy_header(ids, lambda count: file.read("header", count))
            _check_ids(ids, told, count)
            names = _plain(ids, file.array("ids", told.dtype, told.shape))

    def read(rows: int) -> Iterator[Block]:
        with BinaryFile(path) as file:
            for first in range(0, count, rows):
                last = min(first + rows, count)
                yield names[first:last], _npy_rows(file, header, first, last)

    return RowFile(path, "numpy .npy", count, dim, None, _kind(names), (), read)


def _npy_rows(file: BinaryFile, header: NpyHeader, first: int, last: int) -> npt.NDArray[Any]:
    count, dim = header.shape
    width = header.dtype.itemsize
    if not header.fortran:
        file.offset = header.bytes + first * dim * width
        found = file.array("rows", header.dtype, (last - first, dim))
        return _float32(found)
    rows = np.empty((last - first, dim), np.float32)
    for column in range(dim):
        file.offset = header.bytes + (column * count + first) * width
        rows[:, column] = _float32(file.array("rows", header.dtype, (last - first,)))
    return rows


def read_npz(path: Path, array: str | None) -> RowFile:
    """Describe the rows of an ``.npz``: its only matrix of numbers, and ``ids`` if it has them.

    The names in it are compared and never used as paths: nothing is unpacked to disk.

    Parameters
    ----------
    path : Path
    array : str, optional
        Name of the rows, needed where several arrays could be them and none is ``vectors``.

    Raises
    ------
    CorruptFile
        When the file is damaged.
    InvalidArgument
        For arrays of objects, of another shape, another number of ids, and a choice to be made.
    """
    with _archive(path) as archive:
        headers = {}
        for info in archive.infolist():
            name = info.filename.removesuffix(".npy")
            if name == info.filename or (array is not None and name not in (array, IDS)):
                continue
            if name in headers:
                raise CorruptFile(f"{path} is damaged: it holds the array {name!r} twice")
            headers[name] = _member_header(path, archive, info)
        chosen = _choose(path, headers, array)
        header = headers[chosen]
        _check_rows(path, header)
        if header.fortran and min(header.shape) > 1:
            raise InvalidArgument(
                f"{path} holds {chosen!r} by columns (Fortran order), which cannot be read in "
                "blocks from an archive: save it as np.ascontiguousarray(rows), or as .npy"
            )
        count, dim = header.shape
        names: Sequence[ItemId] = range(count)
        if IDS in headers and chosen != IDS:
            told = headers[IDS]
            _check_ids(path, told, count)
            with archive.open(f"{IDS}.npy") as member:
                _exactly(path, member, told.bytes)
                data = _exactly(path, member, told.data_bytes)
            names = _plain(path, np.frombuffer(data, told.dtype) if data else np.empty(0))
    others = sorted(set(headers) - {chosen, IDS})
    notes = (f"not taken over: {', '.join(map(repr, others))}",) if others else ()

    def read(rows: int) -> Iterator[Block]:
        with _archive(path) as archive, archive.open(f"{chosen}.npy") as member:
            _exactly(path, member, header.bytes)
            for first in range(0, count, rows):
                last = min(first + rows, count)
                size = (last - first) * dim * header.dtype.itemsize
                data = np.frombuffer(_exactly(path, member, size), header.dtype)
                yield names[first:last], _float32(data.reshape(-1, dim))
            if member.read(1):
                raise CorruptFile(f"{path} is damaged: more follows the rows in {chosen!r}")

    return RowFile(path, f"numpy .npz ({chosen})", count, dim, None, _kind(names), notes, read)


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip archive, and call what is wrong with it damage."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (CorruptFile, InvalidArgument):
        raise
    except (*_ZIP_ERRORS, OSError) as error:
        if isinstance(error, OSError) and error.errno not in (None, 22):  # 22: an absurd offset
            raise
        raise CorruptFile(f"{path} is damaged: as an archive: {error!r}") from error


def _member_header(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> NpyHeader:
    if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InvalidArgument(
            f"{path} holds {info.filename!r} encrypted or compressed in a way that numpy does not "
            "write: write it with np.savez() or np.savez_compressed()"
        )
    with archive.open(info) as member:
        header = read_npy_header(path, lambda count: _exactly(path, member, count))
    # Deflate makes at most 1032 bytes of one; what claims more would be found out after gigabytes.
    most = 1032 * info.compress_size + 1024 if info.compress_type else info.compress_size
    if header.bytes + header.data_bytes != info.file_size or info.file_size > most:
        raise CorruptFile(
            f"{path} is damaged: {info.filename!r} tells of {header.data_bytes} bytes in an entry "
            f"of {info.file_size}, stored in {info.compress_size}"
        )
    return header


def _exactly(path: Path, member: IO[bytes], count: int) -> bytes:
    parts = []
    left = count
    while left:
        part = member.read(min(left, 1 << 24))
        if not part:
            raise CorruptFile(f"{path} is damaged: {left} of {count} bytes are missing in an array")
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def _choose(path: Path, headers: dict[str, NpyHeader], array: str | None) -> str:
    if array is None and ROWS in headers:
        return ROWS
    able = [name for name, header in headers.items() if len(header.shape) == 2 and name != IDS]
    if array in headers:
        return str(array)
    if array is None and len(able) == 1:
        return able[0]
    held = ", ".join(f"{name!r} {header.shape}" for name, header in headers.items()) or "none"
    wanted = "no matrix of rows to choose" if array is None else f"no array {array!r}"
    raise InvalidArgument(
        f"{path} has {wanted}: it holds the arrays {held}; name the rows with array="
    )


def _check_rows(path: Path, header: NpyHeader) -> None:
    if len(header.shape) != 2 or header.dtype.kind not in "fiu" or header.dtype.itemsize > 8:
        raise InvalidArgument(
            f"{path} is an array {header.shape} of {header.dtype}: give rows as a matrix of real "
            "numbers, (n, dim), of at most 64 bits each"
        )
    check_dim(path, header.shape[1], header.shape[0])


def _check_ids(path: Path, header: NpyHeader, count: int) -> None:
    if header.shape != (count,):
        raise InvalidArgument(f"{path} has ids of shape {header.shape}, and there are {count} rows")
    if header.dtype.kind not in "iuU" or not header.dtype.itemsize:
        raise InvalidArgument(
            f"{path} has ids of {header.dtype}: give integers, or strings as np.array(ids, str)"
        )
    if header.data_bytes > MOST_IDS:
        raise InvalidArgument(
            f"{path} has {header.data_bytes} bytes of ids, above {MOST_IDS}: a .npy pads every "
            "string to the longest; give a table (.parquet), or integers"
        )


def _float32(rows: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    with np.errstate(over="ignore"):  # inf, which the collection refuses by its row
        return rows.astype(np.float32, copy=False)


def _plain(path: Path, ids: npt.NDArray[Any]) -> list[ItemId]:
    if ids.dtype == np.uint64:
        ids = int64_ids(path, ids)
    try:
        found: list[ItemId] = ids.tolist()
    except (ValueError, UnicodeError) as error:  # a number that is no character
        raise CorruptFile(f"{path} is damaged: ids: {error}") from error
    return found


def _kind(ids: Sequence[ItemId]) -> str:
    if isinstance(ids, range):
        return "ordinal"
    return "str" if ids and isinstance(ids[0], str) else "int64"


# -- writing --------------------------------------------------------------------------------------


def id_array(ids: Sequence[ItemId]) -> npt.NDArray[Any]:
    """Ids as an array of int64 or of strings.

    Raises
    ------
    InvalidArgument
        For ids of both kinds, and those that an array of strings would not give back.
    """
    if all(isinstance(name, int) for name in ids):
        return np.array(ids, "<i8")
    for name in ids:
        if not isinstance(name, str):
            raise InvalidArgument(
                f"the ids are of both kinds, such as {name!r} and strings, and an array takes one: "
                "export to a table (.parquet)"
            )
        if name.endswith("\0"):
            raise InvalidArgument(
                f"the id {name!r} ends in NUL, which numpy drops: export to a table (.parquet)"
            )
    longest = max(len(str(name)) for name in ids)
    if longest * 4 * len(ids) > MOST_IDS:
        raise InvalidArgument(
            f"the ids would take {longest * 4 * len(ids)} bytes, as a .npy pads every string to "
            "the longest: export to a table (.parquet)"
        )
    return np.array(ids, dtype=f"<U{max(longest, 1)}")


def write_npy(file: BinaryIO, blocks: Iterable[npt.NDArray[Any]], count: int, dim: int) -> None:
    """Write `count` float32 rows as a ``.npy``."""
    file.write(npy_header(np.dtype("<f4"), (count, dim)))
    for rows in blocks:
        file.write(np.ascontiguousarray(rows, "<f4").data)


def write_ids(file: IO[bytes], ids: Sequence[ItemId]) -> None:
    """Write ids as a ``.npy``."""
    names = id_array(ids)
    file.write(npy_header(names.dtype, names.shape))
    file.write(names.tobytes())


def write_npz(
    file: BinaryIO,
    blocks: Iterable[npt.NDArray[Any]],
    ids: Sequence[ItemId],
    dim: int,
) -> None:
    """Write an ``.npz`` with the arrays ``ids`` and ``vectors``, stored as np.savez does."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        with archive.open(zipfile.ZipInfo(f"{IDS}.npy"), "w", force_zip64=True) as member:
            write_ids(member, ids)
        with archive.open(zipfile.ZipInfo(f"{ROWS}.npy"), "w", force_zip64=True) as member:
            member.write(npy_header(np.dtype("<f4"), (len(ids), dim)))
            for rows in blocks:
                member.write(np.ascontiguousarray(rows, "<f4").data)
