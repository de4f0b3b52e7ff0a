"""Fusion of ranked lists, natively, against the formulas in plain Python."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gapless
from fuse_kit import BY_RANK, BY_SCORE, COMB, NORMS, List, pairs, ranked_lists, reference
from gapless import FlatIndex, _core
from gapless.errors import InvalidArgument

METHODS = (*BY_RANK, *BY_SCORE)

SPORT: List = ([0.9, 0.8, 0.1], [4, 1, 7])
SNOW: List = ([0.5, 0.4], [1, 9])


def test_two_fair_rows_do_not_outrank_one_better_row() -> None:
    background = [-1.0, 1.0]
    lists = [([3.0, 2.0], [7, 8]), ([2.5], [8])]
    fused = gapless.fuse(lists, 2, method="cohort", cohorts=[background, background])
    assert pairs(fused) == {7: 3.0, 8: 2.25}
    weighted = gapless.fuse(
        lists, 2, method="cohort", weights=[1.0, 3.0], cohorts=[background, background]
    )
    assert pairs(weighted) == pytest.approx({7: 3.0, 8: 2.375})


def check(lists: list[List], method: str, weights: list[float], **given: Any) -> None:
    """The formulas hold, ties rank by id, and fewer are the first of many."""
    wanted = reference(lists, method, weights, **given)
    scores, ids = gapless.fuse(lists, 100, method, weights, **given)
    assert scores.dtype == np.float64
    assert set(ids.tolist()) == set(wanted)
    largest = max([1.0, *map(abs, wanted.values())])
    for label, score in pairs((scores, ids)).items():
        assert score == pytest.approx(wanted[label], rel=1e-9, abs=1e-9 * largest)
    order = sorted(zip(-scores, ids, strict=True))
    assert [label for _, label in order] == ids.tolist()
    few = gapless.fuse(lists, 3, method, weights, **given)
    assert few[1].tolist() == ids[:3].tolist()


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=40, deadline=None)
@given(lists=ranked_lists(), seed=st.integers(0, 1000))
def test_formulas(method: str, lists: list[List], seed: int) -> None:
    random = np.random.default_rng(seed)
    weights = random.uniform(0.1, 2.0, len(lists)).tolist()
    extra = {}
    if method == "cohort":
        extra["cohorts"] = [random.normal(size=50) for _ in lists]
    check(lists, method, weights, **extra)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("method", COMB)
@settings(max_examples=5, deadline=None)
@given(lists=ranked_lists(), seed=st.integers(0, 1000))
def test_norms(method: str, norm: str, lists: list[List], seed: int) -> None:
    weights = np.random.default_rng(seed).uniform(0.1, 2.0, len(lists))
    weights[1:][::2] = 0.0
    check(lists, method, weights.tolist(), norm=norm)


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("rrf", {"rrf_k": 3.5, "rank_base": 0}),
        ("rrf_qdrant", {"rrf_k": 2.0}),
        ("convex", {"lower": 0.25}),
        ("rbc", {"phi": 0.0}),
        ("rbc", {"phi": 0.95}),
        ("gmnz", {"gamma": 0.0}),
        ("gmnz", {"gamma": 2.5, "norm": "none"}),
        ("logn_isr", {"sigma": 0.5}),
    ],
)
@settings(max_examples=20, deadline=None)
@given(lists=ranked_lists())
def test_parameters(method: str, parameters: dict[str, Any], lists: list[List]) -> None:
    check(lists, method, [0.5 + number for number in range(len(lists))], **parameters)


def test_rrf_by_hand() -> None:
    fused = pairs(gapless.fuse([SPORT, SNOW], 10))
    assert fused == {
        1: pytest.approx(1 / 62 + 1 / 61),
        4: pytest.approx(1 / 61),
        9: pytest.approx(1 / 62),
        7: pytest.approx(1 / 63),
    }
    qdrant_like = pairs(gapless.fuse([SPORT, SNOW], 10, rrf_k=2, rank_base=0))
    assert qdrant_like[1] == pytest.approx(1 / 3 + 1 / 2)


def test_minmax_by_hand() -> None:
    fused = pairs(gapless.fuse([SPORT, SNOW], 10, "minmax", [1.0, 0.5]))
    assert fused == {4: 1.0, 1: pytest.approx(0.7 / 0.8 + 0.5), 7: 0.0, 9: 0.0}


def test_a_list_without_spread_is_not_lost() -> None:
    fused = pairs(gapless.fuse([([0.3], [5]), SPORT], 10, "minmax"))
    assert fused[5] == 1.0
    for equal in ([0.3], [0.1] * 3):  # three tenths do not sum to a mean of a tenth
        ids = list(range(len(equal)))
        assert pairs(gapless.fuse([(equal, ids)], 10, "zscore")) == dict.fromkeys(ids, 0.0)


@pytest.mark.parametrize("method", ["rrf", "zscore", "minmax", "combmax"])
def test_a_list_of_weight_zero_says_nothing(method: str) -> None:
    low: List = ([-0.2, -0.3], [4, 1])
    muted = gapless.fuse([low, SNOW], 10, method, [1.0, 0.0])
    alone = gapless.fuse([low], 10, method)
    assert muted[1].tolist() == alone[1].tolist() == [4, 1]
    assert muted[0].tolist() == alone[0].tolist()


def test_the_order_of_ties_is_ascending_id() -> None:
    assert gapless.fuse([([1.0], [9]), ([1.0], [3])], 2)[1].tolist() == [3, 9]


def test_empty_lists_and_padding() -> None:
    nothing: List = ([], [])
    assert gapless.fuse([nothing], 5)[1].tolist() == []
    padded = (np.array([0.4, -np.inf]), np.array([3, -1]))
    assert gapless.fuse([nothing, padded], 5)[1].tolist() == [3]


def test_a_batch_is_fused_row_by_row() -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(300, 12)).astype(np.float32)
    indexes = [FlatIndex(12), FlatIndex(12)]
    for index, half in zip(indexes, (rows[:200], rows[100:]), strict=True):
        index.add(half, ids=np.arange(0, 200) if index is indexes[0] else np.arange(100, 300))
    lists = [index.search(rows[:7], 20) for index in indexes]
    scores, ids = gapless.fuse(lists, 30, "minmax")
    assert ids.shape == (7, 30)
    for q in range(7):
        one = gapless.fuse([(s[q], i[q]) for s, i in lists], 30, "minmax")
        assert ids[q, : len(one[1])].tolist() == one[1].tolist()
        assert (ids[q, len(one[1]) :] == -1).all()
        assert np.isneginf(scores[q, len(one[1]) :]).all()


@pytest.mark.parametrize(
    ("message", "arguments"),
    [
        ("fusion method 'magic' is not known; use one of rrf", {"method": "magic"}),
        ("k is 0", {"k": 0}),
        ("1 weights for 2 lists", {"weights": [1.0]}),
        ("weight -1 of list 1 is negative, which 'rrf' has no", {"weights": [1.0, -1.0]}),
        ("all weights are 0", {"weights": [0.0, 0.0]}),
        ("rank_base is 3", {"rank_base": 3}),
        ("rrf_k is -1", {"rrf_k": -1.0}),
        ("rrf_k is 0.5", {"method": "rrf_qdrant", "rrf_k": 0.5}),
        ("lower is nan", {"lower": float("nan")}),
        ("phi is 1; give at least 0 and below 1", {"phi": 1.0}),
        ("gamma is -1", {"gamma": -1.0}),
        ("sigma is nan", {"sigma": float("nan")}),
        ("norm 'median' is not known; use one of none", {"norm": "median"}),
        ("norm is 'max', and method 'rrf' has its own", {"norm": "max"}),
        ("needs cohorts=", {"method": "cohort"}),
        ("at least 2 scores", {"method": "cohort", "cohorts": [[0.1], [0.2]]}),
        ("no lists", {"lists": []}),
        ("NaN or infinite", {"lists": [([0.5, float("nan")], [1, 2])]}),
        ("NaN or infinite", {"lists": [([float("inf"), 0.5], [1, 2])]}),
        ("ids that are no integers", {"lists": [([0.5], [1.7])]}),
        ("of one shape", {"lists": [(np.ones((2, 3)), np.ones((3, 2), dtype=int))]}),
        ("all of them finite", {"method": "cohort", "cohorts": [[0.1, np.inf], [0.2, 0.1]]}),
        ("above the one before", {"lists": [([0.1, 0.5], [1, 2])]}),
        ("id 1 occurs twice in list 0", {"lists": [([0.5, 0.1], [1, 1])]}),
        ("not a pair", {"lists": [([0.5],)]}),
        ("of one shape", {"lists": [([0.5], [1, 2])]}),
        ("different batches", {"lists": [SNOW, ([[0.5]], [[1]])]}),
    ],
)
def test_bad_input(message: str, arguments: dict[str, Any]) -> None:
    call = {"lists": [SPORT, SNOW], "k": 5, **arguments}
    with pytest.raises(InvalidArgument, match=message):
        gapless.fuse(**call)


def test_top_k_and_normalise() -> None:
    random = np.random.default_rng(1)
    scores = random.normal(size=5000).astype(np.float32)
    best, positions = _core.top_k(scores, 17)
    order = np.argsort(-scores, kind="stable")[:17]
    assert positions.tolist() == order.tolist()
    assert (best == scores[order]).all()
    assert _core.top_k(np.float32([2, 2, 1]), 9)[1].tolist() == [0, 1, 2]
    with pytest.raises(InvalidArgument, match="NaN"):
        _core.top_k([np.nan, 1.0], 2)
    rows = random.normal(size=(9, 33)) * 1e20
    unit = _core.normalise(rows)
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1.0, atol=1e-6)
    with pytest.raises(InvalidArgument, match="row 2 is zero"):
        _core.normalise(np.eye(4)[[0, 1]].repeat(2, axis=0) * [[1], [1], [0], [1]])
