"""Batches for training: names with two pictures each, and the pictures' augmentation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gapless.demo.icons import Icon

__all__ = ["Names", "augment", "pixels", "token_batch"]

# A mirrored picture is another thing if its name has one of these words, or a letter or digit.
_SIDED_WORDS = (
    "left right back forward backward next previous rewind undo redo reply share send export import"
    " login logout in out enter exit sign format text translate language alphabetical alphabet sort"
    " clockwise counter arrow arrows chevron caret angle skip subdirectory indent letter number"
    " numeric alpha roman music quote quotes logo west east play ray cut align dock page layout"
    " sidebar panel toggle switch corner bend elbow turn u code file font currency slash git"
    " step subtitles message chat comment line chart a b c d e f g h i j k l m n o p q r s t v w x"
    " y z"
)
_SIDED = frozenset(_SIDED_WORDS.split())
_KIN = 3
_FRAMES = ("{} icon", "icon of {}", "a {}", "the {} symbol", "a picture of a {}", "{} sign")


def _mirrors(text: str) -> bool:
    words = text.split()
    return not any(word in _SIDED or any(c.isdigit() for c in word) for word in words)


def pixels(pictures: npt.NDArray[np.uint8]) -> Tensor:
    """Turn pictures into the tower's input: paper 0, ink -2; (n, 64, 64) -> (n, 1, 64, 64)."""
    return (torch.from_numpy(np.array(pictures)).float() / 255 - 1).div(0.5).unsqueeze(1)


