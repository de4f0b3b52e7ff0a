"""A stored item, as a collection hands it out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Item"]


@dataclass(frozen=True, slots=True)
class Item:
    """One stored item.

    Attributes
    ----------
    id : str or int
    metadata : dict or None
    uri : str or None
    fields : tuple of str
        The fields that the item fills, in schema order.
    vectors : mapping of str to ndarray
        Its unit vectors by field, when they were asked for; else empty: (dim,) float32, and
        (rows, dim) for a field that takes several rows per item.
    spans : mapping of str to list
        Of the fields with spans, one (start, end) or None for each of its rows.
    """

    id: str | int
    metadata: dict[str, Any] | None
    uri: str | None
    fields: tuple[str, ...]
    vectors: Mapping[str, Any]
    spans: Mapping[str, Any] = field(default_factory=dict)
