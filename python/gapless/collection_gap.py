"""What a collection does about the modality gap: measure it, close it, go back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .alignment.fields import FieldDrift, drift_of, estimate
from .alignment.samples import MapOptions
from .alignment.versions import AlignmentVersion
from .collection_calibration import CalibrationMethods
from .collection_diagnosis import DiagnosisMethods
from .item_keys import read_key_pairs
from .storage import Storage

__all__ = ["GapMethods"]


class GapMethods(CalibrationMethods, DiagnosisMethods):
    """The part of `Collection` that concerns alignment, calibration and diagnosis."""

    _storage: Storage

    @property
    def alignment(self) -> AlignmentVersion | None:
        """The active alignment; None when scores are raw."""
        return self._storage.alignment

    def align(
        self,
        method: str | None = "center",
        *,
        fields: Iterable[str] | None = None,
        pairs: Any = None,
        queries: Mapping[str, Any] | None = None,
        tolerance: float = 0.01,
        source: str | None = None,
        target: str | None = None,
        components: int | None = None,
        penalty: float = 1.0,
        shrinkage: float = 0.1,
    ) -> AlignmentVersion | None:
        """Choose how scores are freed of the modality gap; no vector is rewritten.

        Parameters
        ----------
        method : str or None
            ``"center"``, ``"shift"``, ``"project"``, ``"pca_remove"``, ``"procrustes"``,
            ``"ridge"`` or ``"whiten"`` (see `gapless.align`); ``"raw"`` and None go back to plain
            cosines.
        fields : sequence of str, optional
            Fields to align, the others staying raw; all by default. ``"ridge"`` (and between
            spaces of one dim ``"procrustes"``) takes those of one space into another when fields
            of both are named: text of the one then finds images of the other.
        pairs : optional
            What the alignment is judged by, and fitted maps fitted on: {field: (n, dim)} with row
            i of each being the same item, or a list of such; or a list of pairs of ids. By default
            the items that fill two fields of different modalities (5,000 at most, drawn at
            random). Of an item with several rows in a field, the first one is paired; means are
            of all rows.
        queries : mapping, optional
            Sample query vectors, {modality: (n, dim)}; with several spaces
            {space: {modality: (n, dim)}}. A modality left out uses its documents' mean.
        tolerance : float
            Loss of held-out MRR that is accepted.
        source, target, components, penalty, shrinkage
            See `gapless.align`.

        Returns
        -------
        AlignmentVersion or None
            With the figures of its validation and its findings.

        Raises
        ------
        AlignmentRefused
            When the alignment loses held-out cross-modal quality; the message says how much.
        InvalidArgument
            For an unknown method, a field with fewer than 2 rows or without spread, pairs or
            queries of no known form, and fitted maps without pairs.
        InvalidVector, UnknownField, UnknownId
            For bad samples, samples of a space that the schema lacks, and ids that are not there.
        StorageError
            When the disk is full. The active alignment stays in all these cases.
        """
        self._storage.live()
        options = MapOptions(source, target, components, penalty, shrinkage)
        with self._storage.writing:
            catalog = self._storage.live()
            if method is None or (isinstance(method, str) and method == "raw"):
                self._storage.unalign()
                return None
            pairs, keys = read_key_pairs(catalog, pairs)
            self._storage.align(
                estimate(
                    method,
                    self._storage.schema,
                    self._storage.indexes,
                    self._storage.sums,
                    fields=fields,
                    pairs=pairs,
                    key_pairs=keys,
                    queries=queries,
                    tolerance=tolerance,
                    options=options,
                )
            )
            return self.alignment

    def alignments(self) -> list[AlignmentVersion]:
        """Every alignment there has been, oldest first; `rollback` takes one of their versions."""
        self._storage.live()
        return self._storage.alignments()

    def rollback(self, version: int | str) -> AlignmentVersion | None:
        """Score with an earlier alignment again, as it was; ``"raw"`` goes back to plain cosines.

        Raises
        ------
        InvalidArgument
            When there is no such version.
        """
        self._storage.live()
        with self._storage.writing:
            if isinstance(version, str) and version == "raw":
                self._storage.unalign()
            else:
                self._storage.realign(version)
            return self.alignment

    def drift(self) -> list[FieldDrift]:
        """How far each field's rows have moved since the active alignment was estimated.

        An empty list when scores are raw. The sums that it reads follow the items as they arrive;
        the first call after opening takes one pass over the rows.
        """
        storage = self._storage
        storage.live()
        with storage.writing:
            active = self.alignment
            if active is None:
                return []
            return [
                drift_of(
                    field,
                    storage.indexes[field],
                    storage.sums.of(field),
                    active.means.get(field),
                    rows,
                    active.next_key,
                )
                for field, rows in active.rows.items()
            ]
