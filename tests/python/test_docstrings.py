"""The examples in the docstrings are true."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import gapless

PACKAGE = Path(gapless.__file__).parent


def modules() -> list[str]:
    """Names of the modules with an example; no other is imported, as some load torch."""
    return [
        ".".join(["gapless", *path.relative_to(PACKAGE).with_suffix("").parts])
        for path in sorted(PACKAGE.rglob("*.py"))
        if ">>> " in path.read_text(encoding="utf-8")
    ]


@pytest.mark.parametrize("name", modules())
def test_examples_run(name: str) -> None:
    module = importlib.import_module(name.removesuffix(".__init__"))
    report: list[str] = []
    runner = doctest.DocTestRunner()
    for example in doctest.DocTestFinder().find(module):
        runner.run(example, out=report.append)
    assert runner.tries > 0 or "+SKIP" in Path(str(module.__file__)).read_text(encoding="utf-8")
    assert runner.failures == 0, "".join(report)


def test_the_examples_are_found() -> None:
    assert {"gapless.collection", "gapless.evaluation.measures"} <= set(modules())
