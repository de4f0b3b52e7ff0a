"""Rows as an alignment sees them: their sums, to estimate one, and the map itself, to check it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from .. import _core
from ..errors import InvalidArgument, InvalidVector

__all__ = ["Float32", "Float64", "RowSums", "Rows", "align_rows", "mean_direction", "unit_rows"]

CHUNK = 1_024  # rows looked at together: copies of more would need fresh memory each time
MIN_ROWS = 2  # one row is its own mean: centred, nothing is left of it
MIN_NORM = 1e-6  # the same bound as the native kernels: below it a centred row has no direction

Rows: TypeAlias = "npt.ArrayLike | Iterable[npt.NDArray[np.float32]]"
Float32: TypeAlias = "npt.NDArray[np.float32]"
Float64: TypeAlias = "npt.NDArray[np.float64]"


def unit_rows(what: str, rows: npt.ArrayLike, first: int = 0) -> Float64:
    """Scale rows (n, dim) to unit length, in float64; `first` is the number of the first one.

    Raises
    ------
    InvalidVector
        For another shape, and for a zero, NaN or infinite row, naming it.
    """
    try:
        if np.iscomplexobj(rows):  # numpy would drop the imaginary parts
            raise TypeError("complex numbers")
        block = np.asarray(rows, dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise InvalidVector(f"{what} is no array of real numbers ({error})") from error
    if block.ndim != 2:
        raise InvalidVector(f"{what} has shape {block.shape}: give (n, dim) rows")
    with np.errstate(over="ignore"):  # an infinite norm is refused just below
        norms = np.linalg.norm(block, axis=1)
    bad = ~(np.isfinite(norms) & (norms > 0))
    if bad.any():
        position = int(np.argmax(bad))
        raise InvalidVector(
            f"row {first + position} of {what} has norm {norms[position]}: "
            "remove zero, NaN and infinite rows"
        )
    return np.asarray(block / norms[:, None])


class RowSums:
    """Count, sum and (when asked for) second moments of unit rows, in float64.

    Sums can be added and subtracted, so that the statistics of a field without some of its rows
    cost those rows alone.

    Parameters
    ----------
    what : str
        Names the rows in messages.
    rows : array-like (n, dim) or an iterable of such arrays
        Rows that do not fit in memory at once may come as a stream of chunks.
    moments : bool
        Sum x xᵀ as well: (dim, dim), which costs n dim² operations.

    Raises
    ------
    InvalidVector
        For a zero, NaN or infinite row, naming it.
    """

    def __init__(self, what: str, rows: Rows, *, moments: bool = False) -> None:
        self.what = what
        self.count = 0
        self.total: Float64 = np.zeros(0)
        self.square: Float64 | None = None
        for chunk in _chunks(rows):
            if not np.size(chunk):
                continue
            unit = unit_rows(what, chunk, self.count)
            outer = unit.T @ unit if moments else None
            self.square = outer if self.square is None else self.square + outer
            self.total = unit.sum(axis=0) + (self.total if self.count else 0.0)
            self.count += len(unit)

    @property
    def dim(self) -> int:
        """Dim of the rows; 0 without any."""
        return self.total.size

    @property
    def mean(self) -> Float64:
        """Mean direction (dim,), of norm at most 1.

        Raises
        ------
        InvalidArgument
            For fewer than 2 rows.
        """
        if self.count < MIN_ROWS:
            raise InvalidArgument(
                f"{self.what} has {self.count} rows and centring needs at least {MIN_ROWS}: "
                "add vectors first (some hundreds make a steady mean)"
            )
        return np.asarray(self.total / self.count)

    def scatter(self) -> Float64:
        """Sum of (x - mean)(x - mean)ᵀ, (dim, dim); needs the moments."""
        mean = self.mean
        if self.square is None:
            raise InvalidArgument(f"{self.what} was summed without moments: sum it with them")
        return np.asarray(self.square - self.count * np.outer(mean, mean))

    def add(self, other: RowSums, sign: int = 1) -> RowSums:
        """Give the sums of both (or with ``sign=-1`` of these rows without the others)."""
        if not other.count:
            return self
        both = RowSums(self.what, ())
        both.count = self.count + sign * other.count
        both.total = (self.total if self.count else 0.0) + sign * other.total
        if self.square is not None and other.square is not None:
            both.square = self.square + sign * other.square
        elif not self.count:
            both.square = other.square
        return both


def _chunks(rows: Rows) -> Iterator[npt.ArrayLike]:
    if not hasattr(rows, "__array__") and not isinstance(rows, (list, tuple)):
        yield from rows  # type: ignore[misc]
    elif not isinstance(rows, np.ndarray) or rows.ndim != 2:
        yield rows  # type: ignore[misc]
    else:
        for start in range(0, len(rows), CHUNK):
            yield rows[start : start + CHUNK]


def mean_direction(rows: Rows) -> Float64:
    """Mean of the normalised rows, in float64: (dim,), with a norm of at most 1.

    Raises
    ------
    InvalidArgument
        For fewer than 2 rows.
    InvalidVector
        For a zero, NaN or infinite row.
    """
    return RowSums("the sample", rows).mean


def align_rows(
    rows: npt.ArrayLike, alignment: _core.Alignment | None, query_modality: str | None = None
) -> Float64:
    """Apply an alignment to vectors themselves, in float64: the reference for what an index scores.

    Parameters
    ----------
    rows : array-like (n, dim)
        Non-zero rows of any length.
    alignment : Alignment or None
        None only normalises.
    query_modality : str, optional
        Take the query side of that modality; without it the document side is taken.

    Returns
    -------
    ndarray (n, out_dim) float64
        Unit rows; zero where nothing is left after the map (norm below 1e-6).

    Raises
    ------
    InvalidArgument
        When the alignment has no map for `query_modality`.
    """
    x: Float64 = np.asarray(rows, dtype=np.float64)
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    if alignment is None:
        return x
    offset, linear = alignment.offset, alignment.linear
    if query_modality is not None:
        maps = alignment.query
        if maps and query_modality not in maps:
            raise InvalidArgument(
                f"the alignment has no query map for {query_modality!r}: it has {sorted(maps)}"
            )
        offset, linear = maps[query_modality] if maps else (None, None)
    if linear is not None:
        x = x @ linear.astype(np.float64).T
    if offset is not None:
        x = x + offset
    norm = np.linalg.norm(x, axis=1, keepdims=True)
    return np.where(norm < MIN_NORM, 0.0, x / np.maximum(norm, MIN_NORM))
