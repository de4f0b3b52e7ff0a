"""From stages to the arguments of a search, of which they are another spelling."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import InvalidArgument, UnknownField
from ..given import is_listed
from ..query.fusion import Fuse
from ..rerank.how import Rerank
from ..schema import Schema
from .stages import (
    STAGES,
    Diversify,
    Filter,
    GroupBy,
    Limit,
    MinConfidence,
    Stage,
    VectorSearch,
)

__all__ = ["compile_stages", "with_stages"]

ORDER = tuple(STAGES.values())
BEFORE_FUSION = (VectorSearch, Filter)
SETTLES = {  # what each stage says, in the words of a search
    VectorSearch: ("fields", "quotas", "weights", "routes"),
    Filter: ("filter",),
    Fuse: ("fusion",),
    MinConfidence: ("min_confidence",),
    Rerank: ("rerank",),
    Diversify: ("diversity",),
    GroupBy: ("group_by", "group_size"),
    Limit: ("limit", "offset"),
}


def compile_stages(stages: Iterable[Any], schema: Schema) -> dict[str, Any]:
    """Give the arguments of `Collection.search` that a list of stages stands for.

    Stages stand in the order in which they happen: searches and a filter, which goes into each of
    them; fusion; least confidence; re-ranking; diversity; grouping; the limit. All but the
    searches may be left out, and none but these given twice.

    Parameters
    ----------
    stages : sequence of stages
    schema : Schema
        Of the collection that is searched.

    Returns
    -------
    dict
        With ``fields`` and ``quotas``, and whatever else the stages say.

    Raises
    ------
    InvalidArgument
        For stages that contradict each other, naming the position of one, and what is allowed.
    UnknownField
        For a field that the schema lacks.

    Examples
    --------
    >>> from gapless.schema import Field, Schema, Space
    >>> schema = Schema({"clip": Space(dim=4)}, {"image": Field("clip", "image"),
    ...                                          "caption": Field("clip", "text")})
    >>> stages = [VectorSearch("caption", top_k=200), VectorSearch("image", top_k=200),
    ...           Fuse("rrf"), Limit(20)]
    >>> found = compile_stages(stages, schema)
    >>> found["quotas"], found["limit"]
    ({'caption': 200, 'image': 200}, 20)
    """
    listed = _listed(stages)
    _check_order(listed)
    found: dict[str, Any] = _searches(listed, schema)
    for i, stage in enumerate(listed):
        if isinstance(stage, Filter):
            found["filter"] = stage.where
        elif isinstance(stage, Fuse):
            found["fusion"] = stage
        elif isinstance(stage, MinConfidence):
            _check_confidence(i, listed)
            found["min_confidence"] = stage.probability
        elif isinstance(stage, Rerank):
            found["rerank"] = stage
        elif isinstance(stage, Diversify):
            found["diversity"] = stage.diversity
        elif isinstance(stage, GroupBy):
            found["group_by"] = stage.path
            if stage.size is not None:
                found["group_size"] = stage.size
        elif isinstance(stage, Limit):
            _check_limit(i, stage, found["quotas"])
            found["limit"] = stage.n
            if stage.offset:
                found["offset"] = stage.offset
    return found


def with_stages(stages: Iterable[Any], schema: Schema, given: Mapping[str, Any]) -> dict[str, Any]:
    """Join what stages say with search arguments given beside them.

    Raises
    ------
    InvalidArgument
        When both say the same thing; and as `compile_stages`.
    """
    listed = _listed(stages)
    found = compile_stages(listed, schema)
    for i, stage in enumerate(listed):
        for name in SETTLES[type(stage)]:
            if name in given:
                raise InvalidArgument(
                    f"{name}= is given beside {_at(i, stage)}, which settles it: leave one out"
                )
    return {**given, **found}


def _listed(stages: Iterable[Any]) -> list[Stage]:
    allowed = ", ".join(kind.__name__ for kind in ORDER)
    if isinstance(stages, Mapping) or not is_listed(stages):
        raise InvalidArgument(
            f"stages is a {type(stages).__name__}: give a list of {allowed}; "
            "stages_from_json(text) makes one of JSON"
        )
    listed = list(stages)
    for i, stage in enumerate(listed):
        if type(stage) not in ORDER:
            raise InvalidArgument(
                f"stages[{i}] is {stage!r:.60}: it is to be one of {allowed}; "
                "stages_from_json(text) makes them of JSON"
            )
    return listed


def _check_order(stages: list[Stage]) -> None:
    seen: dict[type, int] = {}
    furthest = -1
    for i, stage in enumerate(stages):
        kind = type(stage)
        if kind in seen and kind is not VectorSearch:
            hint = "; join the filters into one" if kind is Filter else ""
            raise InvalidArgument(
                f"{_at(i, stage)} comes twice, first at stages[{seen[kind]}]: it is allowed "
                f"once{hint}"
            )
        rank = 0 if kind in BEFORE_FUSION else ORDER.index(kind)
        if rank < furthest:
            last = next(j for j in range(i) if _rank(stages[j]) == furthest)
            raise InvalidArgument(
                f"{_at(i, stage)} comes after {_at(last, stages[last])}: the order is "
                f"{', '.join(each.__name__ for each in ORDER)} (searches and the filter in any)"
            )
        furthest = rank
        seen.setdefault(kind, i)
    if VectorSearch not in seen:
        raise InvalidArgument(
            "there is no VectorSearch among the stages, so nothing would be retrieved: begin with "
            "VectorSearch(field)"
        )


def _rank(stage: Stage) -> int:
    return 0 if isinstance(stage, BEFORE_FUSION) else ORDER.index(type(stage))


def _searches(stages: list[Stage], schema: Schema) -> dict[str, Any]:
    """Give fields, quotas, weights and routes of the searches."""
    places: dict[tuple[str, str | None], int] = {}
    first: dict[str, tuple[int, VectorSearch]] = {}
    for i, stage in enumerate(stages):
        if not isinstance(stage, VectorSearch):
            continue
        if stage.field not in schema.fields:
            known = ", ".join(map(repr, schema.fields))
            raise UnknownField(
                f"{_at(i, stage)} searches the field {stage.field!r}: the collection has {known}"
            )
        if (stage.field, stage.query) in places:
            raise InvalidArgument(
                f"{_at(i, stage)} searches {stage.field!r} again, as stages"
                f"[{places[stage.field, stage.query]}] does: once is enough for every part of a "
                "question; name them with query= where they differ"
            )
        places[stage.field, stage.query] = i
        j, known_one = first.setdefault(stage.field, (i, stage))
        if (known_one.top_k, known_one.weight) != (stage.top_k, stage.weight):
            raise InvalidArgument(
                f"{_at(i, stage)} gives {stage.field!r} another top_k or weight than stages[{j}] "
                "does: a field has one of each for all queries"
            )
    named = {query is not None for _, query in places}
    if len(named) > 1:
        i = next(place for (_, query), place in places.items() if query is None)
        raise InvalidArgument(
            f"{_at(i, stages[i])} names no query, and others do: give query= to every "
            "VectorSearch, or to none"
        )
    searches = [stage for _, stage in first.values()]
    found: dict[str, Any] = {
        "fields": list(first),
        "quotas": {stage.field: stage.top_k for stage in searches},
    }
    if any(stage.weight != 1.0 for stage in searches):
        found["weights"] = {stage.field: stage.weight for stage in searches}
    if True in named:
        routes: dict[str, list[str]] = {}
        for field, query in places:
            routes.setdefault(str(query), []).append(field)
        found["routes"] = routes
    return found


def _check_confidence(place: int, stages: list[Stage]) -> None:
    for i, stage in enumerate(stages):
        if isinstance(stage, Fuse) and stage.method not in ("auto", "calibrated"):
            raise InvalidArgument(
                f"{_at(place, stages[place])} needs probabilities, and stages[{i}] fuses by "
                f"{stage.method!r}: use Fuse('calibrated') or Fuse('auto')"
            )


def _check_limit(place: int, stage: Limit, quotas: Mapping[str, int]) -> None:
    most = sum(quotas.values())
    if stage.offset + stage.n > most:
        raise InvalidArgument(
            f"{_at(place, stage)} wants {stage.n} items after {stage.offset}, and the searches "
            f"retrieve {most} at most: raise their top_k, or lower the limit"
        )


def _at(place: int, stage: Stage) -> str:
    return f"stages[{place}] ({type(stage).__name__})"
