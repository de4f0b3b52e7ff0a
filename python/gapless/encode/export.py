"""Write the ONNX graph of a BERT-family sentence model from its safetensors, without torch.

Many sentence models are published as ``model.safetensors`` only. Their graph is the published
BERT encoder (Devlin et al. 2018: post-norm, erf GELU), so it can be written from the weights alone.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gapless.encode.folder import ModelFolder
from gapless.errors import CorruptFile, InvalidArgument, MissingExtra

_SAFETENSORS = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "I64": np.int64}
_OPSET = 20  # the first with Gelu


def read_safetensors(path: Path) -> dict[str, NDArray[Any]]:
    """Return every tensor of a safetensors file, as read-only views of the mapped file.

    Format: little-endian u64 header length, JSON header, then the bytes.

    Raises
    ------
    CorruptFile
        The header is damaged or points outside the file.
    InvalidArgument
        A tensor has a type numpy lacks (such as BF16).
    """
    data = np.memmap(path, np.uint8, "r")
    length = int(data[:8].view("<u8")[0]) if len(data) >= 8 else len(data)
    if 8 + length > len(data):
        raise CorruptFile(f"{path}: header at offset 0 passes the end of the file; fetch it again")
    try:
        header = json.loads(bytes(data[8 : 8 + length]))
    except ValueError as error:
        raise CorruptFile(f"{path}: header at offset 8 is no JSON; fetch it again") from error
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        start, stop = entry["data_offsets"]
        if entry["dtype"] not in _SAFETENSORS:
            raise InvalidArgument(f"{path}: tensor {name} is {entry['dtype']}; convert it to F32")
        if 8 + length + stop > len(data):
            raise CorruptFile(f"{path}: tensor {name} ends at {stop}, past the end of the file")
        raw = data[8 + length + start : 8 + length + stop]
        tensors[name] = raw.view(_SAFETENSORS[entry["dtype"]]).reshape(entry["shape"])
    return tensors


def export_bert(folder: str | Path, out: str | Path) -> Path:
    """Write a model folder with ``onnx/model.onnx`` from a folder with ``model.safetensors``.

    Parameters
    ----------
    folder
        BERT-family model: ``config.json``, ``model.safetensors``, ``tokenizer.json``.
    out
        Folder to write; the small files of ``folder`` are copied into it.

    Returns
    -------
    The path of the graph. Inputs input_ids, attention_mask, token_type_ids (n, length);
    output last_hidden_state (n, length, hidden).

    Raises
    ------
    MissingModelFile
        ``folder`` or one of its files is missing.
    InvalidArgument
        The model is not of the plain BERT family.
    MissingExtra
        onnx is not installed.
    """
    source = ModelFolder(folder)
    config = source.json("config.json")
    kind = (
        config.get("model_type"),
        config.get("hidden_act", "gelu"),
        config.get("position_embedding_type", "absolute"),
    )
    if kind != ("bert", "gelu", "absolute"):
        raise InvalidArgument(
            f"{source.path}: model_type, hidden_act, position_embedding_type are {kind}; wanted "
            "('bert', 'gelu', 'absolute'). Export other models with their own tool"
        )
    try:
        import onnx
    except ImportError as error:
        raise MissingExtra("export needs onnx: pip install 'gapless[export]'") from error
    weights = read_safetensors(source.require("model.safetensors", "holds the weights"))
    source.require("tokenizer.json", "turns text into token ids")
    model = _Bert(config, weights).build()
    onnx.checker.check_model(model)
    target = Path(out)
    (target / "onnx").mkdir(parents=True, exist_ok=True)
    for name in [p.relative_to(source.path) for p in source.path.rglob("*.json")]:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source.path / name, target / name)
    graph = target / "onnx" / "model.onnx"
    partial = graph.with_suffix(".partial")
    onnx.save(model, str(partial))
    return partial.replace(graph)


class _Bert:
    """The graph under construction: ``node`` adds one operator and returns its output's name."""

    def __init__(self, config: Mapping[str, Any], weights: Mapping[str, NDArray[Any]]) -> None:
        self.config = config
        self.weights = {name.removeprefix("bert."): value for name, value in weights.items()}
        self.nodes: list[Any] = []
        self.constants: dict[str, NDArray[Any]] = {}
        self.epsilon = float(config.get("layer_norm_eps", 1e-12))

    def node(self, op: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        from onnx import helper

        output = output or f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [output], **attributes))
        return output

    def constant(self, name: str, value: Any, dtype: Any = np.float32) -> str:
        self.constants[name] = np.array(value, dtype=dtype, order="C")
        return name

    def weight(self, name: str, *, transpose: bool = False) -> str:
        if name not in self.weights:
            raise InvalidArgument(f"model.safetensors has no tensor {name}; it is no BERT encoder")
        value = self.weights[name]
        return self.constant(name, value.T if transpose else value)

    def linear(self, x: str, name: str) -> str:
        product = self.node("MatMul", x, self.weight(f"{name}.weight", transpose=True))
        return self.node("Add", product, self.weight(f"{name}.bias"))

    def norm(self, x: str, name: str, output: str = "") -> str:
        scale, bias = self.weight(f"{name}.weight"), self.weight(f"{name}.bias")
        return self.node(
            "LayerNormalization", x, scale, bias, output=output, axis=-1, epsilon=self.epsilon
        )

    def heads(self, x: str, *, keys: bool = False) -> str:
        """Split (n, length, hidden) into (n, heads, length, size); keys are (.., size, length)."""
        count = int(self.config["num_attention_heads"])
        size = int(self.config["hidden_size"]) // count
        split = self.node("Reshape", x, self.constant("split", [0, 0, count, size], np.int64))
        return self.node("Transpose", split, perm=[0, 2, 3, 1] if keys else [0, 2, 1, 3])

    def embed(self) -> str:
        """Word + token type + position vectors, normalised."""
        length = self.node("Shape", "input_ids", start=1, end=2)
        zero, one = self.constant("zero", 0, np.int64), self.constant("one", 1, np.int64)
        positions = self.node("Range", zero, self.node("Squeeze", length), one)
        total = self.node("Gather", self.weight("embeddings.word_embeddings.weight"), "input_ids")
        for table, ids in (("token_type", "token_type_ids"), ("position", positions)):
            rows = self.node("Gather", self.weight(f"embeddings.{table}_embeddings.weight"), ids)
            total = self.node("Add", total, rows)
        return self.norm(total, "embeddings.LayerNorm")

    def mask(self) -> str:
        """Return (n, 1, 1, length): 0 for a token, a large negative number for padding."""
        mask = self.node("Cast", "attention_mask", to=1)
        mask = self.node("Unsqueeze", mask, self.constant("mask_axes", [1, 2], np.int64))
        hidden = self.node("Sub", self.constant("unit", 1.0), mask)
        return self.node("Mul", hidden, self.constant("lowest", -1e4))

    def layer(self, x: str, mask: str, name: str, output: str) -> str:
        """One transformer layer: attention, then the feed-forward half, each added and normed."""
        size = int(self.config["hidden_size"]) // int(self.config["num_attention_heads"])
        query, key, value = (
            self.linear(x, f"{name}.attention.self.{part}") for part in ("query", "key", "value")
        )
        scores = self.node("MatMul", self.heads(query), self.heads(key, keys=True))
        scores = self.node("Div", scores, self.constant("temperature", np.sqrt(size)))
        share = self.node("Softmax", self.node("Add", scores, mask), axis=-1)
        mixed = self.node("MatMul", share, self.heads(value))
        mixed = self.node("Transpose", mixed, perm=[0, 2, 1, 3])
        merge = self.constant("merge", [0, 0, int(self.config["hidden_size"])], np.int64)
        attended = self.linear(self.node("Reshape", mixed, merge), f"{name}.attention.output.dense")
        x = self.norm(self.node("Add", attended, x), f"{name}.attention.output.LayerNorm")
        wide = self.node("Gelu", self.linear(x, f"{name}.intermediate.dense"))
        narrow = self.linear(wide, f"{name}.output.dense")
        return self.norm(self.node("Add", narrow, x), f"{name}.output.LayerNorm", output)

    def build(self) -> Any:
        """Return the ONNX model."""
        from onnx import TensorProto, helper, numpy_helper

        x, mask = self.embed(), self.mask()
        layers = int(self.config["num_hidden_layers"])
        for i in range(layers):
            output = "last_hidden_state" if i == layers - 1 else ""
            x = self.layer(x, mask, f"encoder.layer.{i}", output)
        hidden = int(self.config["hidden_size"])
        inputs = [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"])
            for name in ("input_ids", "attention_mask", "token_type_ids")
        ]
        outputs = [helper.make_tensor_value_info(x, TensorProto.FLOAT, ["batch", "length", hidden])]
        stored = [numpy_helper.from_array(v, name) for name, v in self.constants.items()]
        graph = helper.make_graph(self.nodes, "bert", inputs, outputs, stored)
        opset = [helper.make_opsetid("", _OPSET)]
        return helper.make_model(graph, opset_imports=opset, ir_version=9)
