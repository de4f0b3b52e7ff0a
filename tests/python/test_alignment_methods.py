"""Every method of alignment against plain numpy, on real CLIP vectors, and on bad input."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gapless as gl
from gapless.alignment.align import align, align_rows
from gapless.errors import (
    AlignmentRefused,
    GaplessError,
    InvalidArgument,
    InvalidVector,
    SpaceMismatch,
)

DIM = 12
MODALITY = {"image": "image", "caption": "text"}
METHODS = ("center", "shift", "project", "pca_remove", "procrustes", "ridge", "whiten")
Rows = npt.NDArray[np.float64]


def unit(x: Rows) -> Rows:
    return np.asarray(x / np.linalg.norm(x, axis=-1, keepdims=True))


def cones(rng: np.random.Generator, n: int = 80) -> tuple[Rows, Rows]:
    """Images and captions of the same n meanings, in two cones far apart; unit rows."""
    meaning = rng.normal(size=(n, DIM))
    away = np.eye(DIM)[:2] * 4
    return unit(meaning + away[0]), unit(meaning + 0.4 * rng.normal(size=(n, DIM)) + away[1])


def moved(
    method: str, rows: tuple[Rows, Rows], **options: Any
) -> tuple[tuple[Rows, Rows], tuple[Rows, Rows]]:
    """Documents and queries (image, text) as an alignment leaves them."""
    image, text = rows
    documents = {"image": image, "caption": text}
    maps = align(documents, MODALITY, method, pairs=documents, tolerance=9, **options).maps
    return (
        (align_rows(image, maps["image"]), align_rows(text, maps["caption"])),
        (align_rows(image, maps["image"], "image"), align_rows(text, maps["image"], "text")),
    )


# -- the recipes, written out --------------------------------------------------------------------


def test_shift_is_the_articles_recipe(rng: np.random.Generator) -> None:
    img_vecs, text_vecs = cones(rng)
    text_mean = text_vecs.mean(axis=0)
    img_mean = img_vecs.mean(axis=0)
    gap = text_mean - img_mean
    img_aligned = img_vecs + gap
    img_aligned /= np.linalg.norm(img_aligned, axis=1, keepdims=True)
    (image, text), (image_query, text_query) = moved("shift", (img_vecs, text_vecs))
    np.testing.assert_allclose(image, img_aligned, atol=1e-6)
    np.testing.assert_allclose(image_query, img_aligned, atol=1e-6)
    np.testing.assert_allclose(text, text_vecs, atol=1e-12)
    np.testing.assert_allclose(text_query, text_vecs, atol=1e-12)
    (_, back), _ = moved("shift", (img_vecs, text_vecs), source="text", target="image")
    np.testing.assert_allclose(back, unit(text_vecs - gap), atol=1e-6)


def test_project_takes_out_the_direction_of_the_gap(rng: np.random.Generator) -> None:
    rows = cones(rng)
    g = rows[1].mean(axis=0) - rows[0].mean(axis=0)
    g /= np.linalg.norm(g)
    documents, queries = moved("project", rows)
    for ours, query, x in zip(documents, queries, rows, strict=True):
        np.testing.assert_allclose(ours, unit(x - np.outer(x @ g, g)), atol=1e-6)
        np.testing.assert_allclose(query, ours, atol=1e-12)
        assert np.abs(ours @ g).max() < 1e-6


def test_project_of_three_modalities_makes_their_means_one(rng: np.random.Generator) -> None:
    image, text = cones(rng)
    sound = unit(rng.normal(size=(50, DIM)) + 3 * np.eye(DIM)[5])
    documents = {"image": image, "caption": text, "sound": sound}
    maps = align(documents, {**MODALITY, "sound": "audio"}, "project").maps
    linear = maps["sound"].linear
    assert linear is not None
    means = [linear @ rows.mean(axis=0) for rows in documents.values()]
    np.testing.assert_allclose(means[0], means[1], atol=1e-6)
    np.testing.assert_allclose(means[0], means[2], atol=1e-6)
    assert np.linalg.matrix_rank(linear, tol=1e-4) == DIM - 2


@pytest.mark.parametrize("components", [1, 3])
def test_pca_remove_takes_out_the_first_directions(
    rng: np.random.Generator, components: int
) -> None:
    rows = cones(rng)
    centred = [x - x.mean(axis=0) for x in rows]
    _, _, axes = np.linalg.svd(np.concatenate(centred), full_matrices=False)
    top = axes[:components]
    documents, _ = moved("pca_remove", rows, components=components)
    for ours, x in zip(documents, centred, strict=True):
        np.testing.assert_allclose(ours, unit(x - x @ top.T @ top), atol=1e-5)


def test_whiten_makes_the_covariance_the_identity(rng: np.random.Generator) -> None:
    rows = cones(rng, 300)
    image, text = rows
    maps = align({"image": image, "caption": text}, MODALITY, "whiten", shrinkage=0.0).maps
    together = []
    for name, x in (("image", image), ("caption", text)):
        linear, offset = maps[name].linear, maps[name].offset
        assert linear is not None
        assert offset is not None
        together.append(x @ linear.T + offset)
        np.testing.assert_allclose(together[-1].mean(axis=0), 0, atol=1e-6)
    covariance = np.cov(np.concatenate(together).T, bias=True)
    np.testing.assert_allclose(covariance, np.eye(DIM) * covariance[0, 0], atol=1e-5)
    few = align({"image": image, "caption": text}, MODALITY, "whiten", components=4).maps
    assert align_rows(image, few["image"]).shape == (300, 4)


def test_procrustes_is_the_best_rotation(rng: np.random.Generator) -> None:
    image, text = cones(rng)
    (found, _), _ = moved("procrustes", (image, text))
    x, y = image - image.mean(axis=0), text - text.mean(axis=0)
    left, _, right = np.linalg.svd(x.T @ y)
    np.testing.assert_allclose(found, unit(x @ left @ right + text.mean(axis=0)), atol=1e-5)
    scipy = pytest.importorskip("scipy.linalg")
    rotation, _ = scipy.orthogonal_procrustes(x, y)
    np.testing.assert_allclose(found, unit(x @ rotation + text.mean(axis=0)), atol=1e-5)


@pytest.mark.parametrize("penalty", [0.0, 0.5, 20.0])
def test_ridge_is_ridge_regression(rng: np.random.Generator, penalty: float) -> None:
    image, text = cones(rng)
    (found, _), _ = moved("ridge", (image, text), penalty=penalty)
    x, y = image - image.mean(axis=0), text - text.mean(axis=0)
    # Rows of sqrt(penalty) I turn ridge into least squares.
    tall = np.concatenate([x, np.sqrt(penalty) * np.eye(DIM)])
    weights = np.linalg.lstsq(tall, np.concatenate([y, np.zeros((DIM, DIM))]), rcond=None)[0]
    np.testing.assert_allclose(found, unit(x @ weights + text.mean(axis=0)), atol=1e-5)


def test_ridge_recovers_a_map_between_dims(rng: np.random.Generator) -> None:
    text = unit(rng.normal(size=(90, 5)))
    image = unit(text @ np.linalg.qr(rng.normal(size=(DIM, 5)))[0].T)
    documents = {"image": image, "caption": text}
    found = align(documents, MODALITY, "ridge", pairs=documents, penalty=1e-6)
    np.testing.assert_allclose(align_rows(image, found.maps["image"]), text, atol=1e-3)
    assert found.validation is not None
    assert all(d.mrr > 0.99 for d in found.validation.directions)
    assert all(d.raw_mrr < 0.3 for d in found.validation.directions)  # chance


def test_query_means_are_those_of_the_modality_asked(rng: np.random.Generator) -> None:
    image, text = cones(rng)
    asked = unit(rng.normal(size=(30, DIM)) + 2)
    documents = {"image": image, "caption": text}
    for method in ("center", "pca_remove", "whiten"):
        plain = align(documents, MODALITY, method)
        given = align(documents, MODALITY, method, queries={"text": asked, "audio": asked})
        assert [f.code for f in plain.findings] == ["QUERY_MEAN_ASSUMED"] * 2 + ["UNVALIDATED"]
        assert [f.code for f in given.findings] == ["QUERY_MEAN_ASSUMED", "UNVALIDATED"]
        assert "image queries" in given.findings[0].sentence
        for modality, mean in (
            ("text", asked.mean(axis=0)),
            ("audio", asked.mean(axis=0)),
            ("image", image.mean(axis=0)),
        ):
            offset, linear = given.maps["caption"].query[modality]
            centre = mean if linear is None else linear @ mean
            np.testing.assert_allclose(offset, -centre, atol=1e-5)
        assert given.maps["image"].offset == pytest.approx(plain.maps["image"].offset)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    method=st.sampled_from(METHODS),
    count=st.integers(4, 40),
    scale=st.floats(1e-3, 1e3),
)
def test_the_length_of_rows_does_not_matter_and_no_score_is_nan(
    seed: int, method: str, count: int, scale: float
) -> None:
    rng = np.random.default_rng(seed)
    rows = cones(rng, count)
    documents, queries = moved(method, rows)
    for side in (*documents, *queries):
        assert np.isfinite(side).all()
        norms = np.linalg.norm(side, axis=1)
        assert np.all(np.isclose(norms, 1, atol=1e-6) | (norms == 0))
    longer, _ = moved(method, (rows[0] * scale, rows[1] / scale))
    for ours, theirs in zip(documents, longer, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-3)


# -- real vectors --------------------------------------------------------------------------------


def recall_at_1(queries: Rows, documents: Rows) -> float:
    scores = queries @ documents.T
    return float(((scores > np.diag(scores)[:, None]).sum(axis=1) < 1).mean())


def test_center_keeps_what_shift_loses_on_clip(clip_pairs: npt.NDArray[np.float32]) -> None:
    image, text = unit(clip_pairs.astype(np.float64))
    documents = {"image": image, "caption": text}
    assert recall_at_1(text, image) == pytest.approx(0.506)
    accepted = align(documents, MODALITY, "center", pairs=documents)
    maps = accepted.maps
    centred = recall_at_1(align_rows(text, maps["image"], "text"), align_rows(image, maps["image"]))
    assert centred >= 0.506 - 0.01
    assert accepted.validation is not None
    assert all(abs(d.change) < 0.01 for d in accepted.validation.directions)
    maps = align(documents, MODALITY, "shift").maps
    shifted = recall_at_1(align_rows(text, maps["image"], "text"), align_rows(image, maps["image"]))
    assert shifted == pytest.approx(0.506 - 0.114, abs=0.005)
    with pytest.raises(AlignmentRefused, match=r"caption -> image MRR 0\.836 -> 0\.726") as refusal:
        align(documents, MODALITY, "shift", pairs=documents)
    assert "100.0% of 2,000 resamples of 500 pairs" in str(refusal.value)


@pytest.mark.parametrize("method", ["procrustes", "ridge"])
def test_maps_fitted_on_a_few_hundred_clip_pairs_are_refused(
    clip_pairs: npt.NDArray[np.float32], method: str
) -> None:
    image, text = clip_pairs
    documents = {"image": image, "caption": text}
    with pytest.raises(AlignmentRefused, match=f"'{method}' loses held-out"):
        align(documents, MODALITY, method, pairs=documents)


def test_a_collection_refuses_shift_on_clip_and_stays_centred(
    clip_pairs: npt.NDArray[np.float32], tmp_path: Any
) -> None:
    image, text = clip_pairs
    schema = gl.Schema(
        {"clip": gl.Space(512)},
        {
            "image": gl.Field("clip", "image", index="flat"),
            "caption": gl.Field("clip", "text", index="flat"),
        },
    )
    with gl.open(tmp_path / "c", schema) as col:
        col.upsert(list(range(500)), {"image": image, "caption": text})
        active = col.align("center")

        ask: dict[str, Any] = {"modality": "text", "fields": ["image"], "limit": 1}
        first = [col.search(vectors={"clip": q}, **ask).ids for q in text]
        assert np.mean([ids == [i] for i, ids in enumerate(first)]) >= 0.506 - 0.01
        with pytest.raises(AlignmentRefused, match="'shift' loses held-out"):
            col.align("shift")
        assert col.alignment == active
        raw = [col.search(vectors={"clip": q}, alignment="raw", **ask).ids for q in text[:60]]
        wanted = np.argmax(unit(text[:60].astype(float)) @ unit(image.astype(float)).T, axis=1)
        assert raw == wanted[:, None].tolist()


# -- bad and degenerate input --------------------------------------------------------------------


def test_fitted_maps_need_pairs(rng: np.random.Generator) -> None:
    image, text = cones(rng)
    documents = {"image": image, "caption": text}
    for method in ("procrustes", "ridge"):
        with pytest.raises(InvalidArgument, match="0 pairs of image and text, and a"):
            align(documents, MODALITY, method)
        with pytest.raises(InvalidArgument, match="1 pairs of image and text"):
            align(documents, MODALITY, method, pairs={"image": image[:1], "caption": text[:1]})
        few = {"image": image[:5], "caption": text[:5]}
        found = align(documents, MODALITY, method, pairs=few)
        assert [f.code for f in found.findings] == ["UNVALIDATED"]
        assert "5 pairs" in found.findings[0].sentence


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "make",
    [
        lambda image, text: (image[:1], text[:1]),
        lambda image, text: (image[:1], text),
        lambda image, text: (np.tile(image[:1], (20, 1)), np.tile(text[:1], (20, 1))),
        lambda image, text: (np.tile(image[:1], (80, 1)), text),
        lambda image, text: (image[:2], text[:2]),
        lambda image, text: (image, image),
        lambda image, text: (image, -image),
        lambda image, text: (np.repeat(image[:2], 40, axis=0), text),
    ],
    ids=["one", "one image", "constant", "constant image", "two", "same", "opposite", "two kinds"],
)
def test_degenerate_rows_are_refused_or_give_finite_scores(
    rng: np.random.Generator, method: str, make: Callable[[Rows, Rows], tuple[Rows, Rows]]
) -> None:
    image, text = make(*cones(rng))
    documents = {"image": image, "caption": text}
    count = min(len(image), len(text))
    pairs = {"image": image[:count], "caption": text[:count]}
    for judged in (None, pairs) if method not in ("procrustes", "ridge") else (pairs,):
        try:
            maps = align(documents, MODALITY, method, pairs=judged, tolerance=9).maps
        except GaplessError as error:
            assert ":" in str(error)  # names a remedy
            continue
        index = gl.FlatIndex(DIM)
        index.add(image.astype(np.float32))
        index.set_alignment(maps["image"])
        scores, _ = index.search(text.astype(np.float32), 5, query_modality="text")
        assert np.isfinite(scores[:, : min(5, len(image))]).all()


def test_constant_rows_are_named(rng: np.random.Generator) -> None:
    image, text = cones(rng)
    constant = np.tile(image[:1], (80, 1))
    documents = {"image": constant, "caption": text}
    for method in ("center", "pca_remove", "whiten"):
        with pytest.raises(InvalidArgument, match="all 80 rows of field 'image' are the same"):
            align(documents, MODALITY, method)
    for method in ("procrustes", "ridge"):
        with pytest.raises(InvalidArgument, match="all 80 paired rows of image are the same"):
            align(documents, MODALITY, method, pairs=documents)
    with pytest.raises(InvalidArgument, match="no gap to project out"):
        align({"image": text, "caption": text}, MODALITY, "project")
    with pytest.raises(InvalidArgument, match="no gap to project out"):
        align({"image": image}, MODALITY, "project")


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"method": "rotate"}, InvalidArgument, "method is 'rotate': choose one of center, shift"),
        ({"method": None}, InvalidArgument, "method is None"),
        ({"tolerance": -1}, InvalidArgument, "tolerance is -1"),
        ({"tolerance": "x"}, InvalidArgument, "tolerance is 'x'"),
        ({"tolerance": np.nan}, InvalidArgument, "tolerance is nan"),
        ({"penalty": -1.0}, InvalidArgument, "penalty is -1.0"),
        ({"penalty": "x"}, InvalidArgument, "penalty is 'x'"),
        ({"shrinkage": 1.5}, InvalidArgument, "shrinkage is 1.5"),
        ({"components": 0}, InvalidArgument, "components is 0"),
        ({"components": 1.5}, InvalidArgument, "components is 1.5"),
        ({"folds": 1}, InvalidArgument, "folds is 1"),
        ({"resamples": 0}, InvalidArgument, "resamples is 0"),
        ({"pairs": 5}, InvalidArgument, "pairs is a int"),
        ({"pairs": [3]}, InvalidArgument, "pairs holds a int"),
        ({"pairs": {"image": np.ones((3, DIM))}}, InvalidArgument, "two fields of two modalities"),
        (
            {"pairs": {"image": np.ones((3, DIM)), "caption": np.ones((4, DIM))}},
            InvalidArgument,
            "give as many of each field",
        ),
        ({"pairs": {"photo": np.ones((3, DIM))}}, InvalidArgument, "pairs names the field 'photo'"),
        (
            {"pairs": {"image": np.ones((3, 7)), "caption": np.ones((3, DIM))}},
            SpaceMismatch,
            "has dim 7 and its documents 12",
        ),
        ({"method": "shift", "source": "audio"}, InvalidArgument, "source is 'audio'"),
        (
            {"method": "shift", "source": "text", "target": "text"},
            InvalidArgument,
            "name two of the modalities",
        ),
        ({"method": "pca_remove", "components": 12}, InvalidArgument, "components is 12"),
        ({"method": "whiten", "components": 13}, InvalidArgument, "components is 13"),
        ({"queries": [1]}, InvalidArgument, "queries is a list"),
        ({"queries": {"text": np.ones((1, DIM))}}, InvalidArgument, "has 1 rows"),
        ({"queries": {"text": np.ones((9, 7))}}, SpaceMismatch, r"dims \[7, 12\]"),
        ({"queries": {"text": np.zeros((9, DIM))}}, InvalidVector, "row 0 of the 'text' queries"),
    ],
)
def test_bad_arguments_are_named(
    rng: np.random.Generator, arguments: dict[str, Any], error: type[Exception], match: str
) -> None:
    image, text = cones(rng)
    with pytest.raises(error, match=match):
        align({"image": image, "caption": text}, MODALITY, **arguments)


def test_spaces_of_other_dims_are_refused(rng: np.random.Generator) -> None:
    image, text = cones(rng)
    documents = {"image": image, "caption": text[:, :7]}
    for method in METHODS:
        if method == "ridge":
            continue
        with pytest.raises(SpaceMismatch):
            align(documents, MODALITY, method, pairs=documents)
    with pytest.raises(InvalidArgument, match="documents is a list"):
        align([image], MODALITY)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="modality_of is a list"):
        align({"image": image}, ["image"])  # type: ignore[arg-type]
