"""Groups of judged queries, and judgements by pair type, which are measured on their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np

from ..errors import InvalidArgument
from .runs import Qrels

__all__ = ["groups_of"]


def groups_of(qrels: Qrels, by: Any, level: float) -> dict[str, Qrels]:
    """Divide judgements as `by` of `gapless.evaluate` asks: {group: judgements}.

    Parameters
    ----------
    qrels : dict of query to dict of item to gain
    by
        None for no groups; {query: group} or a sequence of groups in the order of `qrels`; or,
        for pair types, a tuple of the modality of each query and that of each item.
    level : float
        Least gain of a relevant item: pair types hold the queries that have one.

    Raises
    ------
    InvalidArgument
        For another form, or a query or relevant item that `by` lacks.

    Examples
    --------
    >>> groups_of({"q": {"a": 1.0, "b": 1.0}}, ({"q": "text"}, {"a": "image", "b": "text"}), 1.0)
    {'text->image': {'q': {'a': 1.0}}, 'text->text': {'q': {'b': 1.0}}}
    """
    if by is None:
        return {}
    if _is_pair_of_tables(by):
        of_query, of_item = by
        return _pair_types(qrels, of_query, of_item, level)
    if not isinstance(by, Mapping):
        if isinstance(by, (str, bytes, Set)) or not hasattr(by, "__len__") or len(by) != len(qrels):
            raise InvalidArgument(
                f"by is {by!r:.60} for {len(qrels)} judged queries: give a dict of query to "
                "group, a list with one group for each, or ({query: modality}, {item: modality})"
            )
        by = dict(zip(qrels, by, strict=True))
    _check(by, list(qrels), "group", "judged queries")
    found: dict[str, Qrels] = {}
    for query, gains in qrels.items():
        found.setdefault(_name(by[query]), {})[query] = gains
    return found


def _pair_types(qrels: Qrels, of_query: Any, of_item: Any, level: float) -> dict[str, Qrels]:
    from_query, from_item = _table(of_query), _table(of_item)
    asking = [query for query, gains in qrels.items() if max(gains.values(), default=0.0) >= level]
    judged = {item: gain for query in asking for item, gain in qrels[query].items() if gain > 0}
    _check(from_query, asking, "modality", "judged queries")
    _check(from_item, list(judged), "modality", "judged items")
    found: dict[str, Qrels] = {}
    for query in asking:
        of: dict[Any, dict[Any, float]] = {}
        for item, gain in qrels[query].items():
            if gain > 0:
                of.setdefault(from_item[item], {})[item] = gain
        for modality, gains in of.items():
            if max(gains.values()) >= level:
                found.setdefault(_name((from_query[query], modality)), {})[query] = gains
    return {name: found[name] for name in sorted(found)}


def _is_pair_of_tables(by: Any) -> bool:
    # A tuple of two tuples is a pair of groups, one for each of two queries.
    tables = (Mapping, list, np.ndarray)
    return isinstance(by, tuple) and len(by) == 2 and all(isinstance(part, tables) for part in by)


def _table(given: Any) -> Mapping[Any, Any]:
    """Words by id; those of a sequence belong to 0, 1, ..."""
    return given if isinstance(given, Mapping) else dict(enumerate(given))


def _check(table: Mapping[Any, Any], ids: Sequence[Any], what: str, of: str) -> None:
    lost = [own for own in ids if own not in table]
    if lost:
        raise InvalidArgument(
            f"by has no {what} for {len(lost)} {of}, such as {lost[0]!r:.60}: give each of them one"
        )


def _name(group: Any) -> str:
    return "->".join(map(str, group)) if isinstance(group, (tuple, list)) else str(group)
