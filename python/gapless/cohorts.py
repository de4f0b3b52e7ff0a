"""Background samples: what an ordinary score of a field looks like, for ``fusion="cohort"``."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from .index_rows import count_rows
from .row_labels import item_keys
from .segments import Index

__all__ = ["COHORT", "Cohorts", "draw"]

COHORT = (
    1_000  # rows per field; the mean of a score over them is then known to a thirtieth of a std
)

Rows: TypeAlias = "npt.NDArray[np.int64]"


class Cohorts:
    """A fixed random sample of each field's rows, the background that a score is compared with.

    A sample holds labels. It is drawn (seeded) from the rows present when it is first needed and
    kept while the field stays within half and twice that size and half of the sample is still
    there; so it follows a collection that grows or turns over.
    """

    def __init__(self, stored: Mapping[str, tuple[int, Rows]]) -> None:
        self._drawn = dict(stored)
        self._unsaved: set[str] = set()
        self._lock = threading.Lock()
        self._writes = 0
        self._shares: dict[tuple[str, ...], tuple[int, float]] = {}

    def touch(self) -> None:
        """Note that rows have come or gone, so that `multi_share` counts anew."""
        self._writes += 1

    def multi_share(self, indexes: Mapping[str, Index]) -> float:
        """Estimate the share of items that fill more than one of these fields, from the samples."""
        names, writes = tuple(indexes), self._writes
        known = self._shares.get(names)
        if known is None or known[0] != writes:
            known = self._shares[names] = (writes, self._multi_share(indexes))
        return known[1]

    def _multi_share(self, indexes: Mapping[str, Index]) -> float:
        filled, weight = 0.0, 0.0
        for name, index in indexes.items():
            if not len(index):
                continue
            drawn = self.of(name, index)
            keys = item_keys(drawn)
            count = np.sum([other.contains(keys) for other in indexes.values()], axis=0)
            # An item is met by each of its rows in each field it fills, so it counts 1 / the number
            # of both each time; and a sampled row stands for len(index) / len(drawn) rows.
            met = np.maximum(count * count_rows(index, keys), 1)
            share = np.where(count > 0, 1.0 / met, 0.0) * len(index) / len(drawn)
            filled += float(share[count > 1].sum())
            weight += float(share.sum())
        return filled / weight if weight else 0.0

    def of(self, field: str, index: Index) -> Rows:
        """Give the sample of `field`, drawn now if there is none that still fits."""
        with self._lock:
            rows = len(index)
            known = self._drawn.get(field)
            if (
                known is not None
                and known[0] < 2 * rows
                and rows < 2 * known[0]
                and 2 * len(known[1]) >= min(COHORT, rows)
            ):
                return known[1]
            drawn = self._drawn[field] = draw(index)
            self._unsaved.add(field)
            return drawn[1]

    def forget(self, field: str, removed: Rows) -> None:
        """Leave removed rows out of the sample of `field`."""
        with self._lock:
            if len(removed) and field in self._drawn:
                rows, drawn = self._drawn[field]
                self._drawn[field] = (rows, drawn[~np.isin(drawn, removed)])

    def install(self, samples: Mapping[str, tuple[int, Rows]]) -> None:
        """Take over samples that the catalogue has."""
        with self._lock:
            self._drawn.update(samples)
            self._unsaved.difference_update(samples)

    def unsaved(self) -> dict[str, tuple[int, Rows]]:
        """Give the samples that the catalogue does not have yet.

        Losing them is harmless: drawn again from the same rows, they come out the same.
        """
        with self._lock:
            return {field: self._drawn[field] for field in self._unsaved}

    def saved(self, samples: Mapping[str, tuple[int, Rows]]) -> None:
        """Note that these samples have been committed; one that a search has redrawn has not."""
        with self._lock:
            self._unsaved -= {f for f, known in samples.items() if self._drawn.get(f) is known}


def draw(index: Index) -> tuple[int, Rows]:
    """Draw a sample of the rows of `index`: how many there are, and labels drawn, ascending."""
    drawn = np.asarray(index.ids())
    if len(drawn) > COHORT:
        drawn = np.sort(np.random.default_rng(0).choice(drawn, COHORT, replace=False))
    return len(index), drawn
