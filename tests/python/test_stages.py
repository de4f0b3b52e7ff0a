"""Stages: another spelling of a search's arguments, which goes to JSON and back."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gapless as gl
from gapless.errors import InvalidArgument, InvalidFilter, UnknownField
from gapless.filters.builder import F
from gapless.query.fusion import Fuse
from gapless.rerank.how import Rerank
from gapless.rerank.scorers import VectorScorer
from gapless.stages.compile import compile_stages, with_stages
from gapless.stages.stages import (
    Diversify,
    Filter,
    GroupBy,
    Limit,
    MinConfidence,
    Stage,
    VectorSearch,
)
from gapless.stages.text import stages_from_data, stages_from_json, stages_to_json

SCHEMA = gl.Schema(
    {name: gl.Space(4) for name in ("clip", "siglip", "bge")},
    {
        "clip": gl.Field("clip", "image"),
        "siglip": gl.Field("siglip", "image"),
        "bge": gl.Field("bge", "text"),
    },
)


def test_stages_say_what_arguments_say() -> None:
    how = Rerank("cross", top_k=30)
    stages: list[Stage] = [
        VectorSearch("clip", top_k=50, weight=2),
        Filter({"year": {"$gte": 2020}}),
        VectorSearch("bge"),
        Fuse("calibrated", combine="max"),
        MinConfidence(0.25),
        how,
        Diversify(0.3),
        GroupBy("article", size=3),
        Limit(10, offset=20),
    ]
    assert compile_stages(stages, SCHEMA) == {
        "fields": ["clip", "bge"],
        "quotas": {"clip": 50, "bge": 100},
        "weights": {"clip": 2.0, "bge": 1.0},
        "filter": {"year": {"$gte": 2020}},
        "fusion": Fuse("calibrated", combine="max"),
        "min_confidence": 0.25,
        "rerank": how,
        "diversity": 0.3,
        "group_by": "article",
        "group_size": 3,
        "limit": 10,
        "offset": 20,
    }
    assert compile_stages([VectorSearch("bge", 7)], SCHEMA) == {
        "fields": ["bge"], "quotas": {"bge": 7}
    }  # fmt: skip
    assert compile_stages(iter([VectorSearch("bge"), GroupBy("a")]), SCHEMA)["group_by"] == "a"


def test_a_field_may_be_for_one_kind_of_query() -> None:
    """Images find images by another model than texts do."""
    stages: list[Stage] = [
        VectorSearch("clip", 50, query="text"),
        VectorSearch("siglip", query="image"),
        VectorSearch("clip", 50, query="audio"),
        VectorSearch("bge", query="text"),
    ]
    assert compile_stages(stages, SCHEMA) == {
        "fields": ["clip", "siglip", "bge"],
        "quotas": {"clip": 50, "siglip": 100, "bge": 100},
        "routes": {"text": ["clip", "bge"], "image": ["siglip"], "audio": ["clip"]},
    }


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([], "no VectorSearch among the stages"),
        ([Fuse("rrf"), Limit(3)], "no VectorSearch among the stages"),
        (
            [VectorSearch("clip"), VectorSearch("bge"), Rerank("x"), Fuse("rrf")],
            r"stages\[3\] \(Fuse\) comes after stages\[2\] \(Rerank\): the order is VectorSearch, ",
        ),
        (
            [VectorSearch("clip"), Fuse("rrf"), Fuse("convex")],
            r"stages\[2\] \(Fuse\) comes twice, first at stages\[1\]: it is allowed once",
        ),
        (
            [VectorSearch("clip"), Fuse("rrf"), VectorSearch("bge")],
            r"stages\[2\] \(VectorSearch\) comes after stages\[1\] \(Fuse\)",
        ),
        (
            [VectorSearch("clip"), Fuse("rrf"), Filter({})],
            r"stages\[2\] \(Filter\) comes after stages\[1\] \(Fuse\)",
        ),
        (
            [Filter({}), VectorSearch("clip"), Filter({"a": 1})],
            r"stages\[2\] \(Filter\) comes twice.*join the filters into one",
        ),
        (
            [VectorSearch("clip"), Limit(3), Diversify(0.1)],
            r"stages\[2\] \(Diversify\) comes after stages\[1\] \(Limit\)",
        ),
        (
            [VectorSearch("clip"), Rerank("x"), MinConfidence(0.5)],
            r"stages\[2\] \(MinConfidence\) comes after stages\[1\] \(Rerank\)",
        ),
        ([VectorSearch("clip"), VectorSearch("clip")], r"stages\[1\].* 'clip' again, as stages\[0"),
        (
            [VectorSearch("clip", query="text"), VectorSearch("clip", 9, query="image")],
            r"stages\[1\] .* another top_k or weight than stages\[0\]",
        ),
        (
            [VectorSearch("clip", query="text"), VectorSearch("bge")],
            r"stages\[1\] \(VectorSearch\) names no query, and others do",
        ),
        (
            [VectorSearch("clip", 5), VectorSearch("bge", 5), Limit(8, offset=3)],
            r"stages\[2\] \(Limit\) wants 8 items after 3, and the searches retrieve 10 at most",
        ),
        (
            [VectorSearch("clip"), Fuse("rrf"), MinConfidence(0.5)],
            r"stages\[2\] .* needs probabilities, and stages\[1\] fuses by 'rrf': use Fuse\('cal",
        ),
        ([VectorSearch("clip"), "rrf"], r"stages\[1\] is 'rrf': it is to be one of VectorSearch, "),
        ([{"stage_type": "limit"}], r"stages\[0\] is .*stages_from_json\(text\) makes them"),
        ("[]", "stages is a str: give a list of VectorSearch"),
        (3, "stages is a int"),
    ],
)
def test_contradictions_name_the_stage(stages: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        compile_stages(stages, SCHEMA)


def test_unknown_fields_name_the_stage() -> None:
    message = r"stages\[1\] .* field 'dino': the collection has 'clip', 'siglip', 'bge'"
    with pytest.raises(UnknownField, match=message):
        compile_stages([VectorSearch("clip"), VectorSearch("dino")], SCHEMA)


def test_what_is_said_twice_is_refused() -> None:
    stages: list[Stage] = [VectorSearch("clip"), Fuse("rrf"), Limit(3)]
    beside = with_stages(stages, SCHEMA, {"text": "a dog", "ef": 50})
    assert beside == {"text": "a dog", "ef": 50, **compile_stages(stages, SCHEMA)}
    for name, stage in (("limit", 2), ("offset", 2), ("fusion", 1), ("quotas", 0), ("fields", 0)):
        message = rf"{name}= is given beside stages\[{stage}\]"
        with pytest.raises(InvalidArgument, match=message):
            with_stages(stages, SCHEMA, {name: None})


words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)
scalars = st.booleans() | st.integers(-(2**53), 2**53) | words
names = st.text("abcé", min_size=1, max_size=4)
compared = scalars | st.builds(lambda one: {"$in": [one]}, scalars) | st.just({"$gte": 0.5})
part = st.floats(0, 1)
vector_scorers = st.builds(
    lambda names, query: VectorScorer(*names, query=query),
    st.lists(words, min_size=1, max_size=2, unique=True),
    st.none() | st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=3),
)
every_stage: st.SearchStrategy[Any] = st.one_of(
    st.builds(VectorSearch, words, st.integers(1, 10**6), st.floats(1e-6, 1e6), st.none() | words),
    st.builds(Filter, st.dictionaries(names, compared, max_size=3)),
    st.builds(
        Fuse,
        st.sampled_from(["auto", "rrf", "calibrated", "combmax"]),
        rrf_k=st.none() | st.integers(1, 100) | st.floats(1, 100),
        complete_ranks=st.none() | st.booleans(),
    ),
    st.builds(MinConfidence, part),
    st.builds(Diversify, part),
    st.builds(GroupBy, words, st.none() | st.integers(1, 9)),
    st.builds(Limit, st.integers(1, 100), st.integers(0, 100)),
    st.builds(
        Rerank,
        vector_scorers | words.filter(lambda word: bool(word.strip())),
        top_k=st.none() | st.integers(1, 50),
        mode=st.sampled_from(["mean", "max", "route"]),
        activation=st.sampled_from(["none", "sigmoid"]),
        batch_size=st.integers(1, 64),
        query=st.none() | st.just("another question") | st.just({"text": "a", "image": "b.jpg"}),
        text=st.just(("text", "caption")) | st.just(["title"]),
    ),
)


@given(st.lists(every_stage, max_size=6))
def test_json_round_trips_exactly(stages: list[Any]) -> None:
    text = stages_to_json(stages)
    again = stages_from_json(text)
    assert again == stages
    assert [type(stage) for stage in again] == [type(stage) for stage in stages]
    assert stages_to_json(again) == text
    assert stages_from_data(json.loads(text)) == stages


def test_expressions_are_kept_as_dicts() -> None:
    given_dict = {"year": {"$in": [2020]}}
    stage = Filter(given_dict)
    given_dict["year"]["$in"].append(1)  # what the caller does later changes nothing
    assert stage.where == {"year": {"$in": [2020]}}
    recent = Filter(F("year") >= 2020)
    assert recent == Filter({"year": {"$gte": 2020}})
    assert stages_from_json(stages_to_json([recent])) == [recent]
    haystack = {"field": "meta.year", "operator": ">=", "value": 2020}
    assert stages_from_json(stages_to_json([Filter(haystack)])) == [Filter(haystack)]
    assert Filter({"year": {"$in": (np.int64(3), 4)}}) == Filter({"year": {"$in": [3, 4]}})
    with pytest.raises(InvalidFilter, match=r"stages\[0\]|give a dict"):
        Filter(3)
    with pytest.raises(InvalidArgument, match=r"stages\[0\] \(filter\): .*gte"):
        stages_from_json('[{"stage_type": "filter", "where": {"year": {"$gte": []}}}]')


def scorer(query: Any, documents: Sequence[Any]) -> list[float]:
    return [0.0] * len(documents)


def test_functions_do_not_go_to_json() -> None:
    for stage, message in (
        (Rerank(scorer), r"stages\[0\] \(rerank\) cannot go to JSON: .* register_reranker"),
        (Rerank("cross", document=lambda hit: {}), r"stages\[0\] \(rerank\) cannot go to JSON"),
        ("rrf", r"stages\[0\] is 'rrf'"),
    ):
        with pytest.raises(InvalidArgument, match=message):
            stages_to_json([stage])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not the JSON of stages"),
        ("{}", "stages is a dict: give a list"),
        ("[3]", r"stages\[0\] is 3: give an object with a 'stage_type' of vector_search, "),
        ('[{"field": "clip"}]', r"stages\[0\] is .*: give an object with a 'stage_type'"),
        ('[{"stage_type": "fuse"}]', r"stages\[0\] has the stage_type 'fuse': choose one of vec"),
        (
            '[{"stage_type": "vector_search", "field": "clip", "topk": 3}]',
            r"stages\[0\] \(vector_search\) has no 'topk': it takes field, top_k, weight, query",
        ),
        ('[{"stage_type": "vector_search"}]', r"\(vector_search\) lacks 'field'"),
        ('[{"stage_type": "limit", "n": 0}]', r"stages\[0\] \(limit\): Limit.n is 0"),
        ('[{"stage_type": "rank_fusion", "method": "borg"}]', r"\(rank_fusion\): fusion is 'borg'"),
        ('[{"stage_type": "rank_fusion", "k": 3}]', r"has no 'k': it takes method, rrf_k"),
        ('[{"stage_type": "limit", "n": 1, "n": 2}]', "has 'n' twice in one object"),
        ('[{"stage_type": "diversify", "diversity": NaN}]', "holds NaN"),
        ('[{"stage_type": "rerank"}]', r"\(rerank\) lacks 'scorer'"),
        ('[{"stage_type": "rerank", "scorer": {"field": "a"}}]', "give the name of a registered"),
        ('[{"stage_type": "rerank", "scorer": {"fields": "a"}}]', "give a list"),
        ('[{"stage_type": "rerank", "scorer": "a", "document": "b"}]', "document is a function"),
        ('[{"stage_type": "rerank", "scorer": "a", "_cache": 1}]', "has no '_cache'"),
    ],
)
def test_bad_json_names_the_stage(text: str, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        stages_from_json(text)
    with pytest.raises(InvalidArgument, match="the JSON of stages is a int"):
        stages_from_json(3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "make",
    [
        lambda: VectorSearch(""),
        lambda: VectorSearch("a", 0),
        lambda: VectorSearch("a", weight=0),
        lambda: VectorSearch("a", weight=-1.0),
        lambda: VectorSearch("a", weight=float("nan")),
        lambda: VectorSearch("a", query=""),
        lambda: Filter(3),
        lambda: Filter({"$or": 3}),
        lambda: Filter(None),
        lambda: MinConfidence(1.5),
        lambda: Diversify("much"),  # type: ignore[arg-type]
        lambda: Diversify(True),
        lambda: GroupBy(""),
        lambda: GroupBy("a", 0),
        lambda: Limit(0),
        lambda: Limit(1, -1),
    ],
)
def test_bad_values_are_refused(make: Callable[[], Any]) -> None:
    with pytest.raises(InvalidArgument):
        make()
