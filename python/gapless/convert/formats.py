"""Which format a file has, by its first bytes; and which one a name asks for."""

from __future__ import annotations

from pathlib import Path

from gapless.convert.faiss_file import is_faiss
from gapless.convert.hnswlib_file import HEADER_BYTES, is_hnswlib
from gapless.convert.npy_header import MAGIC
from gapless.errors import InvalidArgument

__all__ = ["format_of_content", "format_of_name"]

_STARTS = {MAGIC: "npy", b"PK\x03\x04": "npz", b"PAR1": "parquet", b"ARROW1": "arrow"}
_SUFFIXES = {
    ".arrow": "arrow",
    ".faiss": "faiss",
    ".feather": "arrow",
    ".index": "faiss",
    ".ipc": "arrow",
    ".npy": "npy",
    ".npz": "npz",
    ".parquet": "parquet",
    ".pq": "parquet",
}


def format_of_content(path: Path) -> str:
    """Return arrow, faiss, hnswlib, npy, npz or parquet, whatever the file is called.

    Raises
    ------
    InvalidArgument
        When it begins like none of them.
    """
    with path.open("rb") as file:
        start = file.read(HEADER_BYTES)
    for magic, name in _STARTS.items():
        if start.startswith(magic):
            return name
    if is_hnswlib(start):
        return "hnswlib"
    if is_faiss(start):
        return "faiss"
    raise InvalidArgument(
        f"{path} begins with {start[:8]!r}, as no faiss or hnswlib index, .npy, .npz, parquet or "
        "arrow file does: give one of those (pickled rows: load them yourself where you trust "
        "them, and numpy.save() the array)"
    )


def format_of_name(path: Path) -> str:
    """Return arrow, faiss, npy, npz or parquet, by the suffix.

    Raises
    ------
    InvalidArgument
        For another suffix.
    """
    name = _SUFFIXES.get(path.suffix.lower())
    if name is None:
        raise InvalidArgument(
            f"{path} ends in {path.suffix!r}: give a file that ends in one of "
            f"{', '.join(sorted(_SUFFIXES))}"
        )
    return name
