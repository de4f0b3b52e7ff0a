"""Encoders: texts and images to unit vectors, by ONNX graphs in a local model folder.

A folder in hub layout is all it takes::

    DIR/config.json  tokenizer.json  preprocessor_config.json
    DIR/onnx/text_model.onnx  onnx/vision_model.onnx        (or onnx/model.onnx)

Everything else is read from these files: which inputs a graph asks for, which output holds the
vectors, how to pool tokens, how long a text may be, how an image is resized and normalised.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gapless.encode.image import ImageEncoder
from gapless.encode.text import TextEncoder
from gapless.errors import InvalidArgument, MissingModelFile

__all__ = [
    "DEMO_MODEL",
    "Encoder",
    "ImageEncoder",
    "TextEncoder",
    "load_encoder",
    "model_folder",
]

DEMO_MODEL = "gapless.demo"
"""Name of the small dual encoder that the package itself carries."""


class Encoder(Protocol):
    """What the collection asks of an encoder; any object of this shape will do."""

    dim: int
    modality: str

    def encode(
        self, items: Sequence[Any], batch_size: int = 64, progress: bool = False
    ) -> NDArray[np.float32]:
        """Return unit vectors, float32 (len(items), dim), in the order of ``items``."""
        ...


def model_folder(model: str | Path) -> Path:
    """Return the folder of a model: ``model`` itself, or the packaged one for ``gapless.demo``.

    Raises
    ------
    MissingModelFile
        ``gapless.demo`` was asked for, and this installation lacks it.
    """
    if str(model) != DEMO_MODEL:
        return Path(model)
    folder = Path(__file__).parent.parent / "demo" / "model"
    if not folder.is_dir():
        raise MissingModelFile(
            f"the packaged model {DEMO_MODEL!r} is not at {folder}; reinstall gapless, or make "
            "it with `python -m gapless.demo.train`"
        )
    return folder


def load_encoder(
    model: str | Path, modality: str, *, threads: int | None = None
) -> TextEncoder | ImageEncoder:
    """Load the encoder of one modality.

    Parameters
    ----------
    model
        Path of a model folder, or ``"gapless.demo"`` for the model inside the package.
    modality
        ``"text"`` or ``"image"``.
    threads
        Threads for one run, at least 1; None = all cores.

    Raises
    ------
    InvalidArgument
        ``modality`` is another word, or ``threads`` is below 1.
    MissingModelFile, CorruptFile, MissingExtra
        As :class:`TextEncoder` and :class:`ImageEncoder`.

    Examples
    --------
    >>> encoder = load_encoder("gapless.demo", "text")          # doctest: +SKIP
    >>> vectors = encoder.encode(["arrow pointing left"])       # doctest: +SKIP
    """
    if modality == "text":
        return TextEncoder(model_folder(model), threads=threads)
    if modality == "image":
        return ImageEncoder(model_folder(model), threads=threads)
    raise InvalidArgument(f"modality {modality!r} has no encoder; wanted 'text' or 'image'")
