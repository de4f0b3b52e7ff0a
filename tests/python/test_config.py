"""What show_config tells, and that GAPLESS_SIMD is obeyed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import gapless
from gapless.errors import InvalidArgument

SCRIPT = """
import numpy as np, gapless
random = np.random.default_rng(0)
index = gapless.FlatIndex(37)
index.add(random.normal(size=(500, 37)))
print(gapless.show_config("dicts")["simd"], *index.search(random.normal(size=37), 5)[1][0])
"""


def run(simd: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "GAPLESS_SIMD": simd}
    return subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=False
    )


def test_show_config(capsys: pytest.CaptureFixture[str]) -> None:
    found = gapless.show_config("dicts")
    assert found is not None
    assert found["version"] == gapless.__version__
    assert found["simd"] in found["simd_available"]
    assert found["cores"] >= 1
    assert gapless.show_config() is None
    printed = capsys.readouterr().out
    assert gapless.__version__ in printed
    assert found["cuda"] in printed
    with pytest.raises(InvalidArgument, match="mode is 'loud'"):
        gapless.show_config("loud")


def test_every_instruction_set_can_be_forced_and_agrees() -> None:
    found = gapless.show_config("dicts")
    assert found is not None
    answers = {}
    for simd in found["simd_available"]:
        done = run(simd)
        assert done.returncode == 0, done.stderr
        name, *ids = done.stdout.split()
        assert name == simd
        answers[simd] = ids
    assert len({tuple(ids) for ids in answers.values()}) == 1


def test_an_unknown_instruction_set_is_refused() -> None:
    done = run("mmx")
    assert done.returncode != 0
    assert "GAPLESS_SIMD is 'mmx'; this machine runs scalar" in done.stderr
