"""Order hits by the scores of a reranker."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..errors import InvalidArgument
from .asking import asked_scores
from .documents import Candidate, document_of, retrieving_modalities
from .how import MODES, Rerank
from .scorers import Document, Query, VectorScorer

__all__ = ["Reranked", "StoredScores", "rerank"]

Float64: TypeAlias = "npt.NDArray[np.float64]"
StoredScores: TypeAlias = "Callable[[str, VectorScorer], Float64]"
JOINT = "joint"


@dataclass(frozen=True, slots=True)
class Reranked:
    """What a reranker made of n hits, best first.

    Attributes
    ----------
    order : ndarray (n,) intp
        Places that the hits had, from 0.
    scores : ndarray (n,) float64
        -inf for a hit that was not scored.
    parts : tuple of mapping of str to float, length n
        The scores of each hit's parts, of which its score was made.
    """

    order: npt.NDArray[np.intp]
    scores: Float64
    parts: tuple[Mapping[str, float], ...]

    @property
    def scored(self) -> int:
        """How many hits were scored; they come first."""
        return int(np.isfinite(self.scores).sum())


def rerank(
    hits: Sequence[Candidate],
    question: Query,
    how: Rerank,
    *,
    modalities: Mapping[str, str] | None = None,
    stored: StoredScores | None = None,
) -> Reranked:
    """Score hits against a question and order them by it; equal scores keep their order.

    Parameters
    ----------
    hits : sequence of Hit
        In the order of the search. Contributions stay with the hits: nothing of them is changed.
    question : str, or mapping of part to value
        ``{"text": ..., "image": ...}`` as it was asked; `how.query` takes precedence.
    how : Rerank
    modalities : mapping of field to modality, optional
        Needed for mode ``"route"``, and tells which uris are images.
    stored : callable, optional
        ``stored(field, scorer)`` gives the scores (n,) float64 of the hits in a field, NaN where
        an item has no row; needed for a `VectorScorer` (see `gapless.rerank.stored`).

    Raises
    ------
    InvalidArgument
        Without a question that the scorer could be asked, without what the scorer or the mode
        needs, and for a name that no reranker has.
    RerankError
        When the scorer raises, or gives another number of scores or ones that are not finite.

    Examples
    --------
    >>> import types
    >>> hits = [types.SimpleNamespace(id=i, metadata={"text": text}, uri=None, contributions=())
    ...         for i, text in enumerate(["a cat", "a dog", "a dog on a beach"])]
    >>> def overlap(query, documents):
    ...     words = set(query.split())
    ...     return [len(words & set(document["text"].split())) for document in documents]
    >>> rerank(hits, "dog on beach", Rerank(overlap)).order.tolist()
    [2, 1, 0]
    """
    if how.mode == "route" and modalities is None:
        raise InvalidArgument(
            "mode 'route' needs the modality of each field: give modalities={field: modality}"
        )
    told = dict(modalities or {})
    scorer = how.resolved
    scored = hits if how.top_k is None else hits[: how.top_k]
    if isinstance(scorer, VectorScorer):
        table = _stored(scored, scorer, how, stored, len(hits))
    else:
        documents = [_wanted(hit, how, told) for hit in scored]
        table = asked_scores(_question(question, how), documents, [hit.id for hit in scored], how)
    return _ordered(table, len(hits), how.mode)


def _stored(
    hits: Sequence[Candidate],
    scorer: VectorScorer,
    how: Rerank,
    stored: StoredScores | None,
    count: int,
) -> list[dict[str, float]]:
    if stored is None:
        raise InvalidArgument("a VectorScorer needs stored vectors: rerank within a search")
    if how.mode not in (*MODES, *scorer.fields) or how.mode == JOINT:
        raise InvalidArgument(
            f"mode is {how.mode!r} and the scorer looks at {', '.join(scorer.fields)}: choose "
            "one of these, mean, max or route"
        )
    fields = (how.mode,) if how.mode in scorer.fields else scorer.fields
    columns = {}
    for name in fields:
        columns[name] = np.asarray(stored(name, scorer), np.float64)
        if columns[name].shape != (count,):
            raise InvalidArgument(
                f"stored gave shape {columns[name].shape} for {count} hits: give one score a hit"
            )
    table = []
    for i, hit in enumerate(hits):
        own = {name: float(column[i]) for name, column in columns.items()}
        if how.mode == "route":
            by = {each.field for each in hit.contributions if each.rank is not None}
            own = {name: score for name, score in own.items() if name in by}
        table.append({name: score for name, score in own.items() if not np.isnan(score)})
    return table


def _wanted(hit: Candidate, how: Rerank, modalities: Mapping[str, str]) -> Document:
    """Give the parts of a hit to ask for; in mode "joint" they are asked for together."""
    document = document_of(hit, how, modalities)
    if how.mode in ("mean", "max", JOINT):
        return document
    kept = retrieving_modalities(hit, modalities) if how.mode == "route" else [how.mode]
    return {name: value for name, value in document.items() if name in kept}


def _question(question: Query, how: Rerank) -> Query:
    asked: Any = question if how.query is None else how.query
    if isinstance(asked, Mapping):
        asked = {part: value for part, value in asked.items() if value is not None}
        if set(asked) == {"text"}:
            asked = asked["text"]
    if not asked:
        raise InvalidArgument(
            "the scorer has nothing to be asked: search with text=, image= or audio=, or give "
            "Rerank(query=...); a question of vectors alone is re-ranked by VectorScorer(field)"
        )
    given: Query = asked
    return given


def _ordered(table: Sequence[Mapping[str, float]], count: int, mode: str) -> Reranked:
    combine = max if mode in ("max", "route") else _mean
    scores = np.full(count, -np.inf)
    for i, said in enumerate(table):
        if said:
            scores[i] = combine(said.values())
    order = np.argsort(-scores, kind="stable")
    parts: list[Mapping[str, float]] = [*table, *({} for _ in range(count - len(table)))]
    return Reranked(order, scores[order], tuple(parts[i] for i in order.tolist()))


def _mean(values: Any) -> float:
    return float(np.mean(list(values)))
