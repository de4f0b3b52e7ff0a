"""The meaning of an expression, in plain Python: the reference of the SQL, and what it falls to."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .expression import And, Compare, Contains, Exists, Expression, In, Not, Or, Size, StartsWith
from .place import Place

__all__ = ["matches"]

ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
LONGEST_POSITION = 9  # digits; no list is longer


def matches(
    expression: Expression,
    metadata: Mapping[str, Any] | None,
    id: str | int | None = None,
    uri: str | None = None,
) -> bool:
    """Whether an item satisfies the expression.

    Parameters
    ----------
    expression : Expression
        The filter.
    metadata : dict or None
        As read from JSON; None counts as empty.
    id, uri : optional
        The item's own; None counts as missing.

    Examples
    --------
    >>> from gapless.filters.builder import F
    >>> matches(F("tags") == "sea", {"tags": ["sea", "sand"]})
    True
    >>> matches(F("year") != 2020, {})
    True
    """
    if isinstance(expression, And):
        return all(matches(part, metadata, id, uri) for part in expression.parts)
    if isinstance(expression, Or):
        return any(matches(part, metadata, id, uri) for part in expression.parts)
    if isinstance(expression, Not):
        return not matches(expression.part, metadata, id, uri)
    place: Place = expression.place  # type: ignore[attr-defined]
    if place.source == "metadata":
        values = _reached({} if metadata is None else metadata, place.keys)
    else:
        own = id if place.source == "id" else uri
        values = [] if own is None else [own]
    return _condition(expression, values)


def _reached(value: object, keys: tuple[str, ...]) -> list[object]:
    """Every value at the path; a list on the way stands for each object in it."""
    if not keys:
        return [value]
    if isinstance(value, Mapping):
        return _reached(value[keys[0]], keys[1:]) if keys[0] in value else []
    if not isinstance(value, (list, tuple)):
        return []
    found = [inner for part in value if isinstance(part, Mapping) for inner in _reached(part, keys)]
    key = keys[0]
    is_position = key.isdecimal() and key.isascii() and len(key) <= LONGEST_POSITION
    if is_position and int(key) < len(value):
        found += _reached(value[int(key)], keys[1:])
    return found


def _condition(expression: Expression, values: list[object]) -> bool:
    if isinstance(expression, Exists):
        return bool(values)
    if isinstance(expression, Size):
        return any(_is_list(value) and len(value) == expression.size for value in values)  # type: ignore[arg-type]
    if isinstance(expression, Contains):
        return any(_contains(value, expression.value) for value in values)
    if isinstance(expression, StartsWith):
        prefix = expression.prefix
        return any(isinstance(v, str) and v.startswith(prefix) for v in _with_elements(values))
    if isinstance(expression, In):
        wanted: Iterable[object] = expression.values
    elif isinstance(expression, Compare) and expression.operator in ORDER:
        compare, limit = ORDER[expression.operator], expression.value
        kind = _kind(limit)
        return any(_kind(v) == kind and compare(v, limit) for v in _with_elements(values))
    elif isinstance(expression, Compare):
        wanted = (expression.value,)
    else:
        raise AssertionError(expression)
    if not values:
        return any(value is None for value in wanted)
    return any(_same(v, value) for v in _with_elements(values) for value in wanted)


def _with_elements(values: list[object]) -> Iterable[object]:
    for value in values:
        yield value
        if isinstance(value, (list, tuple)):
            yield from value


def _is_list(value: object) -> bool:
    return isinstance(value, (list, tuple))


def _kind(value: object) -> str | None:
    """Tell what compares with what; a bool is no number."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "number"
    return "text" if isinstance(value, str) else None


def _contains(value: object, wanted: object) -> bool:
    if isinstance(value, str):
        return isinstance(wanted, str) and wanted in value
    return isinstance(value, (list, tuple)) and any(_same(part, wanted) for part in value)


def _same(a: object, b: object) -> bool:
    if isinstance(a, Mapping):
        return isinstance(b, Mapping) and a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        if not isinstance(b, (list, tuple)) or len(a) != len(b):
            return False
        return all(_same(x, y) for x, y in zip(a, b, strict=True))
    if a is None or b is None:
        return a is b
    return _kind(a) == _kind(b) and a == b
