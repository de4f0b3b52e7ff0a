"""Ranking measures against values worked out by hand, and their refusals."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gapless.errors import InvalidArgument
from gapless.evaluation import evaluate as E


def test_recall_counts_all_relevant_items() -> None:
    assert E.recall_at_k([4, 1, 9], {1, 7}, k=2) == 0.5
    assert E.recall_at_k([4, 1, 9], {1, 9}, k=3) == 1.0
    assert E.recall_at_k([4, 1, 9], {9}, k=2) == 0.0


def test_recall_of_many_rankings_and_padding() -> None:
    values = E.recall_at_k([[3, 1, -1], [2, -1, -1]], [{1}, {0, 2}], k=3)
    np.testing.assert_allclose(values, [1.0, 0.5])


def test_reciprocal_rank() -> None:
    assert E.reciprocal_rank([4, 1, 9], {9, 1}) == 0.5
    np.testing.assert_allclose(E.reciprocal_rank([[4, 1], [1, 4]], [{7}, {1}]), [0.0, 1.0])
    assert E.reciprocal_rank(np.empty(0, dtype=np.int64), {1}) == 0.0


def test_ndcg_by_hand() -> None:
    gains = {1: 3.0, 2: 1.0, 3: 2.0}
    got = E.ndcg_at_k([2, 8, 1], gains, k=3)
    dcg = 1.0 + 3.0 / math.log2(4)
    ideal = 3.0 + 2.0 / math.log2(3) + 1.0 / math.log2(4)
    assert got == pytest.approx(dcg / ideal)


def test_ndcg_divides_by_the_ideal_over_all_judged_items() -> None:
    # Only one of two right answers was found; an ideal over the found ones alone would say 1.
    assert E.ndcg_at_k([4, -1], {4: 1.0, 5: 1.0}, k=2) == pytest.approx(1 / (1 + 1 / math.log2(3)))
    # No more than k judged items can be in the ideal.
    assert E.ndcg_at_k([4], {4: 1.0, 5: 1.0}, k=1) == 1.0


def test_ndcg_of_many_rankings() -> None:
    values = E.ndcg_at_k([[1, 2], [2, 1]], [{1: 1.0}, {1: 1.0}], k=2)
    np.testing.assert_allclose(values, [1.0, 1 / math.log2(3)])


@given(st.permutations(range(8)), st.integers(1, 10))
def test_ndcg_is_within_bounds_and_best_for_the_sorted_order(order: list[int], k: int) -> None:
    gains = {item: float(item) for item in range(8)}
    value = E.ndcg_at_k(order, gains, k)
    assert 0.0 <= float(value) <= 1.0 + 1e-12
    assert E.ndcg_at_k(sorted(order, reverse=True), gains, k) == pytest.approx(1.0)


def test_bias_rate_and_lift() -> None:
    kinds = ["text"] * 2 + ["image"] * 6
    crowd = E.intra_modal_bias([[0, 1, 2, 3], [1, 0, 4, 5]], kinds, "text", k=2)
    assert crowd == E.BiasRate(1.0, 1.0)
    fair = E.intra_modal_bias([0, 2, 3, 4], kinds, "text", k=4)
    assert fair.rate == pytest.approx(0.25)
    assert fair.lift == pytest.approx(0.0)
    avoid = E.intra_modal_bias([2, 3], kinds, "text", k=2)
    assert avoid.lift == pytest.approx(-1 / 3)


def test_bias_skips_empty_places_and_counts_a_population() -> None:
    kinds = ["text", "text", "image", "image"]
    padded = E.intra_modal_bias([[0, -1], [-1, -1], [2, 0]], kinds, "text", k=2)
    assert padded.rate == pytest.approx((1.0 + 0.5) / 2)
    part = E.intra_modal_bias([0, 2], kinds, "text", k=2, population=[True, False, True, True])
    assert part.lift == pytest.approx((0.5 - 1 / 3) / (1 - 1 / 3))


@pytest.mark.parametrize("k", [0, -3])
def test_k_below_one_is_refused(k: int) -> None:
    for call in (
        lambda: E.recall_at_k([1], {1}, k),
        lambda: E.ndcg_at_k([1], {1: 1.0}, k),
        lambda: E.intra_modal_bias([0], ["a", "b"], "a", k),
    ):
        with pytest.raises(InvalidArgument, match=f"k is {k}: give an integer of at least 1"):
            call()


def test_bad_rankings_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="not float64; pass integers"):
        E.recall_at_k([0.5], {1}, 1)
    with pytest.raises(InvalidArgument, match="1 or 2 dimensions, not 3"):
        E.recall_at_k(np.zeros((1, 1, 1), dtype=np.int64), [{1}], 1)
    with pytest.raises(InvalidArgument, match="2 rankings but 1 sets of relevant items"):
        E.recall_at_k([[1], [2]], [{1}], 1)
    with pytest.raises(InvalidArgument, match="ranking 1 has an item twice"):
        E.reciprocal_rank([[1, 2], [3, 3]], [{1}, {3}])


@pytest.mark.parametrize(
    ("measure", "given", "message"),
    [
        (E.recall_at_k, ([[1, 2], [3]], [{1}, {3}], 1), "fill the shorter ones with -1"),
        (E.recall_at_k, ([[1, 2]], {1}, 1), "1 rankings but 1 sets"),
        (E.recall_at_k, ([1, 2], [{1}], 1), "relevant items of query 0 are"),
        (E.recall_at_k, ([1, 2], {1.7}, 1), r"query 0 are \{1.7\}: give a set of item numbers"),
        (E.recall_at_k, ([1, 2], None, 1), "query 0 are None"),
        (E.recall_at_k, ([1, 2], {1}, 1.5), "k is 1.5: give an integer"),
        (E.ndcg_at_k, ([1, 2], {1}, 1), "gains of query 0 are"),
        (E.ndcg_at_k, ([1, 2], {1: "high"}, 1), "negative or not finite"),
        (E.intra_modal_bias, ([0], "ab", "a", 1), r"modalities has shape \(\)"),
    ],
)
def test_other_forms_are_refused(measure: Any, given: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        measure(*given)


def test_a_population_of_numbers_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"population is int64 of shape \(2,\): give bool"):
        E.intra_modal_bias([0], ["a", "b"], "a", 1, population=[0, 1])


def test_undefined_queries_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="query 1 has no relevant item"):
        E.recall_at_k([[1], [2]], [{1}, set()], 1)
    with pytest.raises(InvalidArgument, match="query 0 has no item of positive gain"):
        E.ndcg_at_k([1], {1: 0.0}, 1)
    for gain in (-1.0, math.nan):
        with pytest.raises(InvalidArgument, match="negative or not finite"):
            E.ndcg_at_k([1], {1: gain}, 1)


def test_meaningless_bias_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="share of 'text' among the items is 1"):
        E.intra_modal_bias([0], ["text", "text"], "text", 1)
    with pytest.raises(InvalidArgument, match="item 5 but there are modalities for 2 items"):
        E.intra_modal_bias([5], ["text", "image"], "text", 1)
    with pytest.raises(InvalidArgument, match="no ranking has an answer"):
        E.intra_modal_bias([-1], ["text", "image"], "text", 1)
