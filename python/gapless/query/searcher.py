"""Answer the questions of one collection: from their parts to hits."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from .. import _core
from ..alignment.versions import AlignmentVersion
from ..calibration.thresholds import check_confidence, check_score, reaches
from ..catalog import ItemRow
from ..errors import GaplessError
from ..filters.bitsets import FilterBitsets
from ..filters.dialects import FilterLike, as_expression
from ..results.hits import Hits, Spans
from ..results.pages import FrozenPages
from ..results.probabilities import probabilities
from ..results.ranking import Ranking, SearchedList
from ..results.similarity import ItemSimilarity
from ..storage import Storage
from .arrange import Arranger
from .encoders import Encoders, QueryVector
from .fusion import choose_fusion
from .repeat import Repeat, Repeats
from .routes import Plan, Routing, choose_fields, plan
from .run import Scored, Wanted, repeated, run
from .wishes import Wishes

__all__ = ["Searcher"]

Embed: TypeAlias = "Callable[[AlignmentVersion | None, Routing], list[QueryVector]]"


class Searcher:
    """Searches one collection; any number of threads may.

    Attributes
    ----------
    pages : FrozenPages
        The rankings that are being paged through.
    """

    def __init__(self, storage: Storage, encoders: Encoders) -> None:
        self._storage = storage
        self._encoders = encoders
        self._filters: FilterBitsets[_core.Filter] = FilterBitsets(_core.Filter)
        self._repeats = Repeats()
        self._similarity = ItemSimilarity(storage.schema)
        self.pages = FrozenPages()

    def answer(
        self,
        embed: Embed,
        wishes: Wishes,
        exclude: tuple[int, ...] = (),
        questions: Sequence[Mapping[str, Any]] = (),
        remember: Hashable | None = None,
    ) -> list[Hits]:
        """Rank the items for one question, or for each of a batch.

        Parameters
        ----------
        embed : callable
            Makes the query vectors, of one question or of a batch, for the alignment in force.
        wishes : Wishes
        exclude : tuple of int
            Keys of items to leave out.
        questions : sequence of mapping of part to value, optional
            What was asked in each, for rerankers.
        remember : hashable, optional
            Under what to keep the plan, for `again`.
        """
        storage = self._storage
        before = storage.version
        schema, indexes = storage.schema, storage.indexes
        routing = choose_fields(
            schema, wishes.fields, wishes.weights, wishes.filter_modality, wishes.routes
        )
        # Encoding is slow and needs no lock, yet it must agree with the alignment: plan under it.
        with storage.scoring(wishes.alignment) as (version, maps, apart):
            storage.live()
            asked = plan(schema, version, maps, embed(version, routing), routing)
            calibration = storage.calibrations.of(version)
            filled = asked.filled(indexes)
            method, reason = choose_fusion(
                wishes.fuse.method, filled, indexes, storage.cohorts, calibration
            )
            wanted = Wanted(
                limit=wishes.needed,
                fuse=replace(wishes.fuse, method=method),
                ef=wishes.ef,
                depth=wishes.depth,
                quotas=wishes.quotas_of(routing, schema),
                rules=wishes.rules_of(routing, schema),
                filter=self._bits(wishes.filter),
                exclude=exclude,
                timeout=wishes.timeout,
                threads=wishes.threads,
            )
            call = _Call(
                storage=storage,
                scored=Scored(
                    schema, indexes, storage.cohorts, maps if apart else None, calibration
                ),
                wanted=wanted,
                reason=reason,
                confident=check_confidence(wishes.min_confidence, method, reason),
                least=check_score(wishes.min_score, asked, schema, calibration),
                explain=wishes.explain,
                maps=maps,
            )
            found = call.hits(filled, run(filled, call.scored, wanted))
            if wishes.how is None and not wishes.diversity and wishes.group_by is None:
                cut = slice(wishes.offset, wishes.offset + wishes.limit)
                plain = not wishes.freeze and not wishes.explain
                if remember is not None and plain and storage.version == before:
                    spaces = tuple(dict.fromkeys(part.space for part, _, _ in asked.routes))
                    self._remember((remember, spaces, before), filled, call, cut)
                if wishes.freeze:
                    return [self._page(hits, wishes) for hits in found]
                return [_cut(hits, cut) for hits in found]
            answers = []
            for i, hits in enumerate(found):
                one = filled if filled.questions == 1 else filled.only(i)
                arranger = Arranger(
                    wishes=wishes,
                    scored=call.scored,
                    version=version,
                    question=one,
                    asked=questions[i] if questions else {},
                    deeper=partial(call.deeper, one),
                    encode=self._encode,
                    similarity=self._similarity,
                    maps=maps,
                )
                made = arranger.arrange(hits)
                answers.append(self._page(made, wishes) if wishes.freeze else made)
            return answers

    def again(self, remembered: Hashable, vectors: Mapping[str, Any]) -> Hits | None:
        """Answer a question that differs from a remembered one in its vectors alone.

        None where none is remembered, or something has been written since, or the vectors want a
        closer look: then the question is to be planned.
        """
        key = remembered, (*vectors,), self._storage.version
        repeat = self._repeats.get(key)
        if repeat is None or not repeat.takes(vectors):
            return None
        holding = self._storage.swapping
        holding.enter()
        try:
            if key[2] == self._storage.version:
                return repeat.ask(vectors)
        except GaplessError:
            pass  # planning it says what is wrong, or finds that nothing is
        finally:
            holding.leave()
        return None

    def _remember(self, key: Hashable, plan: Plan, call: _Call, cut: slice) -> None:
        native = repeated(plan, call.scored, call.wanted)
        if native is None:
            return
        spaces = self._storage.schema.spaces
        self._repeats.put(
            key,
            Repeat(
                native,
                tuple(part.space for part, _, _ in plan.routes),
                {part.space: spaces[part.space].dim for part, _, _ in plan.routes},
                tuple(SearchedList(part.modality, name, w) for part, name, w in plan.routes),
                partial(call.whole, plan, cut),
            ),
        )

    def page(self, cursor: str, limit: int) -> Hits:
        """Give the page that begins at a cursor; see `FrozenPages.page`."""
        return self.pages.page(cursor, limit, self._storage.live().items)

    def _page(self, hits: Hits, wishes: Wishes) -> Hits:
        first = self.pages.freeze(
            hits[wishes.offset :].ranking,
            hits.fusion,
            hits.reason,
            spans=hits.spans,
            plain=None if hits.plain is None else hits.plain[wishes.offset :],
            calibrated=None if hits.calibrated is None else hits.calibrated[wishes.offset :],
        )
        return self.page(first, wishes.limit)

    def _encode(self, modality: str, item: Any, space: str) -> npt.NDArray[np.float32]:
        rows: npt.NDArray[np.float32] = self._encoders.encode(modality, [item], [space])[0].vector[
            0
        ]
        return rows

    def _bits(self, given: FilterLike | None) -> _core.Filter | None:
        expression = as_expression(given)
        if expression is None:
            return None
        version, catalog = self._storage.metadata_version, self._storage.live()
        bits = self._filters.of(expression, version, catalog.reading, catalog.key_bound())
        return bits.made


@dataclass(frozen=True, slots=True)
class _Call:
    """What the searches of one call have in common."""

    storage: Storage
    scored: Scored
    wanted: Wanted
    reason: str
    confident: float | None
    least: Mapping[str, float] | None
    explain: bool
    maps: Mapping[str, _core.Alignment]

    def deeper(self, question: Plan, limit: int) -> Hits:
        """Search one question again, for more items."""
        return self.hits(question, run(question, self.scored, replace(self.wanted, limit=limit)))[0]

    def whole(self, question: Plan, cut: slice, ranking: Ranking) -> Hits:
        """Make the hits of one question, those between two places."""
        found = self.made(question, ranking, self.storage.items_of(ranking.keys.tolist()))
        return _cut(found, cut)

    def hits(self, question: Plan, rankings: Sequence[Ranking]) -> list[Hits]:
        """Make the hits of every question."""
        keys = chain.from_iterable(ranking.keys.tolist() for ranking in rankings)
        items = iter(self.storage.items_of(list(keys)))
        return [
            self.made(question, ranking, list(islice(items, len(ranking))), i)
            for i, ranking in enumerate(rankings)
        ]

    def made(
        self, question: Plan, ranking: Ranking, items: list[ItemRow | None], place: int = 0
    ) -> Hits:
        """Make hits of what was found, without what is not there or not good enough.

        `place` is that of the question in its batch.
        """
        kept = None
        if None in items:  # one removed while this search ran
            kept = np.array([item is not None for item in items], bool)
        if self.confident is not None:
            enough = ranking.scores >= self.confident
            kept = enough if kept is None else kept & enough
        if self.least is not None:
            enough = reaches(ranking, self.least)
            kept = enough if kept is None else kept & enough
        if kept is not None:
            ranking = ranking.take(np.flatnonzero(kept))
            items = [item for item, keep in zip(items, kept.tolist(), strict=True) if keep]
        plain, calibrated = None if self.maps else ranking.raw, None
        if self.explain:
            question = question if question.questions == 1 else question.only(place)
            if self.maps:
                plain = plain_cosines(ranking, question, self.scored)
            calibrated = self._probabilities(ranking, question)
        return Hits(
            ranking,
            cast("list[ItemRow]", items),
            self.wanted.fuse.method,
            self.reason,
            spans=self.spans(ranking),
            plain=plain,
            calibrated=calibrated,
        )

    def _probabilities(self, ranking: Ranking, question: Plan) -> npt.NDArray[np.float64]:
        indexes, calibration = self.scored.indexes, self.scored.calibration
        background = {
            name: self.scored.cohorts.of(name, indexes[name])
            for name in (question.fields if calibration is not None else ())
            if len(indexes[name])
        }
        queries = [part.vector[0, 0] for part, _, _ in question.routes]
        return probabilities(ranking, queries, indexes, self.maps, calibration, background)

    def spans(self, ranking: Ranking) -> Spans:
        """Look up the spans of the best rows."""
        found: dict[tuple[str, int], tuple[float, float]] = {}
        catalog = self.storage.live()
        for j, one in enumerate(ranking.lists):
            if one.field not in catalog.spanned:
                continue
            _, rows = ranking.best_rows(j)
            for label, span in catalog.spans(one.field, rows.tolist()).items():
                found[one.field, label] = span
        return found


def _cut(hits: Hits, cut: slice) -> Hits:
    return hits if cut.start == 0 and len(hits) <= cut.stop else hits[cut]


def plain_cosines(ranking: Ranking, question: Plan, scored: Scored) -> npt.NDArray[np.float32]:
    """Cosines (n, lists) before the alignment; NaN across spaces, and where there is no row."""
    found = np.full(ranking.raw.shape, np.nan, np.float32)
    for j, (part, name, _) in enumerate(question.routes):
        index = scored.indexes[name]
        there, labels = ranking.best_rows(j)
        if part.vector.shape[2] != index.dim or not len(there):
            continue
        found[there, j] = (index.vectors(labels) @ part.vector[0].T).mean(axis=1)
    return found
