"""Plots that follow the page, and pictures inside it."""

from __future__ import annotations

import base64
import io
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from gapless.demo.run import run_demo
from gapless.errors import InvalidArgument, MissingExtra
from gapless.report.demo import picture_uri, write_report
from gapless.report.plots import Cones, cones, densities, plane

LABELS = {"image": "pictures", "text": "words"}


def test_plane_runs_along_the_gap_and_across_it(rng: np.random.Generator) -> None:
    shift = np.zeros(6)
    shift[2] = 3.0
    spread = np.array([1, 1, 1, 5, 1, 1])
    first, second = rng.normal(size=(2, 4000, 6)) * spread
    second = second - second.mean(axis=0) + first.mean(axis=0) + shift
    axes = plane(first, second)
    np.testing.assert_allclose(axes.T @ axes, np.eye(2), atol=1e-12)
    np.testing.assert_allclose(axes[:, 0], np.eye(6)[2], atol=1e-12)
    np.testing.assert_allclose(axes[:, 1], np.eye(6)[3], atol=0.02)


@pytest.mark.parametrize("shapes", [((1, 4), (5, 4)), ((5, 4), (5, 3)), ((5,), (5,))])
def test_plane_refuses_shapes(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    with pytest.raises(InvalidArgument, match="shapes"):
        plane(*(np.ones(shape) for shape in shapes))


def test_plane_refuses_groups_without_a_gap() -> None:
    with pytest.raises(InvalidArgument, match="coincide"):
        plane(np.eye(3), np.eye(3))


def check_svg(svg: str) -> ElementTree.Element:
    root = ElementTree.fromstring(svg)
    assert root.attrib["role"] == "img" and "width" not in root.attrib
    assert "viewBox" in root.attrib
    assert not re.search(r'(src|href)="(?!#)', svg), "an SVG loads nothing"
    for name in ("image", "text", "ink"):
        assert f"var(--{name})" in svg
    assert "#000000" not in "".join(re.findall(r"<text.*?>", svg))
    return root


def test_cones_draws_every_point_in_the_colours_of_the_page(rng: np.random.Generator) -> None:
    points = {"image": rng.normal(size=(30, 2)), "text": rng.normal(size=(40, 2)) + 3}
    svg = cones([Cones("Raw: gap 3", points), Cones("After", points)], LABELS, "two <clouds>")
    root = check_svg(svg)
    uses = list(root.iter("{http://www.w3.org/2000/svg}use"))
    assert len(uses) >= 2 * (30 + 40) + 4
    texts = ["".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"Raw: gap 3", "After", "pictures", "words"} <= set(texts)
    assert root.attrib["aria-label"] == "two <clouds>"


def test_two_plots_in_a_page_share_no_id(rng: np.random.Generator) -> None:
    scores = {"image": rng.normal(size=200), "text": rng.normal(size=300) + 1}
    points = {"image": rng.normal(size=(5, 2)), "text": rng.normal(size=(5, 2))}
    first = densities([("Raw", scores), ("After", scores)], LABELS, "hills", "score")
    second = cones([Cones("Raw", points)], LABELS, "clouds")
    check_svg(first)
    ids = [set(re.findall(r'\bid="([^"]*)"', svg)) for svg in (first, second)]
    assert ids[0] and ids[1] and not ids[0] & ids[1]
    for svg, known in zip((first, second), ids, strict=True):
        used = set(re.findall(r'url\(#([^)]*)\)|href="#([^"]*)"', svg))
        assert {a or b for a, b in used} <= known


def test_a_picture_survives_as_ink_on_nothing(rng: np.random.Generator) -> None:
    picture = rng.integers(0, 256, size=(64, 64), dtype=np.uint8)
    kind, data = picture_uri(picture).split(",", 1)
    assert kind == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as opened:
        grey, alpha = np.asarray(opened.convert("LA")).transpose(2, 0, 1)
    assert not grey.any()
    np.testing.assert_array_equal(255 - alpha, picture)


@pytest.mark.parametrize("module", ["jinja2", "matplotlib"])
def test_a_missing_extra_is_named_before_any_work(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=f"{module}.*pip install 'gapless\\[demo\\]'"):
        run_demo(tmp_path / "demo", stages=None)  # type: ignore[arg-type]
    assert not (tmp_path / "demo").exists()


def test_the_report_and_its_plots_name_the_extra_that_brings_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtra, match=r"jinja2: pip install 'gapless\[demo\]'"):
        write_report(tmp_path / "report.html", None, None, None)  # type: ignore[arg-type]
    assert not any(tmp_path.iterdir())
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    points = {"image": np.eye(2), "text": -np.eye(2)}
    with pytest.raises(MissingExtra, match=r"matplotlib: pip install 'gapless\[demo\]'"):
        cones([Cones("Raw", points)], LABELS, "clouds")
