"""Items that fill several fields, ranked by one vector mixed of all, against numpy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import gapless as gl
from collection_kit import two_space_schema
from gapless import alpha_mix
from gapless.errors import InvalidArgument, InvalidVector, SpaceMismatch

DIM = 8
Rows = npt.NDArray[np.float64]


def unit(x: Rows) -> Rows:
    return np.asarray(x / np.linalg.norm(x, axis=-1, keepdims=True))


def cones(rng: np.random.Generator, n: int = 80) -> tuple[Rows, Rows]:
    """Images and captions in two cones far apart; unit rows."""
    away = np.eye(DIM)[:2] * 4
    return unit(rng.normal(size=(n, DIM)) + away[0]), unit(rng.normal(size=(n, DIM)) + away[1])


def filled(
    path: Path, rng: np.random.Generator, index: str = "flat"
) -> tuple[gl.Collection, Rows, Rows]:
    """Items b* with both fields, i* with an image and t* with a text alone; 20 of each."""
    away = np.eye(DIM)[:2] * 3
    image, text = rng.normal(size=(2, 40, DIM)) + away[:, None]
    schema = gl.Schema(
        {"clip": gl.Space(DIM)},
        {
            "image": gl.Field("clip", "image", index=index),
            "caption": gl.Field("clip", "text", index=index),
        },
    )
    col = gl.open(path, schema)
    col.upsert([f"b{i}" for i in range(20)], {"image": image[:20], "caption": text[:20]})
    col.upsert([f"i{i}" for i in range(20)], {"image": image[20:]})
    col.upsert([f"t{i}" for i in range(20)], {"caption": text[20:]})
    return col, unit(image), unit(text)


def scores(hits: gl.Hits) -> dict[Any, float]:
    return {hit.id: hit.score for hit in hits}


@pytest.mark.parametrize("index", ["flat", "hnsw"])
@pytest.mark.parametrize("alpha", [0.5, 0.8])
def test_it_is_the_mix_of_gr_clip(
    tmp_path: Path, rng: np.random.Generator, index: str, alpha: float
) -> None:
    col, image, text = filled(tmp_path / "c", rng, index)
    col.align("center", tolerance=1.0)
    q = rng.normal(size=DIM) + np.eye(DIM)[1] * 3
    hits = col.search(
        vectors={"clip": q},
        modality="text",
        fusion="alpha_mix",
        weights={"image": 1 - alpha, "caption": alpha},
        limit=100,
    )
    means = image.mean(axis=0), text.mean(axis=0)
    asked = unit(unit(q) - means[1])
    mixed = gl.alpha_mix(text[:20], image[:20], alpha, text_mean=means[1], image_mean=means[0])
    wanted = dict(zip([f"b{i}" for i in range(20)], mixed @ asked, strict=True))
    for letter, rows, mean in (("i", image, means[0]), ("t", text, means[1])):
        alone = unit(rows[20:] - mean) @ asked
        wanted |= {f"{letter}{i}": score for i, score in enumerate(alone)}
    assert scores(hits) == pytest.approx(wanted, abs=1e-5)
    assert hits.scores == sorted(hits.scores, reverse=True)
    assert hits.fusion == "alpha_mix"
    for hit in hits:
        added = [(c.normalised or 0.0) * c.weight for c in hit.contributions]
        assert len(added) == (2 if str(hit.id).startswith("b") else 1)
        assert sum(added) == pytest.approx(hit.score)
    first = col.search(
        vectors={"clip": q},
        modality="text",
        fusion="alpha_mix",
        weights={"image": 1 - alpha, "caption": alpha},
        limit=7,
    )
    assert first.ids == hits.ids[:7]
    col.close()


def test_raw_mixes_the_rows_themselves(tmp_path: Path, rng: np.random.Generator) -> None:
    col, image, text = filled(tmp_path / "c", rng)
    q = rng.normal(size=DIM)
    ask: dict[str, Any] = {"vectors": {"clip": q}, "fusion": "alpha_mix", "limit": 100}
    found = scores(col.search(**ask))
    wanted = unit(image[:20] + text[:20]) @ unit(q)
    assert [found[f"b{i}"] for i in range(20)] == pytest.approx(wanted, abs=1e-6)
    col.align("whiten", tolerance=1.0)
    assert scores(col.search(**ask, alignment="raw")) == pytest.approx(found, abs=1e-6)
    col.close()


def test_the_parts_of_a_query_count_alike(tmp_path: Path, rng: np.random.Generator) -> None:
    col, _, _ = filled(tmp_path / "c", rng)
    one, other = rng.normal(size=(2, DIM)).astype(np.float32)

    def ask(*vectors: npt.NDArray[np.float32]) -> dict[Any, float]:
        parts = [gl.Part(vector=v, space="clip", modality="text") for v in vectors]
        found = col.search(parts=parts, fusion="alpha_mix", limit=100)
        assert {len(hit.contributions) for hit in found} <= {len(vectors), 2 * len(vectors)}
        return dict(zip(found.ids, found.scores, strict=True))

    alone, twice, both = ask(one), ask(one, one), ask(one, other)
    assert twice == pytest.approx(alone, abs=1e-6)
    second = ask(other)
    assert both == pytest.approx({k: (alone[k] + second[k]) / 2 for k in alone}, abs=1e-6)
    col.close()


def test_opposite_fields_leave_nothing_and_score_zero(
    tmp_path: Path, schema: gl.Schema, rng: np.random.Generator
) -> None:
    x = rng.normal(size=(3, DIM))
    with gl.open(tmp_path / "c", schema) as col:
        col.upsert(["a", "b"], {"image": x[:2], "caption": [-x[0], x[1]]})
        found = scores(col.search(vectors={"clip": x[2]}, fusion="alpha_mix"))
        assert found["a"] == 0.0
        assert found["b"] == pytest.approx(unit(x[1]) @ unit(x[2]), abs=1e-6)


def test_fields_of_two_spaces_are_not_mixed(tmp_path: Path, rng: np.random.Generator) -> None:
    with gl.open(tmp_path / "c", two_space_schema()) as col:
        col.upsert([1, 2], {"image": rng.normal(size=(2, DIM)), "body": rng.normal(size=(2, 4))})
        with pytest.raises(InvalidArgument, match=r"\[\['image'\], \['body'\]\]: search one space"):
            col.search(vectors={"clip": np.ones(DIM), "bge": np.ones(4)}, fusion="alpha_mix")
        assert len(col.search(vectors={"bge": np.ones(4)}, fusion="alpha_mix")) == 2


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 1.0])
def test_alpha_mix_is_the_formula(rng: np.random.Generator, alpha: float) -> None:
    image, text = cones(rng)
    mean = alpha * text.mean(axis=0) + (1 - alpha) * image.mean(axis=0)
    wanted = unit(alpha * text + (1 - alpha) * image - mean)
    np.testing.assert_allclose(alpha_mix(text * 7, image / 9, alpha), wanted, atol=1e-6)
    means = rng.normal(size=(2, DIM)) / 9
    given_means = unit(
        alpha * text + (1 - alpha) * image - alpha * means[0] - (1 - alpha) * means[1]
    )
    np.testing.assert_allclose(
        alpha_mix(text, image, alpha, text_mean=means[0], image_mean=means[1]),
        given_means,
        atol=1e-6,
    )


def test_alpha_mix_refuses_bad_input(rng: np.random.Generator) -> None:
    image, text = cones(rng)
    for alpha in (-0.1, 1.1, np.nan):
        with pytest.raises(InvalidArgument, match="alpha is"):
            alpha_mix(text, image, alpha)
    with pytest.raises(SpaceMismatch, match="text_rows has shape"):
        alpha_mix(text[:5], image)
    with pytest.raises(InvalidArgument, match="has 1 rows"):
        alpha_mix(text[:1], image[:1])
    with pytest.raises(InvalidVector, match="text_mean has shape"):
        alpha_mix(text, image, text_mean=np.ones(3))
    with pytest.raises(InvalidVector, match="row 2 of image_rows"):
        alpha_mix(text, np.where(np.arange(80)[:, None] == 2, 0, image))
    same = np.tile(text[:1], (4, 1))
    assert not alpha_mix(same, same).any()  # nothing is left, and nothing is NaN


def test_fields_of_other_dims_once_aligned_are_not_mixed(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    col, _, _ = filled(tmp_path / "c", rng)
    col.align("whiten", fields=["image"], components=4, tolerance=1.0)
    ask: dict[str, Any] = {"vectors": {"clip": np.ones(DIM)}, "modality": "image"}
    with pytest.raises(SpaceMismatch, match="'caption' with 8 dims and others with 4"):
        col.search(**ask, fusion="alpha_mix")
    assert len(col.search(**ask, fusion="cohort")) == 10
    col.close()


def test_items_of_several_rows_are_mixed_by_their_best(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    schema = gl.Schema(
        {"clip": gl.Space(DIM)},
        {
            "frame": gl.Field("clip", "image", index="flat", several=True),
            "caption": gl.Field("clip", "text", index="flat"),
        },
    )
    frames, texts = rng.normal(size=(20, 3, DIM)), rng.normal(size=(20, DIM))
    q = rng.normal(size=DIM)
    with gl.open(tmp_path / "c", schema) as col:
        col.upsert(range(20), {"frame": frames, "caption": texts})
        hits = col.search(vectors={"clip": q}, fusion="alpha_mix", limit=20)
        scores = dict(zip(hits.ids, hits.scores, strict=True))
        units = unit(frames.reshape(-1, DIM)).reshape(frames.shape)
        best = np.argmax(units @ unit(q), axis=1)
        wanted = unit(units[np.arange(20), best] + unit(texts)) @ unit(q)
        assert [scores[i] for i in range(20)] == pytest.approx(wanted, abs=1e-5)
        with pytest.raises(InvalidArgument, match="weights of their own"):
            col.search(vectors={"clip": q}, negatives=gl.Part(like=3), fusion="alpha_mix")