def token_batch(tokenizer: Any, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Tokenise and pad with row 0: ids and mask, int64 (n, longest)."""
    rows = [encoding.ids or [1] for encoding in tokenizer.encode_batch(list(texts))]
    length = max(map(len, rows))
    ids = torch.zeros(len(rows), length, dtype=torch.long)
    mask = torch.zeros(len(rows), length, dtype=torch.long)
    for line, row in enumerate(rows):
        ids[line, : len(row)] = torch.tensor(row)
        mask[line, : len(row)] = 1
    return ids, mask


@dataclass(frozen=True)
class Batch:
    """One step's rows: names (n,), pictures (2n,) by position, and their mirror permission."""

    texts: list[str]
    names: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    mirrors: Tensor


def _plain(icons: Sequence[Icon]) -> list[str]:
    """Names to train on: Remix numbers its redrawings of a thing, "heart 2" is another heart."""
    known = {icon.text for icon in icons if icon.family == "remix"}
    texts = []
    for icon in icons:
        stem, _, last = icon.text.rpartition(" ")
        again = icon.family == "remix" and last.isdigit() and len(last) == 1 and stem in known
        texts.append(stem if again else icon.text)
    return texts


class Names:
    """Icons grouped by name, as a bag of words; draws batches of distinct names.

    Distinct names keep false negatives out of a batch: every picture in it that is not of a name
    belongs to another name. Two pictures of each name come along, from two families if it is
    drawn in two, so that pictures are pulled to each other as well.
    """

    def __init__(self, icons: Sequence[Icon]) -> None:
        texts = _plain(icons)
        groups: dict[tuple[str, ...], list[int]] = {}
        for row, text in enumerate(texts):
            groups.setdefault(tuple(sorted(text.split())), []).append(row)
        self.groups = [np.array(rows, dtype=np.int64) for rows in groups.values()]
        self.texts = [texts[rows[0]] for rows in self.groups]
        self._family = np.array([icon.family for icon in icons])
        self._mirrors = torch.tensor([_mirrors(text) for text in self.texts])
        self._sharing: dict[str, list[int]] = {}
        for name, text in enumerate(self.texts):
            for word in set(text.split()):
                self._sharing.setdefault(word, []).append(name)

    def __len__(self) -> int:
        return len(self.groups)

    def _pair(self, name: int, rng: np.random.Generator) -> tuple[int, int]:
        rows = self.groups[name]
        # Choose the family first: five weights of one drawing should not outvote another drawing.
        families = rng.permutation(np.unique(self._family[rows]))
        picked = [int(rng.choice(rows[self._family[rows] == f])) for f in families[:2]]
        if len(picked) == 1:
            rest = rows[rows != picked[0]]
            picked.append(int(rng.choice(rest)) if len(rest) else picked[0])
        return picked[0], picked[1]

    def _say(self, name: int, rng: np.random.Generator) -> str:
        words = self.texts[name].split()
        draw = rng.random(2)
        if len(words) > 2 and draw[0] < 0.15:
            words.pop(int(rng.integers(len(words))))
        text = " ".join(words)
        return str(rng.choice(_FRAMES)).format(text) if draw[1] < 0.1 else text

    def _order(self, rng: np.random.Generator) -> npt.NDArray[np.int64]:
        """Permute the names and pull up to three kin behind each: names that share a word.

        In one batch they are the negatives that are hard to tell apart.
        """
        order: list[int] = []
        used = np.zeros(len(self), dtype=np.bool_)
        for name in rng.permutation(len(self)):
            if used[name]:
                continue
            kin = np.array(self._sharing[str(rng.choice(self.texts[name].split()))])
            kin = rng.permutation(kin[~used[kin] & (kin != name)])[:_KIN]
            for one in (int(name), *map(int, kin)):
                order.append(one)
                used[one] = True
        return np.array(order, dtype=np.int64)

    def batches(self, size: int, rng: np.random.Generator) -> Iterator[Batch]:
        """Go once through all names, ``size`` at a time, in random order but for kin."""
        order = self._order(rng)
        for start in range(0, len(order) - size + 1, size):
            names = order[start : start + size]
            pairs = np.array([self._pair(int(name), rng) for name in names])
            texts = [self._say(int(name), rng) for name in names]
            # First pictures, then second ones, so that row j belongs to name j mod size.
            yield Batch(texts, names, pairs.T.reshape(-1), self._mirrors[names].repeat(2))


def augment(x: Tensor, mirrors: Tensor, generator: torch.Generator) -> Tensor:
    """Redraw pictures as another hand might: placed, stretched, thicker, thinner, hollow, soft.

    Parameters
    ----------
    x
        float (n, 1, 64, 64), paper 0 and ink -2.
    mirrors
        bool (n,): the picture may be mirrored.
    generator
        The only source of chance.

    Returns
    -------
    Tensor
        The same shape and range.
    """
    count = len(x)

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(count, generator=generator) * (high - low) + low

    ink = x / -2
    zoom = 1 + uniform(-0.08, 0.45)
    stretch = 1 + uniform(-0.1, 0.1)
    angle = uniform(-0.15, 0.15)
    flip = torch.where((uniform(0, 1) < 0.3) & mirrors, -1.0, 1.0)
    affine = torch.zeros(count, 2, 3)
    affine[:, 0, 0] = zoom * stretch * torch.cos(angle) * flip
    affine[:, 0, 1] = -zoom * torch.sin(angle) + uniform(-0.08, 0.08)
    affine[:, 1, 0] = zoom * torch.sin(angle) * flip
    affine[:, 1, 1] = zoom / stretch * torch.cos(angle)
    affine[:, :, 2] = torch.stack([uniform(-0.12, 0.12), uniform(-0.12, 0.12)], 1)
    grid = F.affine_grid(affine, [count, 1, *x.shape[2:]], align_corners=False)
    ink = F.grid_sample(ink, grid, mode="bilinear", align_corners=False)

    def some(share: float) -> Tensor:
        return (uniform(0, 1) < share).view(-1, 1, 1, 1)

    thick = F.max_pool2d(ink, 3, 1, 1)
    thin = -F.max_pool2d(-ink, 3, 1, 1)
    core = -F.max_pool2d(-ink, 5, 1, 2)
    ink = torch.where(some(0.2), torch.lerp(ink, thick, uniform(0.3, 1).view(-1, 1, 1, 1)), ink)
    ink = torch.where(some(0.1), torch.lerp(ink, thin, uniform(0.2, 0.7).view(-1, 1, 1, 1)), ink)
    # A filled drawing becomes its own outline.
    ink = torch.where(some(0.12), (ink - core).clamp(0, 1), ink)
    ink = torch.where(some(0.15), F.avg_pool2d(ink, 3, 1, 1), ink)
    return ink.clamp(0, 1) * -2
