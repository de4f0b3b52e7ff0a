"""Search and fuse every route of a question, or of a batch of them, in one native call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .. import _core
from ..alignment.view import candidates_under
from ..calibration.result import CalibrationResult
from ..cohorts import Cohorts
from ..errors import InvalidArgument
from ..index_rows import present
from ..results.ranking import Ranking, SearchedList
from ..schema import Schema
from ..segments import Index
from .encoders import QueryVector
from .fusion import Fuse
from .mixed_documents import check_mix, mix
from .routes import Plan

__all__ = ["DEPTH", "ROW_RULES", "Scored", "Wanted", "repeated", "run"]

DEPTH = 100  # items that each field retrieves, or as many as are wanted
TRIES = 20  # searches that a writer empties under; every one finds fields as they are then
ROW_RULES = ("max", "mean", "maxsim")

Background: TypeAlias = "dict[str, npt.NDArray[np.int64]]"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a search is to give, and how hard it is to look.

    Attributes
    ----------
    limit : int
        Items wanted of each question.
    fuse : Fuse
        The method chosen, with its parameters.
    ef : int or None
        Search effort in graph fields.
    depth : int
        Items that each field retrieves.
    quotas : mapping of field to int
        Those that retrieve exactly so many instead.
    rules : mapping of field to {"max", "mean", "maxsim"}
        How the scores of an item's rows become one; the best of them by default.
    filter : object or None
        What the native search takes for one: a bitset over keys.
    exclude : tuple of int
        Keys of items to leave out.
    timeout : float or None
        In seconds.
    threads : int or None
    """

    limit: int
    fuse: Fuse
    ef: int | None = None
    depth: int = DEPTH
    quotas: Mapping[str, int] = field(default_factory=dict)
    rules: Mapping[str, str] = field(default_factory=dict)
    filter: Any = None
    exclude: tuple[int, ...] = ()
    timeout: float | None = None
    threads: int | None = None


@dataclass(frozen=True, slots=True)
class Scored:
    """What is searched, and what its scores mean.

    Attributes
    ----------
    schema : Schema
    indexes : mapping of field to index
    cohorts : Cohorts
    maps : mapping of field to Alignment, optional
        Of an alignment that the indexes are not under; every row is scored anew.
    calibration : CalibrationResult, optional
    """

    schema: Schema
    indexes: Mapping[str, Index]
    cohorts: Cohorts
    maps: Mapping[str, _core.Alignment] | None = None
    calibration: CalibrationResult | None = None


def run(question: Plan, scored: Scored, wanted: Wanted, tries: int = TRIES) -> list[Ranking]:
    """Search and fuse every route in one native call, and give a ranking for each question.

    Fields may empty meanwhile; those that were empty when the method was chosen are left out
    already, and where a background sample has gone in between, another one is drawn, up to `tries`
    times.
    """
    count = question.questions
    plan = question.filled(scored.indexes)
    if not any(weight > 0 for _, _, weight in plan.routes):
        return [Ranking.empty()] * count
    mixing = wanted.fuse.method == "alpha_mix"
    if mixing:
        check_mix(plan.routes)
    if count > 1 and (mixing or scored.maps is not None):
        return [run(question.only(i), scored, wanted, tries)[0] for i in range(count)]
    lists = tuple(SearchedList(part.modality, name, weight) for part, name, weight in plan.routes)
    wanted = _no_more(plan, scored, wanted)
    limit, depth = wanted.limit, wanted.depth
    background = _background(plan, scored, wanted)
    indexes = scored.indexes
    if scored.maps is not None:
        asked = {
            name: [(one.vector[0, 0], one.modality) for one, to, _ in plan.routes if to == name]
            for name in plan.fields
        }
        indexes = candidates_under(scored.maps, asked, indexes, depth, background)
    try:
        searches = _searches(plan, indexes, background, scored, wanted)
        call: Any = _core.search_fields if count == 1 else _core.search_fields_batch
        exclude = wanted.exclude or None
        found = call(
            searches,
            depth * len(lists) if mixing else limit,
            method="combmax" if mixing else wanted.fuse.method,
            depth=depth,
            exclude=exclude if count == 1 or exclude is None else [exclude] * count,
            timeout=wanted.timeout,
            threads=wanted.threads,
            **_parameters(wanted),
        )
    except InvalidArgument:
        if tries and any(_lost(indexes[name], keys) for name, keys in background.items()):
            return run(question, scored, wanted, tries - 1)
        raise
    if mixing:
        found = mix(found, plan.routes, indexes, limit)
    offsets = [0, len(found.ids)] if count == 1 else found.offsets.tolist()
    return _rankings(found, lists, offsets)


