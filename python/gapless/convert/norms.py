"""What becomes of rows whose length is not 1 in a collection, which compares cosines."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gapless.batch import ItemId
from gapless.convert.row_file import RowFile
from gapless.errors import InvalidArgument, InvalidVector
from gapless.findings import Finding

__all__ = ["NORM_TOLERANCE", "Norms"]

NORM_TOLERANCE = 1e-3
"""How far from 1 a norm may be without a word: above what float16 rounds away."""


class Norms:
    """The norms of a file's rows as they pass by.

    Parameters
    ----------
    source : RowFile
    """

    def __init__(self, source: RowFile) -> None:
        self._source = source
        self._seen = 0
        self._other = 0
        self._low, self._high = np.inf, 0.0

    def look(self, names: Sequence[ItemId], rows: npt.NDArray[np.float32], strict: bool) -> None:
        """Take note of a block.

        Raises
        ------
        InvalidVector
            For a row that has no direction; names it.
        InvalidArgument
            With `strict`, for one that is not of unit length.
        """
        norms = np.linalg.norm(rows.astype(np.float64), axis=1)
        bad = ~((norms > 0) & (norms < np.inf))
        if bad.any():
            at = int(np.argmax(bad))
            what = "zero" if norms[at] == 0 else "not of finite numbers"
            raise InvalidVector(
                f"{self._source.path} has a row that is {what}: row {self._seen + at}, id "
                f"{names[at]!r}. It has no direction to compare: leave it out of the file"
            )
        other = np.abs(norms - 1) > NORM_TOLERANCE
        if strict and other.any():
            at = int(np.argmax(other))
            raise InvalidArgument(
                f"{self._source.path} has a row of length {norms[at]:.6g}: row {self._seen + at}, "
                f"id {names[at]!r}. A collection compares cosines; convert without strict to "
                "have the rows normalised"
            )
        self._seen += len(norms)
        self._other += int(other.sum())
        if len(norms):
            self._low = min(self._low, float(norms.min()))
            self._high = max(self._high, float(norms.max()))

    def findings(self) -> tuple[Finding, ...]:
        """Say what normalising has changed; nothing where all rows were of unit length."""
        if not self._other:
            return ()
        before = {
            "l2": "The file was made for L2 distances, and nearest by cosine is another order.",
            "inner_product": "The file was made for inner products, in which longer rows won.",
            None: "The file does not say what compared its rows; by cosine their length is lost.",
        }[self._source.metric]
        return (
            Finding(
                "ROWS_NORMALISED",
                f"{self._other:,} of {self._seen:,} rows were not of unit length (norms from "
                f"{self._low:.4g} to {self._high:.4g}) and have been normalised. {before}",
                "If the model's vectors are meant to be compared by cosine, as those of nearly all "
                "text and image encoders are, all is well; else keep the other index.",
            ),
        )
