"""Tiny but real model folders: ONNX graphs built operator by operator, and a word tokenizer."""

from __future__ import annotations

import builtins
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "red", "green", "blue", "cat", "dog", "house"]
DIM = 6
TABLE = np.random.default_rng(3).normal(size=(len(WORDS), DIM)).astype(np.float32)


def write_json(folder: Path, name: str, value: Any) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def save_graph(
    path: Path,
    nodes: list[Any],
    inputs: list[tuple[str, int, list[Any]]],
    outputs: list[tuple[str, list[Any]]],
    constants: dict[str, np.ndarray],
) -> None:
    """Check and save a graph; shapes may hold names for free dimensions."""
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(n, t, s) for n, t, s in inputs],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in outputs],
        [numpy_helper.from_array(v, n) for n, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(path))


def write_tokenizer(folder: Path, *, special: bool = True) -> None:
    tokenizer = Tokenizer(WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    if special:
        tokenizer.post_processor = TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
        )
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))


def write_text_model(
    folder: Path,
    *,
    outputs: tuple[str, ...] = ("last_hidden_state",),
    name: str = "onnx/model.onnx",
    mask: bool = True,
    max_positions: int = 8,
    length: int | str = "length",
    batch: int | str = "batch",
    extra_input: tuple[str, int, list[Any]] | None = None,
) -> Path:
    """Write token vector = word vector + position vector, so that order and padding both show.

    Like a real model it fails beyond ``max_positions``. Outputs by name: ``last_hidden_state``
    the tokens; any other name the plain mean over all positions, *padding included*.
    """
    write_tokenizer(folder)
    write_json(folder, "config.json", {"max_position_embeddings": max_positions, "model_type": "t"})
    places = np.random.default_rng(4).normal(size=(max_positions, DIM)).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["words"]),
        helper.make_node("Shape", ["input_ids"], ["n"], start=1, end=2),
        helper.make_node("Squeeze", ["n"], ["count"]),
        helper.make_node("Range", ["zero", "count", "one"], ["at"]),
        helper.make_node("Gather", ["places", "at"], ["position"]),
        helper.make_node("Add", ["words", "position"], ["last_hidden_state"]),
    ]
    inputs = [("input_ids", TensorProto.INT64, [batch, length])]
    if mask:
        inputs.append(("attention_mask", TensorProto.INT64, [batch, length]))
    if extra_input:
        inputs.append(extra_input)
    nodes += [
        helper.make_node("ReduceMean", ["last_hidden_state", "axis"], [output], keepdims=0)
        for output in outputs
        if output != "last_hidden_state"
    ]
    shape = {"last_hidden_state": [batch, length, DIM]}
    constants = {
        "table": TABLE,
        "places": places,
        "zero": np.int64(0),
        "one": np.int64(1),
        "axis": np.array([1], np.int64),
    }
    save_graph(
        folder / name,
        nodes,
        inputs,
        [(o, shape.get(o, [batch, DIM])) for o in outputs],
        {k: np.asarray(v) for k, v in constants.items()},
    )
    return folder


def expected_tokens(ids: list[int], max_positions: int = 8) -> np.ndarray:
    """Return what the tiny text model computes for one unpadded text, (length, DIM)."""
    places = np.random.default_rng(4).normal(size=(max_positions, DIM)).astype(np.float32)
    return TABLE[ids] + places[: len(ids)]


PLAIN = {
    "size": {"height": 8, "width": 8},
    "resample": 2,
    "do_center_crop": False,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}


def write_image_model(
    folder: Path,
    config: dict[str, Any] = PLAIN,
    *,
    side: int | str = 8,
    channels: int = 3,
    name: str = "onnx/vision_model.onnx",
    output: str = "image_embeds",
    batch: int | str = "batch",
) -> Path:
    """Write a convolution, ReLU, mean over the picture and a projection to DIM numbers."""
    rng = np.random.default_rng(5)
    nodes = [
        helper.make_node("Conv", ["pixel_values", "kernel"], ["maps"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["maps"], ["active"]),
        helper.make_node("ReduceMean", ["active", "axes"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "projection"], [output]),
    ]
    constants = {
        "kernel": rng.normal(size=(12, channels, 3, 3)).astype(np.float32),
        "axes": np.array([2, 3], np.int64),
        "projection": rng.normal(size=(12, DIM)).astype(np.float32),
    }
    save_graph(
        folder / name,
        nodes,
        [("pixel_values", TensorProto.FLOAT, [batch, channels, side, side])],
        [(output, [batch, DIM])],
        constants,
    )
    write_json(folder, "preprocessor_config.json", config)
    return folder


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def hide(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make ``import package`` fail as if it were not installed."""
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == package:
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
