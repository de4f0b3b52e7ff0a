"""Order and choose among the items found: rerank, spread out, group."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core
from ..alignment.versions import AlignmentVersion
from ..rerank.how import Rerank
from ..rerank.rerank import rerank
from ..rerank.stored import StoredVectors
from ..results.diversity import MOST as MOST_SPREAD
from ..results.diversity import mmr, relevance
from ..results.groups import group, grouped, values_at
from ..results.hits import Hits
from ..results.similarity import ItemSimilarity, candidate_rows
from .routes import Plan
from .run import Scored
from .wishes import Wishes

__all__ = ["Arranger"]

MOST = 100_000  # items that groups are looked for among


@dataclass(frozen=True, slots=True)
class Arranger:
    """What is done with the fused ranking of one question.

    Attributes
    ----------
    wishes : Wishes
    scored : Scored
    version : AlignmentVersion or None
        The alignment in force.
    question : Plan
    asked : mapping of part to value
        As the asker gave it.
    deeper : callable
        Gives the hits of a longer ranking.
    encode : callable
        Gives the rows (tokens, dim) of a part in a space where it was not asked.
    similarity : ItemSimilarity
    maps : mapping of field to Alignment
        Of `version`.
    """

    wishes: Wishes
    scored: Scored
    version: AlignmentVersion | None
    question: Plan
    asked: Mapping[str, Any]
    deeper: Callable[[int], Hits]
    encode: Callable[[str, Any, str], npt.NDArray[np.float32]]
    similarity: ItemSimilarity
    maps: Mapping[str, _core.Alignment]

    def arrange(self, hits: Hits) -> Hits:
        """Give the hits wanted, in their order."""
        wishes = self.wishes
        first, last = wishes.offset, wishes.offset + wishes.limit
        if wishes.group_by is None:
            hits = self._ordered(hits)
            return hits if wishes.freeze else hits[first:last]
        looked = wishes.needed
        while True:
            found = self._ordered(hits)
            values = values_at(found.items, wishes.group_by)
            groups = group(values, wishes.limit, wishes.group_size, first)
            ended = len(hits) < looked or looked >= MOST
            # Reranked, a longer ranking would be another one.
            fixed = wishes.how is not None and wishes.how.top_k is not None
            if ended or fixed or (groups.enough and (groups.filled or looked > wishes.needed)):
                return grouped(found, groups)
            looked = min(4 * looked, MOST)
            hits = self.deeper(looked)

    def _ordered(self, hits: Hits) -> Hits:
        if self.wishes.how is not None:
            hits = self._reranked(hits, self.wishes.how)
        if self.wishes.diversity:
            hits = self._spread(hits, float(self.wishes.diversity))
        return hits

    def _spread(self, hits: Hits, diversity: float) -> Hits:
        """Choose one by one what is good and unlike what was chosen before; the rest follow."""
        some = hits[: min(MOST_SPREAD, max(self.wishes.depth, self.wishes.needed))]
        if not len(some):
            return some
        scored = self.scored
        rows = candidate_rows(some.ranking, scored.indexes)
        background = {name: scored.cohorts.of(name, scored.indexes[name]) for name in rows}
        alike = self.similarity.matrix(
            some.ranking.keys,
            rows,
            scored.indexes,
            background,
            self.maps,
            self.version,
            scored.calibration,
        )
        worth = relevance(some.scores, some.fusion)
        order = mmr(worth, alike, len(some), trade_off=1.0 - diversity)
        return hits.take([*order.tolist(), *range(len(some), len(hits))])

    def _reranked(self, hits: Hits, how: Rerank) -> Hits:
        schema = self.scored.schema
        parts = {id(part): part for part, _, _ in self.question.routes}
        stored = StoredVectors(
            schema,
            self.scored.indexes,
            hits.ranking.keys,
            self.asked,
            list(parts.values()),
            self.encode,
            self.version,
        )
        modalities = {name: field.modality for name, field in schema.fields.items()}
        made = rerank(hits, self.asked, how, modalities=modalities, stored=stored.scores)
        found = hits.take(made.order.tolist())
        return Hits(
            replace(found.ranking, scores=made.scores),
            found.items,
            "rerank",
            f"{how.mode} of a reranker's scores, over what {hits.fusion} found ({hits.reason})",
            spans=found.spans,
            plain=found.plain,
            calibrated=found.calibrated,
        )
