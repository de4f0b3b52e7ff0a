"""Ask the indexes of a collection for rows of a sample, where the sample alone would mislead."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from .. import _core
from ..segments import Index
from .result import BiasReading
from .sampling import Sample

__all__ = ["ask", "index_bias", "some_rows"]

COMPARED = 100_000_000  # rows by rows that a flat index is asked for: some seconds
ASKED = 200  # rows of a modality whose answers make its bias rate; a standard error below .04

Float64: TypeAlias = "npt.NDArray[np.float64]"
Keys: TypeAlias = "npt.NDArray[np.int64]"
Found: TypeAlias = "tuple[npt.NDArray[np.float32], Keys]"


def ask(index: Index, rows: Float64, depth: int, modality: str) -> Found:
    """First `depth` rows of the index for each of `rows`, by the query map of `modality`."""
    alignment = index.alignment
    known = modality if alignment and modality in (alignment.query or {}) else None
    return index.search(rows, min(depth, len(index)), query_modality=known)


def some_rows(
    index: Index, count: int, rng: np.random.Generator, least: int, most: int | None = None
) -> Keys:
    """Positions of those of `count` rows that an index is asked for, ascending.

    A flat index compares every row, so a large one is asked for `least` only; a graph for all.
    """
    limit = count if most is None else most
    if isinstance(index, _core.FlatIndex):
        limit = min(limit, max(least, COMPARED // max(1, len(index))))
    return np.sort(rng.permutation(count)[:limit])


def index_bias(
    sample: Sample, indexes: Mapping[str, Index], k: int, skip: Collection[str] = (), seed: int = 0
) -> tuple[BiasReading, ...]:
    """Measure the bias of one ranking over all rows of a space, not over those of a sample.

    Some 200 rows of each modality ask every field of the space as searches do, under the active
    alignment, and are left out of their own answers. More rows crowd closer around a query than a
    sample's do, so that this rate is the higher of the two.

    Returns
    -------
    one reading for each modality; none for a single one, or where queries of a field in `skip`
    come from another space
    """
    if len(sample.modalities) < 2 or any(name in skip for name in sample.rows):
        return ()
    rng = np.random.default_rng(seed)
    total = sum(len(indexes[name]) for name in sample.rows)
    depth = min(k, total - 1)
    readings = []
    for modality in sample.modalities:
        shares = []
        mine = [name for name in sample.rows if sample.modality_of[name] == modality]
        for own in mine:
            rows = sample.rows[own]
            at = some_rows(indexes[own], len(rows), rng, ASKED // len(mine), ASKED // len(mine))
            scores, same = [], []
            for name in sample.rows:
                found, ids = ask(indexes[name], rows[at], depth + 1, modality)
                itself = ids == sample.stored[name][at][:, None] if name == own else ids < 0
                scores.append(np.where(itself | (ids < 0), -np.inf, found))
                same.append(np.full(ids.shape, sample.modality_of[name] == modality))
            order = np.argsort(-np.concatenate(scores, axis=1), axis=1, kind="stable")[:, :depth]
            shares.append(np.take_along_axis(np.concatenate(same, axis=1), order, axis=1))
        hits = np.concatenate(shares)
        blind = (sum(len(indexes[name]) for name in mine) - 1) / (total - 1)
        rate = float(hits.mean())
        lift = (rate - blind) / (1.0 - blind) if blind else 0.0
        readings.append(
            BiasReading(sample.space, sample.method, modality, depth, rate, blind, lift, len(hits))
        )
    return tuple(readings)
