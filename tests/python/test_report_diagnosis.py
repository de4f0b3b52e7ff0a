"""The picture of a diagnosis: what it says, and that it says what was measured."""

from __future__ import annotations

import html
import json
import re
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
import pytest
from typer.testing import CliRunner

import gapless as gl
from gapless.alignment.align import center
from gapless.cli import app
from gapless.diagnosis.diagnose import diagnose
from gapless.diagnosis.result import Diagnosis
from gapless.errors import InvalidArgument, MissingExtra
from gapless.report.diagnosis import render, write_diagnosis
from gapless.report.diagnosis_words import Hill, cone_words, headline, histogram_words
from gapless.report.plots import reliability

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")

Fields = dict[str, npt.NDArray[np.float64]]


def apart(rng: np.random.Generator, count: int = 60) -> Fields:
    """Matched rows of two modalities with a gap between them."""
    meaning = rng.normal(size=(count, 8))
    return {"image": meaning + 6 * np.eye(8)[0], "text": meaning + 6 * np.eye(8)[1]}


def drawings(page: str) -> list[ElementTree.Element]:
    return [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]


def texts(element: ElementTree.Element) -> set[str]:
    return {"".join(n.itertext()) for n in element.iter("{http://www.w3.org/2000/svg}text")}


def titles(page: str) -> list[str]:
    return [html.unescape(title) for title in re.findall(r"<h3>(.*?)</h3>", page)]


def test_a_page_loads_nothing_and_repeats_no_id(rng: np.random.Generator) -> None:
    page = render(diagnose(apart(rng), paired=True))
    assert "http" not in re.sub(r'xmlns(:\w+)?="[^"]*"', "", page)
    assert not re.search(r'(src|href)="(?!#)', page)
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert ids and len(ids) == len(set(ids))
    used = {a or b for a, b in re.findall(r'url\(#([^)]*)\)|href="#([^"]*)"', page)}
    assert used <= set(ids)


def test_pictures_state_what_was_measured(rng: np.random.Generator) -> None:
    fields = apart(rng)
    found = diagnose(fields, paired=True)
    page = render(found)
    clouds, by_text, by_image = drawings(page)
    gap = found.pairs[0].gap
    assert f"Raw: gap {gap:.2f}" in texts(clouds)
    centred = diagnose(fields, paired=True, alignments=center(fields, {n: n for n in fields}))
    preview = f"Centred (not active: a preview): gap {centred.pairs[1].gap:.2f}"
    assert preview in texts(clouds)
    unit = {n: v / np.linalg.norm(v, axis=1, keepdims=True) for n, v in fields.items()}
    own = (unit["text"] @ unit["text"].T)[~np.eye(60, dtype=bool)].mean()
    match = (unit["text"] * unit["image"]).sum(axis=1).mean()
    assert own > match
    wanted = (
        f"To a text query, a text row about something else ({own:.2f}) scores higher than its own "
        f"image ({match:.2f})"
    )
    assert wanted in titles(page)
    assert "score of an image query (cosine)" in texts(by_image)
    assert "with its own image" in texts(by_text) and "with its own text" in texts(by_image)
    for finding in found.findings:
        assert finding.code in page and finding.remedy in html.unescape(page)
    for reading in found.bias:
        assert f"{reading.rate:.0%}" in page
    assert "sorts by modality" in page


def test_an_active_alignment_is_drawn_as_such(rng: np.random.Generator) -> None:
    fields = apart(rng)
    maps = center(fields, {n: n for n in fields})
    found = diagnose(fields, paired=True, alignments=maps)
    page = render(found, title="a <b> & c")
    assert "preview" not in page and "a &lt;b&gt; &amp; c" in page
    assert f"Centred: gap {found.pairs[1].gap:.2f}" in texts(drawings(page)[0])
    assert "centring brings that to" in page


def test_names_cannot_write_into_the_page(rng: np.random.Generator) -> None:
    fields = {"<i>x": rng.normal(size=(20, 4)), "a&b": rng.normal(size=(20, 4)) + 3}
    page = render(diagnose(fields, paired=True, space="<s>"), title="<script>")
    assert "<i>x" not in page and "<script" not in page and "<s>" not in page
    assert all(drawing is not None for drawing in drawings(page))


@pytest.mark.parametrize(
    ("fields", "pictures"),
    [
        ({"text": np.eye(4)[:1]}, 0),
        ({"text": np.ones((9, 4))}, 0),
        ({"image": np.eye(4)[:1], "text": np.eye(4)[1:2]}, 0),
        ({"image": np.ones((9, 4)), "text": np.ones((9, 4))}, 2),
        ({"image": np.eye(4)[:1], "text": np.eye(4)[1:]}, 1),
    ],
)
def test_what_cannot_be_drawn_is_left_out(fields: Fields, pictures: int) -> None:
    page = render(diagnose(fields))
    assert len(drawings(page)) == pictures
    assert not re.search(r"\bnan\b", page)


def test_every_two_of_three_modalities_and_every_space(rng: np.random.Generator) -> None:
    three = {name: rng.normal(size=(20, 4)) for name in ("text", "image", "audio")}
    found = Diagnosis.join(
        [diagnose(three, paired=True, space="a"), diagnose(apart(rng), paired=True, space="b")]
    )
    page = render(found)
    assert len(drawings(page)) == 4 * 3
    assert "Space a" in page and "Space b" in page
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids))


