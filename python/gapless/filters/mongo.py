"""Filters in the manner of MongoDB: `{"year": {"$gte": 2020}, "tags": "sea"}`."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import InvalidFilter
from .builder import read_size, read_text, read_values
from .expression import (
    MAX_DEPTH,
    And,
    Compare,
    Contains,
    Exists,
    Expression,
    In,
    Not,
    Or,
    Size,
    StartsWith,
    both,
    either,
    negate,
    read_scalar,
    read_value,
)
from .place import Place, parse_place

__all__ = ["LOGIC", "OPERATORS", "from_mongo", "suggestion"]


def from_mongo(given: Mapping[str, Any], depth: int = 1) -> Expression:
    """Read a Mongo-style dict.

    Each key is a field or one of ``$and``, ``$or``, ``$nor`` (a list of dicts each) and ``$not``
    (one dict); all entries must hold. A field stands before a value to equal, or a dict of
    operators: ``$eq $ne $gt $gte $lt $lte $in $nin $exists $all $contains $startswith $size
    $not``.

    Raises
    ------
    InvalidFilter
        Naming the field, what was given and what is allowed.

    Notes
    -----
    As in MongoDB, but for this: numbers beyond 64 bits compare exactly; objects are equal in
    whatever order their keys are; ``{"a.b": None}`` holds where the whole path reaches nothing,
    not where one object of a list lacks the last key; ``$gte`` and its kin take no None; regular
    expressions are left out, as SQLite has none.

    Examples
    --------
    >>> from_mongo({"year": {"$gte": 2000, "$lt": 2010}, "tags": "sea"})
    (F('year') >= 2000) & (F('year') < 2010) & (F('tags') == 'sea')
    """
    _check_depth(depth)
    parts: list[Expression] = []
    for key, value in given.items():
        if isinstance(key, str) and key.startswith("$") and key not in ("$id", "$uri"):
            parts.append(_logic(key, value, depth + 1))
        else:
            parts.append(_field(parse_place(key), value, depth + 1))
    return both(*parts) if parts else And(())


def _check_depth(depth: int) -> None:
    if depth > MAX_DEPTH:
        raise InvalidFilter(f"the filter is nested deeper than {MAX_DEPTH}: flatten it")


def _logic(key: str, value: object, depth: int) -> Expression:
    if key not in LOGIC:
        if key in OPERATORS:
            raise InvalidFilter(
                f"{key} stands without a field: write {{field: {{{key!r}: {value!r}}}}}"
            )
        raise InvalidFilter(
            f"a filter holds {key!r}, which joins nothing"
            f"{suggestion(key, LOGIC)}: give {', '.join(LOGIC)}, or a field name"
        )
    if key == "$not":
        if not isinstance(value, Mapping):
            raise InvalidFilter(f"$not is given {value!r}: give one dict")
        return negate(from_mongo(value, depth))
    if not isinstance(value, (list, tuple)) or not value:
        raise InvalidFilter(f"{key} is given {value!r}: give a list of at least one dict")
    parts = []
    for part in value:
        if not isinstance(part, Mapping):
            raise InvalidFilter(f"{key} holds {part!r}, a {type(part).__name__}: give dicts")
        parts.append(from_mongo(part, depth))
    if key == "$and":
        return both(*parts)
    return either(*parts) if key == "$or" else negate(either(*parts))


def _field(place: Place, value: object, depth: int) -> Expression:
    if not isinstance(value, Mapping) or not any(
        isinstance(key, str) and key.startswith("$") for key in value
    ):
        return Compare(place, "==", read_value(value, f"{str(place)!r}"))
    _check_depth(depth)
    return both(*(_operator(place, name, inner, depth) for name, inner in value.items()))


def _operator(place: Place, name: object, value: object, depth: int) -> Expression:
    where = f"{name} of the field {str(place)!r}"
    if name == "$not":
        if not isinstance(value, Mapping) or not value:
            raise InvalidFilter(
                f"{where} is given {value!r}: give a dict of operators, or write $ne"
            )
        return negate(_field(place, value, depth + 1))
    if not isinstance(name, str) or name not in OPERATORS:
        kind = "regular expressions are not supported" if name == "$regex" else "is no operator"
        hint = ": write $startswith or $contains" if name == "$regex" else ""
        raise InvalidFilter(
            f"{where}: {kind}{hint or suggestion(name, OPERATORS)}. "
            f"There are {', '.join(OPERATORS)}, $not"
        )
    return OPERATORS[name](place, value, where)


def _ordering(sign: str) -> Callable[[Place, object, str], Expression]:
    return lambda place, value, where: Compare(place, sign, read_scalar(value, where))


def _exists(place: Place, value: object, where: str) -> Expression:
    if not isinstance(value, bool):
        raise InvalidFilter(f"{where} is given {value!r}: give True or False")
    return Exists(place) if value else Not(Exists(place))


def _all(place: Place, values: object, where: str) -> Expression:
    parts = [Compare(place, "==", value) for value in read_values(values, where)]
    return both(*parts) if parts else Or(())


LOGIC = ("$and", "$or", "$nor", "$not")
OPERATORS: dict[str, Callable[[Place, object, str], Expression]] = {
    "$eq": lambda place, value, where: Compare(place, "==", read_value(value, where)),
    "$ne": lambda place, value, where: Not(Compare(place, "==", read_value(value, where))),
    "$gt": _ordering(">"),
    "$gte": _ordering(">="),
    "$lt": _ordering("<"),
    "$lte": _ordering("<="),
    "$in": lambda place, values, where: In(place, read_values(values, where)),
    "$nin": lambda place, values, where: Not(In(place, read_values(values, where))),
    "$exists": _exists,
    "$all": _all,
    "$contains": lambda place, value, where: Contains(place, read_value(value, where)),
    "$startswith": lambda place, value, where: StartsWith(place, read_text(value, where)),
    "$size": lambda place, value, where: Size(place, read_size(value, where)),
}


def suggestion(given: object, known: object) -> str:
    """`", did you mean ...?"` when one of the known words is close to the one given."""
    words = [str(word) for word in known] if hasattr(known, "__iter__") else []
    close = difflib.get_close_matches(str(given), words, n=1)
    return f" (did you mean {close[0]}?)" if close else ""
