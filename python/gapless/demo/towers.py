"""The two towers of the packaged model, in torch (extra ``export``).

Text: word pieces -> a table of static vectors -> mean -> a small residual head. The order of words
does not count, so "left arrow" and "arrow left" are one vector; there is no attention to run and
nothing that grows with the square of the text.

Image: 64x64 grey -> a residual ConvNet with four halvings -> the mean over space beside a narrow
map that keeps where things are (a badge at the top right is not one at the bottom left).

Both give unit vectors of :data:`DIM` dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["DIM", "TOKEN_DIM", "WIDTHS", "IconTower", "TextTower", "fold"]

DIM = 192
"""Dimension of the shared space."""

TOKEN_DIM = 128
"""Dimension of a word piece's static vector."""

WIDTHS = (24, 48, 128, 256)
"""Channels of the ConvNet's four stages, at 32, 16, 8 and 4 pixels a side."""

_PLACES = 32


class ConvNorm(nn.Sequential):
    """3x3 convolution without bias, then batch norm."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        )


class Stage(nn.Module):
    """Halve the picture, then one residual block: ``relu(x + conv(relu(conv(x))))``."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.down = ConvNorm(inputs, outputs, 2)
        self.first = ConvNorm(outputs, outputs)
        self.second = ConvNorm(outputs, outputs)
        # Start as the identity: the block learns what to add.
        nn.init.zeros_(cast(nn.BatchNorm2d, self.second[1]).weight)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, inputs, s, s) to (n, outputs, s/2, s/2)."""
        x = F.relu(self.down(x))
        return F.relu(x + self.second(F.relu(self.first(x))))


class IconTower(nn.Module):
    """Picture tower: float (n, 1, 64, 64), paper 0 and ink -2 -> unit (n, :data:`DIM`)."""

    def __init__(
        self, widths: tuple[int, ...] = WIDTHS, dim: int = DIM, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.drop = nn.Dropout(dropout)
        self.stem = ConvNorm(1, widths[0], 2)
        self.stages = nn.Sequential(*(Stage(a, b) for a, b in pairwise(widths)))
        self.places = nn.Conv2d(widths[-1], _PLACES, 1)
        side = 64 >> len(widths)
        self.head = nn.Linear(widths[-1] + _PLACES * side * side, dim)

    def forward(self, pixels: Tensor) -> Tensor:
        """Embed pictures; the last normalisation runs in float32."""
        x = self.stages(F.relu(self.stem(pixels)))
        parts = torch.cat([x.mean((2, 3)), F.relu(self.places(x)).flatten(1)], 1)
        return F.normalize(self.head(self.drop(parts)).float(), dim=1)


class TextTower(nn.Module):
    """Name tower: token ids and mask (n, length) -> unit (n, :data:`DIM`).

    Parameters
    ----------
    table
        Static word-piece vectors, float (vocabulary, token_dim); their lengths are their weights
        in the mean.
    hidden
        Width of the residual head.
    """

    def __init__(self, table: Tensor, hidden: int = 384, dim: int = DIM) -> None:
        super().__init__()
        count, width = table.shape
        self.table = nn.Embedding(count, width, _weight=table.clone())
        self.skip = nn.Linear(width, dim)
        self.first = nn.Linear(width, hidden)
        self.second = nn.Linear(hidden, dim, bias=False)
        nn.init.zeros_(self.second.weight)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Embed texts; padded places have mask 0 and add nothing."""
        weight = mask.unsqueeze(-1).to(self.table.weight.dtype)
        mean = (self.table(ids) * weight).sum(1)
        # The head sees a direction only: the length of the sum tells how long the text is.
        unit = F.normalize(mean, dim=1) * mean.shape[1] ** 0.5
        return F.normalize(self.skip(unit) + self.second(F.gelu(self.first(unit))), dim=1)


@dataclass(frozen=True)
class Folded:
    """A convolution with its batch norm folded in: weight (out, in, 3, 3), bias (out,)."""

    weight: Tensor
    bias: Tensor
    stride: int


def fold(block: ConvNorm) -> Folded:
    """Fold a batch norm in inference mode into the convolution before it."""
    conv, norm = cast(nn.Conv2d, block[0]), cast(nn.BatchNorm2d, block[1])
    mean, variance = cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)
    scale = norm.weight / torch.sqrt(variance + norm.eps)
    weight = conv.weight * scale[:, None, None, None]
    bias = norm.bias - mean * scale
    return Folded(weight.detach(), bias.detach(), conv.stride[0])
