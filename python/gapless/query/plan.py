"""Turn a question into one native call: which query vector meets which field, and how they fuse."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core
from ..alignment.versions import AlignmentVersion, home_of
from ..alignment.view import candidates_under
from ..batch import known_fields
from ..calibration.result import FEW_PAIRS, CalibrationResult
from ..calibration.samples import PairType, type_name
from ..cohorts import Cohorts
from ..errors import (
    InvalidArgument,
    SpaceMismatch,
    UnknownField,
)
from ..index_rows import present
from ..results.ranking import Ranking, SearchedList
from ..schema import Schema
from ..segments import Index
from .encoders import Encoders, Part, one_row
from .mixed_documents import check_mix, mix

__all__ = ["FUSIONS", "Plan", "choose_fusion", "plan", "run"]

DEPTH = 100  # rows that each field retrieves, or as many as are wanted
MIN_COHORT = 10  # rows of a field below which "auto" does not trust their mean and deviation
COMBINES = ("max", "noisy_or", "mean_logit")
TRIES = 20  # searches that a writer empties under; every one finds fields as they are then
WEIGHTS = (1e-6, 1e6)  # what lies beyond is as good as 0, and sums of it overflow
FUSIONS = ("rrf", "convex", "minmax", "zscore", "cohort", "calibrated", "combmax", "alpha_mix")


@dataclass(frozen=True, slots=True)
class Plan:
    """Every (part, field) pair to search, with its weight.

    `composed`: some field is asked by more than one part, as by a text and an image together.
    """

    routes: tuple[tuple[Part, str, float], ...]
    composed: bool

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields searched, each once."""
        return tuple(dict.fromkeys(field for _, field, _ in self.routes))

    @property
    def pair_types(self) -> list[PairType]:
        """(query modality or "", field) of every route, each once."""
        return list(dict.fromkeys((part.modality or "", field) for part, field, _ in self.routes))

    def filled(self, indexes: Mapping[str, Index]) -> Plan:
        """Only the routes to fields that have rows now."""
        rows = {field for field in self.fields if len(indexes[field])}
        return replace(self, routes=tuple(route for route in self.routes if route[1] in rows))


def plan(
    schema: Schema,
    encoders: Encoders,
    alignment: AlignmentVersion | None,
    maps: Mapping[str, _core.Alignment],
    *,
    text: str | None,
    image: Any,
    vectors: Mapping[str, npt.ArrayLike] | None,
    modality: str | None,
    fields: Iterable[str] | None,
    weights: Mapping[str, float] | None,
) -> Plan:
    """Check a question and lay out its routes; see `Collection.search` for the arguments.

    Raises
    ------
    InvalidArgument
        For a question without any part, or a bad text, modality, or weight.
    UnknownField, InvalidVector, SpaceMismatch
        For names that the schema lacks, bad vectors, and fields that no part can reach.
    """
    chosen = _chosen_fields(schema, fields)
    for what, given in (("vectors", vectors), ("weights", weights)):
        if given is not None and not isinstance(given, Mapping):
            keys = "space to query vector" if what == "vectors" else "field to number"
            raise InvalidArgument(f"{what} is a {type(given).__name__}: give a dict of {keys}")
    if text is None and image is None and not vectors:
        raise InvalidArgument(
            "there is nothing to search for: give text=, image= or vectors={space: q}"
        )
    if modality is not None and (not isinstance(modality, str) or not modality or not vectors):
        raise InvalidArgument(
            f"modality is {modality!r}: give the modality of the query vectors, together with "
            "vectors={space: q}"
        )

    def homes(asked: str | None) -> list[str]:
        return list(dict.fromkeys(home_of(alignment, schema, name, asked) for name in chosen))

    parts: list[Part] = []
    if text is not None:
        if not isinstance(text, str) or not text.strip():
            raise InvalidArgument(f"text is {text!r}: give a string with something in it")
        parts += encoders.encode("text", text, homes("text"))
    if image is not None:
        parts += encoders.encode("image", image, homes("image"))
    for space, vector in (vectors or {}).items():
        if space not in schema.spaces:
            raise UnknownField(
                f"there is no space {space!r}: the collection has "
                f"{', '.join(map(repr, schema.spaces))} (fields are chosen with fields=[...])"
            )
        if space not in homes(modality):
            raise SpaceMismatch(
                f"a query vector of space {space!r} cannot meet the fields {chosen}, which take "
                f"queries of {', '.join(map(repr, homes(modality)))}: leave it out or choose "
                "fields of its space"
            )
        dim = schema.spaces[space].dim
        parts.append(Part(space, modality, one_row(f"vectors[{space!r}]", vector, dim)))
    share = _weights(schema, chosen, weights)
    routes = [
        (part, name, share[name])
        for part in parts
        for name in chosen
        if home_of(alignment, schema, name, part.modality) == part.space and share[name] > 0
    ]
    reached = {name for _, name, _ in routes}
    if fields is not None:
        for name in chosen:
            if name not in reached and share[name] > 0:
                raise SpaceMismatch(
                    f"field {name!r} lives in space {schema.fields[name].space!r}, which this "
                    f"query does not reach: add vectors={{{schema.fields[name].space!r}: q}} or "
                    "leave the field out"
                )
    if alignment is not None:
        for part, name, _ in routes:
            known = maps[name].query if name in maps else None
            if known and part.modality not in known:
                raise InvalidArgument(
                    f"modality is {part.modality!r}: the alignment {alignment.method!r} "
                    f"maps queries of {', '.join(map(repr, known))}; give one of them as "
                    "modality=, or align with sample queries of yours"
                )
    return Plan(tuple(routes), composed=len(routes) > len(reached))


