"""What the storage of a collection does about the gap: versions of alignment and calibration."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from . import _core
from .alignment.fields import Estimate
from .alignment.versions import (
    AlignmentVersion,
    alignment_versions,
    dump_alignment,
    stored_alignment,
)
from .calibration.result import CalibrationResult
from .calibration.stored import Calibrations
from .catalog import Catalog
from .cohorts import Cohorts, draw
from .locking import SharedLock
from .segments import Index

__all__ = ["GapStorage"]


class GapStorage:
    """The part of `Storage` that keeps alignments and calibrations, and scores under one."""

    writing: threading.RLock
    swapping: SharedLock
    indexes: dict[str, Index]
    alignment: AlignmentVersion | None
    maps: Mapping[str, _core.Alignment]
    calibrations: Calibrations
    cohorts: Cohorts
    live: Callable[[], Catalog]
    _commit: Callable[[Callable[[Catalog], None], Callable[[], None]], None]

    def align(self, estimate: Estimate) -> None:
        """Store an alignment as a new version and score with it."""
        with self.writing:
            result, maps = estimate.result, estimate.result.maps
            samples = {field: draw(self.indexes[field]) for field in maps}
            fresh = AlignmentVersion(
                version=0,
                method=result.method,
                active=True,
                rows={field: len(self.indexes[field]) for field in maps},
                query_rows=estimate.query_rows,
                validation=result.validation,
                findings=result.findings,
                means=estimate.means,
                next_key=self.live().next_key(),
                bridges=estimate.bridges,
            )
            version = 0

            def write(catalog: Catalog) -> None:
                nonlocal version
                blobs = {field: dump_alignment(value) for field, value in maps.items()}
                version = catalog.add_alignment(result.method, fresh.details(), blobs)
                catalog.put_cohorts(samples)

            def follow() -> None:
                self.cohorts.install(samples)
                self._swap(replace(fresh, version=version), maps)

            self._commit(write, follow)

    @contextlib.contextmanager
    def scoring(
        self, alignment: int | str | None
    ) -> Iterator[tuple[AlignmentVersion | None, Mapping[str, _core.Alignment], bool]]:
        """Hold still what a search under an alignment reads.

        Yields the alignment, its maps, and whether it is another than the one the indexes are
        under; rows stay where they are in that case. None means the active one.

        Raises
        ------
        InvalidArgument
            When there is none of that version.
        """
        if alignment is None:
            with self.swapping.shared():
                yield self.alignment, self.maps, False
            return
        with self.writing:
            version: AlignmentVersion | None = None
            maps: Mapping[str, _core.Alignment] = {}
            if not isinstance(alignment, str) or alignment != "raw":
                version, maps = stored_alignment(self.live(), alignment)
            active = None if self.alignment is None else self.alignment.version
            if (None if version is None else version.version) == active:
                yield self.alignment, self.maps, False
            else:
                yield version, maps, True

    def realign(self, version: int | str) -> None:
        """Score with a stored alignment again.

        Raises
        ------
        InvalidArgument
            When there is none of that version.
        """
        with self.writing:
            stored, maps = stored_alignment(self.live(), version)
            self._commit(
                lambda catalog: catalog.activate_alignment(stored.version),
                lambda: self._swap(replace(stored, active=True), maps),
            )

    def alignments(self) -> list[AlignmentVersion]:
        """Every alignment there has been, oldest first."""
        return alignment_versions(self.live())

    def calibrate(self, result: CalibrationResult | None) -> None:
        """Store what the active alignment's scores are calibrated to, and use it."""
        with self.writing:
            active = self.alignment
            self._commit(
                lambda _: self.calibrations.write(active, result),
                lambda: self.calibrations.wrote(active, result),
            )

    def unalign(self) -> None:
        """Score with plain cosines again."""
        with self.writing:
            self._commit(
                lambda catalog: catalog.deactivate_alignment(), lambda: self._swap(None, {})
            )

    def _swap(self, active: AlignmentVersion | None, maps: Mapping[str, _core.Alignment]) -> None:
        with self.swapping.exclusive():
            for field, index in self.indexes.items():
                index.set_alignment(maps.get(field))
            self.maps, self.alignment = dict(maps), active
