"""What a collection does to answer a question."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields as dataclass_fields
from functools import partial
from typing import Any

import numpy.typing as npt

from .alignment.versions import AlignmentVersion
from .calibration.thresholds import MinScore
from .filters.dialects import FilterLike
from .query.batch import embed_batch, read_batch
from .query.encoders import Encoders, QueryVector
from .query.fusion import Fuse
from .query.parts import ItemId, Part, read_parts
from .query.repeat import key_of
from .query.routes import Routing, embed
from .query.searcher import Searcher
from .query.stored import keys_of_likes, stored_rows
from .query.wishes import Wishes, refuse_beside_cursor, refuse_many_frozen
from .rerank.pairs import PairScores, score_pairs
from .results.hits import Hits
from .stages.compile import with_stages
from .storage import Storage

__all__ = ["SearchMethods"]


is_given = partial(operator.is_not, None)


class SearchMethods:
    """The part of `Collection` that searches."""

    _storage: Storage
    _encoders: Encoders
    _searcher: Searcher

    def search(
        self,
        text: str | None = None,
        image: Any = None,
        vectors: Mapping[str, npt.ArrayLike] | None = None,
        *,
        audio: Any = None,
        like: ItemId | Iterable[ItemId] | None = None,
        parts: Iterable[Part] | None = None,
        negatives: Any = None,
        modality: str | None = None,
        fields: Iterable[str] | None = None,
        filter_modality: str | Iterable[str] | None = None,
        routes: Mapping[str, Iterable[str]] | None = None,
        weights: Mapping[str, float] | None = None,
        filter: FilterLike | None = None,
        limit: int = 10,
        offset: int = 0,
        window: int | None = None,
        quotas: Mapping[str, int] | None = None,
        fusion: str | Fuse = "auto",
        combine: str | None = None,
        rows: str | Mapping[str, str] = "max",
        ef: int | None = None,
        alignment: int | str | None = None,
        min_confidence: float | None = None,
        min_score: MinScore | None = None,
        rerank: Any = None,
        diversity: float | None = None,
        group_by: str | None = None,
        group_size: int = 1,
        freeze: bool = False,
        cursor: str | None = None,
        stages: Iterable[Any] | None = None,
        explain: bool = False,
        timeout: float | None = None,
    ) -> Hits:
        """Rank the items of all fields in one list.

        Parameters
        ----------
        text : str, optional
        image, audio : optional
            Whatever the space's encoder takes, such as a path. Several parts make a composed query.
        vectors : mapping of space to array-like (dim,), optional
            Query vectors of your own, one per space; (tokens, dim) for late interaction.
        like : id or list of ids, optional
            Stored items to find more like; they are left out of the answer.
        parts : sequence of Part, optional
            Parts with weights of their own, regions of images, several of one kind.
        negatives : str or Part, or a list of them, optional
            What the items are not to be like: parts of negative weight. They find nothing by
            themselves; they lower what the other parts find.
        modality : str, optional
            Modality of `vectors`; needed while an alignment is active, which treats the queries
            of each modality differently.
        fields : sequence of str, optional
            Fields to search; all that the query can reach by default.
        filter_modality : str or sequence of str, optional
            Search only the fields that hold this modality.
        routes : mapping of query modality to fields, optional
            For parts of that modality, only these of the fields; those of the schema by default.
            ``{"image": ["dino"], "text": ["clip", "caption"]}`` lets images find images by another
            model than texts do.
        weights : mapping of field to float, optional
            0, which leaves a field out, or from 1e-6 to 1e6; 1 by default.
        filter : Mongo-style dict, Haystack dict, or expression of F, optional
            Only items whose metadata match: ``{"year": {"$gte": 2020}}``, ``F("year") >= 2020``;
            see `gapless.F`. It is part of the search: k hits are found where k items match.
        limit, offset : int
            Number of hits wanted, at least 1, after the first `offset`; a smaller collection gives
            fewer. Pages of one question agree as long as they fit in one `window` and nothing is
            written meanwhile; see `freeze`.
        window : int, optional
            Items that each field retrieves before they are fused; 100, or `offset` + `limit` if
            that is more.
        quotas : mapping of field to int, optional
            Items that these fields retrieve, exactly, before the lists meet; a modality may stand
            for the only field that holds it: ``{"text": 16, "image": 16}``.
        fusion : str or Fuse
            ``"auto"``, or a method of `gapless.fuse`, or ``"alpha_mix"``; `Fuse` holds a method
            with its parameters. Auto takes calibrated where every pair type of the search is
            calibrated on 50 pairs (see `calibrate`); cohort where only some are, for composed
            queries, and where most items fill a single field; else rrf (and rrf while a field has
            fewer than 10 rows). ``hits.fusion`` and ``hits.reason`` say what and why. Alpha mix
            ranks by one cosine: that of a vector mixed of the item's fields by their weights, as
            GR-CLIP does for documents with a text and an image.
        combine : {"mean_logit", "max", "noisy_or"}, optional
            How the calibrated probabilities of an item's fields (and of the parts of a composed
            query) become one: by their mean log-odds, weighted; the largest; or 1 - Π(1 - p).
        rows : {"max", "mean", "maxsim"} or mapping of field to these
            How the scores of an item's rows become one in fields that take several: the best row,
            the mean of all, or late interaction, which queries of several vectors always take.
        ef : int, optional
            Search effort in graph fields: higher finds more and takes longer.
        alignment : int or "raw", optional
            Score with another version than the active one, or with plain cosines, to compare.
            Every row is then scored, and writers wait meanwhile.
        min_confidence : float, optional
            Leave out hits whose probability of relevance is lower; the fusion must be calibrated.
        min_score : float or mapping of field to float, optional
            Leave out hits whose aligned cosine is lower in every field searched. One number serves
            one pair of modalities: it is refused on a search over several, whose scores are not
            comparable.
        rerank : Rerank, callable or str, optional
            Score what was found anew, and order it by that; see `gapless.Rerank`.
        diversity : float, optional
            From 0, relevance alone, to 1: how much a hit is to differ from those before it, by
            maximal marginal relevance over the `window` first; see `gapless.results.diversity`.
        group_by : str, optional
            A path in the metadata, such as ``"doc_id"``, or ``"uri"``: one hit for each value of
            it, the best; `Hit.group` is the value, and `Hit.others` are the next `group_size` - 1
            hits of the group. `limit` and `offset` count groups.
        freeze : bool
            Keep the ranking as it is now, of 1,000 items or `window`, so that ``hits.cursor`` gives
            its next pages whatever is written meanwhile: no item twice, none left out.
        cursor : str, optional
            Of an earlier page, whose question it goes on with: nothing but `limit` goes beside it.
        stages : sequence of stages, optional
            The same as a list: `gapless.stages.stages.VectorSearch`, `Filter`, `Fuse`, `Rerank`,
            ...; what they say may not be said again.
        explain : bool
            Also give each hit's cosines before the alignment, in `Hits.explain` and `explanation`.
        timeout : float, optional
            Seconds after which the search gives up with `gapless.errors.Timeout`.

        Returns
        -------
        Hits
            Best first. An item that lacks a field is ranked by those it has.

        Raises
        ------
        InvalidArgument
            For an empty question, a bad limit, fusion, weight, ef, modality or alignment, for
            text or image where no space has an encoder, and for thresholds that mean nothing.
        InvalidFilter, UnknownField, UnknownId, InvalidVector, SpaceMismatch, RerankError, Timeout
        MissingModelFile, MissingExtra
            See `gapless.errors`.

        Examples
        --------
        >>> import gapless as gl, numpy as np, tempfile
        >>> schema = gl.Schema({"clip": gl.Space(dim=4)}, {"image": gl.Field("clip", "image"),
        ...                                                "caption": gl.Field("clip", "text")})
        >>> with gl.open(tempfile.mkdtemp(), schema) as col:
        ...     rows = {"image": np.eye(3, 4), "caption": np.eye(3, 4)}
        ...     col.upsert(["a", "b", "c"], rows, [{"year": year} for year in (2018, 2021, 2024)])
        ...     hits = col.search(vectors={"clip": [0, 2, 1, 0]}, filter={"year": {"$gte": 2020}})
        >>> [(hit.id, hit.field, hit.metadata) for hit in hits]
        [('b', 'image', {'year': 2021}), ('c', 'image', {'year': 2024})]
        """
        self._storage.live()
        if cursor is not None:
            refuse_beside_cursor(locals())
            return self._searcher.page(cursor, limit)
        # A search with vectors is over in microseconds; to plan it again would take longer.
        again = None
        others = (text, image, audio, like, parts, negatives, stages, alignment, rerank)
        if type(vectors) is dict and not any(map(is_given, others)):
            again = key_of(
                modality, fields, filter_modality, routes, weights, filter, limit, offset, window,
                quotas, fusion, combine, rows, ef, min_confidence, min_score, diversity, group_by,
                group_size, freeze, explain, timeout,
            )  # fmt: skip
            found = None if again is None else self._searcher.again(again, vectors)
            if found is not None:
                return found
        asked = read_parts(text, image, audio, vectors, modality, like, negatives, parts)
        wishes = self._wishes(
            stages,
            fields=fields,
            filter_modality=filter_modality,
            routes=routes,
            weights=weights,
            filter=filter,
            limit=limit,
            offset=offset,
            window=window,
            quotas=quotas,
            fusion=fusion,
            combine=combine,
            rows=rows,
            ef=ef,
            alignment=alignment,
            min_confidence=min_confidence,
            min_score=min_score,
            rerank=rerank,
            diversity=diversity,
            group_by=group_by,
            group_size=group_size,
            freeze=freeze,
            explain=explain,
            timeout=timeout,
        )

        def vectors_under(version: AlignmentVersion | None, routing: Routing) -> list[QueryVector]:
            stored = partial(stored_rows, self._storage)
            return embed(self._storage.schema, self._encoders, version, asked, routing, stored)

        likes = tuple(keys_of_likes(self._storage, asked))
        given = {"text": text, "image": image, "audio": audio}
        told = [{part: value for part, value in given.items() if value is not None}]
        return self._searcher.answer(vectors_under, wishes, likes, told, again)[0]

    def _wishes(self, stages: Iterable[Any] | None, **given: Any) -> Wishes:
        if stages is None:
            return Wishes.of(given)
        usual = {field.name: field.default for field in dataclass_fields(Wishes)}
        said = {name: value for name, value in given.items() if value is not usual[name]}
        return Wishes.of(with_stages(stages, self._storage.schema, said))

    def search_many(
        self,
        texts: Sequence[str] | None = None,
        images: Sequence[Any] | None = None,
        vectors: Mapping[str, npt.ArrayLike] | None = None,
        *,
        audios: Sequence[Any] | None = None,
        modality: str | None = None,
        **wishes: Any,
    ) -> list[Hits]:
        """Answer a batch of questions in one native call, which spreads over all cores.

        Parameters
        ----------
        texts, images, audios : sequence, length n, optional
            What the encoders take, encoded together; with several, question i is composed of text
            i and image i.
        vectors : mapping of space to array-like (n, dim), optional
            Query vectors of your own, or (n, tokens, dim) for late interaction.
        modality : str, optional
            Modality of `vectors`.
        **wishes
            Every other keyword argument of `search`; ``threads`` beside them, all cores by default.

        Returns
        -------
        list of Hits, length n
            Those that `search` gives for each question.

        Raises
        ------
        InvalidArgument, UnknownField, InvalidVector, SpaceMismatch, MissingModelFile, MissingExtra
            As `search`.
        """
        self._storage.live()
        batch = read_batch(texts, images, audios, vectors, modality)
        if not batch.count:
            return []

        def vectors_under(version: AlignmentVersion | None, routing: Routing) -> list[QueryVector]:
            return embed_batch(self._storage.schema, self._encoders, version, batch, routing)

        refuse_many_frozen(wishes, batch.count)
        stages = wishes.pop("stages", None)
        return self._searcher.answer(
            vectors_under, self._wishes(stages, **wishes), questions=batch.questions()
        )

    def score_pairs(
        self,
        a: Any,
        b: Any,
        *,
        fields: Iterable[str] | None = None,
        query_fields: Iterable[str] | None = None,
    ) -> PairScores:
        """Score pairs that you name, such as images with their texts, instead of searching.

        Parameters
        ----------
        a, b : list of ids, or {kind: list}
            ``["id", ...]``, ``{"text": [...]}``, ``{"image": [...]}``, ``{"audio": [...]}``, or
            ``{"vectors": {name: rows (n, dim)}}`` of spaces in `a` and of fields in `b`; a side of
            one goes with every one of the other.
        fields : sequence of str, optional
            Fields that the second side stands in; all that the first reaches by default.
        query_fields : sequence of str, optional
            Fields whose rows stand for stored items of the first side; all by default.

        Returns
        -------
        PairScores
            Aligned cosines and calibrated probabilities (n, routes).

        Raises
        ------
        InvalidArgument, UnknownField, UnknownId, InvalidVector, SpaceMismatch
            See `gapless.rerank.pairs.score_pairs`.
        """
        self._storage.live()
        with self._storage.scoring(None) as (version, maps, _):
            return score_pairs(
                self._storage,
                self._encoders,
                version,
                maps,
                a,
                b,
                fields=fields,
                query_fields=query_fields,
            )

    async def asearch_many(self, *args: Any, **wishes: Any) -> list[Hits]:
        """Search as `search_many` does, with its arguments, in a thread beside the event loop."""
        return await asyncio.to_thread(self.search_many, *args, **wishes)

    async def asearch(self, *args: Any, **wishes: Any) -> Hits:
        """Search as `search` does, with its arguments, in a thread beside the event loop."""
        return await asyncio.to_thread(self.search, *args, **wishes)
