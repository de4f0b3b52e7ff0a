"""What one native call gives for one question: numbers only, not yet hits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ..row_labels import SHIFT

__all__ = ["Ranking", "SearchedList"]

Float64: TypeAlias = "npt.NDArray[np.float64]"
Float32: TypeAlias = "npt.NDArray[np.float32]"
Int64: TypeAlias = "npt.NDArray[np.int64]"
Int32: TypeAlias = "npt.NDArray[np.int32]"


@dataclass(frozen=True, slots=True)
class SearchedList:
    """One list of a search: a part of the question against a field.

    Attributes
    ----------
    query_modality : str or None
    field : str
    weight : float
        Below 0 for a part that the items are not to be like.
    """

    query_modality: str | None
    field: str
    weight: float


@dataclass(frozen=True, slots=True)
class Ranking:
    """n items, best first, and what each of the lists said of them.

    Attributes
    ----------
    lists : tuple of SearchedList
    scores : ndarray (n,) float64
    keys : ndarray (n,) int64
        Keys of the items in the catalogue.
    ranks : ndarray (n, lists) int32
        1-based; 0 where the list did not retrieve the item.
    raw : ndarray (n, lists) float32
        Aligned cosines; NaN where the item has no row.
    normalised : ndarray (n, lists) float64
        What the list gave before its weight, of ``"calibrated"`` the probability; NaN for nothing.
    rows : ndarray (n, lists) int32
        Which of the item's rows in the field scored best, counted from 0; -1 for none.
    """

    lists: tuple[SearchedList, ...]
    scores: Float64
    keys: Int64
    ranks: Int32
    raw: Float32
    normalised: Float64
    rows: Int32

    def __len__(self) -> int:
        return len(self.keys)

    def take(self, positions: npt.NDArray[np.intp] | slice) -> Ranking:
        """Give the items at `positions`, in that order."""
        return Ranking(
            self.lists,
            self.scores[positions],
            self.keys[positions],
            self.ranks[positions],
            self.raw[positions],
            self.normalised[positions],
            self.rows[positions],
        )

    def best_rows(self, place: int) -> tuple[npt.NDArray[np.intp], Int64]:
        """Tell which items have a row in the list at `place`, and the labels of their best rows."""
        there = np.flatnonzero(self.rows[:, place] >= 0)
        return there, self.rows[there, place].astype(np.int64) << SHIFT | self.keys[there]

    @classmethod
    def empty(cls, lists: tuple[SearchedList, ...] = ()) -> Ranking:
        """Make a ranking of no items."""
        wide = (0, len(lists))
        return cls(
            lists,
            np.empty(0),
            np.empty(0, np.int64),
            np.empty(wide, np.int32),
            np.empty(wide, np.float32),
            np.empty(wide),
            np.empty(wide, np.int32),
        )
