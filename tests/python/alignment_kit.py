"""Collections of two cones far apart, for the tests of alignments."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

import gapless as gl

DIM = 8
Rows = npt.NDArray[np.float64]


def unit(x: Rows) -> Rows:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def schema_of(index: str = "flat") -> gl.Schema:
    return gl.Schema(
        {"clip": gl.Space(DIM)},
        {
            "image": gl.Field("clip", "image", index=index),
            "caption": gl.Field("clip", "text", index=index),
        },
    )


def cones(rng: np.random.Generator, n: int = 60) -> tuple[Rows, Rows]:
    """Images and captions of the same n meanings, in two cones far apart."""
    meaning = rng.normal(size=(n, DIM))
    away = np.eye(DIM)[:2] * 4
    return meaning + away[0], meaning + 0.2 * rng.normal(size=(n, DIM)) + away[1]
