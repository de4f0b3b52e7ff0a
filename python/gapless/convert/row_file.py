"""What a file of rows says about itself, and its rows in blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from gapless.batch import ItemId
from gapless.errors import CorruptFile, InvalidArgument
from gapless.schema import MAX_DIM

__all__ = ["BLOCK_BYTES", "Block", "RowFile", "block_rows", "check_dim", "int64_ids"]

BLOCK_BYTES = 16 << 20
"""Bytes of rows read at a time: few enough for any machine, enough to build a graph by."""

Block: TypeAlias = "tuple[Sequence[ItemId], npt.NDArray[np.float32]]"


@dataclass(frozen=True, slots=True)
class RowFile:
    """One matrix of rows in a file, with an id for each; iterate it for (ids, rows) blocks.

    Attributes
    ----------
    path : Path
    format : str
        What the file is, such as ``"faiss IndexIDMap2 over IndexFlatIP"``.
    count, dim : int
        Rows to come, and their components. Files that mark rows as deleted may yield fewer.
    metric : {"inner_product", "l2"} or None
        What the other library compared the rows by; None where the file does not say.
    ids : {"int64", "str", "ordinal"}
        Kind of the ids; ``"ordinal"`` are numbers from 0, as the file has none.
    notes : tuple of str
        What of the file is not taken over.
    read : callable
        Maps a number of rows to an iterator of blocks of at most so many.
    """

    path: Path
    format: str
    count: int
    dim: int
    metric: str | None
    ids: str
    notes: tuple[str, ...]
    read: Callable[[int], Iterator[Block]]

    def __iter__(self) -> Iterator[Block]:
        return self.blocks()

    def blocks(self, rows: int | None = None) -> Iterator[Block]:
        """Read from the front: ids and float32 rows (n, dim), as stored, not normalised.

        Parameters
        ----------
        rows : int, optional
            Rows in a block, at least 1; by default as many as fit 16 MiB.

        Raises
        ------
        CorruptFile
            When the file is damaged, or changed since it was looked at.
        """
        if rows is not None and rows < 1:
            raise InvalidArgument(f"rows is {rows}: give an integer of at least 1")
        return self.read(block_rows(self.dim) if rows is None else rows)


def block_rows(dim: int) -> int:
    """Rows of float32 that fit a block; at least one."""
    return max(1, BLOCK_BYTES // (4 * dim))


def check_dim(path: Path, dim: int, count: int) -> None:
    """Check the shape that a header gives.

    Raises
    ------
    CorruptFile
        For negative ones.
    InvalidArgument
        For a dimension that no collection takes.
    """
    if dim < 0 or count < 0:
        raise CorruptFile(f"{path} is damaged: its header tells of {count} rows of {dim} numbers")
    if not 1 <= dim <= MAX_DIM:
        raise InvalidArgument(
            f"{path} has rows of {dim} components: a space takes from 1 to {MAX_DIM}"
        )


def int64_ids(path: Path, values: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Ids that a file keeps as uint64.

    Raises
    ------
    InvalidArgument
        For one that int64 cannot hold.
    """
    found = values.astype(np.int64)
    if (found < 0).any():
        raise InvalidArgument(
            f"{path} has the id {int(values[found < 0][0])}, which a 64-bit signed "
            "integer cannot hold: give the rows smaller ids in the library that wrote the file"
        )
    return found
