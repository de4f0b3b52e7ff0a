"""How much two items are the same, whatever modalities they have: for hits that differ."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from .. import _core
from ..alignment.rows import MIN_NORM
from ..alignment.versions import AlignmentVersion, home_of
from ..calibration.result import CalibrationResult, PairCalibration
from ..errors import UnknownId
from ..row_labels import item_keys
from ..schema import Schema
from ..segments import Index
from .ranking import Ranking

__all__ = ["ItemSimilarity", "candidate_rows", "normal_cdf"]

SAMPLE = 400  # rows of a field that stand for all of it; a mean of best matches is then steady
LEVEL = 250  # of them for a query's level, whose quantile needs fewer
FEW = 10  # rows below which their best matches say nothing
FAR = np.float32(8.0)  # deviations beyond which all are alike: exp overflows at 88
NARROWEST = 0.01  # deviation of best matches; a corpus of copies has none

Float32: TypeAlias = "npt.NDArray[np.float32]"
Int64: TypeAlias = "npt.NDArray[np.int64]"


@dataclass(frozen=True, slots=True)
class _Side:
    """Rows of one field: whose they are, as stored, and as the alignment leaves them."""

    of: Int64  # places among the candidates, ascending; of a sample, the items' keys
    stored: Float32
    aligned: Float32


@dataclass(frozen=True, slots=True)
class _Known:
    """A field's sample, and what it was made from."""

    version: int
    labels: Int64
    side: _Side


