"""Files of every released format load for ever, and answer as they did."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import gapless

GOLDEN = Path(__file__).parents[1] / "golden"
VERSIONS = sorted(folder.name for folder in GOLDEN.glob("v?"))


def test_there_are_golden_files() -> None:
    assert "v1" in VERSIONS


@pytest.mark.parametrize("version", VERSIONS)
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


@pytest.mark.parametrize("codes", ["cascade", "i8", "bf16", "f32"])
def test_golden_codes(codes: str) -> None:
    folder = GOLDEN / "v1-codes"
    answers = json.loads((folder / "answers.json").read_text())
    index = gapless.HnswIndex.load(folder / f"{codes}.seg")
    assert (len(index), index.codes) == (118, codes)
    scores, ids = index.search(np.float32(answers["queries"]), 5, ef=50)
    assert ids.tolist() == answers[codes]["ids"]
    np.testing.assert_allclose(scores, answers[codes]["scores"], atol=1e-5)
    linked = index._reachable()
    assert linked == (117, 117)  # two of the rows are one
