"""Score pairs one by one: how well this text matches that image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .. import _core
from ..alignment.versions import AlignmentVersion, home_of
from ..calibration.result import CalibrationResult
from ..errors import InvalidArgument, MissingModelFile, SpaceMismatch
from ..query.encoders import Encoders
from ..segments import Index
from ..storage import Storage
from ..table import columns
from .sides import Side, read_side, stored_means
from .stored import max_sim

__all__ = ["PairRoute", "PairScores", "score_pairs"]

Float64: TypeAlias = "npt.NDArray[np.float64]"
Float32: TypeAlias = "npt.NDArray[np.float32]"
Int64: TypeAlias = "npt.NDArray[np.int64]"


@dataclass(frozen=True, slots=True)
class PairRoute:
    """What one column of scores compares.

    Attributes
    ----------
    query_modality : str or None
    query_field : str or None
        Of stored items on the first side; None for texts, images and vectors.
    field : str
        The field that the second side stands in.
    """

    query_modality: str | None
    query_field: str | None
    field: str

    def __str__(self) -> str:
        return f"{self.query_field or self.query_modality or 'vector'} → {self.field}"


@dataclass(frozen=True, slots=True)
class PairScores:
    """Scores of n pairs by m routes; print it.

    Attributes
    ----------
    routes : tuple of PairRoute, length m
    cosines : ndarray (n, m) float64
        Aligned cosines, -1 to 1; NaN where either side has no row there.
    probabilities : ndarray (n, m) float64
        That the pair matches, under the prior of the calibration; NaN also where the route's
        modalities are not calibrated on 50 pairs.
    probability : ndarray (n,) float64
        Of each pair by all its calibrated routes: the mean of their log-odds, as searches combine
        them; NaN where it has none.
    """

    routes: tuple[PairRoute, ...]
    cosines: Float64
    probabilities: Float64
    probability: Float64

    def __len__(self) -> int:
        return len(self.cosines)

    def to_list(self) -> list[dict[str, Any]]:
        """Plain data, ready for JSON, one dict for each pair; None for what is not known."""
        return [
            {
                "probability": _known(self.probability[i]),
                "routes": [
                    {
                        "route": str(route),
                        "cosine": _known(self.cosines[i, j]),
                        "probability": _known(self.probabilities[i, j]),
                    }
                    for j, route in enumerate(self.routes)
                ],
            }
            for i in range(len(self))
        ]

    def __repr__(self) -> str:
        header = ("pair", "probability", *map(str, self.routes))
        rows = [
            (
                str(i),
                _cell(self.probability[i]),
                *(
                    f"{_cell(cosine)} (p {_cell(p)})"
                    for cosine, p in zip(self.cosines[i], self.probabilities[i], strict=True)
                ),
            )
            for i in range(len(self))
        ]
        return "\n".join([f"{len(self)} pairs", *columns(header, rows)])


def score_pairs(
    storage: Storage,
    encoders: Encoders,
    alignment: AlignmentVersion | None,
    maps: Mapping[str, _core.Alignment],
    a: Any,
    b: Any,
    *,
    fields: Iterable[str] | None = None,
    query_fields: Iterable[str] | None = None,
) -> PairScores:
    """Score pairs (a[i], b[i]); a side of one goes with every one of the other.

    Nothing is searched: exactly these pairs are scored, as a search with the first side as query
    and the second as items would.

    Parameters
    ----------
    storage : Storage
        Held still by ``storage.scoring``.
    encoders : Encoders
        Of the collection.
    alignment, maps
        The one that the indexes are under.
    a, b : list of ids, or {kind: list}
        ``["id", ...]``, ``{"text": [...]}``, ``{"image": [...]}``, ``{"audio": [...]}``, or
        ``{"vectors": {name: rows (n, dim)}}``, where the names are spaces on the first side (with
        ``"modality"`` beside them) and fields on the second.
    fields : sequence of str, optional
        Fields that the second side stands in; all that the first reaches by default.
    query_fields : sequence of str, optional
        Fields whose rows stand for stored items on the first side; all by default. Of several rows
        in a field the mean direction asks, and the best row answers.

    Raises
    ------
    InvalidArgument
        For sides of no known form or of different lengths.
    UnknownField, UnknownId, InvalidVector
        For names and ids that are not there, and bad vectors.
    SpaceMismatch
        When no field of the second side takes queries of the first.
    MissingModelFile, MissingExtra, UnreadableImage
        See `gapless.encode`.
    """
    first = read_side("a", a, storage, query_fields)
    second = read_side("b", b, storage, fields)
    if min(first.count, second.count) not in (1, max(first.count, second.count)):
        raise InvalidArgument(
            f"a has {first.count} and b has {second.count} entries: give as many of each, or one "
            "on either side"
        )
    count = max(first.count, second.count)
    encode = _Encode(encoders)
    targets = _targets(second, storage, encode, maps)
    spaces = dict.fromkeys(
        home_of(alignment, storage.schema, name, first.modality) for name in targets
    )
    sources = _sources(first, storage, encode, list(spaces))
    calibration = storage.calibrations.of(alignment)
    routes, cosines, chances = [], [], []
    for source in sources:
        for name, target in targets.items():
            if home_of(alignment, storage.schema, name, source.modality) != source.space:
                continue
            routes.append(PairRoute(source.modality, source.field, name))
            cosines.append(_cosines(source, target, count))
            chances.append(_chances(cosines[-1], source, name, storage, calibration))
    if not routes:
        if encode.refusal is not None:
            raise encode.refusal
        raise SpaceMismatch(
            f"no field of b takes queries as a gives them: the fields are "
            f"{', '.join(map(repr, targets)) or 'none'}; give both sides in one space"
        )
    chance = np.stack(chances, axis=1)
    return PairScores(tuple(routes), np.stack(cosines, axis=1), chance, _pooled(chance))


class _Encode:
    """Encodes where a space has an encoder of the modality, and keeps why one has none."""

    def __init__(self, encoders: Encoders) -> None:
        self._encoders = encoders
        self.refusal: Exception | None = None

    def rows(self, modality: str, items: Sequence[Any], space: str) -> Float32 | None:
        """Give unit rows (n, dim); None where there is no encoder."""
        try:
            made = self._encoders.encode(modality, items, [space])
        except (InvalidArgument, MissingModelFile) as error:
            if type(error) not in (InvalidArgument, MissingModelFile):
                raise  # an image that cannot be read, say, is no reason to leave the space out
            self.refusal = error
            return None
        return made[0].vector[:, 0]


@dataclass(frozen=True, slots=True)
class _Source:
    """Queries (n, dim) of one space; NaN rows where an item has none."""

    modality: str | None
    field: str | None
    space: str
    rows: Float32


@dataclass(frozen=True, slots=True)
class _Target:
    """An index and the keys of its items, one for each entry of the second side."""

    index: Index
    keys: Int64


def _targets(
    side: Side, storage: Storage, encode: _Encode, maps: Mapping[str, _core.Alignment]
) -> dict[str, _Target]:
    schema = storage.schema
    if side.keys is not None:
        return {name: _Target(storage.indexes[name], side.keys) for name in side.fields}
    found = {}
    for name in side.fields:
        rows = side.vectors.get(name)
        if side.items is not None and schema.fields[name].modality == side.modality:
            rows = encode.rows(str(side.modality), side.items, schema.fields[name].space)
        if rows is None:
            continue
        index = _core.FlatIndex(schema.dim(name))  # these rows as if the field had them
        keys = np.arange(len(rows), dtype=np.int64)
        index.add(rows, ids=keys)
        index.set_alignment(maps.get(name))
        found[name] = _Target(index, keys)
    return found


def _sources(side: Side, storage: Storage, encode: _Encode, spaces: Sequence[str]) -> list[_Source]:
    schema = storage.schema
    if side.keys is not None:
        return [
            _Source(
                schema.fields[name].modality,
                name,
                schema.fields[name].space,
                stored_means(storage.indexes[name], side.keys),
            )
            for name in side.fields
        ]
    if side.items is None:
        return [_Source(side.modality, None, space, rows) for space, rows in side.vectors.items()]
    found = []
    for space in spaces:
        rows = encode.rows(str(side.modality), side.items, space)
        if rows is not None:
            found.append(_Source(side.modality, None, space, rows))
    return found


def _cosines(source: _Source, target: _Target, count: int) -> Float64:
    if len(source.rows) == 1:
        asked = source.rows
        if np.isnan(asked).any():
            return np.full(count, np.nan)
        scores = max_sim(target.index, target.keys, asked, source.modality)
        return np.array(np.broadcast_to(scores, count))
    scores = np.full(count, np.nan)
    for i, row in enumerate(source.rows):
        if not np.isnan(row[0]):
            key = target.keys[i : i + 1] if len(target.keys) > 1 else target.keys
            scores[i] = max_sim(target.index, key, row[None], source.modality)[0]
    return scores


def _chances(
    cosines: Float64,
    source: _Source,
    field: str,
    storage: Storage,
    calibration: CalibrationResult | None,
) -> Float64:
    kind = (source.modality or "", field)
    found = np.full(len(cosines), np.nan)
    known = np.flatnonzero(~np.isnan(cosines))
    if calibration is None or calibration.missing([kind]) or not len(known):
        return found
    pair = calibration[kind]
    levels: npt.ArrayLike = 0.0
    if pair.map.background:
        levels = _levels(source, field, storage, pair.map.quantile, len(cosines))[known]
    found[known] = pair.probability(cosines[known], levels)
    return found


def _levels(source: _Source, field: str, storage: Storage, quantile: float, count: int) -> Float64:
    """Give each query's level: that quantile of its scores against background rows of the field."""
    index = storage.indexes[field]
    sample = storage.cohorts.of(field, index)
    levels = np.full(len(source.rows), np.nan)
    for i, row in enumerate(source.rows):
        if not np.isnan(row[0]):
            scores = index.score(row, sample, query_modality=source.modality)
            levels[i] = np.quantile(np.asarray(scores, np.float64), quantile)
    return np.broadcast_to(levels, count)


def _pooled(chances: Float64) -> Float64:
    """Give the probability of the mean log-odds of each row, NaN left out."""
    inside = np.clip(chances, 1e-16, 1 - 1e-16)
    odds = np.log(inside) - np.log1p(-inside)
    known = ~np.isnan(odds)
    count = known.sum(axis=1)
    mean = np.where(known, odds, 0.0).sum(axis=1) / np.maximum(count, 1)
    return np.asarray(np.where(count > 0, 1.0 / (1.0 + np.exp(-mean)), np.nan))


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _cell(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.4f}"
