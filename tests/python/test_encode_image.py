"""Image encoder on tiny real graphs: batching, kinds of input, agreement of files, errors."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")
pytest.importorskip("PIL")

from onnx import TensorProto
from PIL import Image

from encode_models import DIM, PLAIN, hide, unit, write_image_model, write_text_model
from gapless.encode import ImageEncoder, load_encoder
from gapless.errors import InvalidArgument, MissingExtra, MissingModelFile, UnreadableImage


def pictures(count: int, side: int = 8) -> list[np.ndarray]:
    rng = np.random.default_rng(9)
    return [rng.integers(0, 256, (side, side, 3), np.uint8) for _ in range(count)]


def reference(pixels: np.ndarray) -> np.ndarray:
    """Compute the tiny graph of ``write_image_model`` by plain loops over (H, W, C) uint8."""
    rng = np.random.default_rng(5)
    kernel = rng.normal(size=(12, pixels.shape[2], 3, 3)).astype(np.float32)
    projection = rng.normal(size=(12, DIM)).astype(np.float32)
    values = ((pixels / 255.0 - 0.5) / 0.5).transpose(2, 0, 1)
    padded = np.pad(values, ((0, 0), (1, 1), (1, 1)))
    height, width = pixels.shape[:2]
    maps = np.zeros((12, height, width))
    for y in range(height):
        for x in range(width):
            window = padded[:, y : y + 3, x : x + 3]
            maps[:, y, x] = (kernel * window).sum(axis=(1, 2, 3))
    return unit(np.maximum(maps, 0).mean(axis=(1, 2)) @ projection)


def test_vectors_are_those_of_the_graph_and_unit(tmp_path: Path) -> None:
    encoder = ImageEncoder(write_image_model(tmp_path))
    items = pictures(5)
    got = encoder.encode(items, batch_size=2)
    assert (encoder.dim, encoder.modality, got.dtype) == (DIM, "image", np.float32)
    np.testing.assert_allclose(got, np.stack([reference(p) for p in items]), atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 3, 64, 100])
def test_every_batch_size_gives_the_same_rows(tmp_path: Path, batch_size: int) -> None:
    encoder = ImageEncoder(write_image_model(tmp_path))
    items = pictures(64)
    alone = np.concatenate([encoder.encode([p]) for p in items])
    np.testing.assert_allclose(encoder.encode(items, batch_size), alone, atol=1e-5)


def test_path_picture_and_array_of_one_image_are_equal(tmp_path: Path) -> None:
    encoder = ImageEncoder(write_image_model(tmp_path / "model"))
    (array,) = pictures(1)
    file = tmp_path / "picture.png"
    Image.fromarray(array).save(file)
    opaque = np.dstack([array, np.full((8, 8), 255, np.uint8)])
    got = encoder.encode([file, str(file), Image.fromarray(array), array, opaque])
    np.testing.assert_array_equal(got, np.repeat(got[:1], 5, axis=0))
    stack = encoder.encode(np.stack([array, array]))  # one array of several images
    np.testing.assert_array_equal(stack, got[:2])


def test_one_opened_picture_may_be_in_the_list_many_times(tmp_path: Path) -> None:
    encoder = ImageEncoder(write_image_model(tmp_path / "model"), threads=4)
    file = tmp_path / "picture.png"
    Image.fromarray(pictures(1, side=200)[0]).save(file)
    with Image.open(file) as picture:
        got = encoder.encode([picture] * 40)
    np.testing.assert_array_equal(got, np.repeat(got[:1], 40, axis=0))


def test_one_channel_graph(tmp_path: Path) -> None:
    config = {**PLAIN, "do_convert_grayscale": True, "image_mean": [0.5], "image_std": [0.5]}
    encoder = ImageEncoder(write_image_model(tmp_path, config, channels=1))
    grey = np.random.default_rng(2).integers(0, 256, (8, 8), np.uint8)
    np.testing.assert_allclose(encoder.encode([grey])[0], reference(grey[:, :, None]), atol=1e-5)


def test_channels_of_graph_and_preprocessor_must_agree(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"wants 1 channels.*makes 3.*do_convert_grayscale"):
        ImageEncoder(write_image_model(tmp_path, PLAIN, channels=1))


def test_graph_of_fixed_batch_is_filled_up(tmp_path: Path) -> None:
    items = pictures(6)
    encoder = ImageEncoder(write_image_model(tmp_path, batch=4))
    want = np.stack([reference(p) for p in items])
    np.testing.assert_allclose(encoder.encode(items), want, atol=1e-5)


def test_pictures_of_many_sizes_without_a_crop(tmp_path: Path) -> None:
    config = {**PLAIN, "do_resize": False}
    encoder = ImageEncoder(write_image_model(tmp_path, config, side="side"))
    items = [pictures(1, side)[0] for side in (8, 11, 8, 5)]
    want = np.stack([reference(p) for p in items])
    np.testing.assert_allclose(encoder.encode(items), want, atol=1e-5)


def test_input_is_found_by_rank_and_output_when_alone(tmp_path: Path) -> None:
    import onnx

    folder = write_image_model(tmp_path, output="my_vector")
    model = onnx.load(str(folder / "onnx" / "vision_model.onnx"))
    model.graph.input[0].name = model.graph.node[0].input[0] = "pictures"
    onnx.save(model, str(folder / "onnx" / "vision_model.onnx"))
    (array,) = pictures(1)
    np.testing.assert_allclose(ImageEncoder(folder).encode([array])[0], reference(array), atol=1e-5)


def test_patch_tokens_are_represented_by_the_first(tmp_path: Path) -> None:
    from onnx import helper

    from encode_models import save_graph, write_json

    save_graph(  # rows of the picture as tokens: (n, 3, 8, 8) -> (n, 8, 24)
        tmp_path / "vision_model.onnx",
        [
            helper.make_node("Transpose", ["pixel_values"], ["rows"], perm=[0, 2, 3, 1]),
            helper.make_node("Reshape", ["rows", "shape"], ["last_hidden_state"]),
        ],
        [("pixel_values", TensorProto.FLOAT, ["batch", 3, 8, 8])],
        [("last_hidden_state", ["batch", 8, 24])],
        {"shape": np.array([0, 8, 24], np.int64)},
    )
    write_json(tmp_path, "preprocessor_config.json", PLAIN)
    (array,) = pictures(1)
    want = unit(((array[0] / 255.0 - 0.5) / 0.5).reshape(-1))
    np.testing.assert_allclose(ImageEncoder(tmp_path).encode([array])[0], want, atol=1e-6)


def test_a_fused_graph_gets_a_blank_text(tmp_path: Path) -> None:
    import onnx

    folder = write_image_model(tmp_path, name="model.onnx")
    model = onnx.load(str(folder / "model.onnx"))
    ids = onnx.helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["texts", "length"])
    model.graph.input.append(ids)
    onnx.save(model, str(folder / "model.onnx"))
    (array,) = pictures(1)
    np.testing.assert_allclose(ImageEncoder(folder).encode([array])[0], reference(array), atol=1e-5)


def test_no_images_give_no_rows(tmp_path: Path) -> None:
    got = ImageEncoder(write_image_model(tmp_path)).encode([])
    assert (got.shape, got.dtype) == ((0, DIM), np.float32)


def truncated_png() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pictures(1, side=64)[0]).save(buffer, "PNG")
    return buffer.getvalue()[:3000]


@pytest.mark.parametrize(
    "content", [b"", b"this is text", truncated_png()], ids=["empty", "text", "truncated"]
)
def test_a_damaged_file_is_named_with_its_index(tmp_path: Path, content: bytes) -> None:
    encoder = ImageEncoder(write_image_model(tmp_path / "model"))
    file = tmp_path / "broken.png"
    file.write_bytes(content)
    with pytest.raises(UnreadableImage, match=r"image 2 .*broken\.png.*cannot be read"):
        encoder.encode([*pictures(2), file])
    np.testing.assert_allclose(encoder.encode(pictures(1))[0], reference(pictures(1)[0]), atol=1e-5)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    encoder = ImageEncoder(write_image_model(tmp_path / "model"))
    for path in (tmp_path / "absent.jpg", tmp_path):
        with pytest.raises(UnreadableImage, match=f"image 0 .*{path.name}"):
            encoder.encode([path])


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (np.zeros((4, 4, 3), np.float32), r"image 1 is a float32 array of shape \(4, 4, 3\)"),
        (np.zeros((4, 4, 2), np.uint8), r"image 1 is a uint8 array of shape \(4, 4, 2\)"),
        (np.zeros((0, 4), np.uint8), r"image 1 is a uint8 array of shape \(0, 4\)"),
        (7, r"image 1 is a int; wanted a path"),
    ],
)
def test_other_items_are_refused_by_index(tmp_path: Path, item: Any, message: str) -> None:
    with pytest.raises(UnreadableImage, match=message):
        ImageEncoder(write_image_model(tmp_path)).encode([pictures(1)[0], item])


@pytest.mark.parametrize(
    ("items", "batch_size", "message"),
    [
        ("cat.jpg", 64, "a single str: give a list"),
        (Path("cat.jpg"), 64, "a single .*Path: give a list"),
        (np.zeros((8, 8, 3), np.uint8), 64, r"one array of shape \(8, 8, 3\): give a list"),
        ([], -1, "batch_size=-1"),
    ],
)
def test_bad_arguments_are_named(tmp_path: Path, items: Any, batch_size: int, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        ImageEncoder(write_image_model(tmp_path)).encode(items, batch_size)


@pytest.mark.parametrize("gone", ["preprocessor_config.json", "onnx/vision_model.onnx"])
def test_a_missing_model_file_is_named(tmp_path: Path, gone: str) -> None:
    folder = write_image_model(tmp_path)
    (folder / gone).unlink()
    with pytest.raises(MissingModelFile, match=gone):
        ImageEncoder(folder)


def test_a_text_graph_is_no_image_encoder(tmp_path: Path) -> None:
    with pytest.raises(MissingModelFile, match=r"no pixel_values.*vision_model"):
        ImageEncoder(write_text_model(tmp_path))


@pytest.mark.parametrize("package", ["onnxruntime", "PIL.Image"])
def test_a_missing_package_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    folder = write_image_model(tmp_path)
    hide(package, monkeypatch)
    with pytest.raises(MissingExtra, match=r"pip install 'gapless\[onnx\]'"):
        ImageEncoder(folder)


def test_progress_counts_every_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    encoder = ImageEncoder(write_image_model(tmp_path))
    encoder.encode(pictures(5), batch_size=2, progress=True)
    assert "5.00/5.00" in capsys.readouterr().err


def test_threads_share_one_encoder(tmp_path: Path) -> None:
    encoder = load_encoder(write_image_model(tmp_path), "image", threads=2)
    items = pictures(7)
    want = encoder.encode(items)
    with ThreadPoolExecutor(6) as pool:
        for got in pool.map(lambda _: encoder.encode(items, batch_size=3), range(24)):
            np.testing.assert_allclose(got, want, atol=1e-6)
