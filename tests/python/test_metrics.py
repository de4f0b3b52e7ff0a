"""Metrics against values worked out by hand, ranx, pytrec_eval and plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gapless as gl
from gapless.errors import InvalidArgument
from gapless.evaluation.metrics import canonical, metric_names

Table = dict[str, dict[str, float]]

# name here: (ranx, pytrec_eval's measure, its key in the results)
PEERS = {
    "recall@1": ("recall@1", "recall.1", "recall_1"),
    "recall@5": ("recall@5", "recall.5", "recall_5"),
    "recall@100": ("recall@100", "recall.100", "recall_100"),
    "precision@5": ("precision@5", "P.5", "P_5"),
    "hit@5": ("hit_rate@5", "success.5", "success_5"),
    "mrr": ("mrr", "recip_rank", "recip_rank"),
    "map": ("map", "map", "map"),
    "map@10": ("map@10", "map_cut.10", "map_cut_10"),
    "ndcg": ("ndcg", "ndcg", "ndcg"),
    "ndcg@3": ("ndcg@3", "ndcg_cut.3", "ndcg_cut_3"),
    "ndcg@10": ("ndcg@10", "ndcg_cut.10", "ndcg_cut_10"),
}


def draw(seed: int, queries: int = 60, items: int = 40) -> tuple[Table, Table]:
    """Draw a run and graded judgements; scores of a query are distinct, also in float32."""
    rng = np.random.default_rng(seed)
    names = np.array([f"item{i}" for i in range(items)])
    run: Table = {}
    qrels: Table = {}
    for number in range(queries):
        found = rng.permutation(names)[: rng.integers(1, items)]
        judged = rng.permutation(names)[: rng.integers(1, 15)]
        gains = rng.integers(0, 4, size=len(judged))
        gains[0] = rng.integers(1, 4)
        scores = (rng.permutation(1000)[: len(found)] - 300) / 8.0
        run[f"q{number}"] = dict(zip(found.tolist(), scores.tolist(), strict=True))
        qrels[f"q{number}"] = dict(zip(judged.tolist(), map(float, gains), strict=True))
    return run, qrels


def integral(qrels: Table) -> dict[str, dict[str, int]]:
    return {query: {i: int(gain) for i, gain in own.items()} for query, own in qrels.items()}


@pytest.mark.filterwarnings("ignore:unsafe cast")  # of numba, when it compiles ranx
@pytest.mark.parametrize("seed", range(3))
def test_equal_to_ranx(seed: int) -> None:
    ranx = pytest.importorskip("ranx", reason="ranx is missing")
    run, qrels = draw(seed)
    found = gl.evaluate(run, qrels, list(PEERS))
    theirs = ranx.Run(run)
    want = ranx.evaluate(ranx.Qrels(integral(qrels)), theirs, [peer[0] for peer in PEERS.values()])
    for name, (peer, _, _) in PEERS.items():
        assert found[name] == pytest.approx(want[peer], abs=1e-9, rel=0), name
        each = [theirs.scores[peer][query] for query in found.queries]
        np.testing.assert_allclose(found.values[name], each, rtol=0, atol=1e-9)
    for name in ("ndcg", "ndcg@10"):
        own = gl.evaluate(run, qrels, [name], gains="exponential")
        burges = ranx.evaluate(
            ranx.Qrels(integral(qrels)), theirs, name.replace("ndcg", "ndcg_burges")
        )
        assert own[name] == pytest.approx(burges, abs=1e-9, rel=0)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("level", [1, 2])
def test_equal_to_pytrec_eval(seed: int, level: int) -> None:
    pytrec_eval = pytest.importorskip("pytrec_eval", reason="pytrec_eval is missing")
    run, qrels = draw(seed)
    judge = pytrec_eval.RelevanceEvaluator(
        integral(qrels), {peer[1] for peer in PEERS.values()}, relevance_level=level
    )
    want = judge.evaluate(run)
    found = gl.evaluate(run, qrels, list(PEERS), level=level)
    for name, (_, _, key) in PEERS.items():
        each = [want[query][key] for query in found.queries]
        np.testing.assert_allclose(found.values[name], each, rtol=0, atol=1e-9, err_msg=name)
        assert found[name] == pytest.approx(float(np.mean(each)), abs=1e-9, rel=0)


def ranked(scores: dict[str, float]) -> list[str]:
    return [item for item, _ in sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))]


def by_loops(name: str, scores: dict[str, float], gains: dict[str, float]) -> float:
    """Compute one metric of one query as its definition reads."""
    base, _, k = name.partition("@")
    answers = ranked(scores)[: int(k)] if k else ranked(scores)
    relevant = {item for item, gain in gains.items() if gain > 0}
    places = [rank for rank, item in enumerate(answers, start=1) if item in relevant]
    if base == "median_rank":
        return float(places[0]) if places else math.inf
    if base == "mrr":
        return 1.0 / places[0] if places else 0.0
    if base == "hit":
        return float(bool(places))
    if base == "precision":
        return len(places) / int(k)
    if not relevant:
        return 0.0
    if base == "recall":
        return len(places) / len(relevant)
    if base == "map":
        return sum((n + 1) / rank for n, rank in enumerate(places)) / len(relevant)
    got = sum(
        max(gains.get(item, 0.0), 0.0) / math.log2(rank + 1)
        for rank, item in enumerate(answers, start=1)
    )
    best = sorted((gain for gain in gains.values() if gain > 0), reverse=True)
    best = best[: int(k)] if k else best
    return got / sum(gain / math.log2(rank + 1) for rank, gain in enumerate(best, start=1))


ITEMS = st.sampled_from([f"i{n}" for n in range(12)])
QUERIES = st.sampled_from(["a", "b", "c", "d"])
RUNS = st.dictionaries(
    QUERIES, st.dictionaries(ITEMS, st.sampled_from([0.0, 0.5, 1.0, -2.0, 3.5])), min_size=1
)
QRELS = st.dictionaries(
    QUERIES, st.dictionaries(ITEMS, st.sampled_from([-1.0, 0.0, 1.0, 2.0, 0.5])), min_size=1
)


@settings(max_examples=150, deadline=None)
@given(RUNS, QRELS)
def test_equal_to_plain_loops_with_ties_gaps_and_negative_gains(run: Table, qrels: Table) -> None:
    if not set(run) & set(qrels):
        with pytest.raises(InvalidArgument, match="no query of the run is judged"):
            gl.evaluate(run, qrels)
        return
    names = [*PEERS, "median_rank"]
    found = gl.evaluate(run, qrels, names)
    assert found.queries == tuple(qrels)
    for name in names:
        want = [by_loops(name, run.get(query, {}), qrels[query]) for query in qrels]
        np.testing.assert_allclose(found.values[name], want, rtol=0, atol=1e-12, err_msg=name)
        middle = np.median(want) if name == "median_rank" else np.mean(want)
        assert found[name] == pytest.approx(float(middle), abs=1e-12)


def test_by_hand() -> None:
    run = {"q": {"a": 0.9, "b": 0.8, "c": 0.7, "d": 0.6}}
    found = gl.evaluate(run, {"q": {"b": 1, "d": 3, "never": 2}}, "R@1,R@2,P@4,mrr,map,ndcg@4,medr")
    ideal = 3 + 2 / math.log2(3) + 1 / 2
    assert found["R@1"] == 0.0
    assert found["R@2"] == pytest.approx(1 / 3)
    assert found["P@4"] == 0.5
    assert found["mrr"] == 0.5
    assert found["map"] == pytest.approx((1 / 2 + 2 / 4) / 3)
    assert found["ndcg@4"] == pytest.approx((1 / math.log2(3) + 3 / math.log2(5)) / ideal)
    assert found["median_rank"] == 2.0


def test_exponential_gains_by_hand() -> None:
    found = gl.evaluate([["x", "y"]], [{"x": 1, "y": 3}], ["ndcg@2"], gains="exponential")
    assert found["ndcg@2"] == pytest.approx((1 + 7 / math.log2(3)) / (7 + 1 / math.log2(3)))


def test_names_have_the_aliases_of_others() -> None:
    same = ["R@10", "recall@10", "recall_10", "recall.10", " Recall@10 "]
    assert {canonical(name) for name in same} == {"recall@10"}
    assert canonical("ndcg_cut_5") == canonical("nDCG@5") == "ndcg@5"
    assert canonical("recip_rank") == "mrr"
    assert canonical("success@3") == canonical("hit_rate@3") == "hit@3"
    assert metric_names("R@1, recall@1 ,mrr") == ("recall@1", "mrr")
    assert metric_names(None) == (
        "recall@1", "recall@5", "recall@10", "ndcg@10", "mrr", "map", "median_rank",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("bpref", "unknown: choose of recall"),
        ("", "unknown"),
        ("recall", "needs a cut-off: write 'recall@10'"),
        ("ndcg@0", "at least 1"),
        ("median_rank@5", "takes no cut-off"),
        ("ndcg@-1", "unknown"),
    ],
)
def test_bad_metrics_are_refused(metric: str, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        gl.evaluate([["a"]], [{"a"}], [metric])


def test_gains_too_large_for_powers_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="too large for 2"):
        gl.evaluate([["a"]], [{"a": 2000.0}], "ndcg", gains="exponential")
    with pytest.raises(InvalidArgument, match="choose 'linear' or 'exponential'"):
        gl.evaluate([["a"]], [{"a"}], gains="log")
