"""The README's Python runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

import gapless as gl

README = Path(__file__).parents[2] / "README.md"


def blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)


def test_the_collection_example(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from gapless.encode import load_encoder

    monkeypatch.chdir(tmp_path)
    picture = Image.new("L", (64, 64), 255)
    ImageDraw.Draw(picture).ellipse((12, 20, 52, 44), fill=0)
    picture.save("dog.png")
    turned = [picture.rotate(angle) for angle in range(0, 180, 15)]
    names = {
        "ids": [f"picture {i}" for i in range(12)],
        "image_vectors": load_encoder("gapless.demo", "image").encode(turned),
        "rows": [{"angle": 15 * i} for i in range(12)],
        "paths": [f"{i}.png" for i in range(12)],
        "other_ids": [f"text {i}" for i in range(10)],
        "text_vectors": load_encoder("gapless.demo", "text").encode(
            ["dog", "beach", "snow", "cat", "house", "arrow", "mail", "star", "cloud", "sun"]
        ),
    }
    exec(blocks()[0], names)
    hits = names["hits"]
    with gl.open("media") as col:
        names["col"] = col
        exec(blocks()[1], names)
        assert names["page"].cursor is not None
        assert names["best"].fusion == "rerank"
        assert [len(found) for found in names["many"]] == [3, 3]
    assert {type(hit.id) for hit in hits} == {str}
    assert {hit.field for hit in hits} == {"image", "name"}
    printed = capsys.readouterr().out
    assert "center" in printed
    assert "picture" in printed


def test_the_index_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    images = random.normal(size=(64, 16))
    names = {
        "images": images,
        "texts": images + random.normal(size=(64, 16)) / 4,
        "gl": gl,
        "vectors": random.normal(size=(300, 384)).astype(np.float32),
        "queries": random.normal(size=(1, 384)).astype(np.float32),
        "allowed_ids": np.arange(0, 300, 2),
        "query_mean": random.normal(size=384) * 0.1,
        "s1": [0.9, 0.2],
        "i1": [4, 5],
        "s2": [0.8],
        "i2": [5],
    }
    exec(blocks()[2], names)
    assert (tmp_path / "rows.seg").is_file()
    assert names["ids"].tolist() == [5, 4]
