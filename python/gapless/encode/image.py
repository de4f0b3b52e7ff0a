"""Image encoder: decode and preprocess in threads, run, normalise."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gapless.encode.folder import ModelFolder
from gapless.encode.preprocess import ImageInput, Preprocess, open_image
from gapless.encode.progress import bar
from gapless.encode.session import Graph, Port, choose_output
from gapless.errors import InvalidArgument, MissingModelFile


class ImageEncoder:
    """Images to unit vectors by an ONNX graph. Any number of threads may share one encoder.

    Parameters
    ----------
    folder
        Model folder: ``preprocessor_config.json`` and ``onnx/vision_model.onnx`` (or
        ``onnx/model.onnx``; either may lie in the root).
    threads
        Threads for decoding and for one run, at least 1; None = all cores.
    variant
        Suffix of another graph file: ``"fp16"`` loads ``vision_model_fp16.onnx``.

    Attributes
    ----------
    dim : int
        Length of a vector.
    modality : str
        ``"image"``.

    Raises
    ------
    MissingModelFile
        The folder, its preprocessor file or its graph is missing.
    CorruptFile
        A file of the folder cannot be read.
    MissingExtra
        onnxruntime or Pillow is not installed.
    InvalidArgument
        ``threads`` is below 1, or the graph and the preprocessor do not agree.

    Examples
    --------
    >>> encoder = ImageEncoder("models/clip")                   # doctest: +SKIP
    >>> encoder.encode(["cat.jpg", "dog.png"]).shape            # doctest: +SKIP
    (2, 512)
    """

    modality = "image"

    def __init__(
        self, folder: str | Path, *, threads: int | None = None, variant: str | None = None
    ) -> None:
        files = ModelFolder(folder)
        self._graph = Graph(files.graph("image", variant), threads)
        self._port = _image_port(self._graph)
        files.require("preprocessor_config.json", "says how to resize and normalise an image")
        self._preprocess = Preprocess(files.json("preprocessor_config.json"))
        wanted = self._port.shape[1]
        if wanted is not None and wanted != self._preprocess.channels:
            raise InvalidArgument(
                f"{self._graph.path} wants {wanted} channels but preprocessor_config.json makes "
                f"{self._preprocess.channels}; set do_convert_grayscale to match the graph"
            )
        self._output = choose_output(self._graph, "image")
        self._tokens = _blank_text(self._graph)
        self._workers = threads or os.cpu_count() or 1
        height, width = self._preprocess.output_size or (224, 224)
        self.dim = int(self._run([self._preprocess(np.zeros((height, width), np.uint8))]).shape[1])

    def encode(
        self, items: Sequence[ImageInput], batch_size: int = 64, progress: bool = False
    ) -> NDArray[np.float32]:
        """Encode images.

        Transparent images are laid over white and EXIF orientation is applied; of an animation
        the first frame counts.

        Parameters
        ----------
        items
            Paths, PIL images or uint8 arrays of shape (H, W), (H, W, 3) or (H, W, 4), in any mix;
            or one uint8 array (n, H, W, channels). An empty list gives an array of no rows.
        batch_size
            Most images in one run, at least 1.
        progress
            Show a progress bar on stderr.

        Returns
        -------
        float32 (n, dim), unit rows

        Raises
        ------
        UnreadableImage
            An image cannot be opened or decoded; names its index, and its path if it has one.
        InvalidArgument
            ``items`` is a single image and no list, or ``batch_size`` is below 1.
        InvalidVector
            The model gave a zero or non-finite vector; the message has its row.
        """
        from gapless._core import normalise

        if batch_size < 1:
            raise InvalidArgument(f"batch_size={batch_size}: wanted at least 1")
        if isinstance(items, np.ndarray) and items.ndim != 4:
            raise InvalidArgument(
                f"got one array of shape {items.shape}: give a list of images, or (n, H, W, C)"
            )
        if not isinstance(items, (Sequence, np.ndarray)) or isinstance(items, (str, bytes)):
            raise InvalidArgument(
                f"got a single {type(items).__name__}: give a list of images, even for one"
            )
        if len(items) == 0:
            return np.zeros((0, self.dim), np.float32)
        size = min(batch_size, self._port.shape[0] or batch_size)
        out = np.empty((len(items), self.dim), np.float32)
        done = 0
        with bar(len(items), "image", progress) as advance:
            for pixels in self._prepare(items, size):
                out[done : done + len(pixels)] = self._run(pixels)
                done += len(pixels)
                advance(len(pixels))
        return normalise(out)

    def _prepare(
        self, items: Sequence[ImageInput], size: int
    ) -> Iterator[list[NDArray[np.float32]]]:
        """Yield batches of tensors, decoding the next batch while the caller runs this one."""
        if len(items) == 1:
            yield [self._preprocess(items[0], "image 0")]
            return
        with ThreadPoolExecutor(self._workers, "gapless-decode") as pool:

            def submit(start: int) -> list[Future[NDArray[np.float32]]]:
                stop = min(start + size, len(items))
                return [
                    pool.submit(self._preprocess, _loaded(items[i], f"image {i}"), f"image {i}")
                    for i in range(start, stop)
                ]

            waiting = submit(0)
            try:
                for start in range(size, len(items) + size, size):
                    current, waiting = waiting, submit(start)
                    yield [future.result() for future in current]
            finally:
                pool.shutdown(wait=True, cancel_futures=True)

    def _run(self, pixels: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Return the vectors of one batch, not yet normalised."""
        if any(p.shape != pixels[0].shape for p in pixels):  # sizes vary when nothing crops
            return np.concatenate([self._run([p]) for p in pixels])
        batch = np.stack(pixels)
        fixed = self._port.shape[0]
        if fixed and len(batch) < fixed:  # a graph exported with a fixed batch
            batch = np.concatenate([batch, np.repeat(batch[:1], fixed - len(batch), axis=0)])
        value = self._graph.run({self._port.name: batch, **self._tokens}, self._output)
        if value.ndim == 3:  # patch tokens: a vision transformer's first one stands for the image
            value = value[:, 0]
        if value.ndim != 2 or len(value) != len(batch):
            raise InvalidArgument(
                f"{self._graph.path}: output {self._output} has shape {value.shape} for "
                f"{len(batch)} images, wanted (n, dim) or (n, patches, dim)"
            )
        return value[: len(pixels)]


def _loaded(item: ImageInput, where: str) -> ImageInput:
    """Load a PIL image in the calling thread: the same object may be in the list twice."""
    return item if isinstance(item, (str, Path, np.ndarray)) else open_image(item, where)


def _image_port(graph: Graph) -> Port:
    """Return the input that takes pixels: by its usual name, else the only one of rank 4."""
    named = graph.inputs.get("pixel_values")
    rank4 = [named] if named else [p for p in graph.inputs.values() if len(p.shape) == 4]
    if len(rank4) != 1:
        raise MissingModelFile(
            f"{graph.path} takes {', '.join(graph.inputs)} and no pixel_values, so it encodes no "
            "image; put the image graph at onnx/vision_model.onnx"
        )
    return rank4[0]


def _blank_text(graph: Graph) -> dict[str, NDArray[Any]]:
    """Return a one-token text for a fused dual encoder, which asks for both halves' inputs."""
    port = graph.inputs.get("input_ids")
    if port is None:
        return {}
    length = (port.shape[1] if len(port.shape) == 2 else None) or 1
    ids = np.zeros((port.shape[0] or 1, length), np.int64)
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": ids}
