"""Texts to token ids: ``tokenizer.json`` with the length and padding rules of its model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gapless.encode.folder import ModelFolder
from gapless.errors import CorruptFile, InvalidArgument, MissingExtra

DEFAULT_LIMIT = 512
"""Longest text, in tokens, where no file of the model states one."""

_NO_LIMIT = 1_000_000  # tokenizer_config.json writes 1e30 for "not set"
_OFFSET_POSITIONS = {"roberta", "xlm-roberta", "camembert", "mpnet", "clap_text_model"}


class Tokens:
    """The tokenizer of a model folder.

    Parameters
    ----------
    folder
        Folder with ``tokenizer.json``.
    fixed_length
        Token count that the graph is fixed to, or None.

    Attributes
    ----------
    limit
        Longest sequence; longer texts are cut to it, special tokens kept.
    fixed
        Length every sequence is padded to, or None for the length of its batch. Besides a fixed
        graph, SigLIP wants this: it pools the last *position*.
    pad_id
        Id of the padding token.

    Raises
    ------
    MissingModelFile, MissingExtra, CorruptFile
    """

    def __init__(self, folder: ModelFolder, fixed_length: int | None = None) -> None:
        path = folder.require("tokenizer.json", "turns text into token ids")
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise MissingExtra(
                "text encoders need tokenizers: pip install 'gapless[onnx]'"
            ) from error
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # tokenizers raises bare Exception
            raise CorruptFile(f"{path} cannot be loaded ({error}); fetch it again") from error
        model = folder.text_config()
        settings = folder.json("tokenizer_config.json")
        kind = str(model.get("model_type", ""))
        siglip = kind.startswith("siglip")
        self.limit = _limit(folder, model, settings, self._tokenizer, fixed_length)
        self.fixed = fixed_length or (self.limit if siglip else None)
        self.pad_id = _pad_id(folder, model, settings, self._tokenizer)
        # SigLIP 2 was trained on lower-cased text, which its Gemma tokenizer does not do itself.
        self._lower = siglip and str(settings.get("tokenizer_class", "")).startswith("Gemma")
        # The file's own padding is ignored: exports often carry a stale one (all-MiniLM-L6-v2
        # pads everything to 128), and masked padding changes no vector.
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self.limit)

    def encode(self, texts: Sequence[str]) -> list[tuple[list[int], list[int]]]:
        """Return the token ids and type ids of each text, cut to ``limit``, not padded.

        Raises
        ------
        InvalidArgument
            A text has no token at all; the message has its index.
        """
        given = [t.lower() for t in texts] if self._lower else list(texts)
        encoded = [(e.ids, e.type_ids) for e in self._tokenizer.encode_batch(given)]
        for row, (ids, _) in enumerate(encoded):
            if not ids:
                raise InvalidArgument(
                    f"text {row} is {texts[row]!r}, which has no token in this model's "
                    "vocabulary rules; leave it out or give it words"
                )
        return encoded

    def batch(self, rows: Sequence[tuple[list[int], list[int]]]) -> dict[str, NDArray[np.int64]]:
        """Pad encoded texts to one length: the four inputs a text graph may ask for."""
        length = self.fixed or max(len(ids) for ids, _ in rows)
        shape = (len(rows), length)
        ids = np.full(shape, self.pad_id, np.int64)
        types = np.zeros(shape, np.int64)
        mask = np.zeros(shape, np.int64)
        for r, (row_ids, row_types) in enumerate(rows):
            n = len(row_ids)
            ids[r, :n] = row_ids
            types[r, :n] = row_types
            mask[r, :n] = 1
        positions = np.broadcast_to(np.arange(length, dtype=np.int64), shape)
        return {
            "input_ids": ids,
            "attention_mask": mask,
            "token_type_ids": types,
            "position_ids": positions,
        }


def _limit(
    folder: ModelFolder,
    model: Mapping[str, Any],
    settings: Mapping[str, Any],
    tokenizer: Any,
    fixed_length: int | None,
) -> int:
    """Return the smallest limit any file states; a longer text would crash the graph."""
    positions = model.get("max_position_embeddings", model.get("n_positions"))
    if isinstance(positions, int) and model.get("model_type") in _OFFSET_POSITIONS:
        positions -= int(model.get("pad_token_id") or 1) + 1
    stated = (
        fixed_length,
        positions,
        folder.json("sentence_bert_config.json").get("max_seq_length"),
        settings.get("model_max_length"),
    )
    limits = [int(v) for v in stated if isinstance(v, (int, float)) and 0 < v < _NO_LIMIT]
    if limits:
        return min(limits)
    truncation = tokenizer.truncation
    return int(truncation["max_length"]) if truncation else DEFAULT_LIMIT


def _pad_id(
    folder: ModelFolder, model: Mapping[str, Any], settings: Mapping[str, Any], tokenizer: Any
) -> int:
    """Return the padding id: from the tokenizer, else the named pad token, else the config."""
    if tokenizer.padding:
        return int(tokenizer.padding["pad_id"])
    for source in (settings, folder.json("special_tokens_map.json")):
        token = source.get("pad_token")
        token = token.get("content") if isinstance(token, dict) else token
        found = tokenizer.token_to_id(token) if isinstance(token, str) else None
        if found is not None:
            return int(found)
    return int(model.get("pad_token_id") or 0)


def sequence_length(shape: tuple[int | None, ...]) -> int | None:
    """Return the token count that an ``input_ids`` port is fixed to, None when it is free."""
    return shape[1] if len(shape) == 2 else None


__all__ = ["DEFAULT_LIMIT", "Tokens", "sequence_length"]
