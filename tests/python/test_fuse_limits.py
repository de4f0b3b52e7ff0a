"""Where merging goes wrong elsewhere: no items, ties, many lists, extreme numbers, negatives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gapless
from fuse_kit import BY_RANK, BY_SCORE, COMB, NORMS, List, pairs, ranked_lists, reference
from gapless.errors import InvalidArgument

METHODS = (*BY_RANK, *BY_SCORE)
NEGATIVE = ("convex", "dbsf", "minmax", "zscore", "cohort", "combsum", "combanz")
SPORT: List = ([0.9, 0.8, 0.1], [4, 1, 7])
SNOW: List = ([0.5, 0.4], [1, 9])
EMPTY: List = ([], [])


def given_for(method: str, lists: int) -> dict[str, Any]:
    random = np.random.default_rng(7)
    return {"cohorts": random.normal(size=(lists, 40))} if method == "cohort" else {}


@pytest.mark.parametrize("method", METHODS)
def test_empty_lists_one_list_and_k_above_the_union(method: str) -> None:
    assert gapless.fuse([EMPTY, EMPTY], 5, method, **given_for(method, 2))[1].tolist() == []
    scores, ids = gapless.fuse([SPORT], 10_000, method, **given_for(method, 1))
    if method == "log_isr":
        assert (scores.tolist(), ids.tolist()) == ([0, 0, 0], [1, 4, 7])  # ln 1 = 0 for all
    else:
        assert ids.tolist() == SPORT[1]
    with_empty = gapless.fuse([SPORT, EMPTY, SNOW], 10, method, **given_for(method, 3))
    if method not in ("borda", "cohort", "convex"):
        without = gapless.fuse([SPORT, SNOW], 10, method)
        assert with_empty[1].tolist() == without[1].tolist()
        assert with_empty[0].tolist() == without[0].tolist()


@pytest.mark.parametrize("method", METHODS)
def test_sixty_four_lists(method: str) -> None:
    random = np.random.default_rng(3)
    lists: list[List] = []
    for number in range(64):
        count = 0 if number % 9 == 0 else int(random.integers(1, 60))
        scores = -np.sort(-random.uniform(-1, 1, count).round(1))  # many ties
        lists.append((scores.tolist(), random.permutation(90)[:count].tolist()))
    weights = random.uniform(0.5, 1.5, 64)
    weights[5] = 0.0
    how = given_for(method, 64)
    wanted = reference(lists, method, weights.tolist(), **how)
    for k in (1, 7, 1000):
        found = gapless.fuse(lists, k, method, weights.tolist(), **how)
        assert len(found[1]) == min(k, len(wanted))
        for label, score in pairs(found).items():
            assert score == pytest.approx(wanted[label], rel=1e-9, abs=1e-9)
        assert sorted(zip(-found[0], found[1], strict=True)) == list(
            zip(-found[0], found[1], strict=True)
        )


def test_ids_of_any_size_and_many_items() -> None:
    random = np.random.default_rng(4)
    ids = random.integers(0, 2**62, 5000) // 2**20 * 2**20  # low bits all alike
    ids = np.unique(ids)
    scores = -np.sort(-random.normal(size=len(ids)))
    lists = [(scores, random.permutation(ids)) for _ in range(3)]
    wanted = reference([(s.tolist(), i.tolist()) for s, i in lists], "rrf", [1.0] * 3)
    found = gapless.fuse(lists, len(ids), "rrf")
    assert pairs(found) == pytest.approx(wanted)
    best = sorted(wanted, key=lambda label: (-wanted[label], label))[:50]
    assert gapless.fuse(lists, 50, "rrf")[1].tolist() == best


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=25, deadline=None)
@given(lists=ranked_lists(least=1), seed=st.integers(0, 100))
def test_the_order_of_the_lists_does_not_matter(method: str, lists: list[List], seed: int) -> None:
    random = np.random.default_rng(seed)
    weights = random.uniform(0.1, 2.0, len(lists)).tolist()
    order = random.permutation(len(lists)).tolist()
    how = given_for(method, len(lists))
    turned = {name: sample[order] for name, sample in how.items()}
    straight = pairs(gapless.fuse(lists, 99, method, weights, **how))
    other = gapless.fuse(
        [lists[i] for i in order], 99, method, [weights[i] for i in order], **turned
    )
    assert pairs(other) == pytest.approx(straight, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("method", METHODS)
@settings(max_examples=25, deadline=None)
@given(lists=ranked_lists(), exponent=st.integers(-8, 8))
def test_scaling_all_weights_keeps_the_order(method: str, lists: list[List], exponent: int) -> None:
    if method == "rrf_qdrant":
        return  # its weights count against rrf_k
    weights = [0.5 + number for number in range(len(lists))]
    how = given_for(method, len(lists))
    first = gapless.fuse(lists, 99, method, weights, **how)
    again = gapless.fuse(lists, 99, method, [w * 2.0**exponent for w in weights], **how)
    assert again[1].tolist() == first[1].tolist()
    scale = 1.0 if method in ("convex", "cohort", "combanz") else 2.0**exponent
    np.testing.assert_array_equal(again[0], first[0] * scale)


@pytest.mark.parametrize("method", ["minmax", "zscore", "dbsf", "combsum"])
@settings(max_examples=25, deadline=None)
@given(lists=ranked_lists(), scale=st.floats(0.1, 50.0), shift=st.floats(-20.0, 20.0))
def test_neither_scale_nor_zero_of_a_list_matters(
    method: str, lists: list[List], scale: float, shift: float
) -> None:
    moved = [((np.array(s) * scale + shift).tolist(), i) for s, i in lists]
    first = pairs(gapless.fuse(lists, 99, method))
    assert pairs(gapless.fuse(moved, 99, method)) == pytest.approx(first, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("method", NEGATIVE)
def test_a_list_of_negative_weight_says_not_like_this(method: str) -> None:
    unwanted: List = ([0.7, 0.6, 0.2], [4, 50, 9])
    lists, weights = [SPORT, SNOW, unwanted], [1.0, 0.5, -0.75]
    how = given_for(method, 3)
    found = pairs(gapless.fuse(lists, 10, method, weights, **how))
    assert set(found) == {4, 1, 7, 9}  # 50 is known to the negative list alone
    assert found == pytest.approx(reference(lists, method, weights, **how))
    plain = pairs(gapless.fuse(lists, 10, method, [1.0, 0.5, 0.0], **how))
    assert found[4] < plain[4]


@pytest.mark.parametrize("method", sorted(set(METHODS) - set(NEGATIVE)))
def test_other_methods_refuse_negative_weights(method: str) -> None:
    with pytest.raises(InvalidArgument, match=f"weight -0.5 of list 1 is negative, .*'{method}'"):
        gapless.fuse([SPORT, SNOW], 5, method, [1.0, -0.5])


def test_negative_weights_need_values_by_score_and_a_positive_list() -> None:
    for norm in ("rank", "borda"):
        with pytest.raises(InvalidArgument, match=f"'combsum' with norm '{norm}'"):
            gapless.fuse([SPORT, SNOW], 5, "combsum", [1.0, -0.5], norm=norm)
    with pytest.raises(InvalidArgument, match="'calibrated' with combine 'noisy_or'"):
        gapless.fuse([SPORT, SNOW], 5, "calibrated", [1.0, -0.5], combine="noisy_or")
    with pytest.raises(InvalidArgument, match="no weight is positive"):
        gapless.fuse([SPORT, SNOW], 5, "minmax", [0.0, -0.5])


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("method", (*METHODS, "calibrated"))
def test_extreme_numbers_make_neither_nan_nor_infinity(method: str, norm: str) -> None:
    how: dict[str, Any] = {"norm": norm} if method in COMB else {}
    if method not in COMB and norm != "none":
        return
    maps = [gapless._core.Calibration.platt(1e300, 0.0)] * 3
    if method == "cohort":
        how["cohorts"] = [[-1e100, 1e100]] * 3
    elif method == "calibrated":
        how["calibrations"] = maps
    for scores in (
        [1e100, 0.0, -1e100],
        [1e100, 1e100, 1e100],
        [5e-324, 0.0, -5e-324],
        [-1e-320, -1e100, -1e100],
        [1.0, np.nextafter(1.0, 0.0), -1.0],
        [0.0, -0.0, 0.0],
    ):
        for weights in ([1e6, 1e-6, 1.0], [1e6] * 3):
            lists = [(scores, [1, 2, 3]), (scores[:2], [3, 4]), (scores[:1], [1])]
            found, _ = gapless.fuse(lists, 9, method, weights, **how)
            assert np.isfinite(found).all()


@pytest.mark.parametrize("weight", [1e-7, 1.1e6, -1e300, np.inf, np.nan, 5e-324])
def test_weights_out_of_range(weight: float) -> None:
    with pytest.raises(InvalidArgument, match=r"of list 1 is (out of range|not finite)"):
        gapless.fuse([SPORT, SNOW], 5, "minmax", [1.0, weight])


@pytest.mark.parametrize("scores", [[1e101, 0.0], [0.0, -2e100]])
def test_scores_too_large(scores: list[float]) -> None:
    with pytest.raises(InvalidArgument, match="at most 1e100 in size: scale the list"):
        gapless.fuse([(scores, [1, 2])], 5)
    with pytest.raises(InvalidArgument, match="at most 1e100 in size"):
        gapless.fuse([SPORT], 5, "cohort", cohorts=[scores])


def test_a_refused_list_leaves_no_trace() -> None:
    before = gapless.fuse([SPORT, SNOW], 10, "borda")
    for bad in (([0.2, 0.4], [5, 6]), ([0.4, 0.2], [5, 5]), ([0.4, np.nan], [5, 6])):
        with pytest.raises(InvalidArgument):
            gapless.fuse([SPORT, bad], 10, "borda")
    after = gapless.fuse([SPORT, SNOW], 10, "borda")
    assert after[0].tolist() == before[0].tolist()
    assert after[1].tolist() == before[1].tolist()
