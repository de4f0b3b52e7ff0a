"""Diagnosis of a collection: by ids, with its own rows, maps and spaces."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gapless as gl
from gapless.alignment.align import align_rows
from gapless.diagnosis.diagnose import diagnose
from gapless.errors import GaplessError, InvalidArgument, InvalidVector, UnknownId

MODALITY = {"image": "image", "caption": "text"}


def test_a_collection_reads_raw_and_active_alignment(
    tmp_path: Path, schema: gl.Schema, rng: np.random.Generator
) -> None:
    meaning = rng.normal(size=(50, 8))
    image, text = meaning + np.eye(8)[0] * 5, meaning + np.eye(8)[1] * 5
    with gl.open(tmp_path / "c", schema) as col:
        with pytest.raises(InvalidArgument, match="there is no vector to look at"):
            col.diagnose()
        col.upsert(list(range(50)), {"image": image, "caption": text})
        col.upsert(list(range(50, 60)), {"image": image[:10] + 0.1})
        raw = col.diagnose()
        plain = diagnose(
            {"image": np.concatenate([image, image[:10] + 0.1]), "caption": text},
            MODALITY,
            keys={"image": np.arange(60), "caption": np.arange(50)},
            space="clip",
        )
        assert raw.pairs[0].gap == pytest.approx(plain.pairs[0].gap, abs=1e-6)
        assert raw.pairs[0].matched == 50
        assert raw.bias[1].rate == pytest.approx(plain.bias[1].rate, abs=0.01)
        col.align("center")
        both = col.diagnose(k=5)
        assert [pair.alignment for pair in both.pairs] == ["raw", "center"]
        assert both.pairs[1].gap < 0.1 < raw.pairs[0].gap
        assert both.bias[0].k == 5
        few = col.diagnose(sample=40)
        assert few.notes[0].startswith("clip: a sample of ")
        for bad in ({"k": 0}, {"sample": 0}, {"k": 1.5}):
            with pytest.raises(InvalidArgument, match="give an integer of at least 1"):
                col.diagnose(**bad)


def test_each_space_is_diagnosed_by_itself(tmp_path: Path, rng: np.random.Generator) -> None:
    schema = gl.Schema(
        {"clip": gl.Space(8), "bge": gl.Space(4), "clap": gl.Space(2)},
        {
            "image": gl.Field("clip", "image", index="flat"),
            "body": gl.Field("bge", "text", index="flat"),
            "sound": gl.Field("clap", "audio", index="flat"),
        },
    )
    with gl.open(tmp_path / "c", schema) as col:
        col.upsert([1, 2, 3], {"image": rng.normal(size=(3, 8)), "body": rng.normal(size=(3, 4))})
        found = col.diagnose()
    assert [(r.space, r.modality) for r in found.modalities] == [("clip", "image"), ("bge", "text")]


def readable(found: Any, source: str = "items") -> dict[tuple[str, str], Any]:
    """Routes by their two modalities."""
    return {(r.query_modality, r.target_modality): r for r in found.routes if r.source == source}


def test_pairs_labels_and_answers_go_by_id(
    tmp_path: Path, schema: gl.Schema, rng: np.random.Generator
) -> None:
    meaning = rng.normal(size=(60, 8))
    with gl.open(tmp_path / "c", schema) as col:
        col.upsert([f"i{n}" for n in range(60)], {"image": meaning})
        col.upsert([f"t{n}" for n in range(60)], {"caption": meaning + 0.1})
        assert col.diagnose().pairs[0].matched == 0
        pairs = [(f"t{n}", f"i{n}") for n in range(60)]
        paired = col.diagnose(pairs)
        assert paired.pairs[0].matched == 60
        assert readable(paired)["text", "image"].recall > 0.9
        labels = {f"i{n}": n // 6 for n in range(60)} | {f"t{n}": n // 6 for n in range(60)}
        routes = readable(col.diagnose(labels=labels))
        assert routes["image", "image"].judged == routes["text", "image"].judged == 60
        asked = col.diagnose(
            queries={"text": meaning[:9]}, answers={"text": [f"i{n}" for n in range(9)]}
        )
        assert readable(asked, "queries")["text", "image"].recall == 1.0
        assert readable(asked, "queries")["text", "text"].judged == 0
        assert asked.outliers[0].queries == 9


def test_a_sample_keeps_the_known_and_tells_of_itself(
    tmp_path: Path, schema: gl.Schema, rng: np.random.Generator
) -> None:
    rows = rng.normal(size=(2, 400, 8))
    with gl.open(tmp_path / "c", schema) as col:
        col.upsert([f"i{n}" for n in range(400)], {"image": rows[0]})
        col.upsert([f"t{n}" for n in range(400)], {"caption": rows[1]})
        pairs = [(f"t{n}", f"i{n}") for n in range(12)]
        found = col.diagnose(pairs, sample=100, seed=5)
        assert found.pairs[0].matched == 12
        assert "(seed 5)" in found.notes[0]
        assert found == col.diagnose(iter(pairs), sample=100, seed=5)
        assert found != col.diagnose(pairs, sample=100, seed=6)


def test_the_doctor_of_a_collection_looks_beyond_the_sample(
    tmp_path: Path, schema: gl.Schema, rng: np.random.Generator
) -> None:
    image = rng.normal(size=(300, 8))
    image[150:] = image[:150]
    with gl.open(tmp_path / "c", schema) as col:
        with pytest.raises(InvalidArgument, match="there is no vector"):
            col.doctor()
        col.upsert(list(range(300)), {"image": image})
        labels = {n: n for n in range(300)}
        (copies,) = col.doctor("more_data", labels=labels, sample=60)
        assert copies.present and copies.evidence["conflicting ones in image"] == 1.0
        assert [p.symptom for p in col.doctor()] == [
            "same_scores", "cross_modal", "rare_queries", "more_data",
        ]  # fmt: skip
        with pytest.raises(InvalidArgument, match="choose one of 'same_scores'"):
            col.doctor("slow")


def test_a_field_taken_to_another_space_is_read_raw_in_its_own(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    schema = gl.Schema(
        {"clip": gl.Space(8), "bge": gl.Space(6)},
        {
            "image": gl.Field("clip", "image", index="flat"),
            "body": gl.Field("bge", "text", index="flat"),
        },
    )
    rows = rng.normal(size=(80, 8))
    with gl.open(tmp_path / "c", schema) as col:
        col.upsert(list(range(80)), {"image": rows, "body": rows[:, :6]})
        col.align("ridge", fields=["image", "body"], source="image", target="text", tolerance=1.0)
        assert col.alignment is not None and "image" in col.alignment.bridges
        found = col.diagnose()
        assert ("clip", "raw") in {(r.space, r.alignment) for r in found.modalities}
        assert ("clip", "ridge") not in {(r.space, r.alignment) for r in found.modalities}
        assert any("read raw in their own:" in n and "'image'" in n for n in found.notes)
        assert len(col.doctor()) == 4


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"k": 0}, InvalidArgument, "k is 0"),
        ({"sample": True}, InvalidArgument, "sample is True"),
        ({"pairs": [(1, 99)]}, UnknownId, "no item 99"),
        ({"pairs": [(1, 2, 3)]}, InvalidArgument, "give two ids"),
        ({"pairs": {"image": np.ones((2, 8))}}, InvalidArgument, "pairs of ids"),
        ({"pairs": 7}, InvalidArgument, "pairs is a int"),
        ({"labels": {99: "a"}}, UnknownId, "no item 99"),
        ({"labels": ["a"]}, InvalidArgument, "labels is a list"),
        ({"labels": {1: ["a"]}}, InvalidArgument, "label of 1 is a list"),
        ({"queries": {"text": np.ones((2, 3))}}, InvalidVector, "shape"),
        ({"queries": {"text": np.zeros((2, 8))}}, InvalidVector, "norm 0"),
        ({"queries": {"text": np.ones((2, 8))}, "answers": {"text": [1]}}, InvalidArgument, "1 it"),
        ({"queries": {"text": np.ones((1, 8))}, "answers": {"text": [9]}}, UnknownId, "no item 9"),
        ({"answers": [1]}, InvalidArgument, "answers is"),
        ({"queries": np.ones((2, 8))}, InvalidArgument, "queries is a ndarray"),
        ({"queries": {"blip": {"text": np.ones((2, 8))}}}, InvalidArgument, "space 'blip'"),
        ({"answers": {"text": "ab"}}, InvalidArgument, "answers is"),
    ],
)
def test_a_collection_refuses_to_diagnose(
    tmp_path: Path,
    schema: gl.Schema,
    given: dict[str, Any],
    error: type[GaplessError],
    message: str,
) -> None:
    with gl.open(tmp_path / "c", schema) as col:
        col.upsert([1, 2, 3], {"image": np.eye(8)[:3]})
        with pytest.raises(error, match=message):
            col.diagnose(**given)
        if "k" not in given:
            with pytest.raises(error, match=message):
                col.doctor(**given)


@pytest.mark.parametrize("index", ["flat", "hnsw"])
@pytest.mark.parametrize("method", ["raw", "center"])
def test_bias_over_all_rows_is_that_of_a_loop(
    tmp_path: Path, rng: np.random.Generator, index: str, method: str
) -> None:
    schema = gl.Schema(
        {"clip": gl.Space(8)},
        {
            "image": gl.Field("clip", "image", index=index),
            "caption": gl.Field("clip", "text", index=index),
            "title": gl.Field("clip", "text", index=index),
        },
    )
    meaning = rng.normal(size=(150, 8))
    rows = {
        "image": meaning + np.eye(8)[0],
        "caption": meaning + rng.normal(size=(150, 8)) - np.eye(8)[1],
        "title": meaning[:100] + rng.normal(size=(100, 8)) - np.eye(8)[1],
    }
    with gl.open(tmp_path / "c", schema) as col:
        col.upsert(list(range(100)), {name: value[:100] for name, value in rows.items()})
        col.upsert(list(range(100, 150)), {n: rows[n][100:] for n in ("image", "caption")})
        col.align(method, tolerance=1.0)
        found = col.diagnose([(0, 1)], sample=200)
        assert len(found.notes) == 1
        maps = dict(col._storage.maps)
        assert [r.query_modality for r in found.whole] == ["image", "text"]
        assert {r.alignment for r in found.whole} == {method}
        sample = found.samples[0]
        kinds = np.concatenate(
            [np.full(len(v), schema.fields[n].modality) for n, v in rows.items()]
        )
        for reading in found.whole:
            shares = []
            for own in rows:
                if schema.fields[own].modality != reading.query_modality:
                    continue
                for key in sample.stored[own]:
                    at = key - 1
                    scores = np.concatenate(
                        [
                            align_rows(rows[own][[at]], maps.get(n), reading.query_modality)[0]
                            @ align_rows(v, maps.get(n)).T
                            if n in maps
                            else align_rows(rows[own][[at]], None)[0] @ align_rows(v, None).T
                            for n, v in rows.items()
                        ]
                    )
                    start = list(rows).index(own)
                    scores[sum(len(v) for v in list(rows.values())[:start]) + at] = -np.inf
                    best = np.argsort(-scores)[:10]
                    shares.append((kinds[best] == reading.query_modality).mean())
            assert reading.queries == len(shares)
            assert reading.rate == pytest.approx(
                np.mean(shares), abs=1e-9 if index == "flat" else 0.02
            )
            blind = ((kinds == reading.query_modality).sum() - 1) / (len(kinds) - 1)
            assert reading.share == pytest.approx(blind)
            assert reading.lift == pytest.approx((reading.rate - blind) / (1 - blind))
        assert found.bias_in_use == found.whole
        assert "over all rows" in str(found)
        assert json.loads(json.dumps(found.to_dict()))["whole"][0]["k"] == 10
        assert not col.diagnose().whole