def test_reliability_is_drawn_where_there_is_a_calibration(rng: np.random.Generator) -> None:
    meaning = rng.normal(size=(120, 16))
    text = meaning + rng.normal(size=(120, 16))
    calibration = gl.calibrate({("text", "image"): (text, meaning)}, method="platt")
    found = diagnose({"image": meaning, "text": text}, paired=True)
    assert "Can the probabilities be trusted?" not in render(found)
    page = render(found, calibration=calibration)
    assert "Can the probabilities be trusted?" in page
    assert "text → image" in texts(drawings(page)[-1])
    assert "with 1% of the candidates right" in page


def test_reliability_draws_every_bin_of_every_curve() -> None:
    curves = [(f"c{n}", [(0.1, 0.0), (0.5, 0.6), (0.9, 1.0)]) for n in range(5)]
    drawn = ElementTree.fromstring(reliability(curves, "five"))
    assert {f"c{n}" for n in range(5)} <= texts(drawn)
    uses = [e for e in drawn.iter("{http://www.w3.org/2000/svg}use") if "style" in e.attrib]
    assert len([u for u in uses if "--match" in u.attrib["style"]]) == 15


def test_words_follow_the_figures(rng: np.random.Generator) -> None:
    raw = diagnose(apart(rng), paired=True)
    assert "sorts by modality" in headline(raw)[0] and "100% are" in headline(raw)[1]
    even = diagnose({"image": rng.normal(size=(90, 8)), "text": rng.normal(size=(90, 8))})
    assert headline(even)[0] == "One ranking by the raw scores treats the modalities alike"
    assert "one modality" in headline(diagnose({"text": np.eye(3)}))[0]
    assert "two clouds" in cone_words(raw.pairs[0], None, preview=False)[0]
    assert "share one region" in cone_words(even.pairs[0], ("center", 0.1), preview=True)[0]
    assert "would bring that to 0.10" in cone_words(even.pairs[0], ("center", 0.1), True)[1]
    near = {"own": Hill(0.1, 0.1), "other": Hill(0.0, 0.1), "match": Hill(0.6, 0.1)}
    assert histogram_words("image", "text", [near])[0].startswith(
        "To an image query, its own text (0.60) scores higher than an image"
    )
    wide = {**near, "own": Hill(0.0, 0.2)}
    assert "stays 2.0 times as wide" in histogram_words("image", "text", [near, wide])[1]
    assert "times as wide" not in histogram_words("image", "text", [near, near])[1]
    del near["match"]
    assert "any image row scores about 0.10" in histogram_words("image", "text", [near])[0]


def test_a_file_is_replaced_whole_or_not_at_all(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "new" / "gap.html"
    found = diagnose(apart(rng), paired=True)
    write_diagnosis(path, found)
    first = path.read_bytes()
    assert first.startswith(b"<!doctype html>")
    with pytest.raises(InvalidArgument, match="no samples"):
        write_diagnosis(path, Diagnosis((), (), ()))
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingExtra, match=r"jinja2: pip install 'gapless\[report\]'"):
        write_diagnosis(path, found)
    assert path.read_bytes() == first and len(list(path.parent.iterdir())) == 1


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["diagnose", *(str(argument) for argument in arguments)])


def test_the_command_prints_draws_and_examines(
    tmp_path: Path, schema: gl.Schema, rng: np.random.Generator
) -> None:
    fields = apart(rng)
    with gl.open(tmp_path / "c", schema) as col:
        col.upsert(list(range(60)), {"image": fields["image"], "caption": fields["text"]})
        col.align("center")
        found = col.diagnose()
    printed = run(tmp_path / "c")
    assert printed.exit_code == 0
    assert printed.stdout.rstrip() == str(found).rstrip()
    drawn = run(tmp_path / "c", "--html", tmp_path / "gap.html")
    assert drawn.exit_code == 0 and "gap.html" in drawn.output
    assert "Centred: gap" in (tmp_path / "gap.html").read_text(encoding="utf-8")
    told = run(tmp_path / "c", "--symptom", "same_scores")
    assert told.exit_code == 0 and "not found" in told.stdout and "Routes" not in told.stdout
    data = json.loads(run(tmp_path / "c", "--symptom", "all", "--json", "-k", 3).stdout)
    assert len(data["symptoms"]) == 4 and data["bias"][0]["k"] == 3


def test_a_calibrated_collection_is_drawn_with_its_curves(
    tmp_path: Path, schema: gl.Schema, rng: np.random.Generator
) -> None:
    fields = apart(rng, 120)
    with gl.open(tmp_path / "c", schema) as col:
        col.upsert(list(range(120)), {"image": fields["image"], "caption": fields["text"]})
        col.align("center")
        col.calibrate(method="platt", background=False)
    with gl.open(tmp_path / "c") as col:
        assert col.calibration is not None
    assert run(tmp_path / "c", "--html", tmp_path / "gap.html").exit_code == 0
    page = (tmp_path / "gap.html").read_text(encoding="utf-8")
    assert "Can the probabilities be trusted?" in page
    assert {"text → image", "image → caption"} <= texts(drawings(page)[-1])


def test_the_command_refuses(tmp_path: Path, schema: gl.Schema) -> None:
    with gl.open(tmp_path / "c", schema):
        pass
    for arguments, message in (
        ((tmp_path / "c",), "there is no vector to look at"),
        ((tmp_path / "c", "--symptom", "slow"), "symptom is 'slow'"),
        ((tmp_path / "none",), "does not exist"),
    ):
        result = run(*arguments)
        assert result.exit_code == 1 and message in result.output
    assert run(tmp_path / "c", "-k", 0).exit_code == 2
