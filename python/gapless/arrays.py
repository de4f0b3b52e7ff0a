"""Arrays of real numbers from whatever a caller hands over."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from . import _core
from .errors import InvalidVector

__all__ = ["as_array", "as_matrix"]


def as_array(what: str, given: npt.ArrayLike) -> npt.NDArray[Any]:
    """Make an array of real numbers, of any shape.

    Raises
    ------
    InvalidVector
        When the rows differ in length, hold something else than real numbers, or are masked.
    """
    try:
        array = np.asarray(given)
    except (ValueError, TypeError) as error:
        raise InvalidVector(f"{what} is no array: rows of unequal length ({error})") from error
    if np.ma.is_masked(given):  # asarray would bring back what was masked
        raise InvalidVector(f"{what} has masked entries: fill them, or leave their rows out")
    if array.dtype.kind not in "fiu":
        raise InvalidVector(f"{what} has dtype {array.dtype}: give real numbers, float32 at best")
    return array


def as_matrix(what: str, given: npt.ArrayLike, dim: int) -> npt.NDArray[np.float32]:
    """Make unit float32 rows (n, dim) in C order of any real array of that shape.

    Raises
    ------
    InvalidVector
        When `given` is no real array of shape (n, dim), or a row is zero, NaN or infinite.
    """
    array = as_array(what, given)
    if array.ndim != 2 or array.shape[1] != dim:
        raise InvalidVector(
            f"{what} has shape {array.shape}: give (n, {dim}), one row of {dim} numbers per item"
        )
    if not len(array):
        return np.empty((0, dim), np.float32)
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes inf, refused just below
        rows = np.ascontiguousarray(array, dtype=np.float32)
    try:
        return np.ascontiguousarray(_core.normalise(rows))
    except InvalidVector as error:
        raise InvalidVector(f"{what}: {error}") from error
