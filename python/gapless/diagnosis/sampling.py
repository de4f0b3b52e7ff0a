"""The bounded sample of a space that a diagnosis looks at, drawn so that pairs stay together."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from .. import _core

__all__ = ["KEEP", "SAMPLE", "Sample", "draw_rows", "merge_keys"]

SAMPLE = 2_000  # rows; the readings' standard errors are then below .01
KEEP = 100  # rows of a rare modality, and items known to be right, that are sampled in any case

Float64: TypeAlias = "npt.NDArray[np.float64]"
Keys: TypeAlias = "npt.NDArray[np.int64]"


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Rows of one space and what is known about them.

    Attributes
    ----------
    space : str
    rows : mapping of field to (n, dim)
        As stored, not aligned.
    modality_of : mapping of field to modality
    keys : mapping of field to (n,) int64
        Rows with one key mean the same.
    maps : mapping of field to Alignment
        The active alignment, empty under raw scores; `method` is its name.
    labels : mapping of key to label
        Rows with one label answer each other; where it is empty, rows with one key do.
    queries : mapping of modality to (q, dim)
        Queries of real users.
    answers : mapping of modality to (q,) int64
        The key that answers each of them, where that is known.
    stored : mapping of field to (n,) int64
        The key that an index holds each row under, which `keys` need not be where pairs merged
        some; empty without an index.
    """

    space: str
    rows: Mapping[str, Float64]
    modality_of: Mapping[str, str]
    keys: Mapping[str, Keys]
    maps: Mapping[str, _core.Alignment] = field(default_factory=dict)
    method: str = "raw"
    labels: Mapping[int, Hashable] = field(default_factory=dict)
    queries: Mapping[str, Float64] = field(default_factory=dict)
    answers: Mapping[str, Keys] = field(default_factory=dict)
    stored: Mapping[str, Keys] = field(default_factory=dict)

    @property
    def modalities(self) -> list[str]:
        """The modalities that have a row, in the order of their fields."""
        return list(dict.fromkeys(self.modality_of[name] for name in self.rows))

    @property
    def count(self) -> int:
        """Rows of all fields."""
        return sum(len(rows) for rows in self.rows.values())

    def code(self) -> Keys:
        """Position in `modalities` of every row, all fields in order."""
        place = {modality: i for i, modality in enumerate(self.modalities)}
        return np.concatenate(
            [np.full(len(rows), place[self.modality_of[name]]) for name, rows in self.rows.items()]
        )

    def items(self) -> Keys:
        """Key of every row, all fields in order."""
        return np.concatenate([self.keys[name] for name in self.rows])


def merge_keys(
    keys: Mapping[str, Keys], pairs: Sequence[tuple[int, int]]
) -> tuple[dict[str, Keys], dict[int, int]]:
    """Give items that `pairs` declares to mean the same one key, the lowest of theirs.

    Returns
    -------
    the keys per field, and the key that each key named in a pair has now
    """
    parent: dict[int, int] = {}

    def root(key: int) -> int:
        while parent.setdefault(key, key) != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    for first, second in pairs:
        a, b = root(int(first)), root(int(second))
        parent[max(a, b)] = min(a, b)
    changed = {key: root(key) for key in parent}
    merged = {name: np.array(values, dtype=np.int64) for name, values in keys.items()}
    if changed:
        old = np.array(sorted(changed), dtype=np.int64)
        new = np.array([changed[key] for key in old.tolist()], dtype=np.int64)
        for values in merged.values():
            place = np.searchsorted(old, values).clip(max=len(old) - 1)
            hit = old[place] == values
            values[hit] = new[place[hit]]
    return merged, changed


def draw_rows(
    keys: Mapping[str, Keys],
    modality_of: Mapping[str, str],
    sample: int,
    seed: int,
    known: Collection[int] = (),
) -> dict[str, Keys]:
    """Positions per field of about `sample` rows in all, drawn by item so that pairs stay together.

    A modality that would come out with fewer than 100 rows is topped up to 100, and so are the
    items that tell right from wrong: those in `known`, or without it those that fill two
    modalities (less in a small sample, or all there are). The shares are then those of the sample.
    """
    total = sum(len(value) for value in keys.values())
    if total <= sample:
        return {name: np.arange(len(value)) for name, value in keys.items()}
    rng = np.random.default_rng(seed)
    modalities = list(dict.fromkeys(modality_of[name] for name in keys))
    mine = {
        modality: np.unique(np.concatenate([keys[n] for n in keys if modality_of[n] == modality]))
        for modality in modalities
    }
    items, filled = np.unique(np.concatenate(list(mine.values())), return_counts=True)
    count = max(1, round(len(items) * sample / total))
    drawn = rng.choice(items, min(count, len(items)), replace=False)
    keep = min(KEEP, sample // (2 * len(modalities)))
    wanted = np.intersect1d(items, np.fromiter(known, np.int64)) if known else items[filled > 1]
    lacking = np.setdiff1d(wanted, drawn)
    spare = keep - (len(wanted) - len(lacking))
    if spare > 0:
        drawn = np.concatenate([drawn, rng.permutation(lacking)[:spare]])
    chosen = {name: np.isin(value, drawn) for name, value in keys.items()}
    for modality in modalities:
        names = [name for name in keys if modality_of[name] == modality]
        short = keep - sum(int(chosen[name].sum()) for name in names)
        if short > 0:
            extra = np.concatenate([np.flatnonzero(~chosen[name]) for name in names])
            owner = np.repeat(np.arange(len(names)), [int((~chosen[n]).sum()) for n in names])
            for i in rng.permutation(len(extra))[:short]:
                chosen[names[owner[i]]][extra[i]] = True
    return {name: np.flatnonzero(value) for name, value in chosen.items()}
