"""Three fields of the same 100,000 items, and the exact answers to questions over all three.

Both kinds are made of the three thirds of d1 (see datasets.py), whose texts have nothing to do with
each other, so that a field is as hard to search as real texts are:

shared  the first field is the first third; the others share its direction (cosine .8) and have
        that of another text beside it (.6): fields that agree in part, as title, text and
        keywords of an item do
apart   every field is a third: items whose fields agree in nothing, and lists without a common item
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

import datasets
from handmade import Lists, exact_lists
from measure import TIE, unit
from systems import Ids, Rows
from texts import CACHE

KINDS = ("shared", "apart")
FIELDS, ITEMS = 3, 100_000
SHARED, OWN = 0.8, 0.6
RRF_K = 60.0


@dataclass(frozen=True)
class Questions:
    """Rows of each field, queries (nq, dim), and what exact searches of each field find."""

    kind: str
    fields: tuple[Rows, ...]
    queries: Rows
    lists: Lists

    def first(self, count: int) -> Questions:
        """Give the first of the questions alone."""
        scores, ids = self.lists
        return replace(self, queries=self.queries[:count], lists=(scores[:count], ids[:count]))

    def fused(self, method: str, ids: Ids) -> NDArray[np.float64]:
        """Give the true fused scores of some items of each query, (nq, n)."""
        scores, known = self.lists
        total = np.zeros(ids.shape)
        for field, rows in enumerate(self.fields):
            if method == "rrf":
                for start in range(0, len(ids), 100):
                    part = slice(start, start + 100)
                    place = known[part, field, None, :] == ids[part, :, None]
                    rank = place.argmax(axis=2) + 1
                    total[part] += np.where(place.any(axis=2), 1.0 / (RRF_K + rank), 0.0)
                continue
            own = scores[:, field].astype(np.float64)
            low, high = own[:, -1:], own[:, :1]
            dots = np.stack(
                [rows[i].astype(np.float64) @ q for i, q in zip(ids, self.queries, strict=True)]
            )
            total += (dots - low) / (high - low)
        return total

    @cached_property
    def _unions(self) -> Ids:
        """Items that any field found, each once; -1 fills up."""
        ids = np.sort(self.lists[1].reshape(len(self.queries), -1), axis=1)
        ids[:, 1:][ids[:, 1:] == ids[:, :-1]] = -1
        return ids

    def floor(self, method: str, k: int) -> NDArray[np.float64]:
        """Give the true fused score of the k-th best item of each query, (nq,)."""
        scores = np.where(self._unions < 0, -np.inf, self.fused(method, self._unions))
        return np.partition(scores, -k, axis=1)[:, -k]

    def recall(self, method: str, ids: Ids, floor: NDArray[np.float64]) -> float:
        """Give the share of answers that truly score as the k-th best does, or better."""
        good = self.fused(method, np.maximum(ids, 0)) >= floor[:, None] - TIE
        return float((good & (ids >= 0)).mean())


def make(rows: Sequence[Rows], kind: str) -> tuple[Rows, ...]:
    """Make the fields of as many sets of rows of unrelated texts."""
    first, *others = (np.array(part, np.float32) for part in rows)
    if kind == "apart":
        return (first, *others)
    return (first, *(unit(SHARED * first + OWN * other) for other in others))


def load(kind: str, count: int, depth: int) -> Questions:
    """Give the fields of d1, its first `count` test queries, and their exact lists."""
    data = datasets.load("d1", mmap=True)
    thirds = [data.rows[at * ITEMS : (at + 1) * ITEMS] for at in range(FIELDS)]
    fields, queries = make(thirds, kind), np.array(data.queries[:count])
    path = CACHE / f"query-{kind}-{count}-{depth}.npz"
    if not path.is_file():
        scores, ids = exact_lists(fields, queries, depth)
        np.savez(path, scores=scores, ids=ids)
    with np.load(path) as known:
        return Questions(kind, fields, queries, (known["scores"], known["ids"]))
