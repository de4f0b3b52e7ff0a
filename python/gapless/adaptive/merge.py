"""One ranking of what several searches found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..batch import whole
from ..results.hits import Hit
from .trace import AdaptiveHit, Step

__all__ = ["merged"]

RRF_K = 60  # Cormack, Clarke and Buettcher 2009


def merged(steps: Sequence[Step], limit: Any = None) -> tuple[list[AdaptiveHit], str]:
    """Merge the hits of the steps that did not fail, every item once.

    Where all lists rank by calibrated probability, these are under one prior and compare: an item
    has the largest of its steps. Else ranks decide: Σ 1 / (60 + rank) over the steps. Equal scores
    rank in the order found.

    Returns
    -------
    list of AdaptiveHit
        `limit` at most; without one, as many as the longest list of a step has.
    str
        ``"one step"``, ``"confidence"`` or ``"rrf"``.
    """
    lists = [(number, step.hits) for number, step in enumerate(steps, 1) if step.hits is not None]
    longest = max((len(hits) for _, hits in lists), default=0)
    cut = longest if limit is None else whole("limit", limit)
    if len(lists) == 1:
        number, hits = lists[0]
        return [AdaptiveHit(h, h.score, h.score_kind, (number,)) for h in hits[:cut]], "one step"
    sure = all(hits.fusion == "calibrated" for _, hits in lists if len(hits))
    found: dict[str | int, AdaptiveHit] = {}
    best: dict[str | int, int] = {}
    for number, hits in lists:
        for rank, hit in enumerate(hits, 1):
            known = found.get(hit.id)
            fresh = AdaptiveHit(hit, _score(hit, rank, sure), _kind(hit, sure), (number,))
            if known is not None:
                fresh = _joined(known, fresh, sure, higher=rank < best[hit.id])
            found[hit.id] = fresh
            best[hit.id] = min(rank, best.get(hit.id, rank))
    ranking = sorted(found.values(), key=lambda hit: -hit.score)  # sorted() keeps ties in order
    return ranking[:cut], "confidence" if sure else "rrf"


def _score(hit: Hit, rank: int, sure: bool) -> float:
    return hit.score if sure else 1.0 / (RRF_K + rank)


def _kind(hit: Hit, sure: bool) -> str:
    return hit.score_kind if sure else "rrf"


def _joined(known: AdaptiveHit, fresh: AdaptiveHit, sure: bool, higher: bool) -> AdaptiveHit:
    """One hit of two; `higher`: the fresh one ranks higher in its list than any before."""
    steps = known.steps + fresh.steps
    if sure:
        return replace(max(known, fresh, key=lambda hit: hit.score), steps=steps)
    shown = fresh.hit if higher else known.hit
    return replace(known, hit=shown, score=known.score + fresh.score, steps=steps)
