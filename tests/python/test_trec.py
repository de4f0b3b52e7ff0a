"""TREC files: what is written reads back, what others wrote is read, what is wrong is named."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gapless as gl
from gapless.errors import CorruptFile, InvalidArgument
from gapless.evaluation import trec

RUN = b"q1 Q0 b 1 0.9 sys\nq1\tQ0\ta  2 8e-1 sys\r\n\nq2 Q0 c 7 -3 sys\n"
QRELS = b"\xef\xbb\xbfq1 0 a 1\nq2 0 c 2\nq2 0 d -1\n"


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    run, qrels = tmp_path / "run.txt", tmp_path / "qrels.txt"
    run.write_bytes(RUN)
    qrels.write_bytes(QRELS)
    return run, qrels


def test_files_of_others_are_read(files: tuple[Path, Path]) -> None:
    assert trec.read_run(files[0]) == {"q1": {"b": 0.9, "a": 0.8}, "q2": {"c": -3.0}}
    assert trec.read_qrels(files[1]) == {"q1": {"a": 1.0}, "q2": {"c": 2.0, "d": -1.0}}


def test_pytrec_eval_reads_what_is_written(tmp_path: Path) -> None:
    pytrec_eval = pytest.importorskip("pytrec_eval", reason="pytrec_eval is missing")
    run = {"q1": {"a": 0.25, "b": 1e-7}, "q2": {"c": -3.0}}
    qrels = {"q1": {"a": 1.0, "b": 0.0}, "q2": {"c": 3.0}}
    trec.write_run(tmp_path / "run", run)
    trec.write_qrels(tmp_path / "qrels", qrels)
    with (tmp_path / "run").open() as file:
        assert pytrec_eval.parse_run(file) == run
    with (tmp_path / "qrels").open() as file:
        assert pytrec_eval.parse_qrel(file) == qrels


WORDS = st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1, max_size=8)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
TABLES = st.dictionaries(
    WORDS, st.dictionaries(WORDS, NUMBERS, min_size=1, max_size=6), min_size=1, max_size=5
)


@settings(max_examples=60, deadline=None)
@given(TABLES, st.booleans())
def test_what_is_written_reads_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, table: dict[str, dict[str, float]], packed: bool
) -> None:
    folder = tmp_path_factory.mktemp("trec")
    name = "file.gz" if packed else "file"
    trec.write_run(folder / name, table, tag="me")
    assert trec.read_run(folder / name) == table
    trec.write_qrels(folder / name, table)
    assert trec.read_qrels(folder / name) == table
    assert [path.name for path in folder.iterdir()] == [name]


def test_a_written_run_is_ranked(tmp_path: Path) -> None:
    trec.write_run(tmp_path / "run.txt", {3: {"a": 0.5, "b": 0.9}}, tag="mine")
    assert (tmp_path / "run.txt").read_text() == "3 Q0 b 1 0.9 mine\n3 Q0 a 2 0.5 mine\n"
    trec.write_qrels(tmp_path / "qrels.txt", [{4}, {5: 0.5}])
    assert (tmp_path / "qrels.txt").read_text() == "0 0 4 1\n1 0 5 0.5\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"q Q0 a 1 0.5\n", "line 1 of .* has 5 columns where a run .* has 6"),
        (b"\nq Q0 a 1 half tag\n", "line 2 .* has the score 'half'"),
        (b"q Q0 a 1 nan tag\n", "score 'nan'"),
        (b"q Q0 a 1 1_0 tag\n", "score '1_0'"),
        (b"q Q0 a 1 1e999 tag\n", "score '1e999': give a finite number"),
        (b"q Q0 a 1 1 t\nq Q0 a 2 0 t\n", "line 2 .* item 'a' of query 'q' again"),
        (b"q Q0 \xff 1 1 t\n", "not UTF-8"),
        (b"", "no line in it"),
        (b"\n \n", "no line in it"),
        (b"x" * 70_000, "longer than 65536 bytes"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "run.txt").write_bytes(content)
    with pytest.raises(InvalidArgument, match=message):
        trec.read_run(tmp_path / "run.txt")


def test_damaged_compression_is_a_corrupt_file(tmp_path: Path) -> None:
    path = tmp_path / "run.gz"
    lines = b"".join(b"q%d Q0 b 1 0.9 sys\n" % number for number in range(500))
    whole = gzip.compress(lines, mtime=0)
    for content in (RUN, whole[:-9], whole[:40] + b"\0\0\0\0" + whole[44:]):
        path.write_bytes(content)
        with pytest.raises(CorruptFile, match="cannot be unpacked"):
            trec.read_run(path)


@pytest.mark.parametrize(
    ("run", "tag", "message"),
    [
        ({"a b": {"x": 1.0}}, "t", "query 'a b' is empty or has white space"),
        ({"q": {"": 1.0}}, "t", "item '' is empty"),
        ({"q": {"x": 1.0}}, "my run", "tag 'my run'"),
        ({"q": {1: 1.0, "1": 0.5}}, "t", "two item ids are written '1'"),
        ({"q": {"x": float("inf")}}, "t", "score of 'x' is inf"),
        ({"q": {"\ud800": 1.0}}, "t", "cannot be UTF-8"),
        ({"q": {}}, "t", "nothing to write"),
    ],
)
def test_what_cannot_be_written_leaves_the_file_alone(
    tmp_path: Path, run: Any, tag: str, message: str
) -> None:
    path = tmp_path / "run.txt"
    path.write_text("before")
    with pytest.raises(InvalidArgument, match=message):
        trec.write_run(path, run, tag)
    assert path.read_text() == "before"
    assert len(list(tmp_path.iterdir())) == 1


def test_paths_of_other_forms(tmp_path: Path) -> None:
    wrong: Any
    for wrong in (None, 5, ["run.txt"]):
        with pytest.raises(InvalidArgument, match="give the name of a file"):
            trec.read_run(wrong)
        with pytest.raises(InvalidArgument, match="give the name of a file"):
            trec.write_run(wrong, {"q": {"a": 1.0}})
    in_bytes: Any = str(tmp_path / "run.gz").encode()
    trec.write_run(in_bytes, {"q": {"a": 1.0}})
    assert trec.read_run(in_bytes) == {"q": {"a": 1.0}}


def test_groups(tmp_path: Path) -> None:
    (tmp_path / "groups").write_text("q1 text->image\nq2 text->text\n")
    assert trec.read_groups(tmp_path / "groups") == {"q1": "text->image", "q2": "text->text"}
    (tmp_path / "groups").write_text("q1 x\nq1 y\n")
    with pytest.raises(InvalidArgument, match=r"line 2 .* names 'q1' again"):
        trec.read_groups(tmp_path / "groups")


def cli(*arguments: object) -> Any:
    pytest.importorskip("typer", reason="the command line is missing: pip install 'gapless[cli]'")
    from typer.testing import CliRunner

    from gapless.cli import app

    return CliRunner().invoke(app, ["eval", *map(str, arguments)], env={"COLUMNS": "100"})


def test_the_command_prints_what_evaluate_says(files: tuple[Path, Path]) -> None:
    want = gl.evaluate(trec.read_run(files[0]), trec.read_qrels(files[1]), "R@1,ndcg@10")
    result = cli(*files, "--metrics", "R@1,ndcg@10", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == want.to_dict()
    shown = cli(*files, "-m", "R@1,mrr,median_rank").stdout
    for line in (["all", "(2)"], ["recall@1", "0.500"], ["mrr", "0.750"], ["median_rank", "1.5"]):
        assert line in [found.split() for found in shown.splitlines()], shown
    assert "note:" in cli(*files).stdout


def test_the_command_measures_groups_and_pair_types(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "queries").write_text("q1 text\nq2 text\n")
    (tmp_path / "items").write_text("a image\nb text\nc text\n")
    groups = cli(*files, "--by", tmp_path / "queries", "--json")
    assert list(json.loads(groups.stdout)["groups"]) == ["text"]
    result = cli(*files, "--by", tmp_path / "queries", "--items", tmp_path / "items", "--json")
    parts = json.loads(result.stdout)["groups"]
    assert {name: part["mean"]["mrr"] for name, part in parts.items()} == {
        "text->image": 0.5,
        "text->text": 1.0,
    }


@pytest.mark.parametrize("wrong", ["missing", "metric", "items"])
def test_the_command_says_in_one_line_what_is_wrong(
    files: tuple[Path, Path], tmp_path: Path, wrong: str
) -> None:
    given: dict[str, list[object]] = {
        "missing": [tmp_path / "absent.txt", files[1]],
        "metric": [*files, "-m", "bpref"],
        "items": [*files, "--items", files[1]],
    }
    result = cli(*given[wrong])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert len(result.stderr.strip().splitlines()) == 1
    assert result.stderr.startswith("error: ")
