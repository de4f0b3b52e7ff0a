"""Tell apart what callers give: lists and lone values, flags, numbers."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable
from typing import Any

import numpy as np

from .errors import InvalidArgument

__all__ = ["as_flag", "as_number", "is_listed", "is_word"]


def is_listed(given: Any) -> bool:
    """Whether this is a list, an array or another iterable of entries, and no text."""
    return (
        isinstance(given, Iterable)
        and not isinstance(given, (str, bytes))
        and getattr(given, "ndim", 1) != 0  # an array of no dimension claims to be iterable
    )


def is_word(given: object) -> bool:
    """Whether this is a name: a string of valid Unicode with something in it."""
    if not isinstance(given, str) or not given:
        return False
    try:
        given.encode()
    except UnicodeEncodeError:
        return False
    return True


def as_number(given: object) -> float | None:
    """Give a real number as a float, ±inf for one beyond floats; None for what is none."""
    if isinstance(given, (bool, np.bool_)) or not isinstance(given, (numbers.Real, np.number)):
        return None
    if isinstance(given, np.complexfloating):
        return None
    try:
        return float(given)
    except OverflowError:
        return math.inf if given > 0 else -math.inf  # type: ignore[operator]


def as_flag(what: str, given: object) -> bool:
    """Give a bool.

    Raises
    ------
    InvalidArgument
        For anything else, even where Python would take it for one.
    """
    if not isinstance(given, (bool, np.bool_)):
        raise InvalidArgument(f"{what} is {given!r:.60}: give True or False")
    return bool(given)
