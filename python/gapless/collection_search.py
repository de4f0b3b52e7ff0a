"""What a collection does to answer a question."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from .batch import whole
from .calibration.thresholds import MinScore, check_confidence, check_score, reaches
from .query.encoders import Encoders
from .query.plan import choose_fusion, plan, run
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
        modality: str | None = None,
        fields: Iterable[str] | None = None,
        limit: int = 10,
        fusion: str = "auto",
        weights: Mapping[str, float] | None = None,
        ef: int | None = None,
        alignment: int | str | None = None,
        combine: str = "mean_logit",
        min_confidence: float | None = None,
        min_score: MinScore | None = None,
    ) -> Hits:
        """Rank the items of all fields in one list.

        Parameters
        ----------
        text : str, optional
        image : path or image, optional
            Whatever the space's image encoder takes. Several parts make a composed query.
        vectors : mapping of space to array-like (dim,), optional
            Query vectors of your own, one per space.
        modality : str, optional
            Modality of `vectors`; needed while an alignment is active, which treats the queries
            of each modality differently.
        fields : sequence of str, optional
            Fields to search; all that the query can reach by default.
        limit : int
            Number of hits wanted, at least 1; a smaller collection gives fewer.
        fusion : str
            ``"auto"``, ``"rrf"``, ``"convex"``, ``"minmax"``, ``"zscore"``, ``"cohort"``,
            ``"calibrated"``, ``"combmax"`` or ``"alpha_mix"``. Auto takes calibrated where every
            pair type of the search is calibrated on 50 pairs (see `calibrate`); cohort where only
            some are, for composed queries, and where most items fill a single field; else rrf (and
            rrf while a field has fewer than 10 rows). ``hits.fusion`` and ``hits.reason`` say what
            and why. Alpha mix ranks by one cosine: that of a vector mixed of the item's fields by
            their weights, as GR-CLIP does for documents with a text and an image.
        weights : mapping of field to float, optional
            0, which leaves a field out, or from 1e-6 to 1e6; 1 by default.
        ef : int, optional
            Search effort in graph fields: higher finds more and takes longer.
        alignment : int or "raw", optional
            Score with another version than the active one, or with plain cosines, to compare.
            Every row is then scored, and writers wait meanwhile.
        combine : {"mean_logit", "max", "noisy_or"}
            How the calibrated probabilities of an item's fields (and of the parts of a composed
            query) become one: by their mean log-odds, weighted; the largest; or 1 - Π(1 - p).
        min_confidence : float, optional
            Leave out hits whose probability of relevance is lower; the fusion must be calibrated.
        min_score : float or mapping of field to float, optional
            Of the `limit` best, leave out hits whose raw (aligned) cosine is lower in every field
            searched. One number serves one pair of modalities: it is refused on a search over
            several, whose scores are not comparable.

        Returns
        -------
        Hits
            Best first. An item that lacks a field is ranked by those it has.

        Raises
        ------
        InvalidArgument
            For an empty question, a bad limit, fusion, weight, ef, modality or alignment, for
            text or image where no space has an encoder, and for thresholds that mean nothing.
        UnknownField, InvalidVector, SpaceMismatch, MissingModelFile, MissingExtra
            See `gapless.errors`.
        """
        self._storage.live()
        limit = whole("limit", limit)
        ef = None if ef is None else whole("ef", ef)
        # Encoding is slow and needs no lock, yet it must agree with the alignment: plan under it.
        with self._storage.scoring(alignment) as (version, maps, apart):
            catalog = self._storage.live()
            question = plan(
                self._storage.schema,
                self._encoders,
                version,
                maps,
                text=text,
                image=image,
                vectors=vectors,
                modality=modality,
                fields=fields,
                weights=weights,
            )
            calibration = self._storage.calibrations.of(version)
            filled = question.filled(self._storage.indexes)
            method, reason = choose_fusion(
                fusion, filled, self._storage.indexes, self._storage.cohorts, calibration
            )
            confident = check_confidence(min_confidence, method, reason)
            least = check_score(min_score, question, self._storage.schema, calibration)
            ranking = run(
                filled,
                self._storage.indexes,
                self._storage.cohorts,
                limit,
                method,
                ef,
                maps if apart else None,
                calibration,
                combine,
            )
            rows = catalog.items(ranking.keys.tolist())
        # One removed while this search ran is left out.
        kept = np.array([key in rows for key in ranking.keys.tolist()], bool)
        if confident is not None:
            kept &= ranking.scores >= confident
        if least is not None:
            kept &= reaches(ranking, least)
        if not kept.all():
            ranking = ranking.take(np.flatnonzero(kept))
        return Hits(
            ranking,
            [rows[key] for key in ranking.keys.tolist()],
            method,
            reason,
            plain=None if maps else ranking.raw,  # without a map, the cosines are the plain ones
        )
