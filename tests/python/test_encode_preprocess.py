"""Preprocessing against plain Pillow and float64 arithmetic, written here a second time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("PIL")

from PIL import Image

from gapless.encode.preprocess import Preprocess, centre_crop, flatten, open_image
from gapless.errors import InvalidArgument, UnreadableImage

CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073]
CLIP_STD = [0.26862954, 0.26130258, 0.27577711]
CLIP = {
    "crop_size": 224,
    "do_center_crop": True,
    "do_normalize": True,
    "do_resize": True,
    "feature_extractor_type": "CLIPFeatureExtractor",
    "image_mean": CLIP_MEAN,
    "image_std": CLIP_STD,
    "resample": 3,
    "size": 224,
}
SIGLIP = {
    "do_rescale": True,
    "rescale_factor": 0.00392156862745098,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "resample": 2,
    "size": {"height": 224, "width": 224},
}


def photo(width: int, height: int) -> Any:
    """Return a smooth picture with noise, so that resampling and cropping both matter."""
    y, x = np.mgrid[:height, :width]
    rng = np.random.default_rng(width * 1000 + height)
    waves = [127 + 90 * np.sin(x / a) * np.cos(y / b) for a, b in ((9, 14), (21, 5), (33, 40))]
    noisy = np.dstack(waves) + rng.normal(0, 12, (height, width, 3))
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def standardise(pixels: np.ndarray, mean: list[float], std: list[float]) -> np.ndarray:
    scaled = (pixels.astype(np.float64) / 255 - np.array(mean)) / np.array(std)
    return scaled.transpose(2, 0, 1)


@pytest.mark.parametrize("form", ["int", "dict"])
@pytest.mark.parametrize(
    ("width", "height", "resized", "box"),
    [  # resized and box worked out by hand: 224 * long / short cut down, then the middle
        (640, 480, (298, 224), (37, 0, 261, 224)),
        (480, 641, (224, 299), (0, 37, 224, 261)),
        (224, 224, (224, 224), (0, 0, 224, 224)),
        (100, 30, (746, 224), (261, 0, 485, 224)),
    ],
)
def test_clip_is_shortest_edge_then_centre_crop(
    width: int, height: int, resized: Any, box: Any, form: str
) -> None:
    config = dict(CLIP)
    if form == "dict":
        config |= {"size": {"shortest_edge": 224}, "crop_size": {"height": 224, "width": 224}}
    picture = photo(width, height)
    middle = picture.resize(resized, Image.Resampling.BICUBIC).crop(box)
    want = standardise(np.asarray(middle), CLIP_MEAN, CLIP_STD)
    got = Preprocess(config)(picture)
    assert got.shape == (3, 224, 224)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want, atol=2e-6)


def test_siglip_is_squashed_and_not_cropped() -> None:
    picture = photo(500, 300)
    square = picture.resize((224, 224), Image.Resampling.BILINEAR)
    want = standardise(np.asarray(square), [0.5] * 3, [0.5] * 3)
    np.testing.assert_allclose(Preprocess(SIGLIP)(picture), want, atol=2e-6)


def test_jina_keys_mean_the_same_as_clip_keys() -> None:
    jina = {
        "size": 224,
        "mean": CLIP_MEAN,
        "std": CLIP_STD,
        "resize_mode": "shortest",
        "interpolation": "bicubic",
    }
    picture = photo(333, 250)
    np.testing.assert_array_equal(Preprocess(jina)(picture), Preprocess(CLIP)(picture))


def test_longest_fits_the_whole_picture_on_the_fill_colour() -> None:
    config = {"size": 60, "resize_mode": "longest", "fill_color": 255, "resample": 2}
    picture = photo(120, 60)
    want = np.full((60, 60, 3), 255.0)
    want[15:45] = np.asarray(picture.resize((60, 30), Image.Resampling.BILINEAR))
    got = Preprocess(config)(picture)
    np.testing.assert_allclose(got, want.transpose(2, 0, 1) / 255, atol=1e-6)


def test_each_step_can_be_switched_off() -> None:
    picture = photo(40, 30)
    off = {"do_resize": False, "do_rescale": False, "do_normalize": False, "size": 8}
    got = Preprocess({**off, "image_mean": CLIP_MEAN, "image_std": CLIP_STD})(picture)
    np.testing.assert_array_equal(got, np.asarray(picture).transpose(2, 0, 1))


def test_a_model_without_mean_is_only_rescaled() -> None:
    picture = photo(16, 16)
    got = Preprocess({"size": {"height": 16, "width": 16}, "rescale_factor": 0.5})(picture)
    np.testing.assert_allclose(got, np.asarray(picture).transpose(2, 0, 1) * 0.5)


def test_greyscale_is_luma_of_itu_r_601() -> None:
    picture = photo(32, 32)
    config = {"size": {"height": 32, "width": 32}, "do_convert_grayscale": True}
    luma = np.asarray(picture).astype(np.float64) @ [0.299, 0.587, 0.114]
    got = Preprocess(config)(picture)
    assert got.shape == (1, 32, 32)
    assert np.abs(got[0] * 255 - luma).max() <= 1.0


def test_a_crop_larger_than_the_picture_is_padded_with_black_around_it() -> None:
    pixels = np.arange(1, 7, dtype=np.uint8).reshape(2, 3)
    want = np.zeros((4, 5), np.uint8)
    want[1:3, 1:4] = pixels
    np.testing.assert_array_equal(centre_crop(pixels, 4, 5), want)
    np.testing.assert_array_equal(centre_crop(pixels, 4, 1), want[:, 2:3])


def test_transparent_pixels_become_white() -> None:
    array = np.zeros((1, 3, 4), np.uint8)
    array[0, :, 0] = 200
    array[0, :, 3] = [255, 0, 51]  # opaque, clear, one fifth
    flat = np.asarray(flatten(Image.fromarray(array), 3))[0]
    np.testing.assert_allclose(flat, [[200, 0, 0], [255, 255, 255], [244, 204, 204]], atol=1)


def test_transparency_of_palette_and_grey_images_counts_too(tmp_path: Path) -> None:
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putdata([0, 1])
    palette.save(tmp_path / "p.png", transparency=1)
    got = np.asarray(flatten(open_image(tmp_path / "p.png"), 3))[0]
    np.testing.assert_array_equal(got, [[10, 20, 30], [255, 255, 255]])
    grey = Image.merge("LA", [Image.new("L", (1, 1), 0), Image.new("L", (1, 1), 0)])
    assert flatten(grey, 1).getpixel((0, 0)) == 255


@pytest.mark.parametrize(("mode", "white"), [("1", 1), ("L", 255), ("CMYK", (0, 0, 0, 0))])
def test_other_modes_become_rgb(mode: str, white: Any) -> None:
    flat = flatten(Image.new(mode, (2, 2), white), 3)
    assert (flat.mode, flat.getpixel((0, 0))) == ("RGB", (255, 255, 255))


def test_sixteen_bit_grey_is_scaled_and_not_clipped(tmp_path: Path) -> None:
    deep = np.array([[0, 0x1234, 0x8000, 0xFFFF]], np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    flat = flatten(open_image(tmp_path / "deep.png"), 1)
    np.testing.assert_array_equal(np.asarray(flat), [[0, 0x12, 0x80, 0xFF]])


def test_exif_orientation_turns_the_picture_upright(tmp_path: Path) -> None:
    picture = Image.fromarray(np.array([[[255, 0, 0], [0, 0, 255]]], np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    picture.save(tmp_path / "turned.png", exif=exif)
    upright = np.asarray(open_image(tmp_path / "turned.png"))
    np.testing.assert_array_equal(upright, [[[255, 0, 0]], [[0, 0, 255]]])


def test_a_very_long_picture_keeps_its_middle_and_stays_small() -> None:
    wide = np.zeros((2, 60_000, 3), np.uint8)
    wide[:, 29_990:30_010] = 255
    got = Preprocess({**CLIP, "do_normalize": False})(wide)
    np.testing.assert_allclose(got, 1.0, atol=1e-6)


def test_colours_that_cannot_be_converted_make_an_unreadable_image(tmp_path: Path) -> None:
    Image.new("LAB", (64, 64)).save(tmp_path / "lab.png", format="TIFF")
    with pytest.raises(UnreadableImage, match=r"picture 3 .*lab\.png.*mode LAB.*save it as RGB"):
        Preprocess({**CLIP, "do_convert_grayscale": True, "do_normalize": False})(
            tmp_path / "lab.png", "picture 3"
        )


def test_a_picture_of_no_pixels_is_an_unreadable_image() -> None:
    with pytest.raises(UnreadableImage, match=r"picture 3 has mode RGB and size \(0, 5\)"):
        Preprocess(CLIP)(Image.new("RGB", (0, 5)), "picture 3")


def test_a_decompression_bomb_is_an_unreadable_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo(64, 64).save(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(UnreadableImage, match=r"bomb\.png.*DecompressionBomb"):
        open_image(tmp_path / "bomb.png")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"size": "large"}, "size is 'large'"),
        ({"size": {"longest_edge": 224}}, "size is .*longest_edge"),
        ({"size": {"shortest_edge": 224, "longest_edge": 300}}, "size is .*longest_edge"),
        ({"size": 0}, "size is 0"),
        ({"size": 8, "do_center_crop": True, "crop_size": [1, 2, 3]}, "crop_size is"),
        ({"size": 8, "resample": 9}, "resample is 9"),
        ({"size": 8, "interpolation": "cubist"}, "resample is 'cubist'"),
        ({"size": 8, "resize_mode": "melt"}, "resize_mode is 'melt'"),
        ({"size": 8, "do_normalize": True}, "wants image_mean with 3 numbers"),
        ({"size": 8, "image_mean": [0.5] * 3, "image_std": [0.5, 0.5, 0]}, "image_std.*above 0"),
        ({"size": 8, "image_mean": [0.5] * 4, "image_std": [0.5] * 3}, "image_mean with 3"),
        ({"size": 8, "do_pad": True}, "do_pad"),
        ({"size": 8, "crop_pct": 0.9}, "crop_pct"),
    ],
)
def test_a_key_that_is_not_understood_is_named(config: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        Preprocess(config)
