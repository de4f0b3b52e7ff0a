from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import gapless as gl
from gapless.alignment import center
from gapless.diagnosis import Diagnosis
from gapless.diagnostics import diagnose, sample_keys
from gapless.errors import InvalidArgument

MODALITY = {"image": "image", "caption": "text"}


def test_readings_of_real_clip_vectors(clip_pairs: npt.NDArray[np.float32]) -> None:
    image, text = clip_pairs
    keys = {"image": range(500), "caption": range(500)}
    found = diagnose({"image": image, "caption": text}, MODALITY, keys=keys)
    pair = found.pairs[0]
    assert pair.modalities == ("image", "text")
    assert pair.gap == pytest.approx(0.851, abs=0.002)
    assert pair.gap_cosine == pytest.approx(0.691, abs=0.002)
    assert pair.random_mean == pytest.approx(0.162, abs=0.002)
    assert pair.random_std == pytest.approx(0.048, abs=0.002)
    assert pair.matched_mean == pytest.approx(0.310, abs=0.002)
    assert pair.matched_std == pytest.approx(0.032, abs=0.002)
    assert pair.matched == 500
    inside = {reading.modality: reading for reading in found.modalities}
    assert inside["image"].cosine_mean == pytest.approx(0.531, abs=0.002)
    assert inside["text"].cosine_mean == pytest.approx(0.515, abs=0.002)
    assert inside["image"].cosine_std == pytest.approx(0.096, abs=0.002)
    assert inside["text"].cosine_std == pytest.approx(0.110, abs=0.002)
    assert pair.gap_over_spread == pytest.approx(
        pair.gap / ((inside["image"].spread + inside["text"].spread) / 2)
    )
    bias = {reading.query_modality: reading for reading in found.bias}
    assert bias["text"].rate == 1.0
    assert bias["text"].share == pytest.approx(499 / 999)
    assert bias["text"].lift == 1.0
    assert bias["text"].sorts_by_modality
    assert (bias["text"].queries, bias["text"].k) == (500, 10)


def test_centring_is_read_beside_raw(clip_pairs: npt.NDArray[np.float32]) -> None:
    image, text = clip_pairs
    maps = center({"image": image, "caption": text}, MODALITY)
    found = diagnose({"image": image, "caption": text}, MODALITY, alignments=maps)
    raw, centred = found.pairs
    assert (raw.alignment, centred.alignment) == ("raw", "center")
    assert raw.gap > 0.8
    assert centred.gap < 0.05
    lifts = {(r.alignment, r.query_modality): r.lift for r in found.bias}
    # multimodal.md: centring alone leaves bias@10 at .87 to .95
    assert lifts["center", "text"] < lifts["raw", "text"]
    assert 0.8 < next(r.rate for r in found.bias if r.alignment == "center") < 0.97


def test_spread_and_gap_by_hand() -> None:
    # images: ±30° around x, texts: ±30° around y; centroids are cos(30°) long and at right angles
    c, s = np.cos(np.pi / 6), np.sin(np.pi / 6)
    image, text = np.array([[c, s], [c, -s]]), np.array([[s, c], [-s, c]])
    found = diagnose(
        {"image": image * 5, "caption": text},
        MODALITY,
        keys={"image": [1, 2], "caption": [1, 9]},
        k=1,
    )
    inside = found.modalities[0]
    assert inside.spread == pytest.approx(s)
    assert inside.cosine_mean == pytest.approx(c * c - s * s)
    assert inside.cosine_std == pytest.approx(0)
    pair = found.pairs[0]
    assert pair.gap == pytest.approx(c * np.sqrt(2))
    assert pair.gap_cosine == pytest.approx(1)
    assert pair.gap_over_spread == pytest.approx(c * np.sqrt(2) / s)
    assert pair.matched == 1
    assert pair.matched_mean == pytest.approx(2 * c * s)
    # the other three pairs: image 1 with text 9, image 2 with both
    assert pair.random_mean == pytest.approx((0 + 0 - 2 * c * s) / 3)


def test_an_unbiased_index_has_no_lift(rng: np.random.Generator) -> None:
    fields = {"image": rng.normal(size=(300, 16)), "caption": rng.normal(size=(100, 16))}
    found = diagnose(fields, MODALITY)
    for reading in found.bias:
        assert abs(reading.lift) < 0.1
        assert not reading.sorts_by_modality
    assert found.bias[0].share == pytest.approx(299 / 399)
    assert found.pairs[0].matched == 0
    assert found.pairs[0].matched_mean is None


def test_fields_of_one_modality_are_read_together_and_a_lone_modality_has_no_bias(
    rng: np.random.Generator,
) -> None:
    fields = {"caption": rng.normal(size=(20, 4)), "title": rng.normal(size=(5, 4))}
    found = diagnose(fields, {"caption": "text", "title": "text"})
    assert [reading.rows for reading in found.modalities] == [25]
    assert found.pairs == ()
    assert found.bias == ()