def choose_fusion(
    fusion: str,
    question: Plan,
    indexes: Mapping[str, Index],
    cohorts: Cohorts,
    calibration: CalibrationResult | None = None,
) -> tuple[str, str]:
    """Choose the fusion method for a question whose fields have rows, and say why.

    ``"auto"`` takes ``"calibrated"`` where every pair type of the search is calibrated on enough
    pairs; ``"cohort"`` where some are, for a composed query, and where most items fill one searched
    field (RRF is a mere round-robin there); else ``"rrf"``; and ``"rrf"`` while a searched field is
    too small to make a background.

    Raises
    ------
    InvalidArgument
        For an unknown method, for ``"cohort"`` on a field with a single row, and for
        ``"calibrated"`` without the calibrations.
    """
    if not isinstance(fusion, str) or fusion not in ("auto", *FUSIONS):
        raise InvalidArgument(f"fusion is {fusion!r}: choose one of auto, {', '.join(FUSIONS)}")
    kinds = question.pair_types
    missing = kinds if calibration is None else calibration.missing(kinds)
    if fusion == "calibrated" and (missing or calibration is None):
        raise InvalidArgument(_uncalibrated(missing, calibration))
    rows = {name: len(indexes[name]) for name in question.fields}
    smallest = min(rows, key=lambda name: rows[name], default="")
    if fusion == "cohort" and rows and rows[smallest] == 1:
        raise InvalidArgument(
            f"fusion 'cohort' needs at least 2 rows in each field and {smallest!r} has "
            f"{rows[smallest]}: use fusion='rrf', or leave the field out"
        )
    if fusion != "auto":
        return fusion, "asked for"
    if rows and rows[smallest] < MIN_COHORT:
        return "rrf", f"auto: field {smallest!r} has {rows[smallest]} rows, too few to compare with"
    if kinds and not missing:
        return "calibrated", "auto: every pair type of the search is calibrated"
    if len(missing) < len(kinds):
        lacking = ", ".join(map(type_name, missing))
        return "cohort", f"auto: {lacking} is not calibrated on {FEW_PAIRS} pairs"
    if question.composed:
        return "cohort", "auto: the query has several parts"
    several = cohorts.multi_share({name: indexes[name] for name in question.fields})
    reason = f"auto: {several:.0%} of the items fill more than one searched field"
    return ("rrf" if several > 0.5 else "cohort"), reason


