"""Learnt weights on lists that are made up, where the best weights are known."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gapless as gl
from gapless.errors import InvalidArgument
from gapless.tuning.ascent import Ascent
from gapless.tuning.candidates import Candidates
from gapless.tuning.judged import JudgedQueries, judge
from gapless.tuning.logistic import LogisticSamples, _bounded_newton
from gapless.tuning.rules import fusion_rule
from gapless.tuning.tune import METHODS, tune

Float64 = npt.NDArray[np.float64]
Made = tuple[dict[Any, Candidates], dict[Any, dict[int, float]]]
SKILL = {"good": 3.0, "noise": 0.0, "fair": 1.0}  # by how many deviations the relevant lie higher


def made(queries: int, seed: int, skill: dict[str, float] | None = None, items: int = 100) -> Made:
    """Lists of normal scores in which two relevant items are shifted; a tenth says nothing."""
    rng = np.random.default_rng(seed)
    shift = np.array([*(SKILL if skill is None else skill).values()])
    candidates, qrels = {}, {}
    for query in range(queries):
        right = rng.choice(items, 2, replace=False)
        values = rng.normal(size=(items, len(shift)))
        values[right] += shift
        values[rng.random(values.shape) < 0.1] = np.nan
        candidates[query] = Candidates(range(items), values)
        qrels[query] = dict(zip(right.tolist(), (1.0, 2.0), strict=True))
    return candidates, qrels


def judged_of(queries: Made, k: int = 10) -> JudgedQueries:
    return judge(queries[0], queries[1], lambda values: values, k)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", METHODS)
def test_the_better_list_weighs_more_and_noise_nearly_nothing(method: str) -> None:
    found = tune(*made(150, 0), [*SKILL], fusion="cohort", method=method)
    assert found.recommended
    assert found.weights == found.fitted
    assert sum(found.weights.values()) == pytest.approx(3.0)
    assert found.weights["noise"] < 0.15
    # The best linear judge of two independent normal scores weighs them by their shifts.
    assert 2.0 < found.weights["good"] / found.weights["fair"] < 5.0
    assert found.gain > 0.15
    assert found.interval[0] < found.gain < found.interval[1]
    assert found.findings == ()
    for name, (low, high) in found.spread.items():
        assert 0.0 <= low <= high
        assert low * 0.5 <= found.fitted[name] <= high * 2.0 + 0.1


@pytest.mark.parametrize("method", METHODS)
def test_the_held_out_gain_is_that_of_queries_never_seen(method: str) -> None:
    found = tune(*made(150, 1), [*SKILL], fusion="zscore", method=method)
    fresh = judged_of(made(2_000, 2))
    rule = fusion_rule("zscore", "mean_logit")[1]
    gains = [fresh.ndcg(rule, np.array(w)) for w in ([*found.weights.values()], [1.0] * 3)]
    assert found.gain == pytest.approx(np.mean(gains[0] - gains[1]), abs=0.05)


@pytest.mark.parametrize("method", METHODS)
def test_lists_of_noise_are_not_said_to_gain(method: str) -> None:
    none = dict.fromkeys("abc", 0.0)
    results = [tune(*made(40, s, none, 40), [*none], method=method, seed=s) for s in range(40)]
    claimed = [found for found in results if found.recommended]
    assert len(claimed) <= 5  # of 40 at a bound of 95 %, two are to be expected
    for found in results:
        if not found.recommended:
            assert found.weights == dict.fromkeys(none, 1.0)
            assert found.findings[0].code == ("NO_GAIN" if found.gain <= 0 else "UNSURE_GAIN")
    assert np.mean([found.gain for found in results]) < 0.01


def test_equal_lists_keep_equal_weights() -> None:
    candidates, qrels = made(60, 3, {"a": 2.0})
    twice = {q: Candidates(c.ids, np.repeat(c.normalised, 2, 1)) for q, c in candidates.items()}
    found = tune(twice, qrels, ["a", "b"])
    assert found.fitted == {"a": 1.0, "b": 1.0}
    assert found.gain == 0.0
    assert [each.code for each in found.findings] == ["NO_GAIN"]


def test_a_weight_for_each_name_and_the_same_result_for_the_same_seed() -> None:
    candidates, qrels = made(60, 4, {"good": 2.0, "also good": 2.0, "noise": 0.0})
    lists = ["image", "image", "noise"]
    found = tune(candidates, qrels, lists)
    assert [*found.weights] == ["image", "noise"]
    assert found.weights["noise"] < 0.5
    assert tune(candidates, qrels, lists) == found
    by_regression = tune(candidates, qrels, lists, method="logistic")
    assert [*by_regression.missing] == ["image[0]", "image[1]", "noise"]
    # Of an item that a good list does not mention, less is to be hoped than of the others.
    assert by_regression.missing["image[0]"] > -2.0


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["rrf", "cohort", "combmax"]), st.integers(1, 12))
def test_ndcg_is_that_of_evaluate(seed: int, fusion: str, k: int) -> None:
    rng = np.random.default_rng(seed)
    queries = made(4, seed, items=12)
    queries[1][0][99] = 3.0  # relevant and found by no list
    for found in queries[0].values():
        np.round(found.normalised, 0, out=found.normalised)  # ties, which keep the order given
    judged, rule = judged_of(queries, k), fusion_rule(fusion, "max")[1]
    weights = rng.choice([0.0, 1.0, 0.5], 3)
    run = {}
    for query, found in queries[0].items():
        scores = rule(found.normalised, weights)
        order = np.argsort(-scores, kind="stable")
        run[query] = [found.ids[i] for i in order if not np.isneginf(scores[i])]
    expected = gl.evaluate(run, queries[1], f"ndcg@{k}").values[f"ndcg@{k}"]
    np.testing.assert_allclose(judged.ndcg(rule, weights), expected, atol=1e-12)


def test_the_ascent_finds_the_best_of_the_whole_grid_of_two_weights() -> None:
    judged = judged_of(made(30, 5, {"a": 2.0, "b": 1.0}))
    rule = fusion_rule("zscore", "max")[1]
    some = np.arange(30) % 3 > 0
    found = Ascent(judged, rule, 2, np.arange(2)).best(some, np.random.default_rng(0))
    grid = [(1.0, 2.0**-e) for e in np.arange(0, 6.5, 0.5)] + [(1.0, 0.0)]
    means = [judged.ndcg(rule, np.array(w))[some].mean() for x, y in grid for w in ((x, y), (y, x))]
    assert judged.ndcg(rule, found)[some].mean() == pytest.approx(max(means), abs=1e-8)


def test_the_regression_agrees_with_scipy() -> None:
    optimise = pytest.importorskip("scipy.optimize", reason="scipy is not installed")
    rng = np.random.default_rng(6)
    x = np.column_stack([rng.normal(size=(400, 4)), np.ones(400)])
    targets = 1.0 / (1.0 + np.exp(-x @ np.array([1.0, -2.0, 0.5, 0.0, -1.0])))
    held = np.array([True, True, True, False, False])
    found = _bounded_newton(x, targets, held)

    def loss(beta: Float64) -> float:
        z = x @ beta
        return float(np.sum(np.logaddexp(0.0, z) - targets * z) + 4e-4 * beta[:-1] @ beta[:-1] / 2)

    bounds = [(0.0 if least else None, None) for least in held]
    other = optimise.minimize(loss, np.zeros(5), method="L-BFGS-B", bounds=bounds, tol=1e-14)
    np.testing.assert_allclose(found, other.x, atol=2e-4)
    assert found[1] == 0.0
    assert loss(found) <= other.fun + 1e-9


def test_what_a_list_leaves_out_is_no_score_of_zero() -> None:
    """Of the items that the first list lacks, half are relevant; its scores are as ever."""
    rng = np.random.default_rng(7)
    candidates, qrels = {}, {}
    for query in range(60):
        values = rng.normal(size=(40, 2))
        values[:4, 1] += 2.0
        values[:2] += (2.0, 0.0)
        values[2:6, 0] = np.nan
        candidates[query] = Candidates(range(40), values)
        qrels[query] = set(range(4))
    judged = judge(candidates, {q: dict.fromkeys(r, 1.0) for q, r in qrels.items()}, np.asarray, 10)
    fit = LogisticSamples(judged, 2, np.arange(2)).fit(np.ones(60, np.bool_))
    assert fit.missing[0] > 2.0
    assert np.isnan(fit.missing[1])
    assert (fit.weights > 1.0).all()


def test_the_result_reads_well_and_is_plain_data() -> None:
    found = tune(*made(50, 8), [*SKILL], fusion="cohort", method="logistic")
    lines = str(found).splitlines()
    assert lines[0].startswith("cohort, weights by logistic: held-out ndcg@10 of 50 queries 0.")
    assert lines[1].split()[:3] == ["list", "weight", "fitted"]
    assert [line.split()[0] for line in lines[2:5]] == [*SKILL]
    assert repr(found) == str(found)
    data = json.loads(json.dumps(found.to_dict()))
    assert data["weights"] == found.weights
    assert data["recommended"] is True
    assert data["gain"] == pytest.approx(data["tuned"] - data["baseline"])


def test_findings_tell_what_was_left_out() -> None:
    candidates, qrels = made(30, 9)
    del qrels[0]
    qrels[1] = {3: 0.0}
    for judged in qrels.values():
        judged |= {1_000 + i: 1.0 for i in range(5)}
    qrels[1] = {3: 0.0}
    found = tune(candidates, qrels, [*SKILL])
    assert found.queries == 28
    assert {each.code for each in found.findings} >= {"UNJUDGED", "NOTHING_RELEVANT", "NOT_FOUND"}


def test_bad_input_is_refused() -> None:
    candidates, qrels = made(20, 10)
    lists = [*SKILL]
    one = {0: Candidates([1], np.ones((1, 2)))}
    wrong: list[tuple[str, Any]] = [
        ("method is 'sgd': choose one of ascent, logistic", {"method": "sgd"}),
        ("weights of fusion 'alpha_mix' cannot be learnt", {"fusion": "alpha_mix"}),
        ("combine is 'sum': choose one of mean_logit", {"combine": "sum"}),
        ("metric is 'mrr': weights are learnt for 'ndcg@k'", {"metric": "mrr"}),
        ("metric is 'ndcg': weights are learnt for 'ndcg@k'", {"metric": "ndcg"}),
        ("folds is 1", {"folds": 1}),
        ("20 queries have something relevant, for 11 folds: judge at least 22", {"folds": 11}),
        ("seed is -1", {"seed": -1}),
        ("resamples is 0", {"resamples": 0}),
        ("lists names 1 list", {"lists": ["a", "a", "a"]}),
        ("lists is 'abc'", {"lists": "abc"}),
        ("have 3 columns for 2 lists", {"lists": ["a", "b"]}),
        ("candidates is {}", {"candidates": {}}),
        ("the candidates of query 0 are a list", {"candidates": {0: [1, 2]}}),
        ("none of the 1 queries with candidates", {"candidates": {"x": candidates[0]}}),
        ("have 2 columns for 3 lists", {"candidates": one}),
        ("qrels is empty", {"qrels": {}}),
    ]
    for message, changed in wrong:
        given = {"candidates": candidates, "qrels": qrels, "lists": lists, **changed}
        with pytest.raises(InvalidArgument, match=message):
            tune(**given)
    with pytest.raises(InvalidArgument, match=r"normalised is \(3,\) for 3 ids"):
        Candidates([1, 2, 3], np.ones(3))
    with pytest.raises(InvalidArgument, match="infinite"):
        Candidates([1], np.array([[np.inf]]))
    with pytest.raises(InvalidArgument, match="the id 'a' is given twice"):
        Candidates(["a", "a"], np.ones((2, 1)))
