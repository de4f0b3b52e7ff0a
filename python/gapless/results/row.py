"""One row of an item in a field that takes several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Row"]


@dataclass(frozen=True, slots=True)
class Row:
    """One of an item's rows in a field: a frame, a chunk, the vector of a token.

    Attributes
    ----------
    ordinal : int
        Its place among the item's rows in the field, from 0, as they were given.
    span : tuple of float or None
        Start and end in the original, where the item was stored with spans.
    vector : ndarray (dim,), float32, or None
        The unit row, when vectors were asked for.
    """

    ordinal: int
    span: tuple[float, float] | None
    vector: Any = None
