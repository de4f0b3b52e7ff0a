"""The vectors of one field in one upsert: one row per item, or any number of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .arrays import as_array, as_matrix
from .errors import InvalidArgument, InvalidVector
from .row_labels import MAX_ROWS
from .spans import SpanTable

__all__ = ["FieldRows", "FieldVectors", "read_rows"]

Float32: TypeAlias = "npt.NDArray[np.float32]"
Int64: TypeAlias = "npt.NDArray[np.int64]"
FieldVectors: TypeAlias = "npt.ArrayLike | Sequence[npt.ArrayLike | None]"


@dataclass(frozen=True, slots=True)
class FieldRows:
    """Checked rows of one field for the n ids of an upsert, those of an item one after another.

    Attributes
    ----------
    rows : ndarray (total, dim), float32
        Unit rows.
    counts : ndarray (n,), int64
        Rows of each id, 0 for one whose rows are to go; -1 for one whose rows stay as they are.
    spans : SpanTable, optional
        Where the rows lie in the originals.
    """

    rows: Float32
    counts: Int64
    spans: SpanTable | None = None

    @property
    def given(self) -> npt.NDArray[np.bool_]:
        """Which ids have their rows replaced, (n,)."""
        return self.counts >= 0


def read_rows(field: str, given: Any, dim: int, n: int, several: bool) -> FieldRows:
    """Check the vectors that an upsert of `n` ids has for `field`.

    A field that takes one row per item wants an array (n, dim). One that takes several takes that
    too, or a sequence with an array (rows, dim) for each id: None leaves the item as it is in this
    field, an array of no rows empties it.

    Raises
    ------
    InvalidArgument
        For another number of entries than ids.
    InvalidVector
        For anything else, and for zero, NaN and infinite rows.
    """
    what = f"vectors[{field!r}]"
    if not several:
        try:
            return _one_each(what, given, dim, n)
        except InvalidVector as error:
            if _is_ragged(given):
                raise InvalidVector(
                    f"{what} holds several rows for an item, and the field takes one: declare the "
                    f"field as Field(..., several=True), or give an array ({n}, {dim})"
                ) from error
            raise
    if hasattr(given, "__array__"):
        array = np.asarray(given)
        if array.ndim == 2 and array.dtype != object:
            return _one_each(what, given, dim, n)
        given = list(given)
    if isinstance(given, (str, bytes)) or not isinstance(given, Sequence):
        raise InvalidVector(
            f"{what} is a {type(given).__name__}: give a list with an array (rows, {dim}) for each "
            f"id (None keeps its rows), or one array (n, {dim})"
        )
    if len(given) != n:
        raise InvalidArgument(
            f"{what} has {len(given)} entries for {n} ids: give one array (rows, {dim}) per id"
        )
    parts = [_entry(f"{what}[{i}]", value, dim) for i, value in enumerate(given)]
    counts = np.array([-1 if part is None else len(part) for part in parts], np.int64)
    stacked = [part for part in parts if part is not None and len(part)]
    if not stacked:
        return FieldRows(np.empty((0, dim), np.float32), counts)
    try:
        return FieldRows(as_matrix(what, np.concatenate(stacked), dim), counts)
    except InvalidVector:
        for i, part in enumerate(parts):  # which item's row it is, not which of all rows
            if part is not None:
                as_matrix(f"{what}[{i}]", part, dim)
        raise


def _one_each(what: str, given: Any, dim: int, n: int) -> FieldRows:
    rows = as_matrix(what, given, dim)
    if len(rows) != n:
        raise InvalidArgument(f"{what} has {len(rows)} rows for {n} ids: give one row per id")
    return FieldRows(rows, np.ones(n, np.int64))


def _entry(what: str, value: Any, dim: int) -> npt.NDArray[Any] | None:
    """One id's rows, not yet of unit length; None where none are given."""
    if value is None:
        return None
    array = as_array(what, value)
    if array.shape in ((dim,), (0,)):
        array = array.reshape(-1, dim)
    if array.ndim != 2 or array.shape[1] != dim:
        raise InvalidVector(
            f"{what} has shape {array.shape}: give (rows, {dim}), an empty list to leave the item "
            "without rows in this field, or None to keep those it has"
        )
    if len(array) > MAX_ROWS:
        raise InvalidVector(
            f"{what} has {len(array)} rows, and an item takes at most {MAX_ROWS} in a field: "
            "pool the rows, or make several items of it"
        )
    return array


def _is_ragged(given: Any) -> bool:
    """Whether `given` looks like several rows, or none, for some of the items."""
    if hasattr(given, "__array__"):
        array = np.asarray(given)
        if array.dtype != object:
            return array.ndim == 3
    elif not isinstance(given, Sequence) or isinstance(given, (str, bytes)):
        return False
    return any(value is None or _depth(value) == 2 for value in given)


def _depth(value: Any) -> int:
    try:
        return np.ndim(value)
    except ValueError:  # rows of unequal length
        return 0
