"""An ONNX Runtime session that says what it wants, is fed only that, and picks its output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gapless.errors import CorruptFile, InvalidArgument, MissingExtra

_DTYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}

TOKEN_OUTPUTS = ("last_hidden_state", "token_embeddings")
"""Outputs of shape (batch, tokens, dim), which need pooling."""


def output_priority(modality: str) -> tuple[str, ...]:
    """Return known output names of a modality, best first.

    Projected vectors come first since only they share a space with the other modality; a raw
    ``pooler_output`` is better than pooling the tokens again, except where the folder says how to
    pool (see :func:`choose_output`).
    """
    return (
        f"{modality}_embeds",
        f"l2norm_{modality}_embeddings",
        f"{modality}_embeddings",
        "sentence_embedding",
        "embeddings",
        "pooler_output",
        *TOKEN_OUTPUTS,
    )


@dataclass(frozen=True)
class Port:
    """One input or output of a graph; ``shape`` has None where the size is free."""

    name: str
    shape: tuple[int | None, ...]
    dtype: np.dtype[Any]


def _port(value: Any) -> Port:
    shape = tuple(d if isinstance(d, int) and d > 0 else None for d in value.shape or ())
    return Port(value.name, shape, np.dtype(_DTYPES.get(value.type, np.object_)))


class Graph:
    """A loaded ONNX graph. Any number of threads may call :meth:`run` at once.

    Parameters
    ----------
    path
        The ``.onnx`` file; external data must lie beside it.
    threads
        Threads for one run, at least 1; None lets ONNX Runtime take all physical cores.

    Raises
    ------
    MissingExtra
        onnxruntime is not installed.
    CorruptFile
        ONNX Runtime cannot load the file.
    InvalidArgument
        ``threads`` is below 1.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        if threads is not None and threads < 1:
            raise InvalidArgument(f"threads={threads}: wanted at least 1, or None for all cores")
        try:
            import onnxruntime as ort
        except ImportError as error:
            raise MissingExtra("encoders need onnxruntime: pip install 'gapless[onnx]'") from error
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads or 0
        options.log_severity_level = 3  # its warnings about devices it lacks would reach stderr
        self.path = path
        try:
            self._session = ort.InferenceSession(
                str(path), sess_options=options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime has no common base class for its errors
            raise CorruptFile(
                f"{path}: ONNX Runtime cannot load this graph ({error}); fetch it again, with any "
                "*.onnx_data file that belongs beside it"
            ) from error
        self.inputs = {p.name: p for p in map(_port, self._session.get_inputs())}
        self.outputs = {p.name: p for p in map(_port, self._session.get_outputs())}

    def run(self, feeds: Mapping[str, NDArray[Any]], output: str) -> NDArray[np.float32]:
        """Run the graph and return one output as float32.

        Feeds the graph does not ask for are left out, and each is cast to the type it declares.

        Raises
        ------
        InvalidArgument
            The graph asks for an input that ``feeds`` lacks.
        """
        missing = [name for name in self.inputs if name not in feeds]
        if missing:
            raise InvalidArgument(
                f"{self.path}: the graph asks for {', '.join(missing)}, which this encoder cannot "
                f"supply (it has {', '.join(sorted(feeds))}); export the graph without them"
            )
        cast = {n: feeds[n].astype(p.dtype, copy=False) for n, p in self.inputs.items()}
        (value,) = self._session.run([output], cast)
        return np.asarray(value, dtype=np.float32)


def choose_output(graph: Graph, modality: str, *, pooling_known: bool = False) -> str:
    """Return the name of the output that holds the vectors.

    Parameters
    ----------
    pooling_known
        The folder (or the caller) says how to pool tokens. Then token outputs win over
        ``pooler_output``, which in a sentence encoder is the untrained head of its base model.

    Raises
    ------
    InvalidArgument
        Several outputs, and none has a known name.
    """
    priority = list(output_priority(modality))
    if pooling_known:
        priority.remove("pooler_output")
        priority.append("pooler_output")
    for name in priority:
        if name in graph.outputs:
            return name
    if len(graph.outputs) == 1:
        return next(iter(graph.outputs))
    raise InvalidArgument(
        f"{graph.path}: cannot tell which output holds the {modality} vectors among "
        f"{', '.join(graph.outputs)}; rename it to one of {', '.join(output_priority(modality))}"
    )
