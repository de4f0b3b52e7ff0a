"""An expression as one SELECT on the catalogue's items.

SQL is three-valued, which is used to the full: a condition is 1, 0, or NULL for what SQLite cannot
decide exactly (a path through a list of objects, a float next to the limit, text with a NUL, a key
that its paths cannot spell). NOT, AND and OR carry NULL as they should, and the rows where the
whole filter is NULL come back with their metadata, to be decided by `matches`. So the answer is
that of `matches`, whatever the version of SQLite. Everything given is a parameter.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from . import slots
from .expression import And, Compare, Contains, Exists, Expression, In, Not, Or, Size, StartsWith
from .matching import matches
from .slots import ColumnSlot, ElementSlot, MetadataSlot, Parameters, cases

__all__ = ["Compiled", "Reading", "compile_filter", "keys_where"]

Reading = Callable[[], AbstractContextManager[sqlite3.Connection]]

UNSURE = "NULL"
DEEPEST = 12  # levels of logic in one SQL expression: SQLite's parser has a stack of 100 symbols
MOST_PARAMETERS = 32766 if sqlite3.sqlite_version_info >= (3, 32) else 999

MARK = re.compile(r"\?(\d+)")

# LIMIT -1 keeps SQLite from merging the two SELECTs, which would evaluate the filter twice.
QUERY = """
SELECT key, sure, CASE WHEN sure THEN NULL ELSE metadata END, CASE WHEN sure THEN NULL ELSE id END,
    CASE WHEN sure THEN NULL ELSE uri END
FROM (SELECT key, metadata, id, uri, {condition} AS sure FROM items ORDER BY key LIMIT -1)
WHERE sure IS NOT 0
"""


class Compiled(NamedTuple):
    """A SELECT of (key, sure, metadata, id, uri): 1 or NULL, and with NULL what decides."""

    sql: str
    parameters: list[slots.Parameter]


def compile_filter(expression: Expression) -> Compiled:
    """One SELECT on the table `items` (key, id, metadata, uri) for an expression within limits."""
    parameters = Parameters()
    condition = _compile(expression, parameters, 1)
    if condition == UNSURE or len(parameters.values) > MOST_PARAMETERS:
        return Compiled(QUERY.format(condition=UNSURE), [])
    # SQLite counts parameters up to the last that the text names, and some were bound in vain.
    used = max(map(int, MARK.findall(condition)), default=0)
    return Compiled(QUERY.format(condition=condition), parameters.values[:used])


def keys_where(reading: Reading, expression: Expression) -> npt.NDArray[np.int64]:
    """Keys of the items that satisfy the expression, (n,) int64 in ascending order.

    Parameters
    ----------
    reading : callable
        Gives a context manager of a connection to the catalogue, such as `Catalog.reading`.
    expression : Expression
        The filter, whose size `as_expression` has checked.
    """
    compiled = compile_filter(expression)
    with reading() as connection:
        cursor = connection.execute(compiled.sql, compiled.parameters)
        return np.fromiter(_decided(cursor, expression), np.int64)


def _decided(
    rows: Iterable[tuple[int, int | None, str | None, str | int, str | None]],
    expression: Expression,
) -> Iterable[int]:
    for key, sure, text, item, uri in rows:
        if sure or matches(expression, None if text is None else json.loads(text), item, uri):
            yield key


def _compile(node: Expression, parameters: Parameters, depth: int) -> str:
    if isinstance(node, (And, Or)):
        if depth > DEEPEST:
            return UNSURE
        inner = [_compile(part, parameters, depth + 1) for part in node.parts]
        sign, empty = (" AND ", "1") if isinstance(node, And) else (" OR ", "0")
        return f"({sign.join(inner)})" if inner else empty
    if isinstance(node, Not):
        return UNSURE if depth > DEEPEST else f"NOT ({_compile(node.part, parameters, depth + 1)})"
    place = node.place  # type: ignore[attr-defined]
    if place.source != "metadata":
        return _column(node, ColumnSlot(place.source, parameters))
    slot = MetadataSlot.at(place.keys, parameters)
    return UNSURE if slot is None else _metadata(node, slot)


def _column(node: Expression, slot: ColumnSlot) -> str:
    if isinstance(node, Exists):
        return f"{slot.value} IS NOT NULL"
    if isinstance(node, Size):
        return "0"
    return cases(f"typeof({slot.value})", _branches(node, slot))


def _metadata(node: Expression, slot: MetadataSlot) -> str:
    if isinstance(node, Exists):
        return f"CASE WHEN {slot.kind} IS NULL THEN {slot.missing('0')} ELSE 1 END"
    if isinstance(node, Size):
        length = f"{slot.length} = {slot.bind(node.size)}"
        return cases(slot.kind, {"array": length}, slot.missing("0"))
    found = _branches(node, slot)
    if isinstance(node, Contains):
        element = _branches(In(node.place, (node.value,)), ElementSlot(slot.parameters))
    else:
        element = _branches(node, ElementSlot(slot.parameters))
    found["array"] = UNSURE if "array" in found else slot.any_element(element, _only_text(node))
    nothing = found.get("null", "0") if not isinstance(node, Contains) else "0"
    return cases(slot.kind, found, slot.missing(nothing))


def _only_text(node: Expression) -> str | None:
    """Give the one string that an element has to equal, if it is one."""
    values = node.values if isinstance(node, In) else ()
    if isinstance(node, Contains) or (isinstance(node, Compare) and node.operator == "=="):
        values = (node.value,)
    return values[0] if len(values) == 1 and isinstance(values[0], str) else None


def _branches(node: Expression, slot: slots.Slot) -> dict[str, str]:
    """Say what decides for each type of value, by SQLite's names; one that is absent fails."""
    if isinstance(node, Contains):
        return slot.within(node.value)
    if isinstance(node, StartsWith):
        return slot.prefix(node.prefix)
    if isinstance(node, In):
        return slot.among(node.values)
    if isinstance(node, Compare) and node.operator == "==":
        return slot.among((node.value,))
    if isinstance(node, Compare):
        return slot.ordered(node.operator, node.value)
    raise AssertionError(node)
