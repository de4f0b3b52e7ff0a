"""What each list's cosines mean as probabilities, for explanations of other fusions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from .. import _core
from ..alignment.rows import align_rows
from ..calibration.result import CalibrationResult
from ..segments import Index
from .ranking import Ranking

__all__ = ["probabilities"]

Float64: TypeAlias = "npt.NDArray[np.float64]"


def probabilities(
    ranking: Ranking,
    queries: Sequence[npt.ArrayLike],
    indexes: Mapping[str, Index],
    maps: Mapping[str, _core.Alignment],
    calibration: CalibrationResult | None,
    background: Mapping[str, npt.NDArray[np.int64]],
) -> Float64:
    """Give the probability of relevance (n, lists) by each list alone.

    Parameters
    ----------
    ranking : Ranking
    queries : sequence of array-like (dim,)
        Of each list, before any alignment.
    indexes : mapping of field to index
    maps : mapping of field to Alignment
        Under which the ranking was made.
    calibration : CalibrationResult, optional
        Under the same.
    background : mapping of field to ndarray int64
        Labels of the rows that a query's level is measured on, as `Cohorts.of` gives them.

    Returns
    -------
    ndarray (n, lists) float64
        NaN where the item has no row, the pair type no calibration of 50 pairs or more, or the
        level no rows.
    """
    found = np.full(ranking.raw.shape, np.nan)
    for j, asked in enumerate(ranking.lists):
        modality, name = asked.query_modality, asked.field
        known = None if calibration is None else calibration.types.get((modality or "", name))
        if known is None or not known.enough:
            continue
        level = 0.0
        if known.map.background:
            labels = background[name]
            labels = labels[np.asarray(indexes[name].contains(labels), bool)]
            if not len(labels):
                continue
            rows = align_rows(indexes[name].vectors(labels), maps.get(name))
            query = np.asarray(queries[j], np.float64)[None]
            level = float(
                np.quantile(
                    rows @ align_rows(query, maps.get(name), modality)[0], known.map.quantile
                )
            )
        there = np.flatnonzero(~np.isnan(ranking.raw[:, j]))
        found[there, j] = known.probability(ranking.raw[there, j], level)
    return found
