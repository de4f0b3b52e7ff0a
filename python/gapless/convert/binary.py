"""A file read from front to back, of which nothing is believed before it is checked."""

from __future__ import annotations

import os
import stat
import struct
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from gapless.errors import CorruptFile, InvalidArgument

__all__ = ["BinaryFile", "damaged", "file_path"]


def file_path(path: str | os.PathLike[str]) -> Path:
    """`path` as the path of a file that is there.

    Pipes and devices are refused: they have no length that sizes could be checked against.

    Raises
    ------
    InvalidArgument
        When it is no path, or no regular file.
    OSError
        When it is not there or cannot be looked at.
    """
    try:
        found = Path(path)
        mode = found.stat().st_mode
    except (TypeError, ValueError) as error:
        raise InvalidArgument(f"path is {path!r}: give the path of a file") from error
    if not stat.S_ISREG(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "no regular file"
        raise InvalidArgument(f"{found} is {what}: give the path of a file")
    return found


def damaged(path: Path, section: str, offset: int, why: str) -> CorruptFile:
    """Return the error for damage in a section of a file, to be raised."""
    return CorruptFile(f"{path} is damaged: {section} at offset {offset}: {why}")


class BinaryFile:
    """A little-endian file with a place to read on from; a context manager.

    Every method checks that what it wants lies in the file before it takes memory for it.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    path : Path
    size : int
        Length in bytes when it was opened.
    offset : int
        Where the next read begins; may be set.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("rb", buffering=0)
        self.size = os.fstat(self._file.fileno()).st_size
        self.offset = 0

    def __enter__(self) -> BinaryFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def damaged(self, section: str, why: str) -> CorruptFile:
        """Return the error for damage at the present place, to be raised."""
        return damaged(self.path, section, self.offset, why)

    def require(self, section: str, count: int) -> None:
        """Check that `count` bytes are left.

        Raises
        ------
        CorruptFile
        """
        left = self.size - self.offset
        if not 0 <= count <= left:
            raise self.damaged(section, f"it wants {count} bytes, and {left} are left in the file")

    def skip(self, section: str, count: int) -> int:
        """Pass over `count` bytes, and return where they begin."""
        self.require(section, count)
        start = self.offset
        self.offset += count
        return start

    def read(self, section: str, count: int) -> bytes:
        """Read `count` bytes."""
        self.require(section, count)
        data = bytearray(count)
        self._into(section, memoryview(data))
        return bytes(data)

    def unpack(self, section: str, layout: str) -> tuple[Any, ...]:
        """Read values laid out as `struct` says, such as ``"<iq"``."""
        return struct.unpack(layout, self.read(section, struct.calcsize(layout)))

    def length(self, section: str, item_bytes: int) -> int:
        """Read the uint64 before an array, and check that as many items follow it.

        Raises
        ------
        CorruptFile
        """
        count: int = self.unpack(section, "<Q")[0]
        self.require(section, count * item_bytes)
        return count

    def array(self, section: str, dtype: npt.DTypeLike, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """Read an array in C order."""
        wanted = np.dtype(dtype)
        count = wanted.itemsize
        for length in shape:
            count *= length
        self.require(section, count)
        found = np.empty(shape, wanted)
        self._into(section, found.reshape(-1).view(np.uint8).data)
        return found

    def _into(self, section: str, target: memoryview) -> None:
        self._file.seek(self.offset)
        done = 0
        while done < len(target):  # a system call gives 2 GiB at most
            more = self._file.readinto(target[done:])
            if not more:
                raise self.damaged(section, "the file has become shorter while it was read")
            done += more
        self.offset += done
