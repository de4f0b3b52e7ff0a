"""Write trained towers as a model folder in the hub layout (extra ``export``).

The graphs are built node by node, so that they are small, plain (opset 17) and the same for every
version of torch. Weights are stored in eight bits with a float scale for each output channel (each
row of the word table) and widened when the graph is loaded; the arithmetic is float32.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
import torch
from onnx import TensorProto, checker, helper, numpy_helper, save

from gapless.demo.towers import DIM, ConvNorm, IconTower, Stage, TextTower, fold

if TYPE_CHECKING:
    from gapless.demo.distil import Vocabulary

__all__ = ["PREPROCESSOR", "icon_graph", "text_graph", "write_folder"]

_OPSET = 17
_TINY = 1e-12

PREPROCESSOR: dict[str, Any] = {
    "do_resize": True,
    "size": {"height": 64, "width": 64},
    "resize_mode": "longest",
    "fill_color": 255,
    "resample": 2,
    "do_convert_grayscale": True,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [1.0],
    "image_std": [0.5],
}
"""Dark on white, any size: fitted into 64x64, one grey channel, paper 0 and ink -2."""


class _Graph:
    """Collects nodes and weights; every method returns the name of what it made.

    ``exact`` stores the weights as they are, to check a graph free of their rounding.
    """

    def __init__(self, exact: bool = False) -> None:
        self.exact = exact
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def add(self, kind: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        name = name or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def constant(self, value: npt.ArrayLike, dtype: Any = np.float32) -> str:
        name = f"constant_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(value, dtype=dtype), name))
        return name

    def narrow(self, value: npt.NDArray[np.float32]) -> tuple[str, str]:
        """Store as int8 with one scale along the first axis; names of the codes and scales."""
        flat = np.abs(value.reshape(len(value), -1)).max(axis=1)
        scale = np.where(flat > 0, flat / 127, 1.0).astype(np.float32)
        scale = scale.reshape(-1, *(1,) * (value.ndim - 1))
        if self.exact:
            return self.constant(value), self.constant(np.ones_like(scale))
        codes = np.clip(np.round(value / scale), -127, 127)
        return self.constant(codes, np.int8), self.constant(scale)

    def weight(self, value: torch.Tensor) -> str:
        """Widen a stored weight; the runtime does it once, when it loads the graph."""
        codes, scale = self.narrow(value.detach().float().numpy())
        return self.add("Mul", self.add("Cast", codes, to=TensorProto.FLOAT), scale)

    def linear(self, x: str, layer: torch.nn.Linear, factor: float = 1.0) -> str:
        """``x @ weight.T * factor + bias``."""
        weight = self.weight(layer.weight * factor)
        bias = () if layer.bias is None else (self.constant(layer.bias.detach().numpy()),)
        return self.add("Gemm", x, weight, *bias, transB=1)

    def unit(self, x: str, name: str = "") -> str:
        length = self.add("ReduceL2", x, axes=[1], keepdims=1)
        return self.add("Div", x, self.add("Max", length, self.constant(_TINY)), name=name)

    def model(self, inputs: list[Any], output: str) -> Any:
        graph = helper.make_graph(
            self.nodes,
            "gapless.demo",
            inputs,
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", DIM])],
            self.weights,
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", _OPSET)], producer_name="gapless"
        )
        model.ir_version = 8
        checker.check_model(model, full_check=True)
        return model


def text_graph(tower: TextTower, *, exact: bool = False) -> Any:
    """Build the ONNX model input_ids, attention_mask int64 (batch, length) -> text_embeds."""
    g = _Graph(exact)
    codes, scale = g.narrow(tower.table.weight.detach().numpy())
    # Gather first, widen after: the table stays in eight bits in memory too.
    rows = g.add("Cast", g.add("Gather", codes, "input_ids"), to=TensorProto.FLOAT)
    mask = g.add("Cast", "attention_mask", to=TensorProto.FLOAT)
    mask = g.add("Unsqueeze", mask, g.constant([-1], np.int64))
    rows = g.add("Mul", g.add("Mul", rows, g.add("Gather", scale, "input_ids")), mask)
    unit = g.unit(g.add("ReduceSum", rows, g.constant([1], np.int64), keepdims=0))
    stretch = tower.table.weight.shape[1] ** 0.5
    hidden = g.linear(unit, tower.first, stretch)
    half = g.add("Mul", hidden, g.constant(0.5))
    erf = g.add("Erf", g.add("Mul", hidden, g.constant(0.5**0.5)))
    gelu = g.add("Mul", half, g.add("Add", erf, g.constant(1.0)))
    both = g.add("Add", g.linear(unit, tower.skip, stretch), g.linear(gelu, tower.second))
    g.unit(both, name="text_embeds")
    shape = ["batch", "length"]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, shape)
        for name in ("input_ids", "attention_mask")
    ]
    return g.model(inputs, "text_embeds")


def icon_graph(tower: IconTower, *, exact: bool = False) -> Any:
    """Build the ONNX model pixel_values float32 (batch, channels, 64, 64) -> image_embeds.

    One channel or several of the same grey: they are averaged first.
    """
    g = _Graph(exact)

    def conv(x: str, block: ConvNorm) -> str:
        folded = fold(block)
        return g.add(
            "Conv",
            x,
            g.weight(folded.weight),
            g.constant(folded.bias.numpy()),
            kernel_shape=[3, 3],
            strides=[folded.stride] * 2,
            pads=[1, 1, 1, 1],
        )

    x = g.add("ReduceMean", "pixel_values", axes=[1], keepdims=1)
    x = g.add("Relu", conv(x, tower.stem))
    for module in tower.stages:
        stage = cast(Stage, module)
        x = g.add("Relu", conv(x, stage.down))
        inner = conv(g.add("Relu", conv(x, stage.first)), stage.second)
        x = g.add("Relu", g.add("Add", x, inner))
    mean = g.add("Flatten", g.add("GlobalAveragePool", x))
    bias = cast(torch.Tensor, tower.places.bias).detach().numpy()
    places = g.add("Conv", x, g.weight(tower.places.weight), g.constant(bias))
    places = g.add("Flatten", g.add("Relu", places))
    g.unit(g.linear(g.add("Concat", mean, places, axis=1), tower.head), name="image_embeds")
    pixels = helper.make_tensor_value_info(
        "pixel_values", TensorProto.FLOAT, ["batch", "channels", 64, 64]
    )
    return g.model([pixels], "image_embeds")


def write_folder(
    folder: Path,
    text: TextTower,
    icon: IconTower,
    vocabulary: Vocabulary,
    *,
    exact: bool = False,
) -> dict[str, int]:
    """Write both graphs, the tokenizer and the configs; ``exact`` keeps the weights in float32.

    Returns
    -------
    dict
        Relative path -> bytes, of every file written.
    """
    (folder / "onnx").mkdir(parents=True, exist_ok=True)
    with torch.no_grad():
        save(text_graph(text.eval(), exact=exact), folder / "onnx" / "text_model.onnx")
        save(icon_graph(icon.eval(), exact=exact), folder / "onnx" / "vision_model.onnx")
    config = {
        "model_type": "gapless-icons",
        "projection_dim": DIM,
        "text_config": {
            "model_type": "static-wordpiece",
            "vocab_size": len(vocabulary.tokens),
            "hidden_size": text.table.weight.shape[1],
            "pad_token_id": 0,
        },
        "vision_config": {"model_type": "convnet", "image_size": 64, "num_channels": 1},
    }
    documents = {
        "config.json": json.dumps(config, indent=2),
        "preprocessor_config.json": json.dumps(PREPROCESSOR, indent=2),
        "tokenizer.json": json.dumps(vocabulary.tokenizer, separators=(",", ":")),
    }
    for name, text_of in documents.items():
        (folder / name).write_text(text_of + "\n", encoding="utf-8")
    written = [*documents, "onnx/text_model.onnx", "onnx/vision_model.onnx"]
    return {name: (folder / name).stat().st_size for name in written}
