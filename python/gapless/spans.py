"""Where a row lies in its item: seconds of a sound or video, characters of a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .errors import InvalidArgument

__all__ = ["FieldSpans", "Span", "SpanTable", "read_spans"]

Span: TypeAlias = "tuple[float, float]"
FieldSpans: TypeAlias = (
    "Sequence[Span | Sequence[Span | None] | npt.NDArray[Any] | None] | npt.NDArray[Any]"
)
Int64: TypeAlias = "npt.NDArray[np.int64]"


@dataclass(frozen=True, slots=True)
class SpanTable:
    """The spans of some rows: of the row `ordinals[j]` of the id at `positions[j]`.

    Attributes
    ----------
    positions, ordinals : ndarray (m,), int64
    bounds : ndarray (m, 2), float64
        Start and end, 0 <= start <= end < inf.
    """

    positions: Int64
    ordinals: Int64
    bounds: npt.NDArray[np.float64]


def read_spans(what: str, given: Any, counts: Int64) -> SpanTable:
    """Check the spans of one field in an upsert.

    Parameters
    ----------
    what : str
        What to call them in an error.
    given : sequence, one entry per id
        A sequence or array with one (start, end) per row of that id, or None where a row, or all
        rows of an id, have none. An id with one row may have its pair alone.
    counts : ndarray (n,), int64
        Rows that the upsert has for each id; -1 where it keeps those that are there.

    Raises
    ------
    InvalidArgument
        For another number of spans, bounds that are no finite numbers, a negative start, and an
        end before its start.
    """
    if isinstance(given, (str, bytes)) or not hasattr(given, "__len__"):
        raise InvalidArgument(
            f"{what} is a {type(given).__name__}: give a list with one entry per id"
        )
    if len(given) != len(counts):
        raise InvalidArgument(
            f"{what} has {len(given)} entries for {len(counts)} ids: give one per id, None for "
            "one whose rows have no spans"
        )
    positions, ordinals, bounds = [], [], []
    for i, (entry, count) in enumerate(zip(given, counts.tolist(), strict=True)):
        if entry is None:
            continue
        places, pairs = _entry(f"{what}[{i}]", entry, count)
        positions.append(np.full(len(places), i, np.int64))
        ordinals.append(places)
        bounds.append(pairs)
    if not positions:
        none = np.empty(0, np.int64)
        return SpanTable(none, none, np.empty((0, 2)))
    return SpanTable(
        np.concatenate(positions), np.concatenate(ordinals), np.concatenate(bounds).reshape(-1, 2)
    )


def _entry(what: str, entry: Any, count: int) -> tuple[Int64, npt.NDArray[np.float64]]:
    """Ordinals and bounds of one id's spans."""
    if isinstance(entry, (str, bytes)) or not hasattr(entry, "__len__"):
        raise InvalidArgument(f"{what} is {entry!r}: give one (start, end) per row, or None")
    pairs = list(entry)
    if count == 1 and len(pairs) == 2 and all(np.isscalar(bound) for bound in pairs):
        pairs = [tuple(pairs)]
    if len(pairs) != max(count, 0):
        rows = "rows that stay as they are" if count < 0 else f"{count} rows"
        raise InvalidArgument(
            f"{what} has {len(pairs)} spans for {rows}: give one (start, end) per row given here"
        )
    places = np.array([j for j, pair in enumerate(pairs) if pair is not None], np.int64)
    told = [pair for pair in pairs if pair is not None]
    try:
        bounds = np.asarray(told)
    except (ValueError, TypeError):
        bounds = np.empty(0, object)
    if not told:
        return places, np.empty((0, 2))
    if bounds.shape != (len(told), 2) or bounds.dtype.kind not in "fiu":
        j = next((j for j in places.tolist() if not _is_pair(pairs[j])), int(places[0]))
        raise InvalidArgument(
            f"{what}[{j}] is {pairs[j]!r}: give a pair of numbers (start, end), or None"
        )
    bounds = bounds.astype(np.float64)
    start, end = bounds.T
    wrong = ~((start >= 0) & (start <= end) & (end < np.inf))
    if wrong.any():
        j = int(places[np.argmax(wrong)])
        raise InvalidArgument(
            f"{what}[{j}] is {pairs[j]!r}: give finite numbers with 0 <= start <= end"
        )
    return places, bounds


def _is_pair(value: Any) -> bool:
    try:
        array = np.asarray(value)
    except (ValueError, TypeError):
        return False
    return array.shape == (2,) and array.dtype.kind in "fiu"
