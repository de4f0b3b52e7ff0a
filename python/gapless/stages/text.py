"""Stages as JSON, and back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from typing import Any

from ..errors import InvalidArgument
from ..given import is_listed
from ..rerank.how import Rerank
from ..rerank.scorers import VectorScorer
from .stages import STAGES, Stage, stage_name

__all__ = ["stages_from_data", "stages_from_json", "stages_to_json"]

KIND = "stage_type"
SCORER = ("fields", "query", "modality")


def stages_to_json(stages: Iterable[Any]) -> str:
    """Write stages as JSON: a list of objects with a ``stage_type`` and what is not the default.

    Raises
    ------
    InvalidArgument
        For what is no stage, and for functions, which JSON cannot hold: register a reranker by
        `register_reranker` and give its name.

    Examples
    --------
    >>> from gapless.query.fusion import Fuse
    >>> from gapless.stages.stages import VectorSearch
    >>> print(stages_to_json([VectorSearch("image", top_k=200), Fuse("rrf")]))
    [
      {"stage_type": "vector_search", "field": "image", "top_k": 200},
      {"stage_type": "rank_fusion", "method": "rrf"}
    ]
    """
    if not is_listed(stages):
        raise InvalidArgument(f"stages is {stages!r:.60}: give a list of stages")
    lines = []
    for i, stage in enumerate(stages):
        name = stage_name(stage)
        if name is None:
            raise InvalidArgument(
                f"stages[{i}] is {stage!r:.60}: it is to be one of "
                f"{', '.join(kind.__name__ for kind in STAGES.values())}"
            )
        try:
            lines.append("  " + json.dumps({KIND: name, **_told(stage)}, allow_nan=False))
        except (TypeError, ValueError) as error:
            raise InvalidArgument(f"stages[{i}] ({name}) cannot go to JSON: {error}") from error
    return "[\n" + ",\n".join(lines) + "\n]"


def stages_from_json(text: str) -> list[Stage]:
    """Read what `stages_to_json` wrote.

    Raises
    ------
    InvalidArgument
        For text that is no such JSON, naming the stage and what is allowed there.
    """
    if not isinstance(text, (str, bytes)):
        raise InvalidArgument(f"the JSON of stages is a {type(text).__name__}: give a text")
    try:
        data = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except InvalidArgument:
        raise
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"not the JSON of stages: {error}") from error
    return stages_from_data(data)


def stages_from_data(data: Any) -> list[Stage]:
    """Make stages of a list of dicts, as JSON gives them.

    Raises
    ------
    InvalidArgument
        As `stages_from_json`.
    """
    if not isinstance(data, (list, tuple)):
        raise InvalidArgument(
            f"stages is a {type(data).__name__}: give a list of objects with a {KIND!r}"
        )
    return [_stage(i, entry) for i, entry in enumerate(data)]


def _told(stage: Any) -> dict[str, Any]:
    """Give what of a stage is not the default, and what it cannot do without."""
    told = {}
    for part in fields(stage):
        value = getattr(stage, part.name)
        if not part.init or (part.name != "top_k" and _is_default(part, value)):
            continue
        if isinstance(stage, Rerank):
            if value is None:  # top_k
                continue
            value = _scorer_data(value) if part.name == "scorer" else value
        told[part.name] = value
    return told


def _is_default(part: Any, value: Any) -> bool:
    return (
        part.default is not MISSING
        and type(part.default) is type(value)
        and (part.default == value)
    )


def _scorer_data(scorer: Any) -> Any:
    if isinstance(scorer, VectorScorer):
        query = None if scorer.query is None else scorer.query.tolist()
        given = {"fields": list(scorer.fields), "query": query, "modality": scorer.modality}
        return {name: value for name, value in given.items() if value is not None}
    if isinstance(scorer, str):
        return scorer
    raise TypeError(
        f"the scorer {scorer!r:.60} is a function; register_reranker(name, scorer) and use "
        "Rerank(name), or use VectorScorer(field)"
    )


def _stage(place: int, entry: Any) -> Stage:
    if not isinstance(entry, Mapping) or KIND not in entry:
        raise InvalidArgument(
            f"stages[{place}] is {entry!r:.60}: give an object with a {KIND!r} of "
            f"{', '.join(STAGES)}"
        )
    name = entry[KIND]
    if not isinstance(name, str) or name not in STAGES:
        raise InvalidArgument(
            f"stages[{place}] has the {KIND} {name!r:.60}: choose one of {', '.join(STAGES)}"
        )
    kind = STAGES[name]
    known = {part.name: part for part in fields(kind) if part.init}
    given = {key: value for key, value in entry.items() if key != KIND}
    for key in given:
        if key not in known:
            raise InvalidArgument(
                f"stages[{place}] ({name}) has no {key!r}: it takes {', '.join(known)}"
            )
    for key, part in known.items():
        if part.default is MISSING and part.default_factory is MISSING and key not in given:
            raise InvalidArgument(f"stages[{place}] ({name}) lacks {key!r}")
    try:
        if kind is Rerank:
            given["scorer"] = _scorer(given["scorer"])
            if given.get("document") is not None:
                raise InvalidArgument("document is a function, which JSON cannot hold")
        made: Stage = kind(**given)
    except InvalidArgument as error:
        raise InvalidArgument(f"stages[{place}] ({name}): {error}") from error
    return made


def _scorer(data: Any) -> Any:
    if isinstance(data, str):
        return data
    if not isinstance(data, Mapping) or "fields" not in data or not set(data) <= set(SCORER):
        raise InvalidArgument(
            f"scorer is {data!r:.60}: give the name of a registered reranker, or an object with "
            f"{', '.join(SCORER)}, of which fields is needed"
        )
    names = data["fields"]
    if not isinstance(names, (list, tuple)):
        raise InvalidArgument(f"scorer has the fields {names!r:.60}: give a list")
    return VectorScorer(*names, query=data.get("query"), modality=data.get("modality"))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidArgument(f"the JSON of stages has {twice!r} twice in one object")
    return found


def _no_constant(name: str) -> Any:
    raise InvalidArgument(f"the JSON of stages holds {name}, which is no JSON number")
