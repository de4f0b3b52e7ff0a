"""Read a filter in whichever dialect it is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from ..errors import InvalidFilter
from .builder import F
from .expression import Expression, check_expression
from .haystack import from_haystack, is_haystack
from .mongo import from_mongo

__all__ = ["FilterLike", "as_expression"]

FilterLike: TypeAlias = "Expression | Mapping[str, Any]"


def as_expression(given: FilterLike | None) -> Expression | None:
    """One tree from an expression, a Mongo-style dict or a Haystack dict; None stays None.

    A dict is Haystack's when its key ``operator`` holds one of that dialect's operators, or stands
    beside ``field`` or ``conditions``; every other is Mongo's.

    Raises
    ------
    InvalidFilter
        For anything else, and for what is malformed or too large.

    Examples
    --------
    >>> as_expression({"year": {"$gte": 2020}})
    F('year') >= 2020
    >>> as_expression({"field": "meta.year", "operator": ">=", "value": 2020}).to_dict()
    {'year': {'$gte': 2020}}
    """
    if given is None:
        return None
    if isinstance(given, Expression):
        return check_expression(given)
    if isinstance(given, Mapping):
        read = from_haystack if is_haystack(given) else from_mongo
        return check_expression(read(given))
    if isinstance(given, F):
        bool(given)  # says how to compare it
    raise InvalidFilter(
        f"filter is {given!r}, a {type(given).__name__}: give a dict such as "
        '{"year": {"$gte": 2020}}, or an expression such as F("year") >= 2020'
    )
