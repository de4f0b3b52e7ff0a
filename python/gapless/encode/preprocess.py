"""Images to pixel tensors, by the rules of the model's ``preprocessor_config.json``.

The order is that of the Hugging Face image processors: colour, resize, centre crop, rescale,
normalise. Keys of open_clip and Jina (``mean``, ``std``, ``interpolation``, ``resize_mode``,
``fill_color``) are read too. ``do_convert_grayscale`` is our own: one channel, luma (ITU-R 601).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from gapless.errors import InvalidArgument, MissingExtra, UnreadableImage

if TYPE_CHECKING:
    from PIL import Image

ImageInput: TypeAlias = "str | Path | Image.Image | NDArray[np.uint8]"

_RESAMPLE = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5}
_MAX_ASPECT = 16  # a 1 x 20000 banner resized by its short edge would take gigabytes


class Preprocess:
    """The steps of one ``preprocessor_config.json``.

    Attributes
    ----------
    output_size : (height, width) or None
        Size of every tensor; None when it depends on the image.
    channels : int
        1 or 3.

    Raises
    ------
    InvalidArgument
        A key has a value that is not understood, or a step lacks its numbers.
    MissingExtra
        Pillow is not installed.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        _pillow()
        self.channels = 1 if config.get("do_convert_grayscale", False) else 3
        crops = bool(config.get("do_center_crop", "resize_mode" in config))
        self._mode, self._size = _read_size(config, crops)
        if not config.get("do_resize", True):
            self._mode = "none"
        if self._mode in ("squash", "longest"):
            crops = False
        self._crop = (
            _pair(config.get("crop_size", config.get("size")), "crop_size") if crops else None
        )
        self._resample = _read_resample(config)
        fill = config.get("fill_color", 0)
        shades = tuple(fill) if isinstance(fill, (list, tuple)) else (fill,) * 3
        self._fill = shades if self.channels == 3 else shades[0]
        self._scale = (
            float(config.get("rescale_factor", 1 / 255)) if config.get("do_rescale", True) else 1.0
        )
        self._mean, self._std = _read_normalise(config, self.channels)
        for key in ("do_pad", "crop_pct"):
            if config.get(key):
                raise InvalidArgument(
                    f"preprocessor_config.json: {key} = {config[key]!r} is not supported; remove "
                    "it if the model does not need it"
                )
        self.output_size = self._crop or (
            self._size if self._mode in ("squash", "longest") else None
        )

    def __call__(self, image: ImageInput, where: str = "image") -> NDArray[np.float32]:
        """Return the tensor of one image.

        Parameters
        ----------
        image
            Path, PIL image, or uint8 array of shape (H, W), (H, W, 3) or (H, W, 4).
        where
            What to call the image in an error.

        Returns
        -------
        float32 (channels, height, width)

        Raises
        ------
        UnreadableImage
            It cannot be opened, or its colours cannot be converted; names ``where``.
        """
        opened = open_image(image, where)
        try:
            picture = self._resize(flatten(opened, self.channels))
        except (OSError, ValueError, ArithmeticError) as error:
            raise UnreadableImage(
                f"{_place(image, where)} has mode {opened.mode} and size {opened.size}, which "
                f"cannot be converted ({type(error).__name__}: {error}); save it as RGB, or leave "
                "it out"
            ) from error
        pixels = np.asarray(picture, dtype=np.uint8)
        if self._crop is not None:
            pixels = centre_crop(pixels, *self._crop)
        values = pixels.reshape(*pixels.shape[:2], self.channels).astype(np.float32)
        values *= np.float32(self._scale)
        if self._mean is not None and self._std is not None:
            values = (values - self._mean) / self._std
        return np.ascontiguousarray(values.transpose(2, 0, 1))

    def _resize(self, image: Image.Image) -> Image.Image:
        from PIL import ImageOps

        height, width = self._size
        if self._mode == "none":
            return image
        resample: Any = self._resample
        if self._mode == "squash":
            return image.resize((width, height), resample)
        if self._mode == "longest":
            return ImageOps.pad(image, (width, height), resample, color=self._fill)
        short, long = sorted(image.size)
        if self._crop is not None and long > _MAX_ASPECT * short:
            image = _trim(image, _MAX_ASPECT * short)
            short, long = sorted(image.size)
        other = int(height * long / short)
        size = (height, other) if image.width <= image.height else (other, height)
        return image.resize(size, resample)


def open_image(image: ImageInput, where: str = "image") -> Image.Image:
    """Return a loaded PIL image, turned upright by its EXIF orientation.

    Raises
    ------
    UnreadableImage
        No such file, no image, damaged, or an array of another shape or type; names ``where``.
    """
    from PIL import Image, ImageOps

    try:
        if isinstance(image, (str, Path)):
            where = _place(image, where)
            with Image.open(image) as opened:
                opened.load()
                return ImageOps.exif_transpose(opened)
        if isinstance(image, Image.Image):
            image.load()
            return ImageOps.exif_transpose(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UnreadableImage(
            f"{where} cannot be read ({type(error).__name__}: {error}); give a whole image file "
            "of a format Pillow knows, or leave it out"
        ) from error
    if isinstance(image, np.ndarray):
        good = image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (3, 4))
        if good and image.dtype == np.uint8 and image.size > 0:
            return Image.fromarray(np.ascontiguousarray(image))
        raise UnreadableImage(
            f"{where} is a {image.dtype} array of shape {image.shape}; wanted uint8 of shape "
            "(H, W), (H, W, 3) or (H, W, 4), with values 0 to 255"
        )
    raise UnreadableImage(
        f"{where} is a {type(image).__name__}; wanted a path, a PIL image or a uint8 array"
    )


