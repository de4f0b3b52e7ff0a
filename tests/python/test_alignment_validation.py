"""Cross-validation of alignments: an independent count of ranks, folds and bounds."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

import gapless as gl
from gapless.alignment.align import align, align_rows, read_pairs
from gapless.alignment.maps import fit
from gapless.alignment.samples import sum_up
from gapless.alignment.validation import ValidationReport, cross_validate
from gapless.errors import AlignmentRefused, InvalidArgument

DIM = 12
MODALITY = {"image": "image", "caption": "text"}
Rows = npt.NDArray[np.float64]


def unit(x: Rows) -> Rows:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def cones(rng: np.random.Generator, n: int, noise: float = 0.6) -> tuple[Rows, Rows]:
    """Images and captions of the same n meanings, in two cones far apart."""
    meaning = rng.normal(size=(n, DIM))
    away = np.eye(DIM)[:2] * 4
    return meaning + away[0], meaning + noise * rng.normal(size=(n, DIM)) + away[1]


def raw_report(given: dict[str, Rows], folds: int = 5) -> ValidationReport:
    (pairs,) = read_pairs(given, MODALITY)
    identity = {name: gl.Alignment(offset=np.zeros(DIM, np.float32)) for name in MODALITY}
    return cross_validate("center", lambda train, held: identity, MODALITY, pairs, folds=folds)


def test_the_raw_mrr_is_that_of_the_folds(rng: np.random.Generator) -> None:
    image, text = cones(rng, 60)
    report = raw_report({"image": image, "caption": text})
    fold = np.random.default_rng(0).permutation(60) % 5
    for direction, (queries, documents) in zip(
        report.directions, ((image, text), (text, image)), strict=True
    ):
        gains = []
        for i in range(60):
            rivals = [j for j in range(60) if fold[j] == fold[i]]
            scores = {j: unit(queries[i]) @ unit(documents[j]) for j in rivals}
            gains.append(1 / (1 + sorted(rivals, key=lambda j: -scores[j]).index(i)))
        assert direction.raw_mrr == pytest.approx(np.mean(gains), abs=1e-12)
        assert direction.mrr == direction.raw_mrr
        assert direction.change == direction.low == direction.high == direction.lost == 0
        assert direction.raw_recall == pytest.approx(np.mean([g == 1 for g in gains]))
        assert direction.pairs == 60
    assert (report.directions[0].query, report.directions[0].document) == ("image", "caption")


def test_a_held_out_fold_is_in_no_sum(rng: np.random.Generator) -> None:
    """What `align` does by subtraction equals fitting on the other folds' rows alone."""
    image, text = cones(rng, 50)
    extra = cones(rng, 30)[0]
    documents = {"image": np.concatenate([image, extra]), "caption": text}
    (pairs,) = read_pairs({"image": image, "caption": text}, MODALITY)
    index = {tuple(row): i for i, row in enumerate(pairs.rows[0])}
    for method in ("center", "shift", "project", "pca_remove", "whiten", "procrustes", "ridge"):

        def refit(train: object, held: object, method: str = method) -> dict[str, gl.Alignment]:
            kept = [index[tuple(row)] for row in train.rows[0]]  # type: ignore[attr-defined]
            rows = {"image": np.concatenate([image[kept], extra]), "caption": text[kept]}
            fewer = read_pairs({"image": image[kept], "caption": text[kept]}, MODALITY)
            return fit(method, sum_up(rows, MODALITY, pairs=fewer, moments=True))

        wanted = cross_validate(method, refit, MODALITY, pairs, tolerance=9)
        found = align(
            documents,
            MODALITY,
            method,
            pairs={"image": image, "caption": text},
            tolerance=9,
        )
        assert found.validation is not None
        for a, b in zip(found.validation.directions, wanted.directions, strict=True):
            assert a.mrr == pytest.approx(b.mrr, abs=1e-9), method
            assert a.high == pytest.approx(b.high, abs=1e-6), method


