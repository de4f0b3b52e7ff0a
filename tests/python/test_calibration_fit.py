"""Fitting calibrations: against plain formulas and loops, and real CLIP scores."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import gapless as gl
from gapless._core import FieldSearch, search_fields
from gapless.alignment.align import center
from gapless.calibration.calibrate import FEW_PAIRS, CalibrationResult, PairCalibration, calibrate
from gapless.calibration.maps import QUANTILE, Samples, fit_map, pool_adjacent
from gapless.calibration.report import measure, score_card
from gapless.errors import InvalidArgument, InvalidVector, SpaceMismatch

Rows = NDArray[np.float64]
T2I, T2T = ("text", "image"), ("text", "caption")


def unit(rows: Rows) -> Rows:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True))


def noisy_pairs(count: int, dim: int = 32, noise: float = 0.12, seed: int = 0) -> tuple[Rows, Rows]:
    rng = np.random.default_rng(seed)
    rows = unit(rng.normal(size=(count, dim)))
    return unit(rows + noise * rng.normal(size=rows.shape)), rows


def samples(count: int = 60, others: int = 7, seed: int = 0) -> Samples:
    rng = np.random.default_rng(seed)
    n = count * (1 + others)
    matched = np.arange(n) < count
    levels = rng.normal(0.3, 0.05, count)[np.r_[0:count, np.repeat(np.arange(count), others)]]
    scores = np.where(matched, 0.31, 0.16) + rng.normal(0, 0.05, n) + 0.5 * (levels - 0.3)
    return Samples(scores, levels, matched)


def sigmoid(z: Rows) -> Rows:
    return np.asarray(1 / (1 + np.exp(-z)))


def logistic_loss(z: Rows, matched: NDArray[np.bool_]) -> float:
    """Platt's target function."""
    up, down = matched.sum(), (~matched).sum()
    t = np.where(matched, (up + 1) / (up + 2), 1 / (down + 2))
    return float(-np.sum(t * np.log(sigmoid(z)) + (1 - t) * np.log(sigmoid(-z))))


def test_isotonic_is_the_max_min_formula() -> None:
    """Its value at i is the greatest over a <= i of the least over b >= i of the mean of a..b."""
    rng = np.random.default_rng(3)
    scores = rng.integers(0, 40, 90) / 40
    targets = np.where(scores + rng.normal(size=90) > 0.5, 0.95, 0.05)
    distinct = np.unique(scores)
    sums = np.r_[0.0, np.cumsum([targets[scores == s].sum() for s in distinct])]
    counts = np.r_[0, np.cumsum([(scores == s).sum() for s in distinct])]
    values = [
        max(
            min((sums[b] - sums[a]) / (counts[b] - counts[a]) for b in range(i + 1, len(sums)))
            for a in range(i + 1)
        )
        for i in range(len(distinct))
    ]
    knots, means = pool_adjacent(scores, targets)
    fitted = np.array(values)[np.searchsorted(distinct, scores)]
    steps = np.unique(fitted.round(9))
    np.testing.assert_allclose(means, steps, atol=1e-8)
    middle = [scores[np.isclose(fitted, step)].mean() for step in steps]
    np.testing.assert_allclose(knots, middle, rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-9, 9), st.floats(0.01, 0.99)), min_size=1, max_size=60),
)
def test_pools_ascend_and_keep_the_mean(drawn: list[tuple[int, float]]) -> None:
    scores, targets = np.array(drawn, np.float64).T
    knots, means = pool_adjacent(scores, targets)
    assert (np.diff(knots) > 0).all()
    assert (np.diff(means) > 0).all()
    assert targets.min() - 1e-12 <= means.min()
    assert means.max() <= targets.max() + 1e-12


