"""Ask a scorer for the scores of many documents: in batches, none twice."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..errors import RerankError
from .cache import key_of
from .how import Rerank
from .scorers import Document, Query

__all__ = ["asked_scores"]

NAMED = 5  # ids that a message names
Asked: TypeAlias = "list[tuple[int, Document]]"  # places of the hits, and what to show of each


def asked_scores(
    query: Query, documents: Sequence[Document], ids: Sequence[str | int], how: Rerank
) -> list[dict[str, float]]:
    """Score every part of every document, or all its parts together in mode ``"joint"``.

    Returns
    -------
    list of dict of part to score, one per document
        The one part is ``"joint"`` in that mode; a document without parts has no score.

    Raises
    ------
    RerankError
        See `rerank`.
    """
    joint = how.mode == "joint"
    groups: dict[tuple[str, ...], Asked] = {}  # a call sees documents of the same parts
    for i, document in enumerate(documents):
        for name, value in document.items() if not joint else ():
            groups.setdefault((name,), []).append((i, {name: value}))
        if joint and document:
            groups.setdefault(tuple(document), []).append((i, document))
    table: list[dict[str, float]] = [{} for _ in documents]
    for parts, asked in groups.items():
        found = _scores(query, asked, ids, how)
        for (i, _), score in zip(asked, found.tolist(), strict=True):
            table[i]["joint" if joint else parts[0]] = score
    return table


def _scores(
    query: Query, asked: Asked, ids: Sequence[str | int], how: Rerank
) -> npt.NDArray[np.float64]:
    """Scores of documents of the same parts, each distinct one asked for once."""
    scorer, asking = how.resolved, key_of(query)
    found = np.full(len(asked), np.nan)
    waiting: dict[Hashable, list[int]] = {}
    for place, (_, document) in enumerate(asked):
        showing = key_of(document)
        told = asking is not None and showing is not None
        key: Hashable = (asking, showing) if told else ("apart", place)
        kept = how.cache.get(scorer, key) if told else None
        if kept is None:
            waiting.setdefault(key, []).append(place)
        else:
            found[place] = kept
    keys = list(waiting)
    for start in range(0, len(keys), how.batch_size):
        batch = keys[start : start + how.batch_size]
        some = [asked[waiting[key][0]] for key in batch]
        fresh = _call(scorer, query, [shown for _, shown in some], [ids[i] for i, _ in some])
        for key, score in zip(batch, fresh.tolist(), strict=True):
            found[waiting[key]] = score
            if isinstance(key, tuple) and key[0] != "apart":
                how.cache.put(scorer, key, score)
    if how.activation == "sigmoid":
        return np.asarray(1.0 / (1.0 + np.exp(-np.clip(found, -700.0, 700.0))))
    return found


def _call(
    scorer: Any, query: Query, documents: list[Document], ids: list[str | int]
) -> npt.NDArray[np.float64]:
    parts = " and ".join(map(repr, documents[0]))
    try:
        found = np.asarray(scorer(query, documents), np.float64)
    except Exception as error:
        raise RerankError(
            f"the reranker raised {type(error).__name__} at the {parts} of {_named(ids)}: {error}"
            f"{_hint(ids)}"
        ) from error
    if found.shape not in ((len(ids),), (len(ids), 1)):
        raise RerankError(
            f"the reranker gave scores of shape {found.shape} for the {parts} of {len(ids)} "
            f"documents, {_named(ids)}: it is to give one number each"
        )
    found = found.reshape(-1)
    if not np.isfinite(found).all():
        first = int(np.argmin(np.isfinite(found)))
        raise RerankError(
            f"the reranker gave {found[first]} for the {parts} of hit {ids[first]!r}: it is to "
            "give finite numbers"
        )
    return found


def _named(ids: Sequence[str | int]) -> str:
    shown = ", ".join(map(repr, ids[:NAMED]))
    more = len(ids) - NAMED
    return (
        ("hit " if len(ids) == 1 else "hits ") + shown + (f" and {more} more" if more > 0 else "")
    )


def _hint(ids: Sequence[str | int]) -> str:
    return "" if len(ids) == 1 else " (Rerank(batch_size=1) tells at which of them)"
