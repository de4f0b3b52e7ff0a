"""From token vectors to one vector per text, as ``1_Pooling/config.json`` says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gapless.errors import InvalidArgument

MODES = ("cls", "max", "mean", "mean_sqrt_len", "lasttoken")
"""Known modes, in the order in which several of them are concatenated (Sentence Transformers)."""

_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len",
    "pooling_mode_lasttoken": "lasttoken",
    "pooling_mode_weightedmean_tokens": "weightedmean",
}


def read_modes(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the pooling modes that a ``1_Pooling/config.json`` names; empty when it is empty.

    Both forms are read: one flag per mode, and the newer single ``pooling_mode``.
    """
    modes = [mode for flag, mode in _FLAGS.items() if config.get(flag)]
    named = config.get("pooling_mode")
    if isinstance(named, str):
        modes = named.split("+")
    return check_modes(modes)


def check_modes(modes: list[str]) -> tuple[str, ...]:
    """Return ``modes`` in the order of :data:`MODES`; InvalidArgument for an unknown one."""
    unknown = [m for m in modes if m not in MODES]
    if unknown:
        raise InvalidArgument(
            f"pooling mode {unknown[0]!r} is not supported; wanted some of {', '.join(MODES)}. "
            "A graph that pools by itself (output sentence_embedding) needs none"
        )
    return tuple(m for m in MODES if m in modes)


def pool(
    tokens: NDArray[np.float32], mask: NDArray[np.int64], modes: tuple[str, ...]
) -> NDArray[np.float32]:
    """Pool token vectors.

    Parameters
    ----------
    tokens
        float32 (n, length, dim).
    mask
        int64 (n, length): 1 for a token, 0 for padding; every row has at least one 1.
    modes
        Some of :data:`MODES`; several are concatenated.

    Returns
    -------
    float32 (n, dim * len(modes))
    """
    weight = mask.astype(np.float32)[:, :, None]
    count = weight.sum(axis=1)
    parts: list[NDArray[np.float32]] = []
    for mode in modes:
        if mode == "cls":
            parts.append(tokens[np.arange(len(tokens)), mask.argmax(axis=1)])
        elif mode == "lasttoken":
            last = mask.shape[1] - 1 - mask[:, ::-1].argmax(axis=1)
            parts.append(tokens[np.arange(len(tokens)), last])
        elif mode == "max":
            parts.append(np.where(weight > 0, tokens, -np.inf).max(axis=1).astype(np.float32))
        else:
            divisor = count if mode == "mean" else np.sqrt(count)
            parts.append((tokens * weight).sum(axis=1) / divisor)
    return np.concatenate(parts, axis=1)
