"""What a collection does so that its scores mean something: calibrate them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from .calibration.calibrate import PRIOR, calibrate
from .calibration.fields import gather, labelled, uncalibrated
from .calibration.result import CalibrationResult
from .calibration.samples import NEGATIVES
from .errors import InvalidArgument
from .item_keys import read_key_pairs
from .storage import Storage

__all__ = ["CalibrationMethods"]


class CalibrationMethods:
    """The part of `Collection` that concerns calibration."""

    _storage: Storage

    @property
    def calibration(self) -> CalibrationResult | None:
        """What the active alignment is calibrated to; None when scores are not."""
        self._storage.live()
        return self._storage.calibrations.of(self._storage.alignment)

    def calibrate(
        self,
        pairs: Any = None,
        *,
        positives: Mapping[tuple[str, str], tuple[Any, Any]] | None = None,
        labels: Mapping[Any, Hashable] | None = None,
        method: str = "auto",
        prior: float = PRIOR,
        background: bool | None = None,
        negatives: int = NEGATIVES,
        seed: int = 0,
    ) -> CalibrationResult:
        """Learn what scores of each pair type, (query modality -> field), mean; keep it.

        From then on ``fusion="auto"`` ranks by probability of relevance wherever all pair types of
        a search are calibrated on at least 50 pairs. A calibration belongs to the alignment it was
        fitted under: after `align` calibrate again; after `rollback` the old one serves again.

        Parameters
        ----------
        pairs : optional
            What matches: {field: (n, dim)} with row i of each being the same item, or a list of
            such; or a list of pairs of ids. By default the items that fill two fields (5,000 at
            most, drawn at random). Either side stands for a query that asks for the other, which
            calibrates the pair types across fields. Of an item with several rows in a field, the
            first one is taken: probabilities are those of single rows, and too high for items
            that are found by the best of very many.
        positives : mapping of (query modality, field) to (queries (n, dim), documents), optional
            Matches of a pair type, such as real queries, or another caption of the same image for
            ("text", "caption"). Documents are ids, or rows (n, dim). They replace what `pairs`
            says of that pair type.
        labels : mapping of id to label, optional
            Items of one label match each other within a modality, where nothing else says so:
            ("text", "caption") and ("image", "image"). 1,000 are used at most.
        method, prior, background, negatives, seed
            See `gapless.calibrate`. Others are drawn from the field's background sample, the one
            that ``fusion="cohort"`` uses.

        Returns
        -------
        CalibrationResult
            With held-out errors, score cards, and findings such as ``UNCALIBRATED`` for pair types
            without pairs; print it. It replaces the former one.

        Raises
        ------
        InvalidArgument
            When there are no pairs, and as `gapless.calibrate` says.
        InvalidVector, SpaceMismatch, UnknownField, UnknownId
            For bad rows, and names and ids that are not there.
        StorageError
            When the disk is full. The former calibration stays in all these cases.
        """
        storage = self._storage
        storage.live()
        with storage.writing:
            catalog = storage.live()
            rows, keys = read_key_pairs(catalog, pairs)
            schema, indexes, active = storage.schema, storage.indexes, storage.alignment
            given = gather(schema, indexes, catalog, rows, keys, positives, active)
            named = labelled(schema, indexes, catalog, labels, given, active)
            if not given and not named:
                raise InvalidArgument(
                    "there is nothing to calibrate on: fewer than 10 items fill two fields of one "
                    "space; give pairs=, positives= or labels=, or search with fusion='cohort'"
                )
            documents = {
                field: np.asarray(indexes[field].vectors(storage.cohorts.of(field, indexes[field])))
                for field in {field for _, field in given}
                if len(indexes[field])
            }
            found = calibrate(
                given,
                labels=named,
                method=method,
                prior=prior,
                documents=documents,
                alignment=storage.maps,
                background=background,
                negatives=negatives,
                seed=seed,
            )
            findings = (*found.findings, *uncalibrated(schema, found.types, active))
            found = replace(found, findings=findings)
            storage.calibrate(found)
            return found
