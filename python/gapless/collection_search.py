"""What a collection does to answer a question."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy.typing as npt

from .alignment.versions import AlignmentVersion
from .calibration.thresholds import MinScore
from .query.answer import Wishes, answer
from .query.batch import embed_batch, read_batch
from .query.encoders import Encoders, QueryVector
from .query.fusion import Fuse
from .query.parts import ItemId, Part, read_parts
from .query.routes import Routing, embed
from .query.stored import keys_of_likes, stored_rows
from .results.hits import Hits
from .storage import Storage

__all__ = ["SearchMethods"]


class SearchMethods:
    """The part of `Collection` that searches."""

    _storage: Storage
    _encoders: Encoders

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
        limit: int = 10,
        offset: int = 0,
        window: int | None = None,
        fusion: str | Fuse = "auto",
        combine: str | None = None,
        ef: int | None = None,
        alignment: int | str | None = None,
        min_confidence: float | None = None,
        min_score: MinScore | None = None,
        quotas: Mapping[str, int] | None = None,
        rows: str | Mapping[str, str] = "max",
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
            For parts of that modality, only these of the fields: ``{"image": ["dino"], "text":
            ["clip", "caption"]}`` lets images find images by another model than texts do.
        weights : mapping of field to float, optional
            0, which leaves a field out, or from 1e-6 to 1e6; 1 by default.
        limit, offset : int
            Number of hits wanted, at least 1, after the first `offset`; a smaller collection gives
            fewer. Pages of one question agree as long as they fit in one `window`.
        window : int, optional
            Items that each field retrieves before they are fused; 100, or `offset` + `limit` if
            that is more.
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
        ef : int, optional
            Search effort in graph fields: higher finds more and takes longer.
        alignment : int or "raw", optional
            Score with another version than the active one, or with plain cosines, to compare.
            Every row is then scored, and writers wait meanwhile.
        min_confidence : float, optional
            Leave out hits whose probability of relevance is lower; the fusion must be calibrated.
        min_score : float or mapping of field to float, optional
            Of the `limit` best, leave out hits whose aligned cosine is lower in every field
            searched. One number serves one pair of modalities: it is refused on a search over
            several, whose scores are not comparable.
        quotas : mapping of field to int, optional
            Items that these fields retrieve, exactly, before the lists meet; a modality may stand
            for the only field that holds it: ``{"text": 16, "image": 16}``.
        rows : {"max", "mean", "maxsim"} or mapping of field to these
            How the scores of an item's rows become one in fields that take several: the best row,
            the mean of all, or late interaction, which queries of several vectors always take.
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
        UnknownField, UnknownId, InvalidVector, SpaceMismatch, MissingModelFile, MissingExtra
            See `gapless.errors`.
        """
        self._storage.live()
        asked = read_parts(text, image, audio, vectors, modality, like, negatives, parts)
        wishes = Wishes(
            fields=fields,
            filter_modality=filter_modality,
            routes=routes,
            weights=weights,
            limit=limit,
            offset=offset,
            window=window,
            fusion=fusion,
            combine=combine,
            ef=ef,
            alignment=alignment,
            min_confidence=min_confidence,
            min_score=min_score,
            quotas=quotas,
            rows=rows,
            explain=explain,
            timeout=timeout,
        )

        def vectors_under(version: AlignmentVersion | None, routing: Routing) -> list[QueryVector]:
            stored = partial(stored_rows, self._storage)
            return embed(self._storage.schema, self._encoders, version, asked, routing, stored)

        return answer(
            self._storage, vectors_under, wishes, tuple(keys_of_likes(self._storage, asked))
        )[0]

    def search_many(
        self,
        texts: Sequence[str] | None = None,
        images: Sequence[Any] | None = None,
        vectors: Mapping[str, npt.ArrayLike] | None = None,
        *,
        modality: str | None = None,
        **wishes: Any,
    ) -> list[Hits]:
        """Answer a batch of questions in one native call, which spreads over all cores.

        Parameters
        ----------
        texts, images : sequence, length n, optional
            What the encoders take, encoded together; with both, question i is composed of text i
            and image i.
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
        batch = read_batch(texts, images, vectors, modality)
        if not batch.count:
            return []

        def vectors_under(version: AlignmentVersion | None, routing: Routing) -> list[QueryVector]:
            return embed_batch(self._storage.schema, self._encoders, version, batch, routing)

        return answer(self._storage, vectors_under, Wishes.of(wishes))

    async def asearch_many(self, *args: Any, **wishes: Any) -> list[Hits]:
        """Search as `search_many` does, with its arguments, in a thread beside the event loop."""
        return await asyncio.to_thread(self.search_many, *args, **wishes)

    async def asearch(self, *args: Any, **wishes: Any) -> Hits:
        """Search as `search` does, with its arguments, in a thread beside the event loop."""
        return await asyncio.to_thread(self.search, *args, **wishes)
