"""Weights learnt from a collection's own searches do for it what was promised."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import gapless as gl
from collection_kit import DIM
from gapless import _core
from gapless.collection_tuning import _combine
from gapless.errors import InvalidArgument
from gapless.query.parts import Part
from gapless.tuning.collect import collect
from gapless.tuning.rules import COMBINED, RULES, fusion_rule
from gapless.tuning.tune import tune

ITEMS = 90
Asked = dict[str, dict[str, Any]]


def questions(vectors: npt.NDArray[Any]) -> Asked:
    return {f"q{i}": {"vectors": {"clip": v}, "modality": "text"} for i, v in enumerate(vectors)}


@pytest.fixture
def paired(tmp_path: Path, schema: gl.Schema) -> Iterator[gl.Collection]:
    """90 calibrated items whose captions lie near their images; some lack one of them."""
    rng = np.random.default_rng(11)
    image = rng.normal(size=(ITEMS, DIM))
    caption = image + 0.5 * rng.normal(size=(ITEMS, DIM))
    near = caption + 0.5 * rng.normal(size=(ITEMS, DIM))
    with gl.open(tmp_path / "paired", schema) as col:
        col.upsert(range(ITEMS - 10), {"image": image[:-10]})
        col.upsert(range(10, ITEMS), {"caption": caption[10:]})
        col.calibrate(
            positives={("text", "image"): (caption, image), ("text", "caption"): (near, caption)}
        )
        yield col


@pytest.mark.parametrize(
    ("fusion", "combine"),
    [(name, "max") for name in RULES] + [("calibrated", combine) for combine in COMBINED],
)
def test_rules_rank_as_native_searches_do(
    fusion: str, combine: str, rng: np.random.Generator
) -> None:
    """60 items of three fields, a third of which each field lacks; all of them are retrieved."""
    indexes = [_core.FlatIndex(DIM) for _ in range(3)]
    for index in indexes:
        index.add(rng.normal(size=(40, DIM)), rng.choice(60, 40, replace=False))
    transform, rule = fusion_rule(fusion, combine)
    map_ = _core.Calibration.platt(4.0, -1.0)

    def search(query: npt.NDArray[Any], weights: tuple[float, ...]) -> _core.FusedHits:
        lists = [
            _core.FieldSearch(index, query, weight=w, cohort=index.ids(), calibration=map_)
            for index, w in zip(indexes, weights, strict=True)
        ]
        return _core.search_fields(lists, 60, fusion, combine=combine)

    for query in rng.normal(size=(4, DIM)):
        equal = search(query, (1.0, 1.0, 1.0))
        for weights in ((1.0, 1.0, 1.0), (0.2, 3.0, 1.0), (5.0, 0.25, 0.0)):
            own = rule(transform(equal.normalised), np.array(weights))
            known = dict(zip(equal.ids.tolist(), own, strict=True))
            found = search(query, weights)
            assert len(found) == np.sum(~np.isneginf(own))
            ranked = np.array([known[key] for key in found.ids.tolist()])
            assert (np.diff(ranked) <= 1e-9 * np.abs(ranked[:-1])).all()


@pytest.mark.parametrize("fusion", ["rrf", "cohort", "calibrated"])
def test_equal_weights_rank_what_was_collected_as_the_collection_did(
    paired: gl.Collection, fusion: str
) -> None:
    transform, rule = fusion_rule(fusion, "mean_logit")
    asked = questions(np.random.default_rng(12).normal(size=(3, DIM)))
    found = collect(paired.search, asked, fusion=fusion)
    assert (found.fusion, found.lists) == (fusion, ("caption", "image"))
    for query, question in asked.items():
        known = found.candidates[query]
        hits = paired.search(**question, limit=ITEMS + 1, fusion=fusion)
        assert list(known.ids) == hits.ids
        assert len(hits) == ITEMS
        scores = rule(transform(known.normalised), np.ones(2))
        assert (np.diff(scores) <= 1e-9).all()


def test_a_field_of_noise_is_told_from_one_of_images(
    clip_pairs: npt.NDArray[np.float32], tmp_path: Path
) -> None:
    rng = np.random.default_rng(13)
    image, caption = clip_pairs
    other = caption[rng.permutation(len(caption))]  # every item has the caption of another
    schema = gl.Schema(
        {"clip": gl.Space(512)},
        {
            "image": gl.Field("clip", "image", index="flat"),
            "wrong": gl.Field("clip", "text", index="flat"),
        },
    )
    queries = caption + 0.3 * rng.normal(size=caption.shape) / np.sqrt(512)
    asked = questions(queries[:240])
    right = {f"q{i}": {i: 1.0} for i in range(240)}
    with gl.open(tmp_path / "c", schema, durability="normal") as col:
        col.upsert(range(500), {"image": image, "wrong": other})
        train = {query: asked[query] for query in list(asked)[:120]}
        test = {query: asked[query] for query in list(asked)[120:]}
        found = collect(col.search, train, fusion="cohort")
        result = tune(found.candidates, right, found.lists, fusion=found.fusion)
        assert result.recommended
        assert result.weights["image"] > 5 * result.weights["wrong"]

        def quality(weights: dict[str, float] | None) -> float:
            run = {
                q: col.search(**own, fusion="cohort", weights=weights) for q, own in test.items()
            }
            return gl.evaluate(run, {q: right[q] for q in test}, "ndcg@10")["ndcg@10"]

        gain = quality(dict(result.weights)) - quality(None)
        assert gain > 0.2
        assert result.gain == pytest.approx(gain, abs=0.1)


def test_bad_questions_are_refused(paired: gl.Collection) -> None:
    one = questions(np.eye(DIM)[:1])
    with pytest.raises(InvalidArgument, match=r"queries is \{\}: give \{query: text\}"):
        collect(paired.search, {})
    with pytest.raises(InvalidArgument, match="query 3 is a list: give its text"):
        collect(paired.search, {3: [1.0]})
    with pytest.raises(InvalidArgument, match="weights were given: leave them out"):
        collect(paired.search, one, weights={"image": 2.0})
    with pytest.raises(InvalidArgument, match="weights were given: leave them out"):
        collect(paired.search, {"q": {**one["q0"], "weights": {"image": 2.0}}})
    mixed = {"a": {**one["q0"], "fusion": "rrf"}, "b": {**one["q0"], "fusion": "cohort"}}
    with pytest.raises(InvalidArgument, match="fused by cohort and rrf: give fusion="):
        collect(paired.search, mixed)
    half = Part(vector=np.eye(DIM)[0], space="clip", modality="text", weight=0.5)
    with pytest.raises(InvalidArgument, match=r"text -> (image|caption) of weight 0.5"):
        collect(paired.search, {"q": {"parts": [half], "fusion": "rrf"}})
    with pytest.raises(InvalidArgument, match="no encoder for a text query"):
        collect(paired.search, {"q": "a dog"})


def test_the_combine_of_a_fusion_is_the_one_learnt_for() -> None:
    assert _combine() == "mean_logit"
    assert _combine(fusion="calibrated", combine="max", limit=3) == "max"
    assert _combine(fusion=gl.Fuse("calibrated", combine="noisy_or")) == "noisy_or"
