"""Scores of given pairs: the cosines and probabilities that a search would find for them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import gapless as gl
from gapless.collection import Collection
from gapless.errors import InvalidArgument, InvalidVector, SpaceMismatch, UnknownField, UnknownId
from gapless.query.encoders import Encoders
from gapless.rerank.pairs import PairRoute, PairScores, score_pairs

SIZE, BOTH, ALONE = 24, 80, 20
SCHEMA = gl.Schema(
    {"clip": gl.Space(SIZE), "sound": gl.Space(4)},
    {
        "image": gl.Field("clip", "image", index="flat"),
        "caption": gl.Field("clip", "text", index="flat"),
        "frames": gl.Field("clip", "video", index="flat", several=True),
        "audio": gl.Field("sound", "audio", index="flat"),
    },
)
Rows = NDArray[np.float64]


def world() -> dict[str, Rows]:
    """Images and captions of the same meanings in two cones, and other words for each."""
    rng = np.random.default_rng(0)
    meaning = rng.normal(size=(BOTH + 2 * ALONE, SIZE))
    cone = {"image": 3 * np.eye(SIZE)[0], "text": 3 * np.eye(SIZE)[1]}
    found = {
        name: meaning + noise * rng.normal(size=meaning.shape) + cone[side]
        for name, side, noise in (
            ("image", "image", 0.3), ("caption", "text", 0.3), ("wording", "text", 0.2),
        )
    }  # fmt: skip
    return {
        name: rows / np.linalg.norm(rows, axis=1, keepdims=True) for name, rows in found.items()
    }


ROWS = world()
FRAMES = np.random.default_rng(3).normal(size=(5, SIZE))


@pytest.fixture
def media(tmp_path: Path) -> Iterator[Collection]:
    """Items with image and caption, then some with an image alone, then with a caption alone."""
    with gl.open(tmp_path / "media", SCHEMA) as col:
        col.upsert(range(BOTH), {"image": ROWS["image"][:BOTH], "caption": ROWS["caption"][:BOTH]})
        images = range(BOTH, BOTH + ALONE)
        col.upsert(images, {"image": ROWS["image"][images]})
        captions = range(BOTH + ALONE, BOTH + 2 * ALONE)
        col.upsert(captions, {"caption": ROWS["caption"][captions]})
        col.upsert(["film", "still"], {"frames": [FRAMES[:4], FRAMES[4:]]})
        col.upsert(["rain", "wind"], {"audio": np.eye(2, 4)})
        yield col


class Words:
    """An encoder of ``"word 3"`` or ``"image 3"``, by the rows of that name."""

    def __init__(self, name: str) -> None:
        self._rows = ROWS[name]

    def encode(self, items: Sequence[str]) -> Rows:
        return self._rows[[int(item.split()[-1]) for item in items]]


ENCODERS = Encoders(SCHEMA, {"clip": {"text": Words("wording"), "image": Words("image")}})


def scored(col: Collection, a: Any, b: Any, **fields: Any) -> PairScores:
    storage = col._storage
    with storage.scoring(None) as (version, maps, _):
        return score_pairs(storage, ENCODERS, version, maps, a, b, **fields)


def test_texts_and_stored_images(media: Collection) -> None:
    ids = [3, 3, BOTH + 1, 7]
    found = scored(media, {"text": ["word 3", "word 4", "word 5", "word 7"]}, ids, fields=["image"])
    assert found.routes == (PairRoute("text", None, "image"),)
    expected = [
        ROWS["wording"][w] @ ROWS["image"][i] for w, i in zip([3, 4, 5, 7], ids, strict=True)
    ]
    assert found.cosines[:, 0] == pytest.approx(expected, abs=1e-6)
    assert np.isnan(found.probabilities).all()
    assert np.isnan(found.probability).all()
    assert found.to_list()[0] == {
        "probability": None,
        "routes": [
            {
                "route": "text → image",
                "cosine": pytest.approx(expected[0], abs=1e-6),
                "probability": None,
            }
        ],
    }
    json.dumps(found.to_list())
    assert repr(found).startswith("4 pairs\npair  probability  text → image")


def test_one_goes_with_every_one_of_the_other(media: Collection) -> None:
    many = scored(media, {"text": "word 3"}, [1, 3, 5])
    assert [str(route) for route in many.routes] == [
        "text → image", "text → caption", "text → frames"
    ]  # fmt: skip
    for j, name in enumerate(("image", "caption")):
        wanted = ROWS[name][[1, 3, 5]] @ ROWS["wording"][3]
        assert many.cosines[:, j] == pytest.approx(wanted, abs=1e-6)
    assert np.isnan(many.cosines[:, 2]).all()
    turned = scored(media, {"text": ["word 1", "word 3", "word 5"]}, 3, fields=["image"])
    assert turned.cosines[:, 0] == pytest.approx(
        ROWS["wording"][[1, 3, 5]] @ ROWS["image"][3], abs=1e-6
    )
    lone = scored(media, {"vectors": {"sound": np.eye(3, 4)}}, "rain")
    assert lone.routes == (PairRoute(None, None, "audio"),)
    assert lone.cosines[:, 0] == pytest.approx([1.0, 0.0, 0.0])


def test_what_an_item_lacks_is_nan(media: Collection) -> None:
    image_alone, caption_alone = BOTH + 1, BOTH + ALONE + 1
    found = scored(media, {"text": ["word 1", "word 1"]}, [image_alone, caption_alone])
    assert np.isnan(found.cosines).tolist() == [[False, True, True], [True, False, True]]
    stored = scored(media, [image_alone], [caption_alone], query_fields=["image"])
    assert [str(route) for route in stored.routes] == [
        "image → image", "image → caption", "image → frames"
    ]  # fmt: skip
    assert np.isnan(stored.cosines).tolist() == [[True, False, True]]
    back = scored(media, [caption_alone, image_alone], 3, query_fields=["image"], fields=["image"])
    assert np.isnan(back.cosines[:, 0]).tolist() == [True, False]


def test_several_rows_ask_by_their_mean_and_answer_by_the_best(media: Collection) -> None:
    unit = FRAMES / np.linalg.norm(FRAMES, axis=1, keepdims=True)
    found = scored(media, {"text": ["word 3", "word 4"]}, ["film", "still"], fields=["frames"])
    assert found.cosines[:, 0] == pytest.approx(
        [(unit[:4] @ ROWS["wording"][3]).max(), unit[4] @ ROWS["wording"][4]], abs=1e-6
    )
    asked = scored(media, ["film", "still"], [3, 3], query_fields=["frames"], fields=["image"])
    mean = unit[:4].mean(axis=0)
    assert asked.cosines[:, 0] == pytest.approx(
        [mean / np.linalg.norm(mean) @ ROWS["image"][3], unit[4] @ ROWS["image"][3]], abs=1e-6
    )
    twice = scored(media, "film", ["film", "film"], query_fields=["frames"], fields=["frames"])
    assert twice.cosines[0] == twice.cosines[1]


def test_texts_and_images_that_are_not_stored(media: Collection) -> None:
    """Image-text matching proper: either side is encoded."""
    found = scored(media, {"text": ["word 3", "word 4"]}, {"image": ["image 3", "image 9"]})
    assert found.routes == (PairRoute("text", None, "image"),)
    assert found.cosines[:, 0] == pytest.approx(
        [ROWS["wording"][3] @ ROWS["image"][3], ROWS["wording"][4] @ ROWS["image"][9]], abs=1e-6
    )
    rows = {"image": ROWS["image"][[3, 9]], "audio": np.eye(2, 4)}
    given = scored(media, {"text": ["word 3", "word 4"]}, {"vectors": rows})
    assert given.cosines == pytest.approx(found.cosines, abs=1e-6)
    with pytest.raises(InvalidArgument, match="no encoder for a audio query"):
        scored(media, {"text": ["word 3"]}, {"audio": ["bang"]})
    with pytest.raises(InvalidArgument, match="no encoder for a text query"):
        scored(media, {"text": ["word 3"]}, ["rain"], fields=["audio"])


@pytest.mark.parametrize("background", [False, True])
def test_probabilities_are_those_of_a_search(media: Collection, background: bool) -> None:
    pairs = (ROWS["wording"][:BOTH], list(range(BOTH)))
    media.align("center", tolerance=1.0)
    media.calibrate(positives={("text", "caption"): pairs}, background=background)
    question = ROWS["wording"][3]
    hits = media.search(
        vectors={"clip": question}, modality="text", fields=["image", "caption"], limit=500
    )
    assert hits.fusion == "calibrated"
    wanted = {hit.id: hit for hit in hits}
    ids = list(wanted)
    query = {"vectors": {"clip": question[None]}, "modality": "text"}
    found = scored(media, query, ids, fields=["image", "caption"])
    assert found.probability == pytest.approx([wanted[i].score for i in ids], abs=1e-6)
    for i, item in enumerate(ids):
        for part in wanted[item].contributions:
            j = [route.field for route in found.routes].index(part.field)
            assert found.probabilities[i, j] == pytest.approx(part.calibrated, abs=1e-6)
    # Pairs that are not stored are scored as if they were, under the same alignment.
    loose = scored(media, query, {"image": ["image 3", "image 5"]})
    kept = scored(media, query, [3, 5], fields=["image"])
    assert loose.cosines == pytest.approx(kept.cosines, abs=1e-6)
    assert loose.probability == pytest.approx(kept.probability, abs=1e-6)
    assert loose.probability[0] > 0.5 > loose.probability[1]
    # Each query has a level of its own.
    two = {"vectors": {"clip": ROWS["wording"][[3, 9]]}, "modality": "text"}
    both = scored(media, two, [3, 9], fields=["image"])
    assert both.probability[0] == pytest.approx(kept.probability[0], abs=1e-9)
    image_image = scored(media, [3], [5], query_fields=["image"], fields=["image"])
    assert np.isnan(image_image.probability).all()
    assert not np.isnan(image_image.cosines).any()


@pytest.mark.parametrize(
    ("a", "b", "kind", "message"),
    [
        ({"text": ["word 1"] * 2}, [1, 2, 3], InvalidArgument, "a has 2 and b has 3 entries"),
        ([1, 2], {"text": ["word 1"] * 3}, InvalidArgument, "a has 2 and b has 3"),
        ({"words": ["x"]}, [1], InvalidArgument, r"a has the keys \['words'\]: give a list of ids"),
        ({"text": ["x"], "image": ["y"]}, [1], InvalidArgument, "a has the keys"),
        ({"text": ["x"], "modality": "text"}, [1], InvalidArgument, "a has the keys"),
        ({"text": []}, [1], InvalidArgument, r"a\['text'\] is \[\]"),
        ({"text": [3]}, [1], InvalidArgument, r"a\['text'\] is \[3\]"),
        ([], [1], InvalidArgument, "a is empty"),
        (3.5, [1], InvalidArgument, "a is 3.5"),
        (["gone"], [1], UnknownId, "no item 'gone'"),
        ([1], ["1"], UnknownId, "no item '1'"),
        ({"vectors": {"bge": np.eye(1, 4)}}, [1], UnknownField, "names the space 'bge'"),
        ([1], {"vectors": {"clip": np.eye(1, SIZE)}}, UnknownField, "names the field 'clip'"),
        ({"vectors": {"clip": np.eye(1, 4)}}, [1], InvalidVector, r"give \(n, 24\)"),
        ({"vectors": {"clip": np.zeros((1, SIZE))}}, [1], InvalidVector, "a.'vectors'"),
        (
            {"vectors": {"clip": np.eye(2, SIZE), "sound": np.eye(1, 4)}},
            [1],
            InvalidArgument,
            "give as many of each",
        ),
        ({"vectors": [1.0]}, [1], InvalidArgument, "give {space: rows"),
        ({"vectors": {"clip": np.eye(1, SIZE)}, "modality": 3}, [1], InvalidArgument, "is 3"),
        ({"audio": ["bang"]}, [1], InvalidArgument, "no encoder for a audio query"),
    ],
)
def test_bad_sides_are_refused(
    media: Collection, a: Any, b: Any, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        scored(media, a, b)


def test_bad_fields_are_refused(media: Collection) -> None:
    with pytest.raises(InvalidArgument, match=r"fields is 'image': give a list"):
        scored(media, [1], [2], fields="image")
    with pytest.raises(UnknownField, match="no field 'photo'"):
        scored(media, [1], [2], query_fields=["photo"])
    with pytest.raises(SpaceMismatch, match="the fields are 'audio'"):
        scored(media, [1], [2], query_fields=["image"], fields=["audio"])


def test_clip_pairs_that_match_are_told_from_others(
    tmp_path: Path, clip_pairs: NDArray[np.float32]
) -> None:
    """Calibrated on 300 images with captions, judged on 200 others and on captions of others."""
    rows = clip_pairs.astype(np.float64)
    images, captions = rows / np.linalg.norm(rows, axis=2, keepdims=True)
    schema = gl.Schema({"clip": gl.Space(512)}, {
        "image": gl.Field("clip", "image", index="flat"),
        "caption": gl.Field("clip", "text", index="flat"),
    })  # fmt: skip
    with gl.open(tmp_path / "clip", schema) as col:
        col.upsert(range(300), {"image": images[:300], "caption": captions[:300]})
        col.upsert(range(300, 500), {"image": images[300:]})
        col.calibrate(prior=0.5)
        storage, encoders = col._storage, Encoders(schema)

        def chances(ids: list[int]) -> Rows:
            side = {"vectors": {"clip": captions[300:]}, "modality": "text"}
            with storage.scoring(None) as (version, maps, _):
                made = score_pairs(storage, encoders, version, maps, side, ids, fields=["image"])
            direct = (captions[300:] * images[ids]).sum(axis=1)
            assert made.cosines[:, 0] == pytest.approx(direct, abs=1e-6)
            return made.probability

        right = chances(list(range(300, 500)))
        wrong = np.concatenate(
            [chances([300 + (i + shift) % 200 for i in range(200)]) for shift in (1, 50, 101)]
        )
    above = (right[:, None] > wrong).mean() + 0.5 * (right[:, None] == wrong).mean()
    assert above > 0.97
    assert (right > 0.5).mean() > 0.85
    assert (wrong < 0.5).mean() > 0.85
