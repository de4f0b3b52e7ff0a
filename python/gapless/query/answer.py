"""Answer a question of one collection: from its parts to hits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..alignment.versions import AlignmentVersion
from ..batch import whole
from ..calibration.thresholds import MinScore, check_confidence, check_score, reaches
from ..errors import InvalidArgument
from ..results.hits import Hits
from ..results.ranking import Ranking
from ..schema import Schema
from ..storage import Storage
from .encoders import QueryVector
from .fusion import Fuse, choose_fusion
from .routes import Plan, Routing, choose_fields, plan
from .run import DEPTH, ROW_RULES, Scored, Wanted, run

__all__ = ["Wishes", "answer"]

Embed: TypeAlias = "Callable[[AlignmentVersion | None, Routing], list[QueryVector]]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """All that a search may be told beside its question; see `Collection.search`."""

    fields: Iterable[str] | None = None
    limit: int = 10
    offset: int = 0
    window: int | None = None
    fusion: str | Fuse = "auto"
    weights: Mapping[str, float] | None = None
    filter_modality: str | Iterable[str] | None = None
    routes: Mapping[str, Iterable[str]] | None = None
    quotas: Mapping[str, int] | None = None
    ef: int | None = None
    alignment: int | str | None = None
    combine: str | None = None
    min_confidence: float | None = None
    min_score: MinScore | None = None
    rows: str | Mapping[str, str] = "max"
    explain: bool = False
    timeout: float | None = None
    threads: int | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Wishes:
        """Read keyword arguments.

        Raises
        ------
        InvalidArgument
            For one that there is not.
        """
        for name in given:
            if name not in cls.__slots__:
                raise InvalidArgument(
                    f"there is no argument {name!r}: a search takes {', '.join(cls.__slots__)}"
                )
        return cls(**given)

    def fuse(self) -> Fuse:
        """Give the fusion as one object."""
        if isinstance(self.fusion, Fuse):
            if self.combine is None:
                return self.fusion
            return replace(self.fusion, combine=self.combine)
        return Fuse(self.fusion, combine=self.combine)


def answer(
    storage: Storage, embed: Embed, wishes: Wishes, exclude: tuple[int, ...] = ()
) -> list[Hits]:
    """Rank the items for one question, or for each of a batch.

    `embed` makes the query vectors, one question or a batch of them, for the alignment in force.
    Items whose keys are in `exclude` are left out.
    """
    limit, offset = whole("limit", wishes.limit), whole("offset", wishes.offset, 0)
    window = None if wishes.window is None else whole("window", wishes.window)
    ef = None if wishes.ef is None else whole("ef", wishes.ef)
    schema, indexes = storage.schema, storage.indexes
    routing = choose_fields(
        schema, wishes.fields, wishes.weights, wishes.filter_modality, wishes.routes
    )
    asked = wishes.fuse()
    # Encoding is slow and needs no lock, yet it must agree with the alignment: plan under it.
    with storage.scoring(wishes.alignment) as (version, maps, apart):
        catalog = storage.live()
        question = plan(schema, version, maps, embed(version, routing), routing)
        calibration = storage.calibrations.of(version)
        filled = question.filled(indexes)
        method, reason = choose_fusion(asked.method, filled, indexes, storage.cohorts, calibration)
        confident = check_confidence(wishes.min_confidence, method, reason)
        least = check_score(wishes.min_score, question, schema, calibration)
        wanted = Wanted(
            limit=offset + limit,
            fuse=replace(asked, method=method),
            ef=ef,
            depth=window or DEPTH,
            quotas=_quotas(wishes.quotas, routing, schema),
            rules=_rules(wishes.rows, routing, schema),
            exclude=exclude,
            timeout=_seconds(wishes.timeout),
            threads=None if wishes.threads is None else whole("threads", wishes.threads),
        )
        scored = Scored(schema, indexes, storage.cohorts, maps if apart else None, calibration)
        answers = []
        rankings = run(filled, scored, wanted)
        rows = catalog.items(np.concatenate([ranking.keys for ranking in rankings]).tolist())
        for i, ranking in enumerate(rankings):
            # One removed while this search ran is left out.
            kept = np.array([key in rows for key in ranking.keys.tolist()], bool)
            if confident is not None:
                kept &= ranking.scores >= confident
            if least is not None:
                kept &= reaches(ranking, least)
            ranking = ranking.take(np.flatnonzero(kept)[offset:])
            plain = ranking.raw if not maps else None
            if wishes.explain and maps:
                plain = plain_cosines(ranking, question.only(i), storage)
            answers.append(
                Hits(
                    ranking,
                    [rows[key] for key in ranking.keys.tolist()],
                    method,
                    reason,
                    plain=plain,
                )
            )
    return answers


def plain_cosines(ranking: Ranking, question: Plan, storage: Storage) -> npt.NDArray[np.float32]:
    """Cosines (n, lists) before the alignment; NaN across spaces, and where there is no row."""
    found = np.full(ranking.raw.shape, np.nan, np.float32)
    routes = {(part.modality, name): part for part, name, _ in question.routes}
    for j, one in enumerate(ranking.lists):
        part = routes[one.query_modality, one.field]
        index = storage.indexes[one.field]
        there = np.flatnonzero(ranking.rows[:, j] >= 0)
        if part.vector.shape[2] != index.dim or not len(there):
            continue
        labels = ranking.rows[there, j].astype(np.int64) << 40 | ranking.keys[there]
        found[there, j] = (index.vectors(labels) @ part.vector[0].T).mean(axis=1)
    return found


def _quotas(given: Mapping[str, int] | None, routing: Routing, schema: Schema) -> dict[str, int]:
    """Quotas by field; a modality stands for the one field searched that holds it."""
    if given is not None and not isinstance(given, Mapping):
        raise InvalidArgument(f"quotas is a {type(given).__name__}: give a dict of field to number")
    found: dict[str, int] = {}
    for name, value in (given or {}).items():
        fields = [name] if name in routing.fields else []
        fields = fields or [f for f in routing.fields if schema.fields[f].modality == name]
        if len(fields) != 1:
            raise InvalidArgument(
                f"quotas names {name!r}, which is {'no' if not fields else 'not one'} field "
                f"searched: give one of {', '.join(map(repr, routing.fields))}"
            )
        found[fields[0]] = whole(f"quotas[{name!r}]", value)
    return found


def _rules(given: str | Mapping[str, str], routing: Routing, schema: Schema) -> dict[str, str]:
    several = [name for name in routing.fields if schema.fields[name].several]
    if isinstance(given, Mapping):
        known = dict(given)
        for name in known:
            if name not in routing.fields:
                raise InvalidArgument(
                    f"rows names {name!r}, which is not searched: give some of "
                    f"{', '.join(map(repr, several or routing.fields))}"
                )
    else:
        known = dict.fromkeys(several, given)
        if given not in ROW_RULES:
            known = {"": given}
    for name, rule in known.items():
        if not isinstance(rule, str) or rule not in ROW_RULES:
            raise InvalidArgument(
                f"rows{f'[{name!r}]' if name else ''} is {rule!r}: choose one of "
                f"{', '.join(ROW_RULES)}"
            )
    return known


def _seconds(timeout: float | None) -> float | None:
    if timeout is None:
        return None
    number = isinstance(timeout, (int, float, np.number)) and not isinstance(timeout, bool)
    if not number or not timeout > 0 or not np.isfinite(timeout):
        raise InvalidArgument(f"timeout is {timeout!r}: give seconds, more than 0, or None")
    return float(timeout)
