"""`gapless.evaluate`: the forms it takes, groups and pair types, intervals, notes, refusals."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

import gapless as gl
from collection_kit import DIM
from gapless.collection import Collection
from gapless.errors import InvalidArgument

QRELS = {"q1": {"a": 1.0}, "q2": {"c": 1.0, "d": 2.0}}
RUN = {"q1": {"b": 0.9, "a": 0.8}, "q2": {"c": 0.7, "a": 0.6, "d": 0.5}}


def test_every_form_of_a_run_means_the_same() -> None:
    want = gl.evaluate(RUN, QRELS).mean
    pairs = {query: list(reversed(own.items())) for query, own in RUN.items()}
    lists = {"q1": ["b", "a"], "q2": ["c", "a", "d"]}
    for run in (pairs, lists):
        assert gl.evaluate(run, QRELS).mean == want
    number = {"a": 0, "b": 1, "c": 2, "d": 3}
    qrels = [{number[i]: gain for i, gain in own.items()} for own in QRELS.values()]
    ids = np.array([[1, 0, -1], [2, 0, 3]])
    scores = np.array([[0.9, 0.8, -np.inf], [0.7, 0.6, 0.5]], np.float32)
    for given in ([[1, 0], [2, 0, 3]], ids, (scores, ids), (scores[:, ::-1], ids[:, ::-1])):
        assert gl.evaluate(given, qrels).mean == want


def test_sets_are_judgements_of_gain_one() -> None:
    assert gl.evaluate(RUN, {"q1": {"a"}, "q2": {"c", "d"}})["R@1"] == 0.25


def test_the_answers_of_an_index_and_of_a_collection(
    col: Collection, rng: np.random.Generator
) -> None:
    rows = rng.normal(size=(30, DIM)).astype(np.float32)
    index = gl.FlatIndex(DIM)
    index.add(rows)
    found = gl.evaluate(index.search(rows, 5), [{i} for i in range(30)], ["R@1", "mrr"])
    assert found["R@1"] == found["mrr"] == 1.0
    col.upsert([f"n{i}" for i in range(30)], {"image": rows})
    hits = {i: col.search(vectors={"clip": rows[i]}, modality="image", limit=3) for i in range(30)}
    assert gl.evaluate(hits, {i: {f"n{i}"} for i in range(30)}, "R@1")["R@1"] == 1.0


def test_equal_scores_rank_by_ascending_id() -> None:
    tied = {"q": {"b": 1.0, "a": 1.0, 7: 1.0}}
    for item, place in ((7, 1.0), ("a", 2.0), ("b", 3.0)):
        assert gl.evaluate(tied, {"q": {item}}, "median_rank")["median_rank"] == place


def test_queries_that_one_side_lacks_are_counted_and_told() -> None:
    run = {**RUN, "q9": {"a": 1.0}}
    qrels = {**QRELS, "q3": {"a": 1.0}, "q4": {"a": 0.0}}
    found = gl.evaluate(run, qrels, ["R@1", "R@5", "median_rank"])
    assert found.queries == ("q1", "q2", "q3", "q4")
    np.testing.assert_array_equal(found.values["recall@1"], [0.0, 0.5, 0.0, 0.0])
    np.testing.assert_array_equal(found.values["median_rank"], [2.0, 1.0, np.inf, np.inf])
    assert found["median_rank"] == math.inf
    assert found.notes == (
        "2 judged queries are not in the run; they count 0",
        "1 queries of the run are not judged; they are left out",
        "1 judged queries have no relevant item; they count 0",
        "no ranking is longer than 3, less than recall@5 looks at",
    )
    assert found.to_dict()["mean"]["median_rank"] is None
    json.dumps(found.to_dict(), allow_nan=False)


def test_level_says_what_is_relevant_but_not_what_it_gains() -> None:
    low, high = (gl.evaluate(RUN, QRELS, ["mrr", "ndcg"], level=level) for level in (None, 2))
    assert low["mrr"] == pytest.approx((1 / 2 + 1) / 2)
    assert high["mrr"] == pytest.approx((0 + 1 / 3) / 2)
    assert low["ndcg"] == high["ndcg"]


def test_groups_are_measured_on_their_own() -> None:
    for by in ({"q1": "short", "q2": "long"}, ["short", "long"]):
        found = gl.evaluate(RUN, QRELS, ["mrr"], by=by)
        assert {name: part["mrr"] for name, part in found.groups.items()} == {
            "short": 0.5,
            "long": 1.0,
        }
        assert found.groups["long"].queries == ("q2",)
    named = gl.evaluate(RUN, QRELS, ["mrr"], by=[("text", "image"), ("text", "text")])
    assert list(named.groups) == ["text->image", "text->text"]


def test_pair_types_count_the_items_of_one_modality_in_the_whole_ranking() -> None:
    queries = {"q1": "text", "q2": "text"}
    items = {"a": "image", "b": "text", "c": "text", "d": "image"}
    found = gl.evaluate(RUN, QRELS, ["mrr", "R@1", "median_rank"], by=(queries, items))
    cross, same = found.groups["text->image"], found.groups["text->text"]
    assert list(found.groups) == ["text->image", "text->text"]
    assert cross.queries == ("q1", "q2")
    assert same.queries == ("q2",)
    assert cross["mrr"] == pytest.approx((1 / 2 + 1 / 3) / 2)
    assert cross["median_rank"] == 2.5
    assert same["R@1"] == 1.0
    # As one query and the items' relevances told apart, so the parts sum up to the whole.
    assert found["R@1"] == pytest.approx((0 + 0.5) / 2)
    numbered = gl.evaluate([[1, 0]], [{0, 1}], ["mrr"], by=(["image"], np.array(["text", "image"])))
    assert {name: part["mrr"] for name, part in numbered.groups.items()} == {
        "image->image": 1.0,
        "image->text": 0.5,
    }


def test_intervals_hold_the_mean_and_depend_on_the_seed_alone() -> None:
    rng = np.random.default_rng(0)
    run = [rng.permutation(20).tolist() for _ in range(80)]
    qrels = [{0} for _ in run]
    given = {"bootstrap": 300, "by": ["a", "b"] * 40}
    found = gl.evaluate(run, qrels, ["mrr", "median_rank"], **given)  # type: ignore[arg-type]
    for part in (found, *found.groups.values()):
        for name, (low, high) in part.intervals.items():
            assert low <= part.mean[name] <= high
            assert low < high
    again = gl.evaluate(run, qrels, ["mrr", "median_rank"], **given)  # type: ignore[arg-type]
    assert found.intervals == again.intervals
    other = gl.evaluate(run, qrels, ["mrr"], bootstrap=300, seed=1)
    assert found.intervals["mrr"] != other.intervals["mrr"]
    spread = found.values["mrr"].std() / math.sqrt(80)
    low, high = found.intervals["mrr"]
    assert high - low == pytest.approx(2 * 1.96 * spread, rel=0.2)
    assert "[" in str(found)


def test_what_is_printed() -> None:
    found = gl.evaluate(RUN, QRELS, ["R@1", "medr"], by=["x", "y"])
    assert str(found).splitlines() == [
        "     queries  recall@1  median_rank",
        "x    1        0.000     2.0",
        "y    1        0.500     1.0",
        "all  2        0.250     1.5",
    ]
    with pytest.raises(InvalidArgument, match="'mrr' was not measured: there is recall@1"):
        found["mrr"]


@pytest.mark.parametrize(
    ("run", "qrels", "options", "message"),
    [
        (RUN, {}, {}, "qrels is empty"),
        (RUN, {1: {"a"}}, {}, "no query of the run is judged.*'q1', 'q2'.*1 and '1'"),
        ({}, QRELS, {}, "the run has none"),
        ("run.txt", QRELS, {}, "run is a str.*files are read by gapless.evaluation.trec"),
        (RUN, {"q1": "a"}, {}, "give {item: gain} or a set"),
        (RUN, {"q1": {"a": math.nan}}, {}, "gain nan: give it a finite one|not NaN"),
        (RUN, {"q1": {"a": "high"}}, {}, "'high'"),
        ({"q1": ["a", "b", "a"]}, QRELS, {}, "item 'a' 2 times"),
        ({"q1": {"a": math.nan}}, QRELS, {}, "not NaN"),
        ({"q1": [1.5]}, QRELS, {}, "item id 1.5 is neither str nor int"),
        ({"q1": "ab"}, QRELS, {}, "give {item: score} or a list"),
        ({None: ["a"]}, QRELS, {}, "query id None"),
        (np.zeros((1, 2)), [{0}], {}, "ids of the run are float64"),
        ((np.zeros((1, 3)), np.zeros((1, 2), np.int64)), [{0}], {}, r"scores \(1, 3\) and ids"),
        (RUN, QRELS, {"metrics": []}, "metrics is empty"),
        (RUN, QRELS, {"level": 0.0}, "level is 0.0"),
        (RUN, QRELS, {"bootstrap": -1}, "bootstrap is -1"),
        (RUN, QRELS, {"metrics": 5}, "metrics is 5"),
        (RUN, QRELS, {"metrics": "precision@" + "9" * 400}, "is unknown"),
        (RUN, QRELS, {"level": "1"}, "level is '1'"),
        (RUN, QRELS, {"bootstrap": 1.5}, "bootstrap is 1.5"),
        (RUN, QRELS, {"bootstrap": 9, "seed": -1}, "seed is -1"),
        (RUN, QRELS, {"confidence": None}, "confidence is None"),
        (RUN, QRELS, {"by": {"x", "y"}}, "one group for each"),
        (RUN, QRELS, {"bootstrap": 9, "confidence": 1.0}, "coverage between 0 and 1"),
        (RUN, QRELS, {"by": {"q1": "x"}}, "no group for 1 judged queries, such as 'q2'"),
        (RUN, QRELS, {"by": ["x"]}, "one group for each"),
        (RUN, QRELS, {"by": "xy"}, "one group for each"),
        (RUN, QRELS, {"by": 3}, "one group for each"),
        (RUN, QRELS, {"by": ({"q1": "t"}, {})}, "no modality for 1 judged queries"),
        (RUN, QRELS, {"by": ({"q1": "t", "q2": "t"}, {"a": "i"})}, "2 judged items, such as 'c'"),
    ],
)
def test_bad_input_is_refused(run: Any, qrels: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        gl.evaluate(run, qrels, **options)
