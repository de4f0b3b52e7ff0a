"""Alignments of several spaces: maps that join two, and spaces that have no gap."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import gapless as gl
from collection_kit import two_space_schema
from gapless.alignment.align import align_rows, read_pairs
from gapless.alignment.maps import fit
from gapless.alignment.samples import sum_up
from gapless.errors import InvalidArgument

DIM = 8
Rows = npt.NDArray[np.float64]


def unit(x: Rows) -> Rows:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def cones(rng: np.random.Generator, n: int = 60) -> tuple[Rows, Rows]:
    """Images and captions of the same n meanings, in two cones far apart."""
    meaning = rng.normal(size=(n, DIM))
    away = np.eye(DIM)[:2] * 4
    return meaning + away[0], meaning + 0.2 * rng.normal(size=(n, DIM)) + away[1]


def raws(hits: gl.Hits) -> dict[Any, Any]:
    """Score of every item in every field."""
    return {
        (h.id, c.field): pytest.approx(c.aligned, abs=1e-6) for h in hits for c in h.contributions
    }


@pytest.mark.parametrize("dims", [(8, 4), (6, 6), (4, 8)])
def test_ridge_maps_one_space_into_another(
    tmp_path: Path, rng: np.random.Generator, dims: tuple[int, int]
) -> None:
    here, there = dims
    meaning = rng.normal(size=(120, 3))
    image = meaning @ rng.normal(size=(3, here)) + 0.05 * rng.normal(size=(120, here))
    text = meaning @ rng.normal(size=(3, there)) + 0.05 * rng.normal(size=(120, there))
    schema = gl.Schema(
        {"dino": gl.Space(here), "bge": gl.Space(there)},
        {
            "image": gl.Field("dino", "image", index="flat"),
            "body": gl.Field("bge", "text", index="flat"),
        },
    )
    modality = {"image": "image", "body": "text"}
    with gl.open(tmp_path / "c", schema) as col:
        col.upsert(list(range(100)), {"image": image[:100], "body": text[:100]})
        col.upsert(list(range(100, 120)), {"image": image[100:]})
        ask = {"vectors": {"bge": text[110]}, "modality": "text", "limit": 120}
        before = col.search(**ask)
        assert {c.field for h in before for c in h.contributions} == {"body"}
        active = col.align("ridge", fields=["image", "body"])
        assert active is not None
        assert active.validation is not None
        assert all(d.mrr > 2 * d.raw_mrr for d in active.validation.directions)
        # Chance is what it is compared with, as there is no raw ranking across spaces.
        chance = np.mean(1 / np.arange(1, 21))
        assert active.validation.directions[0].raw_mrr == pytest.approx(chance)
        maps = fit(
            "ridge",
            sum_up(
                {"image": image, "body": text},
                modality,
                pairs=read_pairs({"image": image[:100], "body": text[:100]}, modality),
                several_dims=True,
            ),
        )
        hits = col.search(**ask)
        found = {h.id: c.aligned for h in hits for c in h.contributions if c.field == "image"}
        wanted = align_rows(image, maps["image"]) @ unit(text[110])
        assert found == pytest.approx(dict(enumerate(wanted)), abs=1e-4)
        assert 110 in col.search(**ask, fields=["image"]).ids[:10]
        images = col.search(vectors={"dino": image[5]}, modality="image", fields=["body"])
        assert 5 in images.ids[:10]
        assert col.search(**ask, alignment="raw") == before
        col.align("raw")
        assert raws(col.search(**ask, alignment=1)) == raws(hits)
    with gl.open(tmp_path / "c") as col:
        col.rollback(1)
        assert raws(col.search(**ask)) == raws(hits)


def test_across_spaces_the_modality_must_be_told(tmp_path: Path, rng: np.random.Generator) -> None:
    meaning = rng.normal(size=(60, 3))
    with gl.open(tmp_path / "c", two_space_schema()) as col:
        image, body = meaning @ rng.normal(size=(3, 8)), meaning @ rng.normal(size=(3, 4))
        col.upsert(list(range(60)), {"image": image, "body": body})
        col.align("ridge", fields=["image", "body"])
        with pytest.raises(InvalidArgument, match="modality is None"):
            col.search(vectors={"bge": body[0]})
        with pytest.raises(InvalidArgument, match="modality is 'audio'"):
            col.search(vectors={"bge": body[0]}, modality="audio")
        with pytest.raises(gl.errors.SpaceMismatch, match="'clip' cannot meet the fields"):
            col.search(vectors={"clip": image[0]}, modality="text")


def test_a_space_of_one_modality_is_left_out_of_what_closes_a_gap(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    image, text = cones(rng)
    schema = gl.Schema(
        {"clip": gl.Space(DIM), "bge": gl.Space(4)},
        {
            "image": gl.Field("clip", "image", index="flat"),
            "caption": gl.Field("clip", "text", index="flat"),
            "body": gl.Field("bge", "text", index="flat"),
        },
    )
    body = rng.normal(size=(60, 4))
    with gl.open(tmp_path / "c", schema) as col:
        col.upsert(list(range(60)), {"image": image, "caption": text, "body": body})
        for method in ("shift", "project", "procrustes", "ridge"):
            active = col.align(method, tolerance=1.0)
            assert active is not None
            assert set(active.rows) == {"image", "caption"}
        hits = col.search(vectors={"bge": body[3]}, limit=60)
        found = {h.id: c.aligned for h in hits for c in h.contributions}
        assert found == pytest.approx(dict(enumerate(unit(body) @ unit(body[3]))), abs=1e-5)
        active = col.align("center", pairs={"image": image, "caption": text, "body": body})
        assert active is not None
        assert set(active.rows) == {"image", "caption", "body"}
        assert active.validation is not None
        assert {d.query for d in active.validation.directions} == {"image", "caption"}
        assert "fields 'body'" in active.findings[-1].sentence
        with pytest.raises(InvalidArgument, match="no gap to project out"):
            col.align("project", fields=["body"])
        with pytest.raises(InvalidArgument, match="two fields of two modalities"):
            col.align("center", pairs={"caption": text, "body": body})


@pytest.mark.parametrize("there", [8, 5])
def test_scores_across_spaces_are_calibrated_on_queries_of_the_space_that_asks(
    tmp_path: Path, rng: np.random.Generator, there: int
) -> None:
    meaning = rng.normal(size=(200, 3))
    image, caption = meaning @ rng.normal(size=(3, DIM)), meaning @ rng.normal(size=(3, DIM))
    body = meaning @ rng.normal(size=(3, there)) + 0.05 * rng.normal(size=(200, there))
    schema = gl.Schema(
        {"clip": gl.Space(DIM), "bge": gl.Space(there)},
        {
            "image": gl.Field("clip", "image", index="flat"),
            "caption": gl.Field("clip", "text", index="flat"),
            "body": gl.Field("bge", "text", index="flat"),
        },
    )
    ids = list(range(200))
    with gl.open(tmp_path / "c", schema) as col:
        col.upsert(ids, {"image": image, "caption": image + caption, "body": body})
        assert set(col.calibrate().types) == {("image", "caption"), ("text", "image")}
        col.align("ridge", fields=["image", "body"])
        # Texts ask images as bodies do from now on, so captions say nothing about that.
        across = col.calibrate()
        assert set(across.types) == {("image", "caption"), ("image", "body"), ("text", "image")}
        assert across["text", "image"].card.matched_mean > 0.9
        ask: dict[str, Any] = {"vectors": {"bge": body[7]}, "modality": "text", "fields": ["image"]}
        hits = col.search(**ask, fusion="calibrated", limit=200)
        assert 7 in hits.ids[:10]
        given = {("text", "image"): (body, ids), ("text", "body"): (body + 0.01, ids)}
        col.calibrate(positives=given)
        assert col.search(**ask | {"fields": ["image", "body"]}).fusion == "calibrated"
        if there != DIM:
            with pytest.raises(gl.errors.InvalidVector, match=r"shape \(200, 8\): give \(n, 5\)"):
                col.calibrate(positives={("text", "image"): (caption, ids)})


@pytest.mark.parametrize("there", [8, 5])
def test_a_modality_of_two_spaces_has_no_map_across(
    tmp_path: Path, rng: np.random.Generator, there: int
) -> None:
    image, text = cones(rng)
    schema = gl.Schema(
        {"clip": gl.Space(DIM), "bge": gl.Space(there)},
        {
            "image": gl.Field("clip", "image", index="flat"),
            "caption": gl.Field("clip", "text", index="flat"),
            "body": gl.Field("bge", "text", index="flat"),
        },
    )
    with gl.open(tmp_path / "c", schema) as col:
        col.upsert(range(60), {"image": image, "caption": text, "body": text[:, :there]})
        with pytest.raises(InvalidArgument, match=r"'text' live in the spaces \['clip', 'bge'\]"):
            col.align("ridge", fields=["image", "caption", "body"], tolerance=10)
        assert col.alignments() == []
