"""Tests of the measure of the gap itself: its splits, and what it prints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import bench_gap
from bench_gap import DOCUMENTS, TRAIN, Rows, both_sides, split, unit

FILE = Path(__file__).parents[1] / ".." / "shared" / "data" / "clip_vitb32_coco500.npy"


def pairs(count: int = 260, dim: int = 32, seed: int = 0) -> Rows:
    """Draw images and captions of the same meanings, in two cones."""
    random = np.random.default_rng(seed)
    meaning = random.normal(size=(count, dim))
    apart = 8 * np.eye(dim)[:2, None]
    return unit(meaning + apart + 0.5 * random.normal(size=(2, count, dim)))


@pytest.mark.parametrize("asked", ["text", "image"])
def test_a_split_keeps_training_and_test_apart(asked: str) -> None:
    given = pairs()
    corpus = split(given, 3, DOCUMENTS["easy"], asked)
    data, train = corpus.data, corpus.train
    assert len(train.queries) == len(train.texts) == len(train.images) == TRAIN
    assert len(data.queries) == len(data.texts) == len(corpus.forms) == len(given[0]) - TRAIN
    # Every pair is on one side, and row i of all three is one pair.
    sides = {"image": given[0], "text": given[1]}
    other = "image" if asked == "text" else "text"
    own = {row.tobytes(): n for n, row in enumerate(sides[asked].astype(np.float32))}
    across = {row.tobytes(): n for n, row in enumerate(sides[other].astype(np.float32))}
    numbers = []
    for part in (train, data):
        rows = part.images if other == "image" else part.texts
        asking = [own[row.tobytes()] for row in part.queries]
        assert asking == [across[row.tobytes()] for row in rows]
        numbers += asking
    assert sorted(numbers) == list(range(len(given[0])))
    assert set(corpus.forms) == {"text", "image"}
    assert abs((corpus.forms == asked).mean() - 0.5) < 0.2


def test_shares_leave_the_rest_to_both() -> None:
    forms = split(pairs(600), 0, DOCUMENTS["easy"], "text", (0.7, 0.2)).forms
    found = [float((forms == form).mean()) for form in ("text", "image", "both")]
    assert found == pytest.approx([0.7, 0.2, 0.1], abs=0.06)
    assert set(split(pairs(), 0, DOCUMENTS["easy"], "text", (0.0, 1.0)).forms) == {"image"}


def test_the_sum_of_both_sides_is_that_of_plain_loops() -> None:
    corpus = split(pairs(190), 1, DOCUMENTS["hard"], "text")
    scores, found = both_sides(corpus, 5)
    held = {form: np.flatnonzero(corpus.forms == form) for form in ("text", "image")}
    for place in (0, 7):
        query = corpus.data.queries[place]
        total = {}
        for form, documents in held.items():
            rows = (corpus.data.texts if form == "text" else corpus.data.images)[documents]
            own = rows @ query
            for document, row, score in zip(documents, rows, own, strict=True):
                sampled = corpus.train.queries @ row
                total[int(document)] = (score - own.mean()) / own.std() + (
                    score - sampled.mean()
                ) / sampled.std()
        best = sorted(total, key=lambda document: -total[document])[:5]
        assert found[place].tolist() == best
        np.testing.assert_allclose(scores[place], [total[d] for d in best], atol=1e-3)


def test_documents_are_as_near_as_the_protocol_says() -> None:
    if not FILE.is_file():
        pytest.skip(f"{FILE.name} is not on this machine")
    given = np.load(FILE).astype(np.float64)
    for kind, near in (("easy", 0.925), ("hard", 0.794)):
        data = split(given, 0, DOCUMENTS[kind], "text").data
        assert (data.queries * data.texts).sum(axis=1).mean() == pytest.approx(near, abs=0.002)
    raw, center, shift = (bench_gap.first_hits(given, m)[0] for m in (None, "center", "shift"))
    assert (raw, center, shift) == pytest.approx((0.506, 0.500, 0.392), abs=0.0021)
    assert bench_gap.verdict(given, "shift").startswith("refused: method 'shift' loses")
    assert bench_gap.verdict(given, "center").startswith("active: ")


def test_everything_is_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_gap, "IMAGES", (0.0, 1.0))
    for way in ("calibrated", "centred, calibrated"):  # which takes a while to fit
        monkeypatch.setitem(bench_gap.WAYS, way, "cohort")
    given = pairs(220)
    direction = bench_gap.one_direction(given)
    measured = bench_gap.mixed_index(given, 1, 2)
    bench_gap.targets(direction, measured)
    bench_gap.proportions(given, 1)
    told = capsys.readouterr().out
    assert "nan" not in told
    assert "active: image -> caption" in told
    for kind in DOCUMENTS:
        for way in bench_gap.WAYS:
            assert f"| {kind} | image | {way} |" in told
    crowded = next(line for line in told.splitlines() if "easy | text | raw cosine" in line)
    assert crowded.endswith("| 1.00 |")