def test_a_row_does_not_find_itself(rng: np.random.Generator) -> None:
    # One image among texts: were it to find itself, its rate would be 1 at k = 1.
    fields = {"image": rng.normal(size=(1, 4)), "caption": rng.normal(size=(9, 4))}
    found = diagnose(fields, MODALITY, k=1)
    assert found.bias[0].rate == 0.0
    assert found.bias[0].share == 0.0
    assert found.modalities[0].cosine_mean is None


def test_k_is_cut_to_the_rows_there_are(rng: np.random.Generator) -> None:
    fields = {"image": rng.normal(size=(2, 4)), "caption": rng.normal(size=(2, 4))}
    assert {reading.k for reading in diagnose(fields, MODALITY, k=50).bias} == {3}


def test_equal_rows_have_no_spread() -> None:
    fields = {"image": np.tile([1.0, 0.0], (3, 1)), "caption": np.tile([0.0, 1.0], (3, 1))}
    found = diagnose(fields, MODALITY)
    assert found.modalities[0].spread == 0
    assert found.pairs[0].gap_over_spread is None
    assert "-" in str(found)


def test_a_large_set_is_sampled_with_its_pairs_and_repeatably(rng: np.random.Generator) -> None:
    meaning = rng.normal(size=(3000, 8))
    fields = {"image": meaning + 3 * np.eye(8)[0], "caption": meaning}
    keys = {"image": np.arange(3000), "caption": np.arange(3000)}
    found = diagnose(fields, MODALITY, keys=keys, sample=400)
    assert [reading.rows for reading in found.modalities] == [200, 200]
    assert found.pairs[0].matched == 200
    assert found.notes == ("default: a sample of 400 of 6000 rows (seed 0)",)
    assert found == diagnose(fields, MODALITY, keys=keys, sample=400)
    assert found != diagnose(fields, MODALITY, keys=keys, sample=400, seed=1)
    image, text = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in fields.values())
    gap = np.linalg.norm(image.mean(axis=0) - text.mean(axis=0))
    assert found.pairs[0].gap == pytest.approx(gap, abs=0.1)
    few = {name: rows[:200] for name, rows in fields.items()}
    assert diagnose(few, MODALITY, sample=400).notes == ()


def test_a_rare_modality_is_topped_up() -> None:
    keys = {"image": np.arange(10_000), "caption": np.arange(10_000, 10_150)}
    chosen = sample_keys(keys, MODALITY, 500, seed=3)
    assert len(chosen["caption"]) == 100
    assert len(np.unique(chosen["caption"])) == 100
    assert 400 < len(chosen["image"]) < 520
    assert np.isin(chosen["image"], keys["image"]).all()
    assert sample_keys(keys, MODALITY, 20_000, 0)["image"].tolist() == keys["image"].tolist()


def test_to_dict_is_json_and_str_is_readable(rng: np.random.Generator) -> None:
    image, text = rng.normal(size=(30, 4)) + 3, rng.normal(size=(30, 4)) - 3
    found = diagnose({"image": image, "caption": text}, MODALITY, space="clip")
    data = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert data["pairs"][0]["gap"] == found.pairs[0].gap
    assert [reading["query_modality"] for reading in data["bias"]] == ["image", "text"]
    text_form = str(found)
    for part in (
        "Modalities",
        "Gap between modalities",
        "Intra-modal bias",
        "image - text",
        "sorts by modality",
        "clip",
    ):
        assert part in text_form


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fields": {}}, "there is no vector to look at"),
        ({"fields": {"image": np.empty((0, 4))}}, "there is no vector to look at"),
        ({"fields": {"image": np.ones((2, 4)), "caption": np.ones((2, 5))}}, "shapes"),
        ({"fields": {"image": np.ones(4)}}, "shapes"),
        ({"fields": {"image": np.ones((2, 4))}, "keys": {"image": [1]}}, "2 rows and 1 keys"),
        ({"fields": {"image": np.ones((2, 4))}, "keys": {}}, "keys lacks the field 'image'"),
        ({"fields": {"sound": np.ones((2, 4))}}, "modality_of lacks the field 'sound'"),
        ({"fields": {"image": np.ones((2, 4))}, "k": 0}, "k is 0"),
        ({"fields": {"image": np.ones((2, 4))}, "sample": 0}, "sample is 0"),
    ],
)
def test_diagnose_refuses(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        diagnose(modality_of=MODALITY, **arguments)  # type: ignore[arg-type]


def test_join_of_nothing_is_empty() -> None:
    assert Diagnosis.join([]) == Diagnosis((), (), ())


# -- on a collection ----------------------------------------------------------------------------


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
                col.diagnose(**bad)  # type: ignore[arg-type]


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