def _place(image: ImageInput, where: str) -> str:
    return f"{where} ({str(image)!r})" if isinstance(image, (str, Path)) else where


def flatten(image: Image.Image, channels: int) -> Image.Image:
    """Return the image in mode ``"RGB"`` or ``"L"``; transparent parts become white."""
    from PIL import Image

    if image.mode.startswith("I"):  # 16-bit greyscale, which Pillow itself would clip at 255
        wide = np.asarray(image).astype(np.int64)
        shift = 8 if image.mode.startswith("I;16") or wide.max() > 255 else 0
        image = Image.fromarray(np.clip(wide >> shift, 0, 255).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        colour = image.convert("RGBA")
        white = Image.new("RGBA", colour.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, colour)
    return image.convert("RGB" if channels == 3 else "L")


def centre_crop(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Cut the middle (height, width) out of (H, W, ...), padding with black where it is smaller."""
    lack = [max(0, height - pixels.shape[0]), max(0, width - pixels.shape[1])]
    if any(lack):
        around = [((n + 1) // 2, n // 2) for n in lack] + [(0, 0)] * (pixels.ndim - 2)
        pixels = np.pad(pixels, around)
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return pixels[top : top + height, left : left + width]


def _trim(image: Image.Image, longest: int) -> Image.Image:
    """Cut both ends off the long side; a centre crop would discard them after the resize."""
    width, height = min(image.width, longest), min(image.height, longest)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def _pillow() -> None:
    try:
        import PIL.Image  # noqa: F401
    except ImportError as error:
        raise MissingExtra("image encoders need Pillow: pip install 'gapless[onnx]'") from error


def _pair(value: Any, key: str) -> tuple[int, int]:
    """Read a size given as int, {height, width} or {shortest_edge}."""
    pair: Any = [value, value] if isinstance(value, int) else value
    if isinstance(value, Mapping) and "longest_edge" not in value:
        edge = value.get("shortest_edge")
        pair = [value.get("height", edge), value.get("width", edge)]
    whole = isinstance(pair, (list, tuple)) and all(isinstance(s, int) and s > 0 for s in pair)
    if whole and len(pair) == 2:
        return pair[0], pair[1]
    raise InvalidArgument(
        f"preprocessor_config.json: {key} is {value!r}; wanted a positive int, "
        '{"height": H, "width": W} or {"shortest_edge": S}'
    )


def _read_size(config: Mapping[str, Any], crops: bool) -> tuple[str, tuple[int, int]]:
    """Return the way to resize ("shortest", "squash" or "longest") and (height, width).

    A bare int is the shortest edge for the processors that crop afterwards (CLIP) and a square
    for those that do not (ViT, SigLIP); ``resize_mode`` says it outright.
    """
    size = config.get("size", 224)
    if isinstance(size, Mapping) and "shortest_edge" in size and "longest_edge" not in size:
        return "shortest", _pair(size, "size")
    mode = config.get("resize_mode", "shortest" if crops and isinstance(size, int) else "squash")
    if mode not in ("shortest", "squash", "longest"):
        raise InvalidArgument(
            f"preprocessor_config.json: resize_mode is {mode!r}; wanted shortest, squash or longest"
        )
    return mode, _pair(size, "size")


def _read_resample(config: Mapping[str, Any]) -> int:
    value = config.get("resample", config.get("interpolation", "bicubic"))
    number = _RESAMPLE.get(value.lower()) if isinstance(value, str) else value
    if isinstance(number, int) and number in _RESAMPLE.values():
        return number
    raise InvalidArgument(
        f"preprocessor_config.json: resample is {value!r}; wanted 0 to 5 or one of "
        f"{', '.join(_RESAMPLE)}"
    )


def _read_normalise(
    config: Mapping[str, Any], channels: int
) -> tuple[NDArray[np.float32] | None, NDArray[np.float32] | None]:
    mean = config.get("image_mean", config.get("mean"))
    std = config.get("image_std", config.get("std"))
    if not config.get("do_normalize", mean is not None):
        return None, None
    out = []
    for key, value in (("image_mean", mean), ("image_std", std)):
        numbers = np.asarray(value if value is not None else [], dtype=np.float32).reshape(-1)
        if numbers.size not in (1, channels) or (key == "image_std" and not np.all(numbers > 0)):
            raise InvalidArgument(
                f"preprocessor_config.json: do_normalize wants {key} with {channels} numbers"
                f"{' above 0' if key == 'image_std' else ''}, it is {value!r}"
            )
        out.append(numbers)
    return out[0], out[1]
