"""Measures of the gap against independent computations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gapless.diagnosis import geometry as geo
from gapless.errors import InvalidArgument


def unit(rng: np.random.Generator, n: int, dim: int, toward: int | None = None) -> Any:
    rows = rng.normal(size=(n, dim)) + (0 if toward is None else 3 * np.eye(dim)[toward])
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_figures_of_clip_on_coco(clip_pairs: npt.NDArray[np.float32]) -> None:
    image, text = clip_pairs
    near: Callable[[float], Any] = lambda value: pytest.approx(value, abs=0.002)  # noqa: E731
    assert geo.centroid_distance(image, text) == near(0.851)
    assert geo.centroid_cosine_distance(image, text) == near(0.691)
    assert geo.random_cosine(image) == (near(0.531), near(0.096))
    assert geo.random_cosine(text) == (near(0.515), near(0.110))
    assert geo.random_cosine(image, text) == (near(0.162), near(0.048))
    assert geo.offset_constancy(image, text) == near(0.525)
    assert geo.offset_cosine(image, text) == (near(0.725), near(0.065))
    assert geo.relative_gap(image, text) == near(0.591)
    assert [geo.separability(image, text, seed) for seed in range(3)] == [1.0] * 3


def test_measures_by_loops(rng: np.random.Generator) -> None:
    x, y = unit(rng, 12, 5, 0), unit(rng, 12, 5, 1)
    pairs = [(i, j) for i in range(12) for j in range(12) if i < j]
    distances = [np.linalg.norm(x[i] - x[j]) for i, j in pairs]
    assert geo.mean_distance(x) == pytest.approx(np.mean(distances))
    assert geo.uniformity_loss(x) == pytest.approx(
        np.log(np.mean([np.exp(-2 * d * d) for d in distances]))
    )
    assert geo.alignment_loss(x, y) == pytest.approx(
        np.mean([np.linalg.norm(a - b) ** 2 for a, b in zip(x, y, strict=True)])
    )
    gap = x.mean(axis=0) - y.mean(axis=0)
    assert geo.offset_constancy(x, y) == pytest.approx(gap @ gap / geo.alignment_loss(x, y))
    cosines = [
        (a - b) @ gap / np.linalg.norm(a - b) / np.linalg.norm(gap)
        for a, b in zip(x, y, strict=True)
    ]
    assert geo.offset_cosine(x, y) == pytest.approx((np.mean(cosines), np.std(cosines)))
    assert geo.centroid_distance(x, y) == pytest.approx(np.sqrt(sum(g * g for g in gap)))
    a, b = x.mean(axis=0), y.mean(axis=0)
    assert geo.centroid_cosine_distance(x, y) == pytest.approx(
        1 - a @ b / np.sqrt(a @ a) / np.sqrt(b @ b)
    )
    within_x = [float(x[i] @ x[j]) for i, j in pairs]
    assert geo.random_cosine(x) == pytest.approx((np.mean(within_x), np.std(within_x)))
    across = [float(x[i] @ y[j]) for i in range(12) for j in range(12) if i != j]
    assert geo.random_cosine(x, y) == pytest.approx((np.mean(across), np.std(across)))
    centre = x.mean(axis=0)
    assert geo.spread(x) == pytest.approx(
        np.sqrt(np.mean([(r - centre) @ (r - centre) for r in x]))
    )
    between = np.mean((1 - np.diag(x @ y.T)) / 2)
    within = [np.sum((1 - v @ v.T) / 2) / 144 for v in (x, y)]
    assert geo.relative_gap(x, y) == pytest.approx(between / (between + np.mean(within)))


def test_effective_rank_counts_dimensions_in_use(rng: np.random.Generator) -> None:
    flat = np.zeros((4000, 20))
    flat[:, :7] = rng.normal(size=(4000, 7))
    assert geo.effective_rank(flat) == pytest.approx(7, abs=0.1)
    assert geo.effective_rank(flat + 100) == pytest.approx(7, abs=0.1)
    values = np.linalg.svd(flat[:9] - flat[:9].mean(axis=0), compute_uv=False) ** 2
    p = values[values > 1e-9] / values.sum()
    assert geo.effective_rank(flat[:9]) == pytest.approx(np.exp(-(p * np.log(p)).sum()))
    assert geo.effective_rank(np.ones((5, 3))) == 1.0


def test_lisi_of_separated_and_of_mixed_sides(rng: np.random.Generator) -> None:
    x, y = unit(rng, 40, 6, 0), unit(rng, 40, 6, 1) * 1.0
    sides = np.repeat([0, 1], 40)

    def scores(a: Any, b: Any) -> Any:
        rows = np.concatenate([a, b])
        found = rows @ rows.T
        np.fill_diagonal(found, -np.inf)
        return found

    assert geo.lisi(scores(x + 5 * np.eye(6)[0], y - 5 * np.eye(6)[0]), sides, 10) == 1.0
    mixed = scores(unit(rng, 40, 6), unit(rng, 40, 6))
    found = []
    for row in mixed:
        near = sides[np.argsort(-row)[:10]]
        found.append(1 / ((near == 0).mean() ** 2 + (near == 1).mean() ** 2))
    assert geo.lisi(mixed, sides, 10) == pytest.approx(np.mean(found))
    assert 1.6 < geo.lisi(mixed, sides, 10) <= 2.0


def test_hubs_and_antihubs(rng: np.random.Generator) -> None:
    scores = rng.normal(size=(50, 30))
    occurrence = geo.k_occurrence(scores, 4)
    wanted = np.zeros(30, dtype=int)
    for row in scores:
        wanted[np.argsort(-row)[:4]] += 1
    assert occurrence.tolist() == wanted.tolist()
    assert geo.antihub_share(occurrence) == (wanted == 0).mean()
    skew = pytest.importorskip("scipy.stats").skew
    assert geo.hub_skew(occurrence) == pytest.approx(skew(wanted))
    assert geo.hub_skew([3, 3, 3]) == 0.0
    assert geo.hub_skew([0, 0, 0, 0, 9]) > 1.4


def test_neighbours_agree_as_a_loop_says(rng: np.random.Generator) -> None:
    x = unit(rng, 30, 8)
    assert geo.neighbour_agreement(x, x, 5) == 1.0
    y = unit(rng, 30, 8)
    found = []
    for i in range(30):
        near = [
            set(sorted((j for j in range(30) if j != i), key=lambda j: -float(v[i] @ v[j]))[:5])
            for v in (x, y)
        ]
        found.append(len(near[0] & near[1]) / 5)
    assert geo.neighbour_agreement(x, y, 5) == pytest.approx(np.mean(found))


@pytest.mark.parametrize("dim", [6, 300])
def test_separability_is_held_out(rng: np.random.Generator, dim: int) -> None:
    same = [unit(rng, 200, dim) for _ in range(2)]
    # 100 rows in 300 dims are always separable where they were learnt.
    assert geo.separability(*same) == pytest.approx(0.5, abs=0.12)
    apart = same[0], same[1] + 4 * np.eye(dim)[0]
    assert geo.separability(*apart) > 0.99
    few = same[0][:20], same[1] + 4 * np.eye(dim)[0]
    assert geo.separability(*few) > 0.9
    again = [geo.separability(same[0], same[1], seed=1) for _ in range(2)]
    assert again[0] == again[1]


def test_separability_is_that_of_another_linear_classifier(rng: np.random.Generator) -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    shift = 0.9 * np.eye(10)[0]
    x, y = rng.normal(size=(2, 2000, 10)) + np.stack([shift, -shift])[:, None]
    model = linear.LogisticRegression().fit(
        np.concatenate([x[:1000], y[:1000]]), np.repeat([1, 0], 1000)
    )
    held_out = model.score(np.concatenate([x[1000:], y[1000:]]), np.repeat([1, 0], 1000))
    assert geo.separability(x, y) == pytest.approx(held_out, abs=0.03)


def test_outliers_are_about_the_tail_among_their_like(rng: np.random.Generator) -> None:
    rows = unit(rng, 2000, 10, 0)
    own = [sorted(rows[i] @ rows[j] for j in range(60) if j != i)[-4] for i in range(60)]
    far = [sorted(rows[i] @ rows[j] for j in range(60))[-4] for i in range(60, 160)]
    share = np.mean([value < np.quantile(own, 0.2) for value in far])
    assert geo.outlier_share(rows[60:160], rows[:60], 4, tail=0.2) == pytest.approx(share)
    assert geo.outlier_share(rows[:1000], rows[1000:], 10) == pytest.approx(0.05, abs=0.03)
    assert geo.outlier_share(-rows[:50], rows, 10) == 1.0


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 12), st.integers(2, 6))
def test_measures_stay_in_range_and_ignore_rotation(seed: int, n: int, dim: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = unit(rng, n, dim), unit(rng, n, dim)
    turn, _ = np.linalg.qr(rng.normal(size=(dim, dim)))
    k = min(3, n - 1)
    for measure, low, high in (
        (geo.centroid_distance, 0, 2),
        (geo.centroid_cosine_distance, 0, 2),
        (geo.offset_constancy, 0, 1),
        (geo.relative_gap, 0, 1),
        (geo.alignment_loss, 0, 4),
        (lambda a, b: geo.neighbour_agreement(a, b, k), 0, 1),
        (lambda a, _: geo.spread(a), 0, 1),
        (lambda a, _: geo.mean_distance(a), 0, 2),
        (lambda a, _: geo.uniformity_loss(a), -8, 0),
        (lambda a, _: geo.effective_rank(a), 1, min(n - 1, dim)),
    ):
        value = measure(x, y)
        assert low - 1e-9 <= value <= high + 1e-9
        assert measure(x @ turn, y @ turn) == pytest.approx(value, abs=1e-6)


def test_degenerate_rows_give_numbers() -> None:
    one, same = np.eye(3)[:1], np.ones((6, 3)) / np.sqrt(3)
    assert geo.random_cosine(one) == (0.0, 0.0)
    assert geo.uniformity_loss(one) == geo.mean_distance(one) == geo.spread(one) == 0.0
    assert geo.offset_constancy(same, same) == 0.0
    assert geo.offset_cosine(same, same) == (0.0, 0.0)
    assert geo.relative_gap(same, same) == pytest.approx(0.0)
    # 1/2 between, and within 0 for a row with itself, else 1/2: a mean of 1/4 over all four
    assert geo.relative_gap(np.zeros((2, 3)), np.zeros((2, 3))) == pytest.approx(2 / 3)
    assert geo.centroid_cosine_distance([[1, 0], [-1, 0]], [[0, 1]]) == 1.0
    assert np.isfinite(geo.separability(same, same))
    assert geo.random_cosine(same).std == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: geo.spread(np.ones(3)), r"shape \(3,\)"),
        (lambda: geo.spread(np.ones((0, 3))), r"shape \(0, 3\)"),
        (lambda: geo.centroid_distance(np.ones((2, 3)), np.ones((2, 4))), "one dim"),
        (lambda: geo.offset_constancy(np.ones((2, 3)), np.ones((3, 3))), "row i of one"),
        (lambda: geo.separability(np.ones((3, 3)), np.ones((9, 3))), "at least 4"),
        (lambda: geo.neighbour_agreement(np.eye(3), np.eye(3), 3), "k is 3"),
        (lambda: geo.k_occurrence(np.eye(3), 0), "k is 0"),
        (lambda: geo.lisi(np.eye(3), [0, 0, 1], 4), "k is 4"),
        (lambda: geo.outlier_share(np.eye(3), np.eye(3), 3), "k from 1 to 2"),
        (lambda: geo.outlier_share(np.eye(3), np.eye(3), 1, tail=2.0), r"tail is 2\.0"),
        (lambda: geo.spread([[1.0, np.nan]]), "hold NaN or infinity"),
        (lambda: geo.effective_rank([[1.0, np.inf], [0.0, 1.0]]), "hold NaN or infinity"),
        (lambda: geo.separability(np.full((4, 2), np.nan), np.ones((4, 2))), "hold NaN"),
        (lambda: geo.spread([["a", "b"]]), "give real numbers"),
        (lambda: geo.spread([[1.0], [1.0, 2.0]]), "rows of unequal length"),
        (lambda: geo.k_occurrence(np.eye(3) * np.nan, 1), "the scores hold NaN"),
        (lambda: geo.k_occurrence(np.eye(3), 1.5), r"k is 1\.5"),  # type: ignore[arg-type]
        (lambda: geo.lisi(np.eye(3), [0, 0, 1, 1], 2), r"sides has shape \(4,\) for 3 documents"),
        (lambda: geo.hub_skew([]), r"shape \(0,\)"),
        (lambda: geo.antihub_share([]), r"shape \(0,\)"),
    ],
)
def test_measures_refuse(call: Callable[[], object], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        call()