def test_rows_in_several_pairs_stay_in_one_fold_and_are_no_rivals(
    rng: np.random.Generator,
) -> None:
    meaning = rng.normal(size=(30, DIM))
    image = np.repeat(meaning, 3, axis=0)  # three captions each
    text = image + 0.01 * rng.normal(size=(90, DIM))
    (pairs,) = read_pairs({"image": image, "caption": text}, MODALITY)
    np.testing.assert_array_equal(pairs.groups(), np.arange(90) // 3)
    seen = []

    def fitter(train: object, held: object) -> dict[str, gl.Alignment]:
        names = held.names[0]  # type: ignore[attr-defined]
        assert not np.isin(names, train.names[0]).any()  # type: ignore[attr-defined]
        seen.append(np.unique(names, return_counts=True)[1])
        return {name: gl.Alignment(offset=np.zeros(DIM, np.float32)) for name in MODALITY}

    report = cross_validate("center", fitter, MODALITY, pairs)
    assert all((counts == 3).all() for counts in seen)
    # A meaning's own captions do not push one another down.
    assert [d.raw_mrr for d in report.directions] == [1.0, 1.0]


def test_linked_pairs_form_one_group(rng: np.random.Generator) -> None:
    image, text = rng.normal(size=(2, 6, DIM))
    a = [0, 0, 1, 2, 3, 4]
    b = [0, 1, 1, 2, 3, 3]
    (pairs,) = read_pairs({"image": image[a], "caption": text[b]}, MODALITY)
    np.testing.assert_array_equal(pairs.groups(), [0, 0, 0, 1, 2, 2])


def test_documents_that_hold_a_row_twice_lose_it_twice(rng: np.random.Generator) -> None:
    image, text = cones(rng, 40)
    pairs = {"image": image, "caption": text}
    once = align(pairs, MODALITY, pairs=pairs, tolerance=9)
    twice = align(
        {name: np.concatenate([rows, rows]) for name, rows in pairs.items()},
        MODALITY,
        pairs=pairs,
        tolerance=9,
    )
    assert once.validation == twice.validation


def test_the_bounds_are_those_of_a_bootstrap(rng: np.random.Generator) -> None:
    image, text = cones(rng, 120, noise=1.5)
    (pairs,) = read_pairs({"image": image, "caption": text}, MODALITY)
    maps = fit("shift", sum_up({"image": image, "caption": text}, MODALITY))
    report = cross_validate("shift", lambda train, held: maps, MODALITY, pairs, folds=2)
    fold = np.random.default_rng(0).permutation(120) % 2
    asked = align_rows(text, maps["image"], "text"), align_rows(image, maps["image"])

    def gains(queries: Rows, documents: Rows) -> Rows:
        scores = queries @ documents.T
        better = (scores > np.diag(scores)[:, None]) & (fold[:, None] == fold)
        return np.asarray(1 / (1.0 + better.sum(axis=1)))

    change = gains(*asked) - gains(unit(text), unit(image))
    direction = report.directions[1]
    assert direction.change == pytest.approx(change.mean(), abs=1e-9)
    error = change.std() / np.sqrt(120)
    assert direction.high == pytest.approx(change.mean() + 1.645 * error, abs=0.25 * error)
    assert direction.low == pytest.approx(change.mean() - 1.645 * error, abs=0.25 * error)


def test_a_loss_is_refused_with_its_size_and_how_sure_it_is(rng: np.random.Generator) -> None:
    image, text = cones(rng, 200, noise=0.3)
    scrambled = text[:, ::-1] * 1.0
    pairs = {"image": image, "caption": text}
    wrong = {"image": image[:100], "caption": scrambled[rng.permutation(100)]}
    # Procrustes fitted on wrong pairs turns the images away: judged on right ones, it loses.
    rotation = align(pairs, MODALITY, "procrustes", pairs=wrong, tolerance=9).maps
    (right,) = read_pairs(pairs, MODALITY)
    report = cross_validate("procrustes", lambda train, held: rotation, MODALITY, right)
    assert report.losing == report.directions
    with pytest.raises(AlignmentRefused) as refusal:
        report.require()
    message = str(refusal.value)
    for direction in report.directions:
        assert f"{direction.query} -> {direction.document}" in message
        assert f"MRR {direction.raw_mrr:.3f} -> {direction.mrr:.3f}" in message
        assert f"95 % upper bound {direction.high:+.3f}" in message
        assert "100.0% of 2,000 resamples of 200 pairs lose more than 0.01" in message
        assert direction.high < -0.01
    assert "Use method='center'" in message


def test_a_report_survives_json_and_prints(rng: np.random.Generator) -> None:
    image, text = cones(rng, 40)
    report = raw_report({"image": image, "caption": text})
    assert ValidationReport.from_dict(report.to_dict()) == report
    assert "image" in str(report)
    assert "5 folds" in str(report)


def test_too_few_pairs_are_told(rng: np.random.Generator) -> None:
    image, text = cones(rng, 9)
    with pytest.raises(InvalidArgument, match=r"9 pairs .* for 5 folds: give at least 10"):
        raw_report({"image": image, "caption": text})
    with pytest.raises(InvalidArgument, match="at least 2 folds"):
        raw_report({"image": image, "caption": text}, folds=1)
    found = align(
        {"image": image, "caption": text}, MODALITY, pairs={"image": image, "caption": text}
    )
    assert found.validation is None
    assert found.findings[-1].code == "UNVALIDATED"
    assert "9 pairs" in found.findings[-1].sentence
