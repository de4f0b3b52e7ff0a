"""The command line on real files, with the packaged model."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

import gapless as gl
from encode_models import PLAIN, write_image_model
from gapless.__main__ import main
from gapless.cli import app, opening
from gapless.cli.files import walk
from gapless.demo.icons import draw, load_icons
from gapless.encode import DEMO_MODEL, model_folder

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
    image = str(files / "arrow-left.png")
    assert found["query"] == {"text": "right arrow", "image": image, "like": None, "not": []}
    assert found["reason"] == "auto: the query has several parts"
    assert all("arrow" in hit["metadata"]["path"] for hit in found["hits"])


def test_search_by_a_stored_item_with_a_filter(files: Path, indexed: Path) -> None:
    bell = str(files / "bell.png")
    found = answer("search", indexed, "--like", bell, "--not", "arrow", "--limit", 4)
    assert len(found["hits"]) == 4
    assert bell not in {hit["id"] for hit in found["hits"]}
    wanted = json.dumps({"path": {"$in": ["bell.png", "camera.png"]}})
    found = answer("search", indexed, "--text", "bell", "--filter", wanted, "--explain")
    assert {hit["metadata"]["path"] for hit in found["hits"]} == {"bell.png", "camera.png"}
    assert len(found["explanation"]["hits"]) == 2
    second = answer("search", indexed, "--text", "bell", "--filter", wanted, "--offset", 1)
    assert [hit["rank"] for hit in second["hits"]] == [2]
    groups = answer("search", indexed, "--text", "bell", "--group-by", "path", "--limit", 3)
    assert len({hit["metadata"]["path"] for hit in groups["hits"]}) == 3


def test_search_prints_a_table_and_reasons(indexed: Path) -> None:
    shown = run("search", indexed, "--text", "bell", "--limit", 3)
    assert shown.exit_code == 0
    assert "notes/bell.txt: bell" in shown.stdout and "bell.png" in shown.stdout
    explained = run("search", indexed, "--text", "bell", "--explain")
    assert "text → image" in explained.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("search", "{col}"), 2, "give --text, --image, --like, or some"),
        (("search", "{col}", "--text", "x", "--limit", "0"), 2, "--limit"),
        (("search", "{col}", "--text", " "), 1, "text is ' '"),
        (("search", "{col}", "--text", "x", "--filter", "{{"), 2, "is no JSON"),
        (("search", "{col}", "--text", "x", "--filter", '{{"a": {{"$no": 1}}}}'), 1, "$no"),
        (("search", "{col}", "--like", "nothing"), 1, "'nothing'"),
        (("search", "{col}", "--text", "x", "--fusion", "best"), 1, "fusion is 'best'"),
        (("search", "{col}", "--image", "{files}/none.png"), 1, "none.png"),
        (("search", "{files}", "--text", "x"), 1, "holds no collection"),
        (("search", "{files}", "--text", "x"), 1, "gapless index DIR --collection PATH"),
        (("search", "{files}/none", "--text", "x"), 1, "does not exist"),
        (("search", "{files}/bell.png", "--text", "x"), 1, "is a file"),
        (("info", "{files}/none"), 1, "gapless index DIR --collection PATH"),
        (("info", "{files}"), 1, "holds no collection"),
        (("index", "{files}/none", "--collection", "{new}"), 1, "is no folder"),
        (("index", "{files}"), 2, "--collection"),
        (("index", "{files}", "-c", "{files}"), 1, "give a new or empty folder"),
        (("index", "{files}", "-c", "{files}/bell.png"), 1, "give a new or empty folder"),
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
    assert "schema" not in result.stderr
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
    Image.new("LAB", (64, 64)).save(files / "lab.png", format="TIFF")
    (files / ".hidden.png").write_bytes(b"no picture")
    (files / "table.csv").write_text("a,b", encoding="utf-8")
    result = run("index", files, "-c", tmp_path / "col", "--json")
    found = json.loads(result.stdout)
    assert found["indexed"] == {"image": 3, "text": 3}
    assert {entry["path"] for entry in found["skipped"]} == {
        "broken.jpg", "empty.txt", "lab.png", "latin.md"
    }  # fmt: skip
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


@pytest.mark.parametrize("command", [("search", "--text", "x"), ("info",)])
def test_a_locked_collection_is_an_error(
    command: tuple[str, ...], indexed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "PATIENCE", 0.2)
    with gl.open(indexed):
        result = run(command[0], indexed, *command[1:])
    assert result.exit_code == 1 and f"process {os.getpid()}" in result.stderr


@pytest.mark.parametrize("command", [("search", "--text", "x"), ("info",)])
def test_a_collection_that_is_open_for_a_moment_is_waited_for(
    command: tuple[str, ...], indexed: Path
) -> None:
    col = gl.open(indexed)
    timer = threading.Timer(0.4, col.close)
    timer.start()
    try:
        assert answer(command[0], indexed, *command[1:])
    finally:
        timer.join()
        col.close()


def half_a_model(folder: Path, missing: str) -> Path:
    shutil.copytree(model_folder(DEMO_MODEL), folder)
    (folder / missing).unlink()
    return folder


@pytest.mark.parametrize("missing", ["onnx/vision_model.onnx", "onnx/text_model.onnx"])
def test_a_model_that_cannot_read_what_was_found_leaves_no_collection(
    missing: str, files: Path, tmp_path: Path
) -> None:
    model, col = half_a_model(tmp_path / "model", missing), tmp_path / "col"
    result = run("index", files, "-c", col, "--model", model)
    assert result.exit_code == 1
    assert f"There are {len(NAMES)} files for it" in result.stderr
    assert not col.exists()
    assert answer("index", files, "-c", col)["items"] == 2 * len(NAMES)


def test_half_a_model_is_enough_for_files_of_its_kind(files: Path, tmp_path: Path) -> None:
    model = half_a_model(tmp_path / "model", "onnx/text_model.onnx")
    (tmp_path / "pictures").mkdir()
    shutil.copy(files / "bell.png", tmp_path / "pictures")
    found = answer("index", tmp_path / "pictures", "-c", tmp_path / "col", "--model", model)
    assert found["indexed"] == {"image": 1, "text": 0}


def test_a_model_whose_halves_do_not_fit_is_refused(files: Path, tmp_path: Path) -> None:
    model = half_a_model(tmp_path / "model", "onnx/vision_model.onnx")
    write_image_model(model)
    result = run("index", files, "-c", tmp_path / "col", "--model", model)
    assert result.exit_code == 1
    assert "vectors of different length ({'image': 6, 'text': 192})" in result.stderr
    assert not (tmp_path / "col").exists()


def test_files_that_nobody_can_read_leave_no_collection(tmp_path: Path) -> None:
    files, col = tmp_path / "files", tmp_path / "col"
    files.mkdir()
    (files / "broken.jpg").write_bytes(b"no picture")
    (files / "empty.txt").write_text(" ", encoding="utf-8")
    result = run("index", files, "-c", col, "--json")
    assert result.exit_code == 1 and result.stdout == ""
    assert "skipped broken.jpg" in result.stderr and "skipped empty.txt" in result.stderr
    assert "error: none of the 2 files" in result.stderr.splitlines()[-1]
    assert not col.exists()


def test_a_file_without_a_vector_is_named_and_skipped(tmp_path: Path) -> None:
    # Without a bias and with 0 for black, this network makes nothing of nothing.
    config = {**PLAIN, "do_normalize": False}
    model, files = write_image_model(tmp_path / "model", config), tmp_path / "files"
    files.mkdir()
    for name, shade in (("black", 0), ("grey", 90), ("white", 255)):
        Image.new("RGB", (8, 8), (shade,) * 3).save(files / f"{name}.png")
    found = answer("index", files, "-c", tmp_path / "col", "--model", model)
    assert found["indexed"] == {"image": 2, "text": 0}
    (skipped,) = found["skipped"]
    assert skipped["path"] == "black.png" and "zero or non-finite" in skipped["reason"]


def test_any_name_is_taken_that_is_unicode_and_another_is_named(tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    names = ["no\xa0break.txt", "two\nlines.txt", "b\udcff.txt"]  # the last is a bare byte 255
    for name in names:
        (files / name).write_text("a camera", encoding="utf-8")
    found = answer("index", files, "-c", tmp_path / "col")
    assert found["indexed"] == {"image": 0, "text": 2}
    (skipped,) = found["skipped"]
    assert skipped["path"] == "b?.txt" and "not UTF-8" in skipped["reason"]
    with gl.open(tmp_path / "col") as col:
        assert col.get(str(files / names[0])).uri == str(files / names[0])


def test_walk_knows_files_from_what_only_has_their_names(tmp_path: Path) -> None:
    folder, away = tmp_path / "files", tmp_path / "away"
    for made in (folder / "sub", folder / ".git", folder / "col", folder / "folder.txt", away):
        made.mkdir(parents=True)
    wanted = ["b.TXT", "a.png", "sub/c.md", ".git/d.txt", "col/e.txt", ".f.txt", "g.csv"]
    for name in wanted:
        (folder / name).write_text("words", encoding="utf-8")
    (away / "h.jpg").write_bytes(b"")
    (folder / "link.jpg").symlink_to(away / "h.jpg")
    (folder / "dangling.md").symlink_to(away / "none")
    (folder / "elsewhere").symlink_to(away)
    (folder / "device.png").symlink_to(os.devnull)
    os.mkfifo(folder / "pipe.txt")
    assert list(walk(folder, (folder / "col").resolve())) == [
        (folder / "a.png", "image"),
        (folder / "b.TXT", "text"),
        (folder / "dangling.md", "text"),
        (folder / "link.jpg", "image"),
        (folder / "sub" / "c.md", "text"),
    ]


def test_a_pipe_with_the_name_of_a_text_does_not_stop_index(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "a.txt").write_text("a camera", encoding="utf-8")
    command = [sys.executable, "-m", "gapless", "index", str(tmp_path), "--json"]
    done = subprocess.run(
        [*command, "-c", str(tmp_path / "col")],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert json.loads(done.stdout)["indexed"] == {"image": 0, "text": 1}


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
