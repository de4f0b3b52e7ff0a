"""Filters in the manner of Haystack 2: `{"field": ..., "operator": ">=", "value": 2020}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import InvalidFilter
from .builder import read_values
from .expression import (
    MAX_DEPTH,
    And,
    Compare,
    Expression,
    In,
    Not,
    Or,
    both,
    either,
    negate,
    read_scalar,
    read_value,
)
from .mongo import suggestion
from .place import ID, Place, parse_place

__all__ = ["from_haystack", "is_haystack"]

LOGIC = ("AND", "OR", "NOT")
COMPARISONS = ("==", "!=", ">", ">=", "<", "<=", "in", "not in")


def is_haystack(given: Mapping[Any, Any]) -> bool:
    """Whether a dict is of this dialect: it has an operator of it, or all of its keys."""
    if "operator" not in given:
        return False
    return (
        given["operator"] in (*LOGIC, *COMPARISONS) if isinstance(given["operator"], str) else False
    ) or bool(given.keys() & {"conditions", "field"})


def from_haystack(given: Mapping[str, Any], depth: int = 1) -> Expression:
    """Read a Haystack dict.

    A comparison is ``{"field", "operator", "value"}`` with ``== != > >= < <= in`` or ``not in``; a
    junction is ``{"operator", "conditions"}`` with AND, OR or NOT (not all of them hold). A field
    ``meta.x`` is the metadata key ``x``, as is ``x`` alone; ``id`` is the id of the item.

    Raises
    ------
    InvalidFilter
        Naming the field, what was given and what is allowed.

    Notes
    -----
    As in Haystack, a missing field equals None, and an ordering with None never holds. Unlike
    there, a list satisfies a comparison by any of its elements; a bool equals no number; strings
    order as text, which ISO dates of one form agree with, and are not parsed as dates; and values
    of two types never order, where Haystack raises an error.

    Examples
    --------
    >>> from_haystack({"field": "meta.year", "operator": ">=", "value": 2020})
    F('year') >= 2020
    """
    if depth > MAX_DEPTH:
        raise InvalidFilter(f"the filter is nested deeper than {MAX_DEPTH}: flatten it")
    if "field" in given:
        return _comparison(given)
    operator, conditions = _entries(given, ("operator", "conditions"))
    if operator not in LOGIC:
        raise InvalidFilter(
            f"a filter joins conditions by {operator!r}"
            f"{suggestion(str(operator).upper(), LOGIC)}: give AND, OR or NOT"
        )
    if not isinstance(conditions, (list, tuple)):
        raise InvalidFilter(f"the conditions of {operator} are {conditions!r}: give a list")
    parts = []
    for condition in conditions:
        if not isinstance(condition, Mapping):
            raise InvalidFilter(f"{operator} holds the condition {condition!r}: give a dict")
        parts.append(from_haystack(condition, depth + 1))
    if operator == "OR":
        return either(*parts) if parts else Or(())
    joined = both(*parts) if parts else And(())
    return joined if operator == "AND" else negate(joined)


def _entries(given: Mapping[str, Any], names: tuple[str, ...]) -> list[Any]:
    if given.keys() != set(names):
        raise InvalidFilter(
            f"a condition has the keys {', '.join(map(repr, given))}: a comparison has 'field', "
            "'operator' and 'value', a junction 'operator' and 'conditions'"
        )
    return [given[name] for name in names]


def _comparison(given: Mapping[str, Any]) -> Expression:
    field, operator, value = _entries(given, ("field", "operator", "value"))
    place = _place(field)
    where = f"{operator} of the field {field!r}"
    if operator in ("==", "!="):
        equal = Compare(place, "==", read_value(value, where))
        return equal if operator == "==" else Not(equal)
    if operator in ("in", "not in"):
        among = In(place, read_values(value, where))
        return among if operator == "in" else Not(among)
    if operator not in COMPARISONS:
        raise InvalidFilter(
            f"the field {field!r} is compared by {operator!r}"
            f"{suggestion(operator, COMPARISONS)}: give one of {', '.join(COMPARISONS)}"
        )
    return Or(()) if value is None else Compare(place, operator, read_scalar(value, where))


def _place(field: object) -> Place:
    if field == "id":
        return ID
    place = parse_place(field)
    if len(place.keys) > 1 and place.keys[0] == "meta":
        return Place(place.keys[1:])
    return place
