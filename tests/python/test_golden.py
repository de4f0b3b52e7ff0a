"""Files of every released format load for ever, and answer as they did."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import gapless

GOLDEN = Path(__file__).parents[1] / "golden"
VERSIONS = sorted(folder.name for folder in GOLDEN.iterdir() if folder.is_dir())


def test_there_are_golden_files() -> None:
    assert "v1" in VERSIONS


@pytest.mark.parametrize("version", [v for v in VERSIONS if v.startswith("v")])
@pytest.mark.parametrize("kind", ["flat", "hnsw"])
def test_golden_file(version: str, kind: str) -> None:
    folder = GOLDEN / version
    answers = json.loads((folder / "answers.json").read_text())
    index = {"flat": gapless.FlatIndex, "hnsw": gapless.HnswIndex}[kind].load(
        folder / f"{kind}.seg"
    )
    assert len(index) == 50
    scores, ids = index.search(np.float32(answers["queries"]), 10, query_modality="text")
    assert ids.tolist() == answers[kind]["ids"]
    np.testing.assert_allclose(scores, answers[kind]["scores"], atol=1e-5)
    assert index.add(np.eye(1, 7)).tolist() == [160]
