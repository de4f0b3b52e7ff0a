"""Searches by text and by image, through real ONNX graphs small enough to write by hand.

The model knows three colours: a text's vector is the mean of its words' colours, an image's is its
mean colour. Each modality adds its own constant direction, so the two lie in cones apart.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers

import gapless as gl
from gapless.collection import Collection
from gapless.errors import (
    InvalidArgument,
    MissingModelFile,
    SchemaMismatch,
    UnreadableImage,
)

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
DIM = 5  # three colours, a direction of texts, a direction of images


def save_graph(
    path: Path,
    nodes: list[onnx.NodeProto],
    constants: dict[str, npt.NDArray[np.generic]],
    given: onnx.ValueInfoProto,
    made: str,
) -> None:
    graph = helper.make_graph(
        nodes,
        "colours",
        [given],
        [helper.make_tensor_value_info(made, TensorProto.FLOAT, ["batch", DIM])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)


def text_model(folder: Path) -> None:
    words = {"[UNK]": 0, **{word: i for i, word in enumerate(COLOURS, 1)}}
    table = np.zeros((len(words), DIM), np.float32)
    table[1:, :3] = np.eye(3)
    table[:, 3] = 2.0
    save_graph(
        folder / "onnx" / "text_model.onnx",
        [
            helper.make_node("Gather", ["table", "input_ids"], ["tokens"]),
            helper.make_node("ReduceMean", ["tokens"], ["text_embeds"], axes=[1], keepdims=0),
        ],
        {"table": table},
        helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "length"]),
        "text_embeds",
    )
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text("{}")


def vision_model(folder: Path) -> None:
    matrix = np.zeros((3, DIM), np.float32)
    matrix[:, :3] = np.eye(3)
    save_graph(
        folder / "onnx" / "vision_model.onnx",
        [
            helper.make_node("ReduceMean", ["pixel_values"], ["mean"], axes=[2, 3], keepdims=0),
            helper.make_node("MatMul", ["mean", "matrix"], ["colour"]),
            helper.make_node("Add", ["colour", "cone"], ["image_embeds"]),
        ],
        {"matrix": matrix, "cone": np.array([[0, 0, 0, 0, 2]], np.float32)},
        helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, ["batch", 3, 8, 8]),
        "image_embeds",
    )
    (folder / "preprocessor_config.json").write_text(
        json.dumps(
            {
                "do_resize": True,
                "size": {"height": 8, "width": 8},
                "do_rescale": True,
                "rescale_factor": 1 / 255,
                "do_normalize": False,
            }
        )
    )


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("colours")
    text_model(folder)
    vision_model(folder)
    return folder


def picture(*colours: str) -> Image.Image:
    """Vertical stripes of these colours."""
    pixels = np.zeros((8, 8, 3), np.uint8)
    for part, name in zip(np.array_split(np.arange(8), len(colours)), colours, strict=True):
        pixels[:, part] = COLOURS[name]
    return Image.fromarray(pixels)


@pytest.fixture
def colours(tmp_path: Path, model: Path) -> Collection:
    """Single-modality items: an image and a caption of every colour and of every pair."""
    schema = gl.Schema(
        {"colours": gl.Space(DIM, encoder=str(model))},
        {
            "image": gl.Field("colours", "image", index="flat"),
            "caption": gl.Field("colours", "text", index="flat"),
        },
    )
    col = gl.open(tmp_path / "col", schema)
    names = list(COLOURS)
    several = [(a,) for a in names] + [(a, b) for a in names for b in names if a != b]
    several += [(a, a, b) for a in names for b in names if a != b]
    ids = [" ".join(words) for words in several]
    from gapless.encode import load_encoder

    images = load_encoder(str(model), "image").encode([picture(*words) for words in several])
    texts = load_encoder(str(model), "text").encode(ids)
    col.upsert([f"image of {name}" for name in ids], {"image": images})
    col.upsert([f"text {name}" for name in ids], {"caption": texts})
    return col


def test_a_text_finds_images_and_texts_of_its_meaning(colours: Collection) -> None:
    with colours as col:
        hits = col.search(text="red")
        assert hits.fusion == "cohort"
        assert set(hits.ids[:2]) == {"image of red", "text red"}
        assert {part.query_modality for hit in hits for part in hit.contributions} == {"text"}


def test_an_image_is_given_as_path_array_or_picture(colours: Collection, tmp_path: Path) -> None:
    picture("blue").save(tmp_path / "b.png")
    with colours as col:
        found = [
            col.search(image=image)
            for image in (tmp_path / "b.png", picture("blue"), np.asarray(picture("blue")))
        ]
        assert found[0] == found[1] == found[2]
        assert set(found[0].ids[:2]) == {"image of blue", "text blue"}


def test_a_composed_query_weighs_both_parts_in_every_field(colours: Collection) -> None:
    with colours as col:
        hits = col.search(text="red", image=picture("blue"), limit=30)
        assert (hits.fusion, hits.reason) == ("cohort", "auto: the query has several parts")
        # The four that hold red and blue alike come before the pure ones.
        assert set(hits.ids[:4]) == {
            f"{kind} {pair}" for kind in ("image of", "text") for pair in ("red blue", "blue red")
        }
        for hit in hits:
            assert [part.query_modality for part in hit.contributions] == ["text", "image"]
            total = sum(part.normalised or 0.0 for part in hit.contributions)
            assert hit.score == pytest.approx(total / 2)
        assert "text → image" in hits.explain()
        assert "image → image" in hits.explain()
        assert col.search(text="red", image=picture("blue"), fusion="rrf").fusion == "rrf"


def test_an_alignment_is_told_the_modality_of_each_part(colours: Collection, model: Path) -> None:
    from gapless.alignment.align import align_rows
    from gapless.encode import load_encoder

    with colours as col:
        col.align("center")
        maps = col._storage.maps
        hits = col.search(text="red", image=picture("blue"), limit=30)
        asked = {
            "text": load_encoder(str(model), "text").encode(["red"]),
            "image": load_encoder(str(model), "image").encode([picture("blue")]),
        }
        for hit in hits:
            for part in hit.contributions:
                row = col.get(hit.id, vectors=True).vectors[part.field]
                q = align_rows(
                    asked[str(part.query_modality)], maps[part.field], part.query_modality
                )
                d = align_rows(row[None], maps[part.field])
                assert part.aligned == pytest.approx(float(q[0] @ d[0]), abs=1e-5)


def test_parts_meet_vectors_of_the_same_space(colours: Collection) -> None:
    with colours as col:
        q = np.array([0, 0, 1, 2, 0])
        hits = col.search(text="red", vectors={"colours": q}, modality="text", limit=3)
        assert [part.query_modality for part in hits[0].contributions] == ["text", "text"]
        assert hits.fusion == "cohort"


def test_an_unreadable_image_is_named(colours: Collection, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG but not really")
    with colours as col:
        with pytest.raises(UnreadableImage, match=r"broken\.png"):
            col.search(image=tmp_path / "broken.png")
        with pytest.raises(UnreadableImage, match=r"nowhere\.png"):
            col.search(image=tmp_path / "nowhere.png")
        assert len(col.search(text="red")) == 10


def test_an_encoder_of_another_dim_is_a_mismatch(tmp_path: Path, model: Path) -> None:
    schema = gl.Schema(
        {"s": gl.Space(4, encoder=str(model))}, {"image": gl.Field("s", "image", index="flat")}
    )
    with (
        gl.open(tmp_path / "c", schema) as col,
        pytest.raises(SchemaMismatch, match="makes vectors of dim 5 and space 's' has dim 4"),
    ):
        col.search(text="red")


def test_a_missing_model_folder_is_named_even_beside_a_good_one(
    tmp_path: Path, model: Path
) -> None:
    schema = gl.Schema(
        {
            "good": gl.Space(DIM, encoder=str(model)),
            "bad": gl.Space(DIM, encoder=str(tmp_path / "nowhere")),
        },
        {
            "image": gl.Field("good", "image", index="flat"),
            "body": gl.Field("bad", "text", index="flat"),
        },
    )
    with gl.open(tmp_path / "c", schema) as col:
        with pytest.raises(MissingModelFile, match="nowhere"):
            col.search(text="red")
        col.upsert(["x"], {"image": np.eye(1, DIM)})
        assert col.search(text="red", fields=["image"]).ids == ["x"]


def test_a_text_only_model_is_left_out_of_an_image_query(tmp_path: Path, model: Path) -> None:
    text_model(tmp_path / "words")
    schema = gl.Schema(
        {
            "both": gl.Space(DIM, encoder=str(model)),
            "words": gl.Space(DIM, encoder=str(tmp_path / "words")),
            "plain": gl.Space(3),
        },
        {
            "image": gl.Field("both", "image", index="flat"),
            "body": gl.Field("words", "text", index="flat"),
            "other": gl.Field("plain", "text", index="flat"),
        },
    )
    with gl.open(tmp_path / "c", schema) as col:
        rows = {"image": np.eye(1, DIM), "body": np.eye(1, DIM), "other": np.eye(1, 3)}
        col.upsert(["x"], rows)
        by_image = col.search(image=picture("red"))[0]
        assert [part.field for part in by_image.contributions] == ["image"]
        by_text = col.search(text="red")[0]
        assert [part.field for part in by_text.contributions] == ["image", "body"]
        with pytest.raises(MissingModelFile, match="no graph for image"):
            col.search(image=picture("red"), fields=["body"])
        with pytest.raises(InvalidArgument, match=r"the spaces searched \(plain\) name none"):
            col.search(text="red", fields=["other"])


def test_a_model_that_lacks_a_file_is_not_passed_over(tmp_path: Path, model: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(model, broken)
    schema = gl.Schema(
        {"good": gl.Space(DIM, encoder=str(model)), "bad": gl.Space(DIM, encoder=str(broken))},
        {
            "image": gl.Field("good", "image", index="flat"),
            "body": gl.Field("bad", "text", index="flat"),
        },
    )
    (broken / "tokenizer.json").unlink()
    (broken / "preprocessor_config.json").unlink()
    with gl.open(tmp_path / "c", schema) as col:
        col.upsert(["x"], {"image": np.eye(1, DIM), "body": np.eye(1, DIM)})
        with pytest.raises(MissingModelFile, match=r"has no tokenizer\.json"):
            col.search(text="red")
        with pytest.raises(MissingModelFile, match=r"has no preprocessor_config\.json"):
            col.search(image=picture("red"))
        shutil.rmtree(broken / "onnx")
        with pytest.raises(MissingModelFile, match="has no graph for text"):
            col.search(text="red")


def test_a_text_model_in_a_file_for_either_is_left_out_of_an_image_query(
    tmp_path: Path, model: Path
) -> None:
    words = tmp_path / "words"
    text_model(words)
    (words / "onnx" / "text_model.onnx").rename(words / "onnx" / "model.onnx")
    schema = gl.Schema(
        {"both": gl.Space(DIM, encoder=str(model)), "words": gl.Space(DIM, encoder=str(words))},
        {
            "image": gl.Field("both", "image", index="flat"),
            "body": gl.Field("words", "text", index="flat"),
        },
    )
    with gl.open(tmp_path / "c", schema) as col:
        col.upsert(["x"], {"image": np.eye(1, DIM), "body": np.eye(1, DIM)})
        by_image = col.search(image=picture("red"))[0]
        assert [part.field for part in by_image.contributions] == ["image"]
        by_text = col.search(text="red")[0]
        assert [part.field for part in by_text.contributions] == ["image", "body"]