@pytest.mark.parametrize("method", ["platt", "beta"])
@pytest.mark.parametrize("background", [False, True])
def test_fits_are_least_losses(method: str, background: bool) -> None:
    drawn = samples()
    found = fit_map(method, drawn, background, "it")
    assert (found.background != 0) == background
    best = logistic_loss(found.log_odds(drawn.scores, drawn.levels), drawn.matched)
    rng = np.random.default_rng(1)
    for _ in range(200):
        moved = {
            name: getattr(found, name) * (1 + 0.02 * rng.normal())
            for name in ("a", "b", "c", "background")
        }
        other = type(found)(**{**asdict(found), **moved})
        loss = logistic_loss(other.log_odds(drawn.scores, drawn.levels), drawn.matched)
        assert loss >= best - 1e-6


def test_beta_leaves_out_a_side_that_would_fall() -> None:
    rng = np.random.default_rng(0)
    scores = np.concatenate([rng.uniform(-0.9, 0.99, 300), rng.uniform(0.2, 0.5, 30)])
    drawn = Samples(scores, np.zeros(330), np.arange(330) >= 300)
    found = fit_map("beta", drawn, False, "it")
    assert min(found.a, found.b) == 0.0 < max(found.a, found.b)
    found.native()


@pytest.mark.parametrize("method", ["platt", "beta", "isotonic"])
def test_separated_scores_stay_finite(method: str) -> None:
    scores = np.r_[np.full(50, 0.9), np.linspace(0, 0.1, 500)]
    found = fit_map(method, Samples(scores, np.zeros(550), np.arange(550) < 50), False, "it")
    p = sigmoid(found.log_odds([-1.0, 0.05, 0.9, 1.0]))
    assert ((p > 0) & (p < 1)).all()
    assert p[1] < 0.05 < 0.9 < p[2]
    np.testing.assert_allclose(found.native().apply([-1.0, 0.05, 0.9, 1.0]), p, rtol=1e-12)


def test_errors_are_the_textbook_ones() -> None:
    rng = np.random.default_rng(0)
    p = rng.uniform(0.01, 0.99, 4000)
    matched = rng.random(4000) < p
    share = float(matched.mean())
    found = measure(p, matched, share)  # at the sample's own prior all weights are equal
    truth = matched.astype(float)
    assert found.brier == pytest.approx(np.mean((p - truth) ** 2))
    assert found.log_loss == pytest.approx(-np.mean(np.log(np.where(matched, p, 1 - p))))
    gaps = 0.0
    for i in range(15):
        inside = (p >= i / 15) & (p < (i + 1) / 15)
        gaps += inside.sum() * abs(p[inside].mean() - truth[inside].mean())
    assert found.ece == pytest.approx(gaps / 4000)
    assert found.ece < 0.03
    assert sum(each.share for each in found.bins) == pytest.approx(1.0)
    shifted = measure(sigmoid(np.log(p / (1 - p)) + 2), matched, share)
    assert shifted.ece > 0.15
    assert found.prior_log_loss == pytest.approx(
        -(share * math.log(share) + (1 - share) * math.log(1 - share))
    )


def test_score_cards() -> None:
    card = score_card(np.array([0.5, 0.3, 0.1, 0.3, 0.2]), np.array([1, 1, 0, 0, 0], bool))
    assert card.matched_mean == pytest.approx(0.4)
    assert card.random_mean == pytest.approx(0.2)
    assert card.auc == pytest.approx((3 + 2.5) / 6)


def test_probabilities_mean_what_they_say() -> None:
    """Of unseen pairs at the assumed prior, as many are right as the probabilities promise."""
    queries, rows = noisy_pairs(3000)
    found = calibrate({T2I: (queries[:400], rows[:400])}, prior=0.05, documents={"image": rows})
    pair = found[T2I]
    assert pair.matches == 400
    assert pair.negatives == 200
    for fresh in (slice(400, 1700), slice(1700, 3000)):
        own = np.sum(queries[fresh] * rows[fresh], axis=1)
        others = (queries[fresh] @ rows[:200].T).astype(np.float64)
        levels = np.quantile(queries[fresh] @ rows[:1000].T, QUANTILE, axis=1)
        p = np.r_[
            pair.probability(own, levels),
            pair.probability(others.ravel(), np.repeat(levels, 200)),
        ]
        told = measure(p, np.arange(len(p)) < len(own), 0.05)
        assert told.ece < 0.02
        assert told.log_loss == pytest.approx(pair.held_out.log_loss, abs=0.01)
        assert told.log_loss < 0.5 * told.prior_log_loss


