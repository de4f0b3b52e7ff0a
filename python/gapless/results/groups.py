"""Group hits by a value of their items: the best one of each document, page or video."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..batch import whole
from ..catalog import ItemRow
from ..errors import InvalidArgument
from ..filters.place import ID, URI, parse_place
from .hits import Hits

__all__ = ["Grouping", "group", "grouped", "values_at"]

Value: TypeAlias = "Any"  # of JSON


@dataclass(frozen=True, slots=True)
class Grouping:
    """The best groups of a ranking.

    Attributes
    ----------
    values : tuple
        What the items of each group have in common; None for an item that stands alone.
    members : tuple of tuple of int
        Places in the ranking, ascending, so best first; at least one in each group.
    enough : bool
        Whether there are as many groups as were wanted. Where not, a longer ranking may give more.
    filled : bool
        Whether each group has as many hits as were wanted. Where not, a longer ranking may add
        some to the groups that are there; it moves none.
    """

    values: tuple[Value, ...]
    members: tuple[tuple[int, ...], ...]
    enough: bool
    filled: bool


def values_at(items: Sequence[ItemRow], path: str) -> list[Value]:
    """Look up what items are to be grouped by.

    Parameters
    ----------
    items : sequence of ItemRow
    path : str
        A key of the metadata, such as ``"doc_id"``, or keys of nested objects with dots between
        them, such as ``"video.id"``, spelled as in filters (`gapless.filters.place`); or ``"uri"``
        for where the originals lie.

    Returns
    -------
    list
        None for items that have no such value.

    Raises
    ------
    InvalidArgument
        When the path is no string, is empty, or is spelled wrongly.

    Examples
    --------
    >>> values_at([ItemRow(1, "a", '{"video": {"id": 7}}', None)], "video.id")
    [7]
    """
    if not isinstance(path, str) or not path:
        raise InvalidArgument(
            f"group_by is {path!r}: give a key of the metadata, such as 'doc_id', or of nested "
            "objects, such as 'video.id', or 'uri'"
        )
    place = URI if path == "uri" else parse_place(path)
    if place == URI:
        return [item.uri for item in items]
    if place == ID:
        return [item.id for item in items]
    keys = place.keys
    return [None if item.metadata is None else _value(item.metadata, keys) for item in items]


def group(values: Sequence[Value], limit: int, size: int = 1, offset: int = 0) -> Grouping:
    """Group the places of a ranking by their values, best group first.

    A group stands where its best member does, and its members follow each other as they do in the
    ranking, so that ties are decided there, once. Equal values are one group: numbers as JSON
    compares them (1 and 1.0 are equal, 1 and true or "1" are not), lists and objects by what they
    hold. Places without a value (None) are a group each.

    Parameters
    ----------
    values : sequence, length n
        Of the items of a ranking, best first.
    limit : int
        Groups wanted.
    size : int
        Most members of each.
    offset : int
        Groups to skip.

    Raises
    ------
    InvalidArgument
        For numbers that are not whole, or too small.

    Examples
    --------
    >>> group(["a", "b", "a", None, "a"], limit=2, size=2).members
    ((0, 2), (1,))
    """
    limit, size = whole("limit", limit), whole("group_size", size)
    first = whole("offset", offset, 0)
    found: dict[Any, list[int]] = {}
    for place, value in enumerate(values):
        found.setdefault((place,) if value is None else _key(value), []).append(place)
    chosen = list(found.values())[first : first + limit]
    return Grouping(
        values=tuple(values[places[0]] for places in chosen),
        members=tuple(tuple(places[:size]) for places in chosen),
        enough=len(chosen) == limit,
        filled=all(len(places) >= size for places in chosen),
    )


def grouped(hits: Hits, grouping: Grouping) -> Hits:
    """Give one hit per group, which has the further ones as its `others`.

    Parameters
    ----------
    hits : Hits
        The ranking that was grouped.
    grouping : Grouping
    """
    others = [hits.take(places[1:]) for places in grouping.members]
    return hits.take(
        [places[0] for places in grouping.members],
        groups=list(zip(grouping.values, others, strict=True)),
    )


def _value(metadata: str, keys: Sequence[str]) -> Value:
    found = json.loads(metadata)
    for key in keys:
        if not isinstance(found, dict):
            return None
        found = found.get(key)
    return None if found != found else found  # NaN equals nothing, not even itself


def _key(value: Value) -> Any:
    if isinstance(value, (list, dict)):
        return json.dumps(value, sort_keys=True), list
    return value, bool if isinstance(value, bool) else None
