"""Maps from scores to probabilities, and the fusion that uses them, against plain Python."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import gapless
from gapless import FlatIndex
from gapless._core import Calibration, FieldSearch, search_fields
from gapless.errors import InvalidArgument

SPORT = ([0.6, 0.3, 0.1], [4, 1, 7])
SNOW = ([0.8, 0.5], [1, 9])
LEVEL = Calibration.platt(1.0, 0.0, background=-1.0)
scores = st.lists(st.floats(-1, 1), min_size=1, max_size=30)


def sigmoid(x: Any) -> NDArray[np.float64]:
    return np.asarray(1.0 / (1.0 + np.exp(-np.asarray(x, np.float64))))


def fused(method: str, **given: Any) -> dict[int, float]:
    found = gapless.fuse([SPORT, SNOW], 10, "calibrated", combine=method, **given)
    assert list(found[0]) == sorted(found[0], reverse=True)
    return dict(zip(found[1].tolist(), found[0].tolist(), strict=True))


@settings(max_examples=50, deadline=None)
@given(scores, st.floats(0, 40), st.floats(-20, 20), st.floats(-5, 5), st.floats(-1, 1))
def test_formulas(given: list[float], a: float, c: float, background: float, level: float) -> None:
    s = np.array(given)
    found = Calibration.platt(a, c, background=background).apply(s, level)
    np.testing.assert_allclose(
        found, sigmoid(np.clip(a * s + c + background * level, -36, 36)), rtol=1e-12
    )
    t = np.clip((1 + s) / 2, 1e-9, 1 - 1e-9)
    found = Calibration.beta(a, 1.5, c).apply(s)
    wanted = np.clip(a * np.log(t) - 1.5 * np.log1p(-t) + c, -36, 36)
    np.testing.assert_allclose(found, sigmoid(wanted), rtol=1e-12)
    knots, values = [-0.2, 0.1, 0.4], [-3.0, -3.0, 2.0]
    found = Calibration.isotonic(knots, values).apply(s)
    np.testing.assert_allclose(found, sigmoid(np.interp(s, knots, values)), rtol=1e-12)


@settings(max_examples=50, deadline=None)
@given(scores)
def test_a_higher_score_is_never_less_likely(given: list[float]) -> None:
    s = np.sort(given)
    for calibration in (
        Calibration.platt(25.0, -7.0, background=-9.0),
        Calibration.beta(8.0, 0.0, 3.0),
        Calibration.isotonic([0.0, 0.5], [-2.0, 1.0]),
    ):
        found = calibration.apply(s, 0.3)
        assert (np.diff(found) >= 0).all()
        assert ((found > 0) & (found < 1)).all()


def test_fusion_by_hand() -> None:
    maps = [Calibration.platt(10.0, -3.0), Calibration.platt(4.0, -3.0)]
    first = dict(zip(SPORT[1], sigmoid([3.0, 0.0, -2.0]), strict=True))
    second = dict(zip(SNOW[1], sigmoid([0.2, -1.0]), strict=True))
    found = fused("max", calibrations=maps)
    assert found == pytest.approx({4: first[4], 1: second[1], 9: second[9], 7: first[7]})
    found = fused("noisy_or", calibrations=maps, weights=[1.0, 2.0])
    assert found[1] == pytest.approx(1 - (1 - first[1]) * (1 - second[1]) ** 2)
    assert found[7] == pytest.approx(first[7])
    found = fused("mean_logit", calibrations=maps, weights=[1.0, 3.0])
    assert found[1] == pytest.approx(float(sigmoid(3 * 0.2 / 4)))
    found = fused("max", calibrations=maps, weights=[1.0, 0.0])
    assert found == pytest.approx(first)


def test_probabilities_are_not_moved_by_other_answers() -> None:
    maps = [Calibration.platt(10.0, -3.0), Calibration.platt(4.0, -3.0)]
    whole = fused("max", calibrations=maps)
    alone = gapless.fuse([SPORT], 10, "calibrated", calibrations=maps[:1])
    assert whole[4] == alone[0][0]


def test_the_background_is_the_quantile_of_the_querys_own_scores() -> None:
    random = np.random.default_rng(0)
    rows, query = random.normal(size=(200, 8)), random.normal(size=8)
    index = FlatIndex(8)
    index.add(rows.astype(np.float32))
    calibration = Calibration.platt(12.0, -2.0, background=-5.0, quantile=0.8)
    cohort = np.arange(0, 200, 3)
    hits = search_fields(
        [FieldSearch(index, query, cohort=cohort, calibration=calibration)], 5, "calibrated"
    )
    level = np.quantile(index.score(query, cohort).astype(np.float64), 0.8)
    raw = hits.raw[:, 0].astype(np.float64)
    np.testing.assert_allclose(hits.scores, sigmoid(12.0 * raw - 2.0 - 5.0 * level), rtol=1e-9)
    np.testing.assert_allclose(hits.scores, calibration.apply(raw, level), rtol=1e-9)
    np.testing.assert_allclose(hits.scores, hits.normalised[:, 0], rtol=1e-9)


def test_an_item_found_in_one_field_counts_in_the_other() -> None:
    rows = np.eye(6, 8, dtype=np.float32)
    image, text = FlatIndex(8), FlatIndex(8)
    image.add(rows)
    text.add(rows[::-1].copy())
    query = np.array([3, 2, 1, 0, 0, 0, 0, 0], np.float32)
    maps = [Calibration.platt(5.0, -2.0), Calibration.platt(2.0, 0.0)]
    searches = [
        FieldSearch(index, query, calibration=map_)
        for index, map_ in zip((image, text), maps, strict=True)
    ]
    hits = search_fields(searches, 6, "calibrated", depth=1, combine="noisy_or")
    assert sorted(hits.ids.tolist()) == [0, 5]
    for row, label in enumerate(hits.ids.tolist()):
        told = [
            map_.apply(index.score(query, [label]).astype(np.float64))[0]
            for index, map_ in zip((image, text), maps, strict=True)
        ]
        np.testing.assert_allclose(hits.normalised[row], told, rtol=1e-6)
        assert hits.scores[row] == pytest.approx(1 - np.prod(1 - np.array(told)), rel=1e-6)


@pytest.mark.parametrize(
    ("message", "call"),
    [
        ("has a = -1", lambda: Calibration.platt(-1.0, 0.0)),
        ("NaN or infinite", lambda: Calibration.platt(1.0, float("nan"))),
        ("has b = -0.5", lambda: Calibration.beta(1.0, -0.5, 0.0)),
        ("falls at knot 1", lambda: Calibration.isotonic([0.0, 0.1], [1.0, 0.0])),
        ("falls at knot 1", lambda: Calibration.isotonic([0.1, 0.1], [0.0, 1.0])),
        ("0 scores and 0 log-odds", lambda: Calibration.isotonic([], [])),
        ("quantile = 1.5", lambda: Calibration.platt(1.0, 0.0, quantile=1.5)),
        ("score 1 or the level is NaN", lambda: Calibration.platt(1.0, 0.0).apply([0.1, np.nan])),
        ("are no numbers", lambda: Calibration.platt(1.0, 0.0).apply("high")),
        ("needs calibrations=", lambda: fused("max")),
        ("list 1 has no calibration", lambda: fused("max", calibrations=[LEVEL, None])),
        ("needs cohorts=", lambda: fused("max", calibrations=[LEVEL, LEVEL])),
        ("a calibration is a dict", lambda: fused("max", calibrations=[{}, {}])),
        ("combine is 'min'; use one of max", lambda: fused("min", calibrations=[LEVEL, LEVEL])),
    ],
)
def test_bad_input(message: str, call: Any) -> None:
    with pytest.raises(InvalidArgument, match=message):
        call()


def test_a_field_without_a_calibration_is_named() -> None:
    index = FlatIndex(2)
    index.add(np.eye(2, dtype=np.float32))
    search = FieldSearch(index, [1.0, 0.0], field="caption")
    with pytest.raises(InvalidArgument, match=r"field 'caption'\) has no calibration"):
        search_fields([search], 2, "calibrated")
