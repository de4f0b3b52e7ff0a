"""Fixtures that several test files share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import gapless as gl
from collection_kit import DIM
from gapless.collection import Collection

CLIP_FILE = Path(__file__).parents[2] / ".." / "shared" / "data" / "clip_vitb32_coco500.npy"


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20260101)


@pytest.fixture
def schema() -> gl.Schema:
    """One space of dim 8 with an exact image and an exact caption field."""
    return gl.Schema(
        spaces={"clip": gl.Space(dim=DIM)},
        fields={
            "image": gl.Field("clip", "image", index="flat"),
            "caption": gl.Field("clip", "text", index="flat"),
        },
    )


@pytest.fixture
def col(tmp_path: Path, schema: gl.Schema) -> Iterator[Collection]:
    """A new, empty collection with that schema."""
    with gl.open(tmp_path / "col", schema) as opened:
        yield opened


@pytest.fixture(scope="session")
def clip_pairs() -> npt.NDArray[np.float32]:
    """CLIP ViT-B/32 vectors of 500 COCO images and of a caption of each, (2, 500, 512)."""
    if not CLIP_FILE.is_file():
        pytest.skip(f"the CLIP fixture {CLIP_FILE.name} is not on this machine")
    pairs: npt.NDArray[np.float32] = np.load(CLIP_FILE)
    return pairs
