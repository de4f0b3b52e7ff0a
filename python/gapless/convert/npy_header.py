r"""The header of a ``.npy`` array, read without evaluating it and written to be patched.

NEP 1: the bytes ``\x93NUMPY``, two of version, a uint16 (version 1) or uint32 (2, 3) length, and
a Python dict in text with descr, fortran_order and shape. Only plain number and string types are
understood; a pickle is never read.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gapless.convert.binary import damaged
from gapless.errors import InvalidArgument

__all__ = ["MAGIC", "NpyHeader", "npy_header", "read_npy_header"]

MAGIC = b"\x93NUMPY"
LONGEST = 10_000  # that of numpy itself
PARTS = {
    "descr": r"'descr': *'([<>|=]?[biufcUSVmM][0-9]{1,9})'",
    "fortran_order": r"'fortran_order': *(True|False)",
    "shape": r"'shape': *\(([0-9, ]*)\)",
}
OBJECTS = r"'descr': *'[|<>=]?O[0-9]*'"
ALIGN = 64


@dataclass(frozen=True, slots=True)
class NpyHeader:
    """What a header says, and how many bytes it takes.

    Attributes
    ----------
    dtype : numpy.dtype
    fortran : bool
        Whether columns lie together.
    shape : tuple of int
    bytes : int
        Where the data begin.
    """

    dtype: np.dtype[np.generic]
    fortran: bool
    shape: tuple[int, ...]
    bytes: int

    @property
    def data_bytes(self) -> int:
        """Bytes of the data, as an exact integer."""
        count = self.dtype.itemsize
        for length in self.shape:
            count *= length
        return count


def read_npy_header(path: Path, read: Callable[[int], bytes]) -> NpyHeader:
    """Read a header from the front of an array.

    Parameters
    ----------
    path : Path
        For messages.
    read : callable
        Gives the next n bytes, exactly; it raises CorruptFile where there are fewer.

    Raises
    ------
    CorruptFile
        When this is no header.
    InvalidArgument
        For arrays of objects and of structured types.
    """
    start = read(8)
    if start[:6] != MAGIC or start[6] not in (1, 2, 3):
        raise damaged(path, "header", 0, f"it begins with {start!r}, which no .npy array does")
    layout = "<H" if start[6] == 1 else "<I"
    length = struct.unpack(layout, read(struct.calcsize(layout)))[0]
    if length > LONGEST:
        raise damaged(path, "header", 8, f"{length} bytes of header, and arrays have some 100")
    text = read(length).decode("latin-1")
    if re.search(OBJECTS, text):
        raise InvalidArgument(
            f"{path} is an array of Python objects, which only unpickling could read, and that may "
            "run any code: save numbers, as np.save(path, np.stack(rows).astype(np.float32)), and "
            "ids as np.save(path, np.array(ids, dtype=str))"
        )
    found = {name: re.search(pattern, text) for name, pattern in PARTS.items()}
    if re.search(r"'descr': *[\[(]", text):
        raise InvalidArgument(
            f"{path} is an array of records: save the rows alone, as a matrix of numbers"
        )
    values = {name: match[1] for name, match in found.items() if match is not None}
    if len(values) < len(PARTS):
        missing = next(name for name in PARTS if name not in values)
        raise damaged(path, "header", 10, f"no {missing} can be read in {text[:200]!r}")
    try:
        dtype = np.dtype(values["descr"])
        shape = tuple(int(part) for part in values["shape"].split(",") if part.strip())
    except (TypeError, ValueError, OverflowError, SyntaxError) as error:
        raise damaged(path, "header", 10, f"{error} in {text[:200]!r}") from error
    return NpyHeader(
        dtype, values["fortran_order"] == "True", shape, 8 + struct.calcsize(layout) + length
    )


def npy_header(dtype: np.dtype[np.generic], shape: tuple[int, ...]) -> bytes:
    """Header of version 1 for an array in C order."""
    size = "".join(f"{length}," for length in shape)
    text = f"{{'descr': '{dtype.str}', 'fortran_order': False, 'shape': ({size}), }}"
    padding = -(len(MAGIC) + 4 + len(text) + 1) % ALIGN
    data = (text + " " * padding + "\n").encode("latin-1")
    return MAGIC + b"\x01\x00" + struct.pack("<H", len(data)) + data
