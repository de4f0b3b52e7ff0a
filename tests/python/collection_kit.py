"""Small collections that several test files build and look at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import gapless as gl
from gapless.collection import Collection
from gapless.segments import FOLDER

DIM = 8


def eye(*rows: int) -> npt.NDArray[np.float32]:
    """These rows of the identity matrix: unit vectors that are easy to recognise."""
    return np.eye(DIM, dtype=np.float32)[list(rows)]


def two_space_schema() -> gl.Schema:
    """Images in one space and texts in another, of another dim; both exact."""
    return gl.Schema(
        {"clip": gl.Space(DIM), "bge": gl.Space(4)},
        {
            "image": gl.Field("clip", "image", index="flat"),
            "body": gl.Field("bge", "text", index="flat"),
        },
    )


def mixed_schema() -> gl.Schema:
    """One space with a graph of images and an exact field of captions."""
    return gl.Schema(
        {"clip": gl.Space(DIM)},
        {
            "image": gl.Field("clip", "image", m=8, ef_construction=60),
            "caption": gl.Field("clip", "text", index="flat"),
        },
    )


def files(path: Path) -> list[str]:
    """Names in the folder of segments."""
    return sorted(p.name for p in (path / FOLDER).iterdir()) if (path / FOLDER).is_dir() else []


def answers(col: Collection) -> list[Any]:
    """Everything that some searches say, to compare before and after."""
    rng = np.random.default_rng(5)
    queries = rng.normal(size=(4, DIM))
    return [
        (hit.id, hit.score, hit.metadata, hit.uri, hit.contributions)
        for q in queries
        for fusion in ("rrf", "cohort")
        for hit in col.search(
            vectors={"clip": q}, modality="text", limit=500, fusion=fusion, ef=500
        )
    ]


def fill(col: Collection, rng: np.random.Generator) -> None:
    """128 items, some updated, some removed."""
    col.upsert(
        [f"i{i}" for i in range(80)],
        {"image": rng.normal(size=(80, DIM))},
        [{"n": i} for i in range(80)],
    )
    col.upsert(list(range(50)), {"caption": rng.normal(size=(50, DIM))})
    col.upsert(["i3", 4], {"image": rng.normal(size=(2, DIM))}, uris=["x", "y"])
    col.remove(["i5", 6])
