"""Ask a collection what its lists say of each training query."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InvalidArgument
from ..evaluation.runs import Id
from ..results.hits import Hit, Hits
from .candidates import Candidates

__all__ = ["DEPTH", "Collected", "collect"]

DEPTH = 100  # as deep as a search looks into each field


@dataclass(frozen=True, slots=True, eq=False)
class Collected:
    """What `tune` takes.

    Attributes
    ----------
    candidates : mapping of query to Candidates
    lists : tuple of str
        The field of every column.
    fusion : str
        The method that all searches used.
    """

    candidates: Mapping[Any, Candidates]
    lists: tuple[str, ...]
    fusion: str


def collect(
    search: Callable[..., Hits],
    queries: Mapping[Any, Any],
    *,
    limit: int = DEPTH,
    **question: Any,
) -> Collected:
    """Search for every query with equal weights and keep what each list said of each hit.

    Parameters
    ----------
    search : callable
        `Collection.search`, or one like it.
    queries : mapping of query to dict or str
        The question of each query as keyword arguments of `search`, or its text.
    limit : int
        Hits of each query that are looked at. Items that equal weights leave behind them are not
        seen, however good a single list thinks them.
    **question
        Further arguments for all searches, such as `fields`, `modality` or `fusion`.

    Returns
    -------
    Collected

    Raises
    ------
    InvalidArgument
        For no query, a question of another form or with weights, or with a part of another weight
        than 1, and where ``fusion="auto"`` took different methods; and what `search` raises.
    """
    if not isinstance(queries, Mapping) or not queries:
        raise InvalidArgument(
            f"queries is {queries!r:.60}: give {{query: text}} or {{query: arguments of search}}"
        )
    hits: dict[Id, Hits] = {}
    for query, asked in queries.items():
        own = {"text": asked} if isinstance(asked, str) else asked
        if not isinstance(own, Mapping):
            raise InvalidArgument(
                f"query {query!r:.60} is a {type(own).__name__}: give its text, or the arguments "
                "of search as a dict"
            )
        if "weights" in own or "weights" in question:
            raise InvalidArgument(
                "weights were given: leave them out, as they are learnt from searches with equal "
                "ones"
            )
        hits[query] = search(**{**question, **own}, limit=limit)
    taken = sorted({found.fusion for found in hits.values()})
    if len(taken) > 1:
        raise InvalidArgument(
            f"the queries were fused by {' and '.join(taken)}: give fusion=, as weights belong to "
            "one method"
        )
    found = {query: list(answers) for query, answers in hits.items()}
    columns = _columns(hit for each in found.values() for hit in each)
    candidates = {query: _candidates(each, columns) for query, each in found.items()}
    return Collected(candidates, tuple(field for _, field in columns), taken[0])


def _columns(hits: Iterable[Hit]) -> list[tuple[str, str]]:
    """(query modality or "", field) of every list that said something, by field and modality."""
    seen = {(part.query_modality or "", part.field) for hit in hits for part in hit.contributions}
    return sorted(seen, key=lambda column: (column[1], column[0]))


def _candidates(hits: list[Hit], columns: list[tuple[str, str]]) -> Candidates:
    place = {column: at for at, column in enumerate(columns)}
    values = np.full((len(hits), len(columns)), np.nan)
    for row, hit in enumerate(hits):
        for part in hit.contributions:
            if part.weight != 1.0:
                raise InvalidArgument(
                    f"{hit.id!r:.60} has a part {part.query_modality or 'vector'} -> {part.field} "
                    f"of weight {part.weight:g}: weights are learnt for questions whose parts all "
                    "count alike, so leave negatives and parts of their own weight out"
                )
            if part.normalised is not None:
                values[row, place[part.query_modality or "", part.field]] = part.normalised
    return Candidates(tuple(hit.id for hit in hits), values)
