"""Index files of hnswlib's ``saveIndex``: the rows and labels of level 0.

The layout is that of ``hnswalg.h`` (little-endian, no magic number): a header of 96 bytes, then
per element a uint32 with the number of links (low 16 bits) and the mark of deletion (bit 16),
maxM0 links, the vector, and a uint64 label; then the links of the upper levels.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gapless.convert.binary import BinaryFile
from gapless.convert.row_file import BLOCK_BYTES, Block, RowFile, check_dim, int64_ids
from gapless.errors import CorruptFile

__all__ = ["HEADER_BYTES", "is_hnswlib", "read_hnswlib"]

HEADER = "<QQQQQQiIQQQdQ"
HEADER_BYTES = struct.calcsize(HEADER)
MOST_LINKS = 0xFFFF  # the number of links has 16 bits


@dataclass(frozen=True, slots=True)
class _Layout:
    """The numbers of the header that say where rows lie."""

    level0: int
    most: int
    count: int
    stride: int
    label: int
    vector: int
    top: int
    entry: int
    links: int
    links0: int
    m: int

    @classmethod
    def of(cls, header: bytes) -> _Layout:
        return cls(*struct.unpack(HEADER, header)[:11])

    @property
    def dim(self) -> int:
        return (self.label - self.vector) // 4

    def wrong(self) -> str | None:
        """Say what does not hold in it; None when all does."""
        if self.level0 != 0 or not 1 <= self.links0 <= MOST_LINKS:
            return f"offsetLevel0 is {self.level0} and maxM0 {self.links0}"
        if self.vector != 4 + 4 * self.links0:
            return f"offsetData is {self.vector}, and {self.links0} links take {self.links0 * 4}"
        if self.stride != self.label + 8 or self.label < self.vector:
            return f"label_offset is {self.label} in elements of {self.stride} bytes"
        if (self.label - self.vector) % 4:
            return f"rows of {self.label - self.vector} bytes are not of float32"
        if self.count > self.most:
            return f"cur_element_count is {self.count}, above max_elements {self.most}"
        return None


def is_hnswlib(start: bytes) -> bool:
    """Whether the first `HEADER_BYTES` of a file are the header of an hnswlib index."""
    return len(start) == HEADER_BYTES and _Layout.of(start).wrong() is None


def read_hnswlib(path: Path) -> RowFile:
    """Describe the rows of an index file; those marked as deleted are passed over.

    Parameters
    ----------
    path : Path

    Raises
    ------
    CorruptFile
        When the file is damaged; names section and offset.
    InvalidArgument
        For rows of too many components, and labels that int64 cannot hold.
    """
    with BinaryFile(path) as file:
        layout = _Layout.of(file.read("header", HEADER_BYTES))
        wrong = layout.wrong()
        if wrong is not None:
            raise CorruptFile(f"{path} is damaged: header at offset 0: {wrong}")
        check_dim(path, layout.dim, layout.count)
        file.skip("level 0", layout.count * layout.stride)
        file.require("upper levels", layout.count * 4)  # one size for each element, at least

    def read(rows: int) -> Iterator[Block]:
        step = max(1, min(rows, BLOCK_BYTES // layout.stride))
        with BinaryFile(path) as file:
            file.offset = HEADER_BYTES
            for first in range(0, layout.count, step):
                count = min(step, layout.count - first)
                yield _block(file, layout, first, count)

    return RowFile(
        path=path,
        format="hnswlib index",
        count=layout.count,
        dim=layout.dim,
        metric=None,
        ids="int64",
        notes=("the graph is not taken over: the collection builds its own",),
        read=read,
    )


def _block(file: BinaryFile, layout: _Layout, first: int, count: int) -> Block:
    start = file.offset
    element = np.dtype(
        {
            "names": ["links", "mark", "rest", "vector", "label"],
            "formats": ["<u2", "u1", "u1", ("<f4", (layout.dim,)), "<u8"],
            "offsets": [0, 2, 3, layout.vector, layout.label],
            "itemsize": layout.stride,
        }
    )
    data = file.array("level 0", np.uint8, (count, layout.stride))
    found = data.reshape(-1).view(element)
    wrong = (found["links"] > layout.links0) | (found["mark"] > 1) | (found["rest"] > 0)
    if wrong.any():
        at = int(np.argmax(wrong))
        file.offset = start + at * layout.stride
        raise file.damaged(
            f"level 0, element {first + at}",
            f"its word of links is {int.from_bytes(data[at, :4].tobytes(), 'little'):#x}, and "
            f"there are at most {layout.links0} links and one mark",
        )
    live = found["mark"] == 0
    kept = found[live]
    return int64_ids(file.path, kept["label"]).tolist(), np.ascontiguousarray(kept["vector"])
