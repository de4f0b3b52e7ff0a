"""The calibrations that a collection keeps, each with the alignment it was fitted under."""

from __future__ import annotations

import json
import threading

from ..alignment.versions import AlignmentVersion
from ..catalog import Catalog
from ..errors import CorruptFile
from .result import CalibrationResult

__all__ = ["Calibrations"]

RAW = 0  # stands for the plain cosines; versions count from 1


class Calibrations:
    """What each alignment version was calibrated to, read when first asked for.

    A calibration is of no use under another alignment, whose scores lie elsewhere; it is kept, and
    serves again when its alignment does.
    """

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._known: dict[int, CalibrationResult | None] = {}
        self._lock = threading.Lock()

    def of(self, alignment: AlignmentVersion | None) -> CalibrationResult | None:
        """Give the calibration under an alignment (None for raw scores), if there is one.

        Raises
        ------
        CorruptFile
            When the stored one is damaged.
        """
        version = RAW if alignment is None else alignment.version
        with self._lock:
            if version not in self._known:
                self._known[version] = self._read(version)
            return self._known[version]

    def write(self, alignment: AlignmentVersion | None, result: CalibrationResult | None) -> None:
        """Store a calibration, or take it away, within the catalogue's transaction."""
        version = RAW if alignment is None else alignment.version
        text = None if result is None else json.dumps(result.to_dict())
        self._catalog.put_calibration(version, text)

    def wrote(self, alignment: AlignmentVersion | None, result: CalibrationResult | None) -> None:
        """Use what has been committed."""
        with self._lock:
            self._known[RAW if alignment is None else alignment.version] = result

    def _read(self, version: int) -> CalibrationResult | None:
        text = self._catalog.calibration(version)
        if text is None:
            return None
        try:
            return CalibrationResult.from_dict(json.loads(text))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CorruptFile(
                f"{self._catalog.path}: the calibration under alignment {version or 'raw'} is "
                f"damaged ({error}): calibrate again, or restore the folder from a backup"
            ) from error
