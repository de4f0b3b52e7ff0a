"""`gapless demo` from end to end, as a user runs it."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


def run_demo(folder: Path) -> tuple[dict[str, Any], str]:
    command = [sys.executable, "-m", "gapless", "demo", "--json", "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found, done.stderr


@pytest.fixture(scope="session")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], str]:
    folder = tmp_path_factory.mktemp("demo") / "out"
    found, notes = run_demo(folder)
    return folder, found, notes


@pytest.fixture(scope="session")
def demo(ran: tuple[Path, dict[str, Any], str]) -> dict[str, Any]:
    return ran[1]


@pytest.mark.parametrize("query", ["airplane", "trash can", "arrow pointing left"])
def test_at_least_three_of_the_first_ten_images_are_right(demo: dict[str, Any], query: str) -> None:
    assert demo["accepted"][query] >= 3
    answer = next(answer for answer in demo["queries"] if answer["text"] == query)
    assert len(answer["images"]) == 10
    assert sum(hit["right"] for hit in answer["images"]) == demo["accepted"][query]


def test_the_index_is_truly_mixed(demo: dict[str, Any]) -> None:
    assert demo["images"] > 16_000 and demo["texts"] > 8_000
    kinds = {hit["kind"] for answer in demo["queries"] for hit in answer["hits"]}
    assert kinds == {"image", "text"}
    assert [answer["kind"] for answer in demo["queries"]] == ["text"] * 3 + ["image", "composed"]
    assert all(answer["search_us"] > 0 and answer["encode_ms"] > 0 for answer in demo["queries"])


def test_bias_falls_and_quality_rises_from_raw_to_centred_to_fused(demo: dict[str, Any]) -> None:
    rows = {row["name"]: row for row in demo["comparison"]}
    raw, centred, fused = (rows[name] for name in ("raw mixed index", "centred", "fused"))
    assert raw["bias"] > centred["bias"] > fused["bias"]
    assert raw["recall_at_10"] < centred["recall_at_10"] < fused["recall_at_10"]
    assert raw["ndcg_at_10"] < centred["ndcg_at_10"] < fused["ndcg_at_10"]
    assert fused["ndcg_gain"][1] > 0, "the gain is more than chance"
    # A mixed list keeps the order of the pictures, so it cannot show more of them.
    assert fused["image_recall_at_10"] <= demo["evaluation"]["image_only_centred"]
    assert demo["evaluation"]["queries"] > 400


def test_the_diagnosis_sees_the_gap_shrink(demo: dict[str, Any]) -> None:
    gaps = {pair["alignment"]: pair["gap"] for pair in demo["diagnosis"]["pairs"]}
    assert gaps["center"] < 0.5 * gaps["raw"]


def test_the_report_is_whole_and_loads_nothing(
    ran: tuple[Path, dict[str, Any], str],
) -> None:
    folder, demo, _ = ran
    report = Path(demo["report"])
    assert report == folder / "report.html"
    html = report.read_text(encoding="utf-8")
    links = re.findall(r'\b(?:src|href)\s*=\s*"([^"]*)"', html)
    assert links and all(link.startswith(("data:image/png;base64,", "#")) for link in links)
    assert not re.search(r"@import|url\((?!#)|<link|<script", html)
    pictures = [link for link in links if link.startswith("data:")]
    wanted = sum(
        hit["kind"] == "image" for answer in demo["queries"] for hit in answer["hits"]
    ) + sum(len(answer["images"]) for answer in demo["queries"])
    assert len(pictures) == wanted + 2  # and the two pictures that asked
    for picture in pictures:
        assert base64.b64decode(picture.partition(",")[2], validate=True)[:4] == b"\x89PNG"
    assert html.count("<svg") == 2
    assert "prefers-color-scheme: dark" in html and 'name="viewport"' in html
    for row in demo["comparison"]:
        assert row["name"] in html and f"{row['ndcg_at_10']:.3f}" in html
    assert len(html) < 3_000_000


def test_progress_stays_out_of_the_json_and_a_second_run_reuses(
    ran: tuple[Path, dict[str, Any], str],
) -> None:
    folder, demo, notes = ran
    assert "Encoding icons" in notes and "made afresh" in notes
    again, said = run_demo(folder)
    assert "reused" in said and "encode_images" not in again["seconds"]
    assert again["accepted"] == demo["accepted"]
    for before, after in zip(demo["comparison"], again["comparison"], strict=True):
        assert after["ndcg_at_10"] == pytest.approx(before["ndcg_at_10"], abs=1e-6)
