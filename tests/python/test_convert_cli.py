"""``gapless convert`` in both directions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import gapless as gl
from gapless.cli import app

GOLDEN = Path(__file__).parents[1] / "golden" / "convert"


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["convert", *(str(argument) for argument in arguments)])


@pytest.mark.parametrize("target", ["rows.npz", "rows.npy", "rows.faiss"])
def test_there_and_back(target: str, tmp_path: Path) -> None:
    made = run(GOLDEN / "idmap2.faiss", tmp_path / "col", "--modality", "image", "--json")
    assert made.exit_code == 0, made.output
    told = json.loads(made.stdout)
    assert (told["items"], told["rows"], told["findings"]) == (12, {"image": 12}, [])
    out = run(tmp_path / "col", tmp_path / target, "--json")
    assert out.exit_code == 0, out.output
    assert json.loads(out.stdout)["items"] == 12
    back = run(tmp_path / target, tmp_path / "back", "--field", "image", "--index", "flat")
    assert back.exit_code == 0, back.output
    assert "12 items (12 in image)" in back.stdout
    with gl.open(tmp_path / "back") as col:
        ids = np.load(GOLDEN / "ids.npy").tolist()
        assert col.ids() == ids
        rows = np.stack([item.vectors["image"] for item in col.get(ids, vectors=True)])
    np.testing.assert_allclose(rows, np.load(GOLDEN / "rows.npy"), atol=1e-6)


def test_notes_go_to_stderr(tmp_path: Path) -> None:
    made = run(GOLDEN / "hnsw_l2.faiss", tmp_path / "col", "--modality", "image", "--json")
    assert json.loads(made.stdout)["findings"][0]["code"] == "ROWS_NORMALISED"
    assert "ROWS_NORMALISED: 12 of 12" in made.stderr
    assert "graph is not taken over" in made.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rows.npy", "{}"], "--modality image"),
        (["sq.faiss", "{}", "--modality", "image"], "IndexScalarQuantizer"),
        (["flat_l2.faiss", "{}", "--field", "image", "--strict"], "row of length"),
        (["missing.npy", "{}", "--field", "image"], "No such file"),
        (["rows.npy", "{}", "--field", "image", "--overwrite"], "--overwrite is for an export"),
        ([".", "{}", "--strict", "--modality", "image"], "--modality, --strict is for an import"),
        ([".", "{}"], "holds no collection"),
    ],
)
def test_errors_are_one_line_and_status_1(arguments: list[str], said: str, tmp_path: Path) -> None:
    source, target, *options = arguments
    result = run(GOLDEN / source, target.format(tmp_path / "col"), *options)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert said in result.stderr
    assert result.stderr.startswith("error: ")
    assert list(tmp_path.iterdir()) == []