def repeated(plan: Plan, scored: Scored, wanted: Wanted) -> _core.RepeatedSearch | None:
    """Make ready to ask one question's search again with other vectors; None where it cannot be."""
    if any(part.late or wanted.rules.get(name) == "maxsim" for part, name, _ in plan.routes):
        return None
    if wanted.exclude or wanted.fuse.method == "alpha_mix" or scored.maps is not None:
        return None
    if not any(weight > 0 for _, _, weight in plan.routes):
        return None
    wanted = _no_more(plan, scored, wanted)
    background = _background(plan, scored, wanted)
    return _core.repeat_search(
        _searches(plan, scored.indexes, background, scored, wanted),
        wanted.limit,
        method=wanted.fuse.method,
        depth=wanted.depth,
        timeout=wanted.timeout,
        **_parameters(wanted),
    )


def _no_more(plan: Plan, scored: Scored, wanted: Wanted) -> Wanted:
    """Ask for no more than there is, and let each field retrieve as much as is asked for."""
    total = max(1, sum(len(scored.indexes[name]) for name in plan.fields))
    limit = min(wanted.limit, total)
    return replace(
        wanted,
        limit=limit,
        depth=max(limit, min(wanted.depth, total)),
        ef=None if wanted.ef is None else min(wanted.ef, total),
        quotas={name: min(quota, total) for name, quota in wanted.quotas.items()},
    )


def _parameters(wanted: Wanted) -> dict[str, Any]:
    return {"combine": "mean_logit", **wanted.fuse.parameters}


def _searches(
    plan: Plan,
    indexes: Mapping[str, Index],
    background: Background,
    scored: Scored,
    wanted: Wanted,
) -> list[_core.FieldSearch]:
    fields = scored.schema.fields
    return [
        _core.FieldSearch(
            indexes[name],
            part.vector if part.late else part.vector[:, 0],
            weight=weight,
            depth=wanted.quotas.get(name),
            ef=wanted.ef if isinstance(indexes[name], _core.HnswIndex) else None,
            query_modality=part.modality,
            filter=wanted.filter,
            several=fields[name].several,
            rule="maxsim" if part.late else wanted.rules.get(name, "max"),
            cohort=background.get(name),
            calibration=_map(part, name, scored, wanted),
            field=name,
        )
        for part, name, weight in plan.routes
    ]


def _map(part: QueryVector, name: str, scored: Scored, wanted: Wanted) -> Any:
    if wanted.fuse.method != "calibrated" or scored.calibration is None:
        return None
    return scored.calibration.types[part.modality or "", name].map


def _background(plan: Plan, scored: Scored, wanted: Wanted) -> Background:
    """Rows of a field that a score is compared with, for the fields where it is."""
    found: Background = {}
    for part, name, _ in plan.routes:
        map_ = _map(part, name, scored, wanted)
        if wanted.fuse.method == "cohort" or (map_ is not None and map_.background):
            found[name] = scored.cohorts.of(name, scored.indexes[name])
    return found


def _rankings(found: Any, lists: tuple[SearchedList, ...], offsets: Sequence[int]) -> list[Ranking]:
    """Cut what a batch found into the rankings of its questions."""
    scores, keys, ranks = found.scores, found.ids, found.ranks
    raw, normalised, rows = np.asarray(found.raw, np.float32), found.normalised, found.rows
    return [
        Ranking(
            lists,
            scores[first:last],
            keys[first:last],
            ranks[first:last],
            raw[first:last],
            normalised[first:last],
            rows[first:last],
        )
        for first, last in pairwise(offsets)
    ]


def _lost(index: Index, keys: npt.NDArray[np.int64]) -> bool:
    """Whether rows of a sample have been removed, or there were none to draw from."""
    return not len(keys) or not present(index, keys).all()
