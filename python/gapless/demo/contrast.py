"""The contrastive loss of :mod:`gapless.losses` in torch (extra ``export``), for the trainer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["contrast", "drawings", "false_negatives"]


def contrast(logits: Tensor, right: Tensor, ignored: Tensor | None = None) -> Tensor:
    """Cross-entropy of rows with several right answers: :func:`gapless.losses.contrast`.

    Parameters
    ----------
    logits
        (n, m).
    right
        1 or True where an answer is right, at least once a row; (n, m).
    ignored
        True where it is neither right nor wrong; (n, m).
    """
    if ignored is not None:
        logits = logits.masked_fill(ignored, -torch.inf)
    right = right.to(logits.dtype)
    log = F.log_softmax(logits, dim=1)
    chosen = torch.where(right > 0, log, 0.0)  # 0 times the -inf of an ignored place would be NaN
    return -(chosen.sum(1) / right.sum(1)).mean()


def drawings(pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Give equal pictures of (n, ...), and no others, one number: int64 (n,)."""
    flat = np.ascontiguousarray(pictures).reshape(len(pictures), -1)
    number: dict[bytes, int] = {}
    return np.array([number.setdefault(row.tobytes(), len(number)) for row in flat], np.int64)


def false_negatives(
    texts: Sequence[str], drawn: npt.NDArray[np.int64], owner: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Tell which pictures of other names are no wrong answers: bool (names, pictures).

    They show the same drawing as one of the name's own, or are of a name that reads the same.

    Parameters
    ----------
    texts
        The names as read in this batch, (names,).
    drawn
        Number of each picture's drawing, (pictures,).
    owner
        Name of each picture, (pictures,).
    """
    said = {text: number for number, text in enumerate(texts)}
    name = np.array([said[text] for text in texts], np.int64)
    own = owner[None, :] == np.arange(len(texts))[:, None]
    same_text = name[:, None] == name[owner][None, :]
    twins = drawn[:, None] == drawn[None, :]
    same_drawing = (own.astype(np.float32) @ twins.astype(np.float32)) > 0
    found: npt.NDArray[np.bool_] = (same_text | same_drawing) & ~own
    return found
