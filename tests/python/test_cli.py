"""The command line on real files, with the packaged model."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

import gapless as gl
from gapless.__main__ import main
from gapless.cli import app
from gapless.demo.icons import draw, load_icons

NAMES = [
    "address-book", "adjust", "adult", "arrow-down", "arrow-left", "arrow-right", "arrow-up",
    "backward", "ban-circle", "barcode", "bell", "book", "bookmark", "camera",
]  # fmt: skip


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def answer(*arguments: object) -> Any:
    """Run with --json and parse stdout, which must hold nothing else."""
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def size(collection: Path) -> int:
    with gl.open(collection) as col:
        return len(col)


def fill(folder: Path, names: Sequence[str]) -> None:
    """Draw icons as pictures, and write their names as texts in a folder below."""
    icons = {icon.name: icon for icon in load_icons(["elusive"])}
    (folder / "notes").mkdir(parents=True)
    for name in names:
        Image.fromarray(draw(icons[name])).save(folder / f"{name}.png")
        (folder / "notes" / f"{name}.txt").write_text(icons[name].text, encoding="utf-8")


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    fill(folder, NAMES)
    return folder


@pytest.fixture(scope="session")
def indexed(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli") / "collection"
    found = answer("index", files, "--collection", path)
    assert found["indexed"] == {"image": len(NAMES), "text": len(NAMES)}
    assert found["alignment"] == {"version": 1, "method": "center"}
    return path


def test_help_of_every_command_has_examples() -> None:
    shown = run("--help").stdout
    for command in ("demo", "index", "search", "info"):
        assert command in shown
        assert f"gapless {command}" in run(command, "--help").stdout


def test_search_finds_pictures_and_texts_by_words(files: Path, indexed: Path) -> None:
    found = answer("search", indexed, "--text", "camera", "--limit", 2)
    wanted = {str(files / "camera.png"), str(files / "notes" / "camera.txt")}
    assert {hit["id"] for hit in found["hits"]} == wanted
    assert {hit["field"] for hit in found["hits"]} == {"image", "text"}
    assert {hit["uri"] for hit in found["hits"]} == wanted
    text = next(hit for hit in found["hits"] if hit["field"] == "text")
    assert text["metadata"]["text"] == "camera"
    assert found["alignment"] == "center"


def test_search_by_image_finds_the_image(files: Path, indexed: Path) -> None:
    found = answer("search", indexed, "--image", files / "bell.png")
    assert found["hits"][0]["id"] == str(files / "bell.png")
    assert found["hits"][0]["metadata"]["path"] == "bell.png"
    assert len(found["hits"]) == 10


def test_search_composes_both_parts(files: Path, indexed: Path) -> None:
    arguments = ("search", indexed, "--image", files / "arrow-left.png", "--text", "right arrow")
    found = answer(*arguments, "--limit", 4)
    assert found["query"] == {"text": "right arrow", "image": str(files / "arrow-left.png")}
    assert found["reason"] == "auto: the query has several parts"
    assert all("arrow" in hit["metadata"]["path"] for hit in found["hits"])


def test_search_prints_a_table_and_reasons(indexed: Path) -> None:
    shown = run("search", indexed, "--text", "bell", "--limit", 3)
    assert shown.exit_code == 0
    assert "notes/bell.txt: bell" in shown.stdout and "bell.png" in shown.stdout
    explained = run("search", indexed, "--text", "bell", "--explain")
    assert "text → image" in explained.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("search", "{col}"), 2, "give --text, --image, or both"),
        (("search", "{col}", "--text", "x", "--limit", "0"), 2, "--limit"),
        (("search", "{col}", "--text", " "), 1, "text is ' '"),
        (("search", "{col}", "--text", "x", "--fusion", "best"), 1, "fusion is 'best'"),
        (("search", "{col}", "--image", "{files}/none.png"), 1, "none.png"),
        (("search", "{files}", "--text", "x"), 1, "holds no collection"),
        (("search", "{files}/none", "--text", "x"), 1, "does not exist"),
        (("info", "{files}"), 1, "holds no collection"),
        (("index", "{files}/none", "--collection", "{new}"), 1, "is no folder"),
        (("index", "{files}"), 2, "--collection"),
        (("index", "{files}", "-c", "{files}"), 1, "holds no collection"),
        (("index", "{files}", "-c", "{new}", "--model", "{files}"), 1, "onnx"),
        (("index", "{files}", "-c", "{col}", "--model", "{files}"), 1, "cannot be compared"),
        (("demo", "--limit", "50"), 2, "--limit"),
        (("demo", "--folder", "{files}/bell.png", "--limit", "200"), 1, "is a file"),
        (("demo", "--folder", "{new}", "--model", "{files}/none"), 1, "model folder"),
        (("find",), 2, "No such command"),
    ],
)
def test_bad_input_is_one_line_and_changes_nothing(
    arguments: tuple[str, ...], code: int, message: str, files: Path, indexed: Path, tmp_path: Path
) -> None:
    new = tmp_path / "new"
    before = size(indexed)
    result = run(*(part.format(col=indexed, files=files, new=new) for part in arguments))
    assert result.exit_code == code
    assert message in " ".join(result.stderr.replace("│", " ").split())
    assert "Traceback" not in result.output and result.stdout == ""
    if code == 1:
        assert result.stderr.splitlines()[-1].startswith("error: ")
    assert not new.exists()
    assert size(indexed) == before


def test_unreadable_files_are_named_and_skipped(tmp_path: Path) -> None:
    files = tmp_path / "files"
    fill(files, NAMES[:3])
    (files / "broken.jpg").write_bytes(b"no picture")
    (files / "empty.txt").write_text(" \n", encoding="utf-8")
    (files / "latin.md").write_bytes("café au lait".encode("latin-1"))
    (files / ".hidden.png").write_bytes(b"no picture")
    (files / "table.csv").write_text("a,b", encoding="utf-8")
    result = run("index", files, "-c", tmp_path / "col", "--json")
    found = json.loads(result.stdout)
    assert found["indexed"] == {"image": 3, "text": 3}
    assert {entry["path"] for entry in found["skipped"]} == {"broken.jpg", "empty.txt", "latin.md"}
    assert all(f"skipped {name}" in result.stderr for name in ("broken.jpg", "latin.md"))
    # Three rows say too little about a mean.
    assert found["alignment"] is None and "wants 10" in found["alignment_note"]


def test_a_folder_without_anything_to_index_is_refused(tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("a,b", encoding="utf-8")
    result = run("index", tmp_path, "-c", tmp_path / "col")
    assert result.exit_code == 1 and "holds no picture" in result.stderr
    assert not (tmp_path / "col").exists()


def test_indexing_again_takes_in_changes_and_passes_over_the_collection(tmp_path: Path) -> None:
    files, col = tmp_path / "files", tmp_path / "files" / "col"
    fill(files, NAMES[:2])
    assert answer("index", files, "-c", col)["items"] == 4
    (files / "notes" / "adjust.txt").write_text("a ripe banana", encoding="utf-8")
    (files / "more.md").write_text("# Fruit\n\nan apple", encoding="utf-8")
    found = answer("index", files, "-c", col)
    assert found["items"] == 5 and not found["skipped"]
    with gl.open(col) as opened:
        text = opened.get(str(files / "notes" / "adjust.txt")).metadata
    assert text is not None and text["text"] == "a ripe banana"


def test_a_collection_of_another_make_is_refused(tmp_path: Path) -> None:
    fill(tmp_path / "files", NAMES[:1])
    schema = gl.Schema({"own": gl.Space(dim=3)}, {"image": gl.Field("own", "image")})
    gl.open(tmp_path / "col", schema).close()
    result = run("index", tmp_path / "files", "-c", tmp_path / "col")
    assert result.exit_code == 1 and "was not made by" in result.stderr
    shown = run("info", tmp_path / "col")
    assert shown.exit_code == 0 and "There is no vector in it yet" in shown.stdout


def test_a_locked_collection_is_an_error(indexed: Path) -> None:
    with gl.open(indexed):
        result = run("search", indexed, "--text", "x")
    assert result.exit_code == 1 and "open" in result.stderr


def test_info_describes_machine_and_collection(indexed: Path) -> None:
    assert answer("info")["version"] == gl.__version__
    assert "SIMD" in run("info").stdout
    found = answer("info", indexed)
    assert found["items"] == 2 * len(NAMES) and found["disk_bytes"] > 10_000
    assert found["fields"]["image"]["rows"] == len(NAMES)
    assert found["spaces"]["model"]["encoder"] == "gapless.demo"
    assert {pair["alignment"] for pair in found["diagnosis"]["pairs"]} == {"raw", "center"}
    shown = run("info", indexed).stdout
    assert "alignment center" in shown and "Gap between modalities" in shown


def test_the_module_is_the_command() -> None:
    command = [sys.executable, "-m", "gapless", "info", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["version"] == gl.__version__


def test_without_its_extra_the_command_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "typer", None)
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code == 1
    assert "needs typer: pip install 'gapless[cli]'" in capsys.readouterr().err