def run(
    question: Plan,
    indexes: Mapping[str, Index],
    cohorts: Cohorts,
    limit: int,
    method: str,
    ef: int | None,
    maps: Mapping[str, _core.Alignment] | None = None,
    calibration: CalibrationResult | None = None,
    combine: str = "mean_logit",
    tries: int = TRIES,
) -> Ranking:
    """Search and fuse every route in one native call.

    Fields may empty meanwhile; those that were empty when `method` was chosen are left out already,
    and where a background sample has gone in between, another one is drawn, up to `tries` times.
    With `maps`, those of an alignment that the indexes are not under, every row is scored anew.
    `combine` says how calibrated probabilities of an item's fields become one; by the mean of
    their log-odds, items that fill two fields and items that fill one compare best (on CLIP).
    """
    if not isinstance(combine, str) or combine not in COMBINES:
        raise InvalidArgument(f"combine is {combine!r}; use one of {', '.join(COMBINES)}")
    again = (question, indexes, cohorts, limit, method, ef, maps, calibration, combine, tries - 1)
    question = question.filled(indexes)
    routes, names = question.routes, question.fields
    if not routes:
        return Ranking.empty()
    total = max(1, sum(len(indexes[name]) for name in names))  # more is never found
    limit, ef = min(limit, total), None if ef is None else min(ef, total)
    depth, mixing = max(limit, DEPTH), method == "alpha_mix"
    if mixing:
        check_mix(routes)
    asking = [
        calibration.types[part.modality or "", name].map
        if method == "calibrated" and calibration is not None
        else None
        for part, name, _ in routes
    ]
    background = {
        name: cohorts.of(name, indexes[name])
        for (_, name, _), map_ in zip(routes, asking, strict=True)
        if method == "cohort" or (map_ is not None and map_.background)
    }
    if maps is not None:
        asked = {
            name: [(part.vector, part.modality) for part, field, _ in routes if field == name]
            for name in names
        }
        indexes = candidates_under(maps, asked, indexes, depth, background)
    searches = [
        _core.FieldSearch(
            indexes[name],
            part.vector,
            weight=weight,
            ef=ef if isinstance(indexes[name], _core.HnswIndex) else None,
            query_modality=part.modality,
            cohort=background.get(name),
            calibration=map_,
            field=name,
        )
        for (part, name, weight), map_ in zip(routes, asking, strict=True)
    ]
    try:
        fused = _core.search_fields(
            searches,
            depth * len(routes) if mixing else limit,
            method="combmax" if mixing else method,
            depth=depth,
            combine=combine,
        )
    except InvalidArgument:
        if tries and any(_lost(indexes[name], keys) for name, keys in background.items()):
            return run(*again)
        raise
    found = mix(fused, routes, indexes, limit) if mixing else fused
    raw = np.asarray(found.raw, np.float32)
    rows = getattr(found, "rows", None)
    return Ranking(
        lists=tuple(SearchedList(part.modality, name, weight) for part, name, weight in routes),
        scores=found.scores,
        keys=found.ids,
        ranks=found.ranks,
        raw=raw,
        normalised=found.normalised,
        # Where rows have no numbers, every item has one: the first.
        rows=np.where(np.isnan(raw), -1, 0).astype(np.int32) if rows is None else rows,
    )


def _lost(index: Index, keys: npt.NDArray[np.int64]) -> bool:
    """Whether rows of a sample have been removed, or there were none to draw from."""
    return not len(keys) or not present(index, keys).all()


def _uncalibrated(missing: list[PairType], calibration: CalibrationResult | None) -> str:
    if calibration is None:
        return (
            "fusion 'calibrated' needs a calibration and the scores of this alignment have none: "
            "call calibrate() first, or leave fusion='auto'"
        )
    told = [
        f"{type_name(kind)} "
        + (f"({calibration.types[kind].matches} pairs)" if kind in calibration.types else "(none)")
        for kind in missing
    ]
    return (
        f"fusion 'calibrated' needs {FEW_PAIRS} pairs of every pair type searched, and there are "
        f"fewer of {', '.join(told)}: call calibrate() with more pairs or positives, or leave "
        "fusion='auto', which then takes 'cohort'"
    )


def _chosen_fields(schema: Schema, fields: Iterable[str] | None) -> list[str]:
    if fields is None:
        return list(schema.fields)
    if isinstance(fields, str) or not isinstance(fields, Iterable):
        raise InvalidArgument(f"fields is {fields!r}: give a list of names, such as ['image']")
    chosen = list(dict.fromkeys(known_fields(schema, fields)))
    if not chosen:
        raise InvalidArgument("fields is empty: name at least one, or give None for all")
    return chosen


def _weights(
    schema: Schema, chosen: list[str], weights: Mapping[str, float] | None
) -> dict[str, float]:
    share = dict.fromkeys(chosen, 1.0)
    for name in known_fields(schema, weights or {}):
        if name not in share:
            raise InvalidArgument(
                f"weights names {name!r}, which is not searched: add it to fields or leave it out"
            )
        value = (weights or {})[name]
        if (
            isinstance(value, bool)
            or not isinstance(value, (int, float, np.number))
            or not (value == 0 or WEIGHTS[0] <= value <= WEIGHTS[1])
        ):
            raise InvalidArgument(
                f"weights[{name!r}] is {value!r:.40}: give 0, or a number from "
                f"{WEIGHTS[0]:g} to {WEIGHTS[1]:g}"
            )
        share[name] = float(value)
    if not any(share.values()):
        raise InvalidArgument(
            "every weight is 0: give at least one searched field a weight above 0"
        )
    return share
