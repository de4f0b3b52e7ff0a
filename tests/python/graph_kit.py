"""Data and exact answers that the tests of the graph index share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

import gapless

Rows = NDArray[np.float32]
Ids = NDArray[np.int64]
CODES = ("f32", "bf16", "i8", "cascade")
KINDS = [(codes, keep) for codes in CODES for keep in (True, False) if codes != "f32" or keep]


def clustered(count: int, dim: int, seed: int = 0) -> Rows:
    """Rows around a few centres, as embeddings are."""
    centres = np.random.default_rng(99).normal(size=(40, dim))
    random = np.random.default_rng(seed)
    rows = centres[random.integers(0, 40, count)] + 0.6 * random.normal(size=(count, dim))
    return rows.astype(np.float32)


def unit(rows: NDArray[np.floating]) -> NDArray[np.float64]:
    wide = rows.astype(np.float64)
    return np.asarray(wide / np.linalg.norm(wide, axis=-1, keepdims=True))


def nearest(queries: Rows, rows: Rows, k: int) -> Ids:
    """Positions of the k rows of the highest cosine, in float64."""
    scores = unit(queries) @ unit(rows).T
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def recall(found: Ids, truth: Ids) -> float:
    pairs = zip(found, truth, strict=True)
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in pairs]))


def check_sound(index: gapless.HnswIndex) -> None:
    reached, linked = index._reachable()
    assert reached == linked