class ItemSimilarity:
    """Compares items with each other across fields and modalities; safe in many threads.

    Two items are as similar as the likest two of their rows, one of each item, whose fields can be
    compared: fields of one space, and those that an alignment took to one. Cosines of different
    pair types mean different things (of CLIP, .3 is an image and its caption, or two images of
    nothing in common), so each becomes a number from 0 to 1 first:

    - where the calibration has the pair type (modality of the one field -> other field), the
      probability that the one item answers the other;
    - elsewhere the share of rows whose best match is worse, Φ((cosine - mean) / std), with mean
      and std of the cosines of each background row's best match among the other field's background
      rows. So ½ is as like as an ordinary nearest neighbour, and copies have nearly 1. Against all
      pairs instead of best ones, whatever one question finds would have nearly 1.

    Parameters
    ----------
    schema : Schema
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._known: dict[str, _Known] = {}
        self._scales: dict[tuple[str, str], tuple[_Side, _Side, float, float]] = {}
        self._lock = threading.Lock()

    def matrix(
        self,
        keys: Int64,
        rows: Mapping[str, Int64],
        indexes: Mapping[str, Index],
        background: Mapping[str, Int64],
        maps: Mapping[str, _core.Alignment],
        version: AlignmentVersion | None = None,
        calibration: CalibrationResult | None = None,
    ) -> Float32:
        """Compare every two of n items.

        Parameters
        ----------
        keys : ndarray (n,) int64
        rows : mapping of field to ndarray (n,) int64
            Labels of the rows that stand for the items, from `candidate_rows`; an item without the
            row has nothing to compare in that field.
        indexes : mapping of field to index
            Of the fields in `rows`.
        background : mapping of field to ndarray int64
            Labels of sample rows, as `Cohorts.of` gives them.
        maps : mapping of field to Alignment
        version : AlignmentVersion, optional
            The one that the maps belong to.
        calibration : CalibrationResult, optional
            The one that belongs to the maps.

        Returns
        -------
        ndarray (n, n) float32
            Symmetric, 1 on the diagonal; 0 for items without fields that can be compared.
        """
        n = len(keys)
        standard = np.full((n, n), -FAR, np.float32)
        likely = np.zeros((n, n), np.float32)
        sides = {name: _side(indexes[name], rows[name], maps.get(name)) for name in rows}
        samples = {
            name: self._sample(name, indexes[name], background[name], maps.get(name), version)
            for name, side in sides.items()
            if len(side.of)
        }
        for one, other in itertools.combinations_with_replacement(samples, 2):
            table = likely
            ways = self._calibrated(one, other, sides, samples, maps, version, calibration)
            if not ways:
                table = standard
                ways = self._measured(one, other, sides, samples, version)
            for alike in ways:
                _raise(table, sides[one].of, sides[other].of, alike)
        # What grows with z can wait until the largest is known.
        found = np.maximum(normal_cdf(np.maximum(standard, standard.T)), likely)
        np.maximum(found, likely.T, out=found)
        np.fill_diagonal(found, 1.0)
        return found

    def _calibrated(
        self,
        one: str,
        other: str,
        sides: Mapping[str, _Side],
        samples: Mapping[str, _Side],
        maps: Mapping[str, _core.Alignment],
        version: AlignmentVersion | None,
        calibration: CalibrationResult | None,
    ) -> list[Float32]:
        """Probabilities (rows of one, rows of other) by either field's rows as the question."""
        found = []
        for asking, asked in dict.fromkeys([(one, other), (other, one)]):
            modality = self._schema.fields[asking].modality
            known = None if calibration is None else calibration.types.get((modality, asked))
            if known is None or not known.enough or not self._asks(asking, asked, version):
                continue
            questions = _as_queries(sides[asking].stored, maps.get(asked), modality)
            answers = sides[asked].aligned
            if questions.shape[1] != answers.shape[1]:
                continue
            level = _levels(questions, samples[asked].aligned, known)
            cosines = questions @ answers.T
            odds = known.map.log_odds(cosines, level)
            alike = np.asarray(1.0 / (1.0 + np.exp(-odds)), np.float32)
            found.append(alike if asking == one else alike.T)
        return found

    def _measured(
        self,
        one: str,
        other: str,
        sides: Mapping[str, _Side],
        samples: Mapping[str, _Side],
        version: AlignmentVersion | None,
    ) -> list[Float32]:
        """Cosines (rows of one, rows of other) in deviations from those of best matches."""
        meet = self._asks(one, other, version) or self._asks(other, one, version)
        a, b = sides[one].aligned, sides[other].aligned
        if not meet or a.shape[1] != b.shape[1]:
            return []
        mean, std = self._scale(one, other, samples[one], samples[other])
        cosines = a @ b.T
        cosines -= np.float32(mean)
        cosines *= np.float32(1.0 / std)
        return [cosines]

    def _asks(self, one: str, other: str, version: AlignmentVersion | None) -> bool:
        """Whether rows of field `one` stand for questions that meet field `other`."""
        asking = self._schema.fields[one]
        return home_of(version, self._schema, other, asking.modality) == asking.space

    def _sample(
        self,
        name: str,
        index: Index,
        labels: Int64,
        alignment: _core.Alignment | None,
        version: AlignmentVersion | None,
    ) -> _Side:
        step = max(1, -(-len(labels) // SAMPLE))
        labels, number = labels[::step], 0 if version is None else version.version
        known = self._known.get(name)
        if known and known.version == number and np.array_equal(known.labels, labels):
            return known.side
        drawn = _side(index, labels, alignment)
        side = _Side(item_keys(labels[drawn.of]), drawn.stored, drawn.aligned)
        with self._lock:
            self._known[name] = _Known(number, labels, side)
        return side

    def _scale(self, one: str, other: str, a: _Side, b: _Side) -> tuple[float, float]:
        known = self._scales.get((one, other))
        if known is not None and known[0] is a and known[1] is b:
            return known[2:]
        scale = _best_matches(a, b)
        with self._lock:
            self._scales[one, other] = (a, b, *scale)
        return scale


def candidate_rows(ranking: Ranking, fields: Mapping[str, Index]) -> dict[str, Int64]:
    """Which row of each item stands for it in each field: the one found best, else its first.

    Returns
    -------
    dict of field to ndarray (n,) int64
        Labels. Items need not have that row.
    """
    found = {name: ranking.keys.copy() for name in fields}
    for j, asked in reversed(list(enumerate(ranking.lists))):  # the first list has the last word
        if asked.field in found and asked.weight >= 0:
            there, labels = ranking.best_rows(j)
            found[asked.field][there] = labels
    return found


def normal_cdf(z: Float32) -> Float32:
    """Give the normal distribution function, within 2e-4 (Bowling et al. 2009)."""
    z = np.clip(z, -FAR, FAR)
    y = z * (0.07056 * (z * z) + 1.5976)  # z**3 takes ten times as long
    return np.where(z <= -FAR, np.float32(0), 1 / (1 + np.exp(-y)))


def _side(index: Index, labels: Int64, alignment: _core.Alignment | None) -> _Side:
    while True:
        there = np.flatnonzero(np.asarray(index.contains(labels), bool))
        try:
            stored = np.asarray(index.vectors(labels[there]), np.float32)
            break
        except UnknownId:  # removed in between
            continue
    if alignment is None:
        return _Side(there, stored, stored)
    return _Side(there, stored, _mapped(stored, alignment.offset, alignment.linear))


def _as_queries(stored: Float32, alignment: _core.Alignment | None, modality: str) -> Float32:
    if alignment is None or modality not in alignment.query:
        return stored
    return _mapped(stored, *alignment.query[modality])


def _mapped(rows: Float32, offset: Float32 | None, linear: Float32 | None) -> Float32:
    """As `gapless.alignment.rows.align_rows`, in float32, as scores need no more here."""
    if linear is not None:
        rows = rows @ linear.T
    if offset is not None:
        rows = rows + offset
    norm = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(
        rows * np.where(norm < MIN_NORM, 0, 1 / np.maximum(norm, MIN_NORM)), np.float32
    )


def _levels(questions: Float32, background: Float32, known: PairCalibration) -> Float32 | float:
    if not known.map.background or not len(background):
        return 0.0
    cosines = questions @ background[:: max(1, -(-len(background) // LEVEL))].T
    levels: npt.NDArray[np.float32] = np.quantile(cosines, known.map.quantile, axis=1)[:, None]
    return levels


def _best_matches(a: _Side, b: _Side) -> tuple[float, float]:
    """Mean and std of the cosine of each row's best match on the other side, itself left out."""
    cosines = a.aligned @ b.aligned.T
    cosines[a.of[:, None] == b.of[None, :]] = -np.inf
    if min(cosines.shape) < FEW:
        return 0.5, 0.25  # as good as nothing is known: copies have nearly 1, strangers nearly 0
    best = np.concatenate([cosines.max(axis=1), cosines.max(axis=0)])
    best = best[np.isfinite(best)]
    return (float(best.mean()), max(float(best.std()), NARROWEST)) if len(best) else (0.5, 0.25)


def _raise(found: Float32, a: Int64, b: Int64, alike: Float32) -> None:
    """Raise entries (a, b) of the table to `alike` where they are lower."""
    if alike.shape == found.shape:  # all have both rows, in this order
        np.maximum(found, alike, out=found)
        return
    block = np.ix_(a, b)
    found[block] = np.maximum(found[block], alike)
