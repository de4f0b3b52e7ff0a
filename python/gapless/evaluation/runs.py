"""Runs and judgements in the forms people hold them, brought to one form each.

A run says what a system answered, judgements (qrels) what it should have. Ids of queries and items
are str or int, and 1 and "1" are two ids.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from ..errors import InvalidArgument

__all__ = ["Id", "Qrels", "Run", "as_qrels", "as_run"]

Id: TypeAlias = "str | int"
Run: TypeAlias = "dict[Id, list[tuple[Id, float]]]"
Qrels: TypeAlias = "dict[Id, dict[Id, float]]"


def as_run(run: Any) -> Run:
    """Bring a run to its one form: for each query its items with scores, best first.

    Parameters
    ----------
    run : mapping or sequence or pair of arrays
        {query: {item: score}}, {query: [(item, score), ...]}, {query: [item, ...]} best first,
        {query: `Hits`}; or a sequence of these, whose queries are then 0, 1, ...; or what a search
        returns, (scores (n, k), ids (n, k)), or the ids (n, k) alone, where an id of -1 is an
        empty place and the queries are 0 to n - 1.

    Returns
    -------
    dict of query to list of (item, score)
        Highest score first, equal scores by ascending id (numbers before strings). Lists without
        scores and `Hits` keep their order; the former are given the scores n, n - 1, ..., 1.

    Raises
    ------
    InvalidArgument
        For a form that is none of these, an id that is neither str nor int, an item twice for a
        query, or a score that is not a number.

    Examples
    --------
    >>> as_run({"q": {"a": 0.1, "b": 0.9}})
    {'q': [('b', 0.9), ('a', 0.1)]}
    """
    if isinstance(run, tuple) and len(run) == 2 and all(_is_matrix(part) for part in run):
        return _from_arrays(*run)
    if _is_matrix(run):
        return _from_arrays(None, run)
    return {
        _id(query, "query"): _answers(answers, f"the run of query {query!r}")
        for query, answers in _by_query(run, "run")
    }


def as_qrels(qrels: Any) -> Qrels:
    """Bring judgements to their one form: for each query the gain of every judged item.

    Parameters
    ----------
    qrels : mapping or sequence
        {query: {item: gain}}, or {query: items} where each of them gains 1; or a sequence of
        these, whose queries are then 0, 1, ...

    Returns
    -------
    dict of query to dict of item to float

    Raises
    ------
    InvalidArgument
        For another form, no query at all, an id that is neither str nor int, or a gain that is
        not a finite number.

    Examples
    --------
    >>> as_qrels([{7}, {3: 2}])
    {0: {7: 1.0}, 1: {3: 2.0}}
    """
    found: Qrels = {}
    for query, judged in _by_query(qrels, "qrels"):
        what = f"the judgements of query {query!r}"
        if isinstance(judged, Mapping):
            pairs: Iterable[tuple[Any, Any]] = judged.items()
        elif isinstance(judged, Iterable) and not isinstance(judged, (str, bytes)):
            pairs = ((item, 1.0) for item in judged)
        else:
            raise InvalidArgument(f"{what} are {judged!r:.60}: give {{item: gain}} or a set")
        gains = found[_id(query, "query")] = {}
        for item, gain in pairs:
            gains[_id(item, "item")] = value = _number(gain, what)
            if not math.isfinite(value):
                raise InvalidArgument(
                    f"{what} give {item!r} the gain {gain!r}: give it a finite one"
                )
    if not found:
        raise InvalidArgument("qrels is empty: judge at least one query")
    return found


def _by_query(given: Any, what: str) -> Iterable[tuple[Any, Any]]:
    if isinstance(given, Mapping):
        return given.items()
    if isinstance(given, Sequence) and not isinstance(given, (str, bytes)):
        return enumerate(given)
    raise InvalidArgument(
        f"{what} is a {type(given).__name__}: give a dict by query, or a list with one entry for "
        "each query (files are read by gapless.evaluation.trec)"
    )


def _answers(answers: Any, what: str) -> list[tuple[Id, float]]:
    if isinstance(answers, Mapping):
        return _sorted(answers.items(), what)
    if isinstance(answers, (str, bytes)) or not isinstance(answers, Iterable):
        raise InvalidArgument(f"{what} is {answers!r:.60}: give {{item: score}} or a list of items")
    listed = list(answers)
    if listed and all(isinstance(entry, (tuple, list)) and len(entry) == 2 for entry in listed):
        return _sorted(listed, what)
    items = [_id(getattr(entry, "id", entry), "item") for entry in listed]
    scores = [getattr(entry, "score", len(items) - place) for place, entry in enumerate(listed)]
    _refuse_twice(items, what)
    return [(item, _number(score, what)) for item, score in zip(items, scores, strict=True)]


def _sorted(pairs: Iterable[Any], what: str) -> list[tuple[Id, float]]:
    found = [(_id(item, "item"), _number(score, what)) for item, score in pairs]
    _refuse_twice([item for item, _ in found], what)
    return sorted(found, key=_order)


def _order(pair: tuple[Id, float]) -> tuple[float, bool, Any]:
    return -pair[1], isinstance(pair[0], str), pair[0]


def _from_arrays(scores: Any, ids: Any) -> Run:
    labels = np.asarray(ids)
    if not np.issubdtype(labels.dtype, np.integer):
        raise InvalidArgument(
            f"the ids of the run are {labels.dtype}: give (scores, ids) with int64 ids, as a "
            "search returns them"
        )
    if scores is None:
        return {
            query: _answers([item for item in row if item >= 0], f"the run of query {query}")
            for query, row in enumerate(labels.tolist())
        }
    values = np.asarray(scores)
    if values.shape != labels.shape:
        raise InvalidArgument(
            f"the run has scores {values.shape} and ids {labels.shape}: give both as (n, k)"
        )
    return {
        query: _sorted(
            ((item, score) for item, score in zip(row, own, strict=True) if item >= 0),
            f"the run of query {query}",
        )
        for query, (row, own) in enumerate(zip(labels.tolist(), values.tolist(), strict=True))
    }


def _is_matrix(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.ndim == 2


def _id(value: Any, what: str) -> Id:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        return value
    raise InvalidArgument(f"the {what} id {value!r:.60} is neither str nor int: name it by one")


def _number(value: Any, what: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(value, str) or math.isnan(number):
        raise InvalidArgument(f"{what} has the number {value!r:.60}: give one that is not NaN")
    return number


def _refuse_twice(items: list[Id], what: str) -> None:
    item, count = max(Counter(items).items(), key=lambda pair: pair[1], default=(0, 0))
    if count > 1:
        raise InvalidArgument(f"{what} has the item {item!r} {count} times: rank each item once")
