"""Text encoder: tokenise, batch by length, run, pool, normalise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gapless.encode.folder import ModelFolder
from gapless.encode.pooling import check_modes, pool, read_modes
from gapless.encode.progress import bar
from gapless.encode.session import TOKEN_OUTPUTS, Graph, choose_output
from gapless.encode.tokens import Tokens, sequence_length
from gapless.errors import InvalidArgument, MissingModelFile

_ATTENTION_BUDGET = 64 * 512 * 512
"""Rows x length^2 of one run: attention memory grows so, and 8192-token texts must fit too."""


class TextEncoder:
    """Texts to unit vectors by an ONNX graph. Any number of threads may share one encoder.

    Parameters
    ----------
    folder
        Model folder: ``tokenizer.json``, ``config.json`` and ``onnx/text_model.onnx`` or
        ``onnx/model.onnx`` (either may lie in the root).
    threads
        Threads for one run, at least 1; None = all physical cores.
    variant
        Suffix of another graph file: ``"fp16"`` loads ``text_model_fp16.onnx``.
    pooling
        How to pool token vectors: ``"mean"``, ``"cls"``, ``"max"``, ``"mean_sqrt_len"`` or
        ``"lasttoken"``. None = as ``1_Pooling/config.json`` says, else the mean.

    Attributes
    ----------
    dim : int
        Length of a vector.
    modality : str
        ``"text"``.

    Raises
    ------
    MissingModelFile
        The folder, its tokenizer or its graph is missing.
    CorruptFile
        A file of the folder cannot be read.
    MissingExtra
        onnxruntime or tokenizers is not installed.
    InvalidArgument
        ``threads`` or ``pooling`` is outside its values, or the graph is of an unknown kind.

    Examples
    --------
    >>> encoder = TextEncoder("models/all-MiniLM-L6-v2")        # doctest: +SKIP
    >>> encoder.encode(["a dog", "a puppy", "a bus"]).shape     # doctest: +SKIP
    (3, 384)
    """

    modality = "text"

    def __init__(
        self,
        folder: str | Path,
        *,
        threads: int | None = None,
        variant: str | None = None,
        pooling: str | None = None,
    ) -> None:
        files = ModelFolder(folder)
        self._graph = Graph(files.graph("text", variant), threads)
        if "input_ids" not in self._graph.inputs:
            raise MissingModelFile(
                f"{self._graph.path} takes {', '.join(self._graph.inputs)} and no input_ids, so "
                "it encodes no text; put the text graph at onnx/text_model.onnx"
            )
        stated = files.json("1_Pooling/config.json")
        self._modes = check_modes([pooling]) if pooling else read_modes(stated)
        self._output = choose_output(self._graph, "text", pooling_known=bool(self._modes))
        self._modes = self._modes or ("mean",)
        port = self._graph.inputs["input_ids"]
        self._rows = port.shape[0] if port.shape else None
        self._tokens = Tokens(files, sequence_length(port.shape))
        _refuse_unexported_head(files, self._output)
        self._blank = _blank_image(files, self._graph)
        self.dim = int(self._run(self._tokens.encode(["a"])).shape[1])

    def encode(
        self, items: Sequence[str], batch_size: int = 64, progress: bool = False
    ) -> NDArray[np.float32]:
        """Encode texts.

        Texts longer than the model's limit are cut to it. Batches hold texts of like length,
        fewer of them when they are very long; the result is in the order given.

        Parameters
        ----------
        items
            Texts; an empty list gives an array of no rows.
        batch_size
            Most texts in one run, at least 1.
        progress
            Show a progress bar on stderr.

        Returns
        -------
        float32 (n, dim), unit rows

        Raises
        ------
        InvalidArgument
            ``items`` is a bare string or holds something that is no string, a text has no token,
            or ``batch_size`` is below 1.
        InvalidVector
            The model gave a zero or non-finite vector; the message has its row.
        """
        from gapless._core import normalise

        if batch_size < 1:
            raise InvalidArgument(f"batch_size={batch_size}: wanted at least 1")
        if isinstance(items, str):
            raise InvalidArgument(f"got the string {items!r}: give a list of texts, [{items!r}]")
        for row, item in enumerate(items):
            if not isinstance(item, str):
                raise InvalidArgument(
                    f"text {row} is a {type(item).__name__}, wanted str; convert it first"
                )
        if len(items) == 0:
            return np.zeros((0, self.dim), np.float32)
        out = np.empty((len(items), self.dim), np.float32)
        encoded = self._tokens.encode(items)
        with bar(len(items), "text", progress) as advance:
            for batch in self._batches([len(ids) for ids, _ in encoded], batch_size):
                out[batch] = self._run([encoded[i] for i in batch])
                advance(len(batch))
        return normalise(out)

    def _batches(self, lengths: Sequence[int], batch_size: int) -> list[NDArray[np.int64]]:
        """Split rows into runs, longest first so that memory is at its peak at once.

        A graph without an attention mask sees padding as text, so there rows of one length go
        together and none is ever padded (unless the model wants one fixed length).
        """
        order = np.argsort(-np.asarray(lengths), kind="stable")
        exact = "attention_mask" not in self._graph.inputs and self._tokens.fixed is None
        batches: list[list[int]] = []
        for i in order.tolist():
            head = lengths[batches[-1][0]] if batches else 0
            length = self._tokens.fixed or head
            room = min(self._rows or batch_size, max(1, _ATTENTION_BUDGET // max(1, length**2)))
            if (
                batches
                and len(batches[-1]) < min(room, batch_size)
                and (not exact or lengths[i] == head)
            ):
                batches[-1].append(i)
            else:
                batches.append([i])
        return [np.asarray(b) for b in batches]

    def _run(self, rows: Sequence[tuple[list[int], list[int]]]) -> NDArray[np.float32]:
        """Return the vectors of one batch, not yet normalised."""
        count = len(rows)
        if self._rows and count < self._rows:  # a graph exported with a fixed batch
            rows = [*rows, *([rows[0]] * (self._rows - count))]
        feeds: dict[str, NDArray[Any]] = {**self._tokens.batch(rows), **self._blank}
        value = self._graph.run(feeds, self._output)
        if value.ndim == 3:
            value = pool(value, feeds["attention_mask"], self._modes)
        if value.ndim != 2 or len(value) != len(rows):
            raise InvalidArgument(
                f"{self._graph.path}: output {self._output} has shape {value.shape} for "
                f"{len(rows)} texts, wanted (n, dim) or (n, tokens, dim)"
            )
        return value[:count]


def _blank_image(files: ModelFolder, graph: Graph) -> dict[str, NDArray[Any]]:
    """Return a blank image for a fused dual encoder, which asks for both halves' inputs."""
    port = graph.inputs.get("pixel_values")
    if port is None:
        return {}
    from gapless.encode.preprocess import Preprocess

    height, width = Preprocess(files.json("preprocessor_config.json")).output_size or (224, 224)
    fallback = (1, 3, height, width)
    shape = tuple(have or want for have, want in zip(port.shape, fallback, strict=True))
    return {"pixel_values": np.zeros(shape, np.float32)}


def _refuse_unexported_head(files: ModelFolder, output: str) -> None:
    """Refuse a sentence model whose dense layer is not part of the exported graph."""
    path = files.path / "modules.json"
    ends_early = output in (*TOKEN_OUTPUTS, "pooler_output")
    if ends_early and path.is_file() and '.Dense"' in path.read_text(encoding="utf-8"):
        raise InvalidArgument(
            f"{path} lists a Dense layer after pooling, but the graph ends at {output}: its "
            "vectors would be wrong. Export the whole model, with output sentence_embedding"
        )
