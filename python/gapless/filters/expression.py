"""The one tree that every dialect of filter becomes: conditions on places, joined by logic."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from ..errors import InvalidFilter
from .place import Place, check_unicode

__all__ = [
    "MAX_CONDITIONS",
    "MAX_DEPTH",
    "MAX_VALUES",
    "And",
    "Compare",
    "Contains",
    "Exists",
    "Expression",
    "In",
    "Not",
    "Or",
    "Size",
    "StartsWith",
    "Value",
    "both",
    "check_expression",
    "either",
    "negate",
    "read_scalar",
    "read_value",
]

Value: TypeAlias = "bool | int | float | str | list[Any] | dict[str, Any] | None"
Scalar: TypeAlias = "bool | int | float | str"

MAX_DEPTH = 64  # of the tree, and of a list or object compared with
MAX_CONDITIONS = 500  # nodes of the tree
MAX_VALUES = 10_000  # compared with, in all

ORDERINGS = {"<": "$lt", "<=": "$lte", ">": "$gt", ">=": "$gte"}


class Expression:
    """What an item's metadata must satisfy; immutable.

    Join expressions by ``&``, ``|`` and ``~``. Two are equal when they are written alike.

    Examples
    --------
    >>> from gapless.filters.builder import F
    >>> (F("year") >= 2020) & ~F("tags").contains("draft")
    (F('year') >= 2020) & ~F('tags').contains('draft')
    """

    __slots__ = ("_text",)
    _text: str

    @property
    def parts(self) -> tuple[Expression, ...]:
        """The expressions that this one joins."""
        return ()

    def to_dict(self) -> dict[str, Any]:
        """Write it in the Mongo dialect, which `as_expression` reads back."""
        return self._written()

    def _written(self) -> dict[str, Any]:
        raise NotImplementedError

    def to_json(self) -> str:
        """`to_dict` as JSON text: equal for equal expressions, so it serves as a cache key."""
        try:
            return self._text
        except AttributeError:
            object.__setattr__(self, "_text", json.dumps(self.to_dict(), separators=(",", ":")))
            return self._text

    def __eq__(self, other: object) -> bool:
        # By the text, as Python holds True, 1 and 1.0 for equal and a filter does not.
        if not isinstance(other, Expression):
            return NotImplemented
        return self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash(self.to_json())

    def __and__(self, other: Expression) -> Expression:
        return both(self, other) if isinstance(other, Expression) else NotImplemented

    def __or__(self, other: Expression) -> Expression:
        return either(self, other) if isinstance(other, Expression) else NotImplemented

    def __invert__(self) -> Expression:
        return negate(self)

    def __bool__(self) -> bool:
        raise InvalidFilter(
            f"the filter {self!r} is neither true nor false: join filters by & and |, negate by ~, "
            'each comparison in parentheses; for a range write F("year").between(2000, 2010)'
        )


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class In(Expression):
    """The value, or an element of it when it is a list, equals one of `values`.

    None among the values also matches where the place is missing.
    """

    place: Place
    values: tuple[Value, ...]

    def _written(self) -> dict[str, Any]:
        return {str(self.place): {"$in": list(self.values)}}

    def __repr__(self) -> str:
        return f"{self.place!r}.isin({list(self.values)!r})"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Compare(Expression):
    """The value, or an element of it when it is a list, stands so to `value`.

    Numbers compare with numbers only, strings with strings by code point, booleans with booleans;
    ``==`` with None also matches where the place is missing.
    """

    place: Place
    operator: str
    value: Value

    def _written(self) -> dict[str, Any]:
        return {str(self.place): {ORDERINGS.get(self.operator, "$eq"): self.value}}

    def __repr__(self) -> str:
        return f"{self.place!r} {self.operator} {self.value!r}"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Contains(Expression):
    """A list has an element equal to `value`, or a string has the string `value` within it."""

    place: Place
    value: Value

    def _written(self) -> dict[str, Any]:
        return {str(self.place): {"$contains": self.value}}

    def __repr__(self) -> str:
        return f"{self.place!r}.contains({self.value!r})"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class StartsWith(Expression):
    """The string, or an element of the list that is there, starts with `prefix`."""

    place: Place
    prefix: str

    def _written(self) -> dict[str, Any]:
        return {str(self.place): {"$startswith": self.prefix}}

    def __repr__(self) -> str:
        return f"{self.place!r}.startswith({self.prefix!r})"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Exists(Expression):
    """There is a value at the place; null is one."""

    place: Place

    def _written(self) -> dict[str, Any]:
        return {str(self.place): {"$exists": True}}

    def __repr__(self) -> str:
        return f"{self.place!r}.exists()"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Size(Expression):
    """There is a list of `size` elements at the place."""

    place: Place
    size: int

    def _written(self) -> dict[str, Any]:
        return {str(self.place): {"$size": self.size}}

    def __repr__(self) -> str:
        return f"{self.place!r}.size({self.size})"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class And(Expression):
    """Every part holds; with no part, every item matches."""

    parts: tuple[Expression, ...]

    def _written(self) -> dict[str, Any]:
        return {"$and": [part.to_dict() for part in self.parts]} if self.parts else {}

    def __repr__(self) -> str:
        return _joined(self.parts, " & ") if self.parts else "F.anything()"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Or(Expression):
    """One part holds; with no part, no item matches."""

    parts: tuple[Expression, ...]

    def _written(self) -> dict[str, Any]:
        if not self.parts:
            return {"$nor": [{}]}
        return {"$or": [part.to_dict() for part in self.parts]}

    def __repr__(self) -> str:
        return _joined(self.parts, " | ") if self.parts else "~F.anything()"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Not(Expression):
    """The part does not hold: also where its place is missing."""

    part: Expression

    @property
    def parts(self) -> tuple[Expression, ...]:
        """The expression that is negated."""
        return (self.part,)

    def _written(self) -> dict[str, Any]:
        part = self.part
        if isinstance(part, Compare) and part.operator == "==":
            return {str(part.place): {"$ne": part.value}}
        if isinstance(part, In):
            return {str(part.place): {"$nin": list(part.values)}}
        if isinstance(part, Exists):
            return {str(part.place): {"$exists": False}}
        return {"$nor": [part.to_dict()]}

    def __repr__(self) -> str:
        if isinstance(self.part, Compare) and self.part.operator == "==":
            return f"{self.part.place!r} != {self.part.value!r}"
        return f"~{_wrapped(self.part)}"


def _joined(parts: tuple[Expression, ...], sign: str) -> str:
    return sign.join(map(_wrapped, parts))


def _wrapped(part: Expression) -> str:
    text = repr(part)
    unequal = isinstance(part, Not) and not text.startswith("~")
    compared = isinstance(part, Compare) or unequal
    return f"({text})" if compared or len(part.parts) > 1 else text


# -- joining --------------------------------------------------------------------------------------


def both(*parts: Expression) -> Expression:
    """Every one of the expressions holds; a chain of them stays flat."""
    flat = [inner for part in parts for inner in (part.parts if isinstance(part, And) else [part])]
    return flat[0] if len(flat) == 1 else And(tuple(flat))


def either(*parts: Expression) -> Expression:
    """One of the expressions holds; a chain of them stays flat."""
    flat = [inner for part in parts for inner in (part.parts if isinstance(part, Or) else [part])]
    return flat[0] if len(flat) == 1 else Or(tuple(flat))


def negate(part: Expression) -> Expression:
    """Negate the expression; two negations cancel."""
    if isinstance(part, Not):
        return part.part
    return And(()) if part.parts == () and isinstance(part, Or) else Not(part)


# -- what may be compared with --------------------------------------------------------------------


def read_value(value: object, where: str, depth: int = 0) -> Value:
    """`value` as plain JSON: None, bool, int, float, str, list or dict.

    Raises
    ------
    InvalidFilter
        For anything else, NaN, infinities, integers beyond float64, lone surrogates.
    """
    if depth > MAX_DEPTH:
        raise InvalidFilter(f"{where} compares with a value nested deeper than {MAX_DEPTH}")
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return check_unicode(str.__str__(value))
    if isinstance(value, (int, float)):
        return _number(value, where)
    if isinstance(value, (list, tuple)):
        return [read_value(inner, where, depth + 1) for inner in value]
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise InvalidFilter(f"{where} compares with {value!r}: the keys of a dict are strings")
        return {
            check_unicode(str.__str__(key)): read_value(inner, where, depth + 1)
            for key, inner in value.items()
        }
    hint = " (a date: its .isoformat())" if hasattr(value, "isoformat") else ""
    raise InvalidFilter(
        f"{where} compares with {value!r}, a {type(value).__name__}: give what JSON holds, "
        f"a string, number, bool, None, list or dict{hint}"
    )


def _number(value: float, where: str) -> int | float:
    try:
        if not math.isfinite(value):  # an int beyond float64 raises OverflowError
            raise OverflowError
    except OverflowError:
        raise InvalidFilter(
            f"{where} compares with {'a number' if isinstance(value, int) else repr(value)} "
            "outside the range of float64: no metadata holds such a value that a filter can find"
        ) from None
    return int(value) if isinstance(value, int) else float(value)


def read_scalar(value: object, where: str) -> Scalar:
    """`value` as a number, string or bool, for what has an order.

    Raises
    ------
    InvalidFilter
        For anything else.
    """
    plain = read_value(value, where)
    if plain is None or isinstance(plain, (list, dict)):
        raise InvalidFilter(f"{where} is given {plain!r}: give a number or a string, which order")
    return plain


def check_expression(expression: Expression) -> Expression:
    """`expression`, whose size is within the limits.

    Raises
    ------
    InvalidFilter
        Above MAX_DEPTH levels, MAX_CONDITIONS conditions or MAX_VALUES values.
    """
    conditions = values = 0
    waiting = [(expression, 1)]
    while waiting:  # not by recursion, which a deep tree would exhaust
        node, depth = waiting.pop()
        conditions += 1
        if isinstance(node, In):
            values += sum(_count(value) for value in node.values)
        elif isinstance(node, (Compare, Contains)):
            values += _count(node.value)
        if depth > MAX_DEPTH:
            raise InvalidFilter(f"the filter is nested deeper than {MAX_DEPTH}: flatten it")
        waiting.extend((part, depth + 1) for part in node.parts)
    for count, most, what in (
        (conditions, MAX_CONDITIONS, "conditions"),
        (values, MAX_VALUES, "values"),
    ):
        if count > most:
            raise InvalidFilter(
                f"the filter has {count} {what}, and {most} are allowed: write many values of one "
                "field as one $in, and ask for fewer at once"
            )
    return expression


def _count(value: Value) -> int:
    return sum(1 for _ in _leaves(value))


def _leaves(value: Value) -> Iterator[object]:
    if isinstance(value, (list, dict)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _leaves(inner)
    yield value
