"""What the catalogue keeps about the gap: alignments, calibrations and background samples."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["CALIBRATIONS", "GapTables"]

# Came later; made where a collection is older. 0 stands for no alignment.
CALIBRATIONS = """
CREATE TABLE IF NOT EXISTS calibrations (alignment INTEGER PRIMARY KEY, details TEXT NOT NULL)
"""


class GapTables:
    """The part of `Catalog` that concerns alignment, calibration and cohorts."""

    _writer: sqlite3.Connection
    reading: Callable[..., AbstractContextManager[sqlite3.Connection]]

    def add_alignment(
        self, method: str, details: Mapping[str, Any], maps: Mapping[str, bytes]
    ) -> int:
        """Store a new alignment, make it the active one, and return its version."""
        db = self._writer
        self.deactivate_alignment()
        cursor = db.execute(
            "INSERT INTO alignments (method, active, details) VALUES (?, 1, ?)",
            (method, json.dumps(details)),
        )
        version = int(cursor.lastrowid or 0)
        db.executemany(
            "INSERT INTO alignment_fields (version, field, map) VALUES (?,?,?)",
            ((version, field, blob) for field, blob in maps.items()),
        )
        return version

    def deactivate_alignment(self) -> None:
        """Leave no alignment active; the stored ones stay."""
        self._writer.execute("UPDATE alignments SET active = 0 WHERE active")

    def activate_alignment(self, version: int) -> None:
        """Make a stored alignment the active one."""
        self.deactivate_alignment()
        self._writer.execute("UPDATE alignments SET active = 1 WHERE version = ?", (version,))

    def alignments(self) -> list[tuple[int, str, bool, str]]:
        """Version, method, whether it is active, and details (JSON text) of every alignment."""
        with self.reading() as db:
            query = "SELECT version, method, active, details FROM alignments ORDER BY version"
            return [(int(v), str(m), bool(a), d) for v, m, a, d in db.execute(query)]

    def alignment_maps(self, version: int) -> dict[str, bytes]:
        """Per-field maps of an alignment."""
        with self.reading() as db:
            query = "SELECT field, map FROM alignment_fields WHERE version = ?"
            return dict(db.execute(query, (version,)).fetchall())

    def put_calibration(self, alignment: int, details: str | None) -> None:
        """Store what the scores under an alignment are calibrated to (JSON text), or nothing."""
        self._writer.execute("DELETE FROM calibrations WHERE alignment = ?", (alignment,))
        if details is not None:
            self._writer.execute("INSERT INTO calibrations VALUES (?, ?)", (alignment, details))

    def calibration(self, alignment: int) -> str | None:
        """Fetch what `put_calibration` stored."""
        with self.reading() as db:
            query = "SELECT details FROM calibrations WHERE alignment = ?"
            row = db.execute(query, (alignment,)).fetchone()
            return None if row is None else str(row[0])

    def put_cohorts(self, cohorts: Mapping[str, tuple[int, npt.NDArray[np.int64]]]) -> None:
        """Store background samples: per field, how many rows it had, and the keys drawn."""
        self._writer.executemany(
            "INSERT OR REPLACE INTO cohorts (field, rows, keys) VALUES (?,?,?)",
            ((f, rows, keys.astype("<i8").tobytes()) for f, (rows, keys) in cohorts.items()),
        )

    def cohorts(self) -> dict[str, tuple[int, npt.NDArray[np.int64]]]:
        """Fetch the stored background samples, as `put_cohorts` takes them."""
        with self.reading() as db:
            query = "SELECT field, rows, keys FROM cohorts"
            return {
                field: (rows, np.frombuffer(keys, "<i8").astype(np.int64))
                for field, rows, keys in db.execute(query)
            }
