"""Rows of a field's index by the catalogue's keys: which are there, and how pending ones get in."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .catalog import Catalog
from .errors import CorruptFile
from .segments import Index

__all__ = ["labels", "present", "put", "replay"]


def labels(keys: list[int]) -> npt.NDArray[np.int64]:
    """Catalogue keys as the labels of index rows."""
    return np.array(keys, np.int64)


def present(index: Index, keys: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which of `keys` have a row in `index`."""
    return np.asarray(index.contains(keys), bool)


def put(index: Index, keys: npt.NDArray[np.int64], rows: npt.NDArray[np.float32]) -> None:
    """Add the rows whose key is new to `index`, and replace the others."""
    old = present(index, keys)
    if old.any():
        index.update(keys[old], rows[old])
    if not old.all():
        index.add(rows[~old], ids=keys[~old])


def replay(catalog: Catalog, field: str, index: Index, after: int) -> None:
    """Bring `index` to what the catalogue's pending rows after a sequence number say.

    Raises
    ------
    CorruptFile
        For a pending vector of a wrong size.
    """
    size = 4 * index.dim
    for rows in catalog.pending(field, after):
        gone = labels([row.key for row in rows if row.vector is None])
        gone = gone[present(index, gone)]
        if len(gone):
            index.remove(gone)
        keys = labels([row.key for row in rows if row.vector is not None])
        blobs = [row.vector for row in rows if row.vector is not None]
        if any(len(blob) != size for blob in blobs):
            raise CorruptFile(
                f"{catalog.path}: a pending vector of field {field!r} is not {size} bytes long: "
                "restore the folder from a backup"
            )
        if blobs:
            vectors = np.frombuffer(b"".join(blobs), np.float32)
            put(index, keys, vectors.reshape(len(blobs), index.dim))