def test_the_prior_moves_all_log_odds_alike() -> None:
    queries, rows = noisy_pairs(100)
    low, high = (
        calibrate({T2I: (queries, rows)}, prior=p, background=False)[T2I].map for p in (0.01, 0.5)
    )
    s = np.linspace(-0.2, 0.9, 7)
    np.testing.assert_allclose(high.log_odds(s) - low.log_odds(s), math.log(0.99 / 0.01), rtol=1e-9)


def test_every_pair_type_gets_the_same_number_of_others() -> None:
    queries, rows = noisy_pairs(120)
    found = calibrate({T2I: (queries, rows), T2T: (queries[:70], rows[:70])})
    assert [found[each].negatives for each in (T2I, T2T)] == [69, 69]
    assert [found[each].matches for each in (T2I, T2T)] == [120, 70]


def test_other_matches_and_the_query_itself_are_no_counter_examples() -> None:
    """Five captions of each of 30 items, paired both ways: without care many others are right."""
    rng = np.random.default_rng(0)
    topic = np.repeat(unit(rng.normal(size=(30, 16))), 5, axis=0)
    captions = unit(topic + 0.05 * rng.normal(size=topic.shape))
    i, j = (index.ravel() for index in np.meshgrid(np.arange(150), np.arange(150), indexing="ij"))
    kept = (i // 5 == j // 5) & (i != j)
    found = calibrate({T2T: (captions[i[kept]], captions[j[kept]])})[T2T]
    assert found.matches == 600
    assert found.negatives == 145
    assert found.card.random_percentiles[-1] < 0.6
    assert found.card.auc > 0.999


def test_rows_of_one_label_match() -> None:
    rng = np.random.default_rng(0)
    label = np.arange(200) % 20
    topic = unit(rng.normal(size=(20, 32)))
    rows = unit(topic[label] + 0.08 * rng.normal(size=(200, 32)))
    names = [f"class {i}" for i in label]
    queries, images = noisy_pairs(200)
    found = calibrate({T2I: (queries, images)}, labels={T2T: (rows, names)})
    assert list(found.types) == [T2I, T2T]
    assert [found[each].matches for each in (T2I, T2T)] == [200, 200]
    assert found[T2I].negatives == found[T2T].negatives == 190  # those of other labels
    cosines = rows @ rows.T
    alike = (label[:, None] == label) & ~np.eye(200, dtype=bool)
    assert found[T2T].card.matched_mean == pytest.approx(cosines[alike].mean(), abs=0.02)
    assert found[T2T].card.random_mean == pytest.approx(
        cosines[label[:, None] != label].mean(), abs=1e-6
    )
    alone = calibrate({}, labels={T2T: (rows, names)})
    assert alone[T2T] == calibrate({}, labels={T2T: (rows, label.tolist())})[T2T]


def test_an_alignment_belongs_to_its_scores() -> None:
    queries, rows = noisy_pairs(100)
    queries, rows = queries + 0.5, rows - 0.5
    modality_of = {"image": "image", "caption": "text"}
    maps = center({"image": rows, "caption": queries}, modality_of)
    raw = calibrate({T2I: (queries, rows)})[T2I].card
    aligned = calibrate({T2I: (queries, rows)}, alignment=maps)[T2I].card
    assert raw.random_mean < -0.5
    assert abs(aligned.random_mean) < 0.05


def test_pairs_given_twice_count_once() -> None:
    queries, rows = noisy_pairs(30)
    found = calibrate({T2I: (np.tile(queries, (3, 1)), np.tile(rows, (3, 1)))})
    assert found[T2I].matches == 30
    assert [finding.code for finding in found.findings] == ["FEW_PAIRS"]
    assert found.missing([T2I]) == [T2I]
    assert FEW_PAIRS == 50


def test_results_are_the_same_again_and_survive_json() -> None:
    queries, rows = noisy_pairs(60)
    found = calibrate({T2I: (queries, rows)})
    again = calibrate({T2I: (queries, rows)})
    assert found == again
    text = json.dumps(found[T2I].to_dict())
    assert PairCalibration.from_dict(json.loads(text)) == found[T2I]
    assert "text -> image" in str(found)
    assert found.missing([T2I, T2T]) == [T2T]


def test_thresholds_invert_the_map() -> None:
    queries, rows = noisy_pairs(200)
    pair = calibrate({T2I: (queries, rows)}, method="platt", background=False)[T2I]
    for p in (0.1, 0.5, 0.9):
        assert pair.probability([pair.threshold(p)])[0] == pytest.approx(p, abs=1e-9)
    assert pair.threshold(1e-15) <= pair.threshold(1e-14) < pair.threshold(0.1)
    assert pair.threshold(1 - 1e-15) == math.inf
    with_level = calibrate({T2I: (queries, rows)}, method="platt", background=True)[T2I]
    assert with_level.probability([with_level.threshold(0.5, 0.2)], 0.2)[0] == pytest.approx(0.5)
    for call in (lambda: with_level.probability([0.5]), lambda: with_level.threshold(0.5)):
        with pytest.raises(InvalidArgument, match=r"text -> image depends on .* give the level"):
            call()


def bad(count: int = 60, **given: Any) -> CalibrationResult:
    queries, rows = noisy_pairs(count)
    return calibrate(given.pop("pairs", {T2I: (queries, rows)}), **given)


@pytest.mark.parametrize(
    ("kind", "message", "given"),
    [
        (InvalidArgument, "there are 9 distinct pairs and a calibration needs", {"count": 9}),
        (InvalidArgument, "method is 'magic': choose one of auto, platt", {"method": "magic"}),
        (InvalidArgument, "prior is 0", {"prior": 0}),
        (InvalidArgument, "prior is nan", {"prior": float("nan")}),
        (InvalidArgument, "negatives is 0", {"negatives": 0}),
        (InvalidArgument, "has pairs and labels", {"labels": {T2I: (np.eye(60), range(60))}}),
        (InvalidArgument, "there are 0 distinct", {"labels": {T2T: (np.eye(60), range(60))}}),
        (InvalidArgument, "60 rows and 5 labels", {"labels": {T2T: (np.eye(60), range(5))}}),
        (InvalidArgument, "labels that are no", {"labels": {T2T: (np.eye(60), [[]] * 60)}}),
        (InvalidArgument, "has labels 'all'", {"labels": {T2T: (np.eye(60), "all")}}),
        (InvalidArgument, "fewer than 2 rows", {"labels": {T2T: (np.eye(60), [1] * 60)}}),
        (InvalidArgument, "folds is 1", {"folds": 1}),
        (InvalidArgument, "pairs is an empty dict", {"pairs": {}}),
        (InvalidArgument, "the key 'image'", {"pairs": {"image": noisy_pairs(60)}}),
        (InvalidArgument, "give .queries, documents", {"pairs": {T2I: noisy_pairs(60)[0]}}),
        (
            InvalidArgument,
            "60 queries and 50 documents",
            {"pairs": {T2I: (noisy_pairs(60)[0], noisy_pairs(50)[1])}},
        ),
        (
            InvalidArgument,
            "fewer than 2 rows to compare with",
            {"documents": {"image": np.eye(1, 32)}},
        ),
        (
            SpaceMismatch,
            "dim 32 and documents 8",
            {"pairs": {T2I: (np.eye(32), np.eye(32, 8) + 1)}},
        ),
        (InvalidVector, "row 0 is zero", {"pairs": {T2I: (np.zeros((60, 8)), np.ones((60, 8)))}}),
        (InvalidVector, "row 0 holds NaN", {"pairs": {T2I: (np.eye(60) * np.nan, np.eye(60))}}),
    ],
)
def test_bad_input(kind: type[Exception], message: str, given: dict[str, Any]) -> None:
    with pytest.raises(kind, match=message):
        bad(**given)


def test_scores_that_say_nothing_are_refused() -> None:
    queries, rows = noisy_pairs(60)
    with pytest.raises(InvalidArgument, match=r"text -> image: matches score .* check that"):
        calibrate({T2I: (-queries, rows)})
    for method in ("platt", "beta", "isotonic"):
        with pytest.raises(InvalidArgument, match="a higher score is no sign of relevance"):
            calibrate({T2I: (-queries, rows)}, method=method)
    apart = np.eye(120)
    with pytest.raises(InvalidArgument, match=r"all [\d,]+ scores are 0, so nothing tells"):
        calibrate({T2I: (apart[:60], apart[60:])})
    with pytest.raises(InvalidArgument, match="there are 0 matches"):
        fit_map("platt", Samples(np.ones(3), np.ones(3), np.zeros(3, bool)), False, "it")


def test_real_scores_have_the_known_card(clip_pairs: NDArray[np.float32]) -> None:
    image, text = clip_pairs
    pair = calibrate({T2I: (text, image)})[T2I]
    assert pair.card.matched_mean == pytest.approx(0.310, abs=0.001)
    assert pair.card.matched_std == pytest.approx(0.032, abs=0.001)
    assert pair.card.random_mean == pytest.approx(0.162, abs=0.001)
    assert pair.card.random_std == pytest.approx(0.048, abs=0.001)
    assert pair.held_out.log_loss < 0.4 * pair.held_out.prior_log_loss
    assert pair.map.background < 0  # a query that many rows answer says less by a high score


@pytest.mark.parametrize(("mix", "least"), [((0.62, 0.25, 0.30), 0.98), ((0.45, 0.43, 0.55), 0.94)])
@pytest.mark.parametrize("query", ["text", "image"])
def test_a_mixed_ranking_is_nearly_as_good_as_knowing_the_modality(
    clip_pairs: NDArray[np.float32], mix: tuple[float, float, float], least: float, query: str
) -> None:
    """Items of one modality each, calibrated on 150 pairs; the oracle searches the right field."""
    rng = np.random.default_rng(7)
    pairs = clip_pairs[:, rng.permutation(500)].astype(np.float64)
    own, cross = (pairs[1], pairs[0]) if query == "text" else (pairs[0], pairs[1])
    same = np.concatenate([alike(own[:150], mix, rng), alike(own[150:], mix, rng)])
    found = calibrate(
        {
            (query, "same"): (own[:150], same[:150]),
            (query, "cross"): (own[:150], cross[:150]),
        }
    )
    items = np.arange(350)
    in_cross = rng.random(350) < 0.5
    indexes = {}
    for field, rows, ids in (("same", same, items[~in_cross]), ("cross", cross, items[in_cross])):
        indexes[field] = gl.FlatIndex(512)
        indexes[field].add(rows[150:][ids], ids)
    gains, best = [], []
    for item, vector in enumerate(own[150:]):
        searches = [
            FieldSearch(index, vector, cohort=index.ids(), calibration=found[query, field])
            for field, index in indexes.items()
        ]
        gains.append(gain(search_fields(searches, 10, "calibrated").ids, item))
        right = indexes["cross" if in_cross[item] else "same"]
        best.append(gain(right.search(vector, 10)[1][0], item))
    assert np.mean(gains) >= least * np.mean(best)


def alike(rows: Rows, mix: tuple[float, float, float], rng: np.random.Generator) -> Rows:
    near = rows @ rows.T
    np.fill_diagonal(near, -1)
    noise = unit(rng.normal(size=rows.shape))
    return unit(mix[0] * rows + mix[1] * rows[near.argmax(axis=1)] + mix[2] * noise)


def gain(ids: NDArray[np.int64], item: int) -> float:
    place = np.flatnonzero(ids == item)
    return float(1 / np.log2(2 + place[0])) if len(place) else 0.0
