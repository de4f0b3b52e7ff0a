"""Fields that take several rows per item: what upsert stores, replaces and removes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import gapless as gl
from collection_kit import DIM, eye
from gapless.collection import Collection
from gapless.index_rows import all_rows, count_rows
from gapless.row_labels import KEYS, MAX_ROWS, first_rows, item_keys, ordinals, row_labels

FRAMES = "frame"


def clips(index: str = "flat") -> gl.Schema:
    """A field of several frames per item beside one title, in one space."""
    return gl.Schema(
        {"clip": gl.Space(DIM)},
        {
            FRAMES: gl.Field("clip", "image", index=index, several=True),
            "title": gl.Field("clip", "text", index="flat"),
        },
    )


def unit(rows: Any) -> npt.NDArray[np.float64]:
    """`rows` scaled to length 1, in float64."""
    array = np.asarray(rows, np.float64)
    return np.asarray(array / np.linalg.norm(array, axis=-1, keepdims=True), np.float64)


def stored(col: Collection) -> dict[Any, dict[int, npt.NDArray[np.float32]]]:
    """Every row of the frames, by id and ordinal, read from the index itself."""
    index = col._storage.indexes[FRAMES]
    names = np.asarray(index.ids())
    items = col._storage.items_of(item_keys(names).tolist())
    ids = [None if item is None else item.id for item in items]
    found: dict[Any, dict[int, npt.NDArray[np.float32]]] = {}
    for name, place, row in zip(ids, ordinals(names).tolist(), index.vectors(names), strict=True):
        found.setdefault(name, {})[place] = row
    return found


def check(col: Collection, wanted: dict[Any, Any]) -> None:
    """The frames are `wanted`, rows by id, in their order and without holes."""
    found = stored(col)
    assert set(found) == {name for name, rows in wanted.items() if len(rows)}
    for name, rows in found.items():
        assert sorted(rows) == list(range(len(wanted[name])))
        np.testing.assert_allclose([rows[j] for j in sorted(rows)], unit(wanted[name]), atol=1e-6)


@pytest.fixture(params=["flat", "hnsw"])
def col(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    with gl.open(tmp_path / "c", clips(request.param)) as opened:
        yield opened


def reopened(col: Collection) -> Collection:
    """The same collection as another process finds it after a kill."""
    col._storage.release()
    return gl.open(col.path)


def test_labels_say_item_and_ordinal() -> None:
    keys = np.array([7, 3, 9, KEYS], np.int64)
    rows = row_labels(keys, np.array([2, 0, 1, 3]))
    assert item_keys(rows).tolist() == [7, 7, 9, KEYS, KEYS, KEYS]
    assert ordinals(rows).tolist() == [0, 1, 0, 0, 1, 2]
    assert first_rows(rows).tolist() == [7, 9, KEYS]
    assert len(row_labels(keys[:0], np.empty(0, np.int64))) == 0
    last = (MAX_ROWS - 1) << 40 | KEYS
    assert last == np.iinfo(np.int64).max
    assert item_keys(np.array([last])).tolist() == [KEYS]
    assert ordinals(np.array([last])).tolist() == [MAX_ROWS - 1]


def test_rows_are_counted_from_the_index_alone() -> None:
    rng = np.random.default_rng(0)
    counts = np.concatenate([np.arange(20), rng.integers(0, 700, 30), [1023, 1024, 1025]])
    keys = rng.permutation(1000)[: len(counts)].astype(np.int64)
    rows = row_labels(keys, counts)
    index = gl.FlatIndex(1)
    index.add(np.ones((len(rows), 1), np.float32), ids=rows)
    assert count_rows(index, keys).tolist() == counts.tolist()
    assert all_rows(index, keys).tolist() == rows.tolist()
    assert count_rows(index, np.array([5000, 6000])).tolist() == [0, 0]
    assert count_rows(gl.FlatIndex(1), keys[:0]).tolist() == []


def test_an_item_takes_any_number_of_rows(col: Collection) -> None:
    rng = np.random.default_rng(1)
    rows: dict[Any, Any] = {
        "a": rng.normal(size=(3, DIM)),
        "b": rng.normal(size=(1, DIM)),
        1: np.empty((0, DIM)),
    }
    col.upsert(list(rows), {FRAMES: list(rows.values()), "title": eye(0, 1, 2)})
    check(col, rows)
    assert len(col) == 3
    assert len(col._storage.indexes[FRAMES]) == 4
    assert col.get([1])[0].fields == ("title",)
    check(reopened(col), rows)


def test_rows_may_be_lists_of_numbers_and_one_row_may_stand_alone(col: Collection) -> None:
    eight = eye(0, 1, 2, 3).tolist()
    col.upsert(
        ["a", "b", "c"], {FRAMES: [eight[:2], eight[2], tuple(eight)], "title": eye(0, 0, 0)}
    )
    check(col, {"a": eight[:2], "b": [eight[2]], "c": eight})


def test_a_matrix_gives_each_item_one_row(col: Collection) -> None:
    col.upsert(["a", "b"], {FRAMES: eye(3, 4)})
    check(col, {"a": eye(3), "b": eye(4)})
    col.upsert(["a", "b"], {FRAMES: np.stack([eye(0, 1, 2), eye(5, 6, 7)])})
    check(col, {"a": eye(0, 1, 2), "b": eye(5, 6, 7)})
    col.upsert(["a", "b"], {FRAMES: eye(3, 4).tolist()})
    check(col, {"a": eye(3), "b": eye(4)})


def test_rows_given_anew_replace_all_that_were_there(col: Collection) -> None:
    rng = np.random.default_rng(2)
    wanted: dict[Any, Any] = {
        name: rng.normal(size=(n, DIM)) for name, n in (("a", 5), ("b", 2), ("c", 4))
    }
    col.upsert(list(wanted), {FRAMES: list(wanted.values())})
    for counts in ((2, 3, 4), (9, 1, 2), (1, 1, 1)):
        wanted = {name: rng.normal(size=(n, DIM)) for name, n in zip(wanted, counts, strict=True)}
        col.upsert(list(wanted), {FRAMES: list(wanted.values())})
        check(col, wanted)
    col.upsert(["c", "a"], {FRAMES: [None, eye(1, 2)]})
    wanted["a"] = eye(1, 2)
    check(col, wanted)
    again = reopened(col)
    check(again, wanted)
    again.checkpoint()
    check(reopened(again), wanted)


def test_an_empty_array_leaves_the_item_without_rows_there(col: Collection) -> None:
    col.upsert(["a", "b"], {FRAMES: [eye(0, 1), eye(2, 3)], "title": eye(4, 5)})
    col.checkpoint()
    col.upsert(["b", "a"], {FRAMES: [[], None]})
    check(col, {"a": eye(0, 1)})
    assert col.get("b").fields == ("title",)
    again = reopened(col)
    check(again, {"a": eye(0, 1)})
    again.upsert(["a"], {FRAMES: [np.empty((0, DIM))]})
    check(again, {})
    again.checkpoint()
    check(reopened(again), {})


def test_removing_an_item_removes_all_its_rows(col: Collection) -> None:
    col.upsert(["a", "b"], {FRAMES: [eye(0, 1, 2), eye(3, 4)], "title": eye(5, 6)})
    col.checkpoint()
    col.remove("a")
    check(col, {"b": eye(3, 4)})
    again = reopened(col)
    check(again, {"b": eye(3, 4)})
    again.upsert(["a"], {FRAMES: [eye(7)]})
    check(again, {"a": eye(7), "b": eye(3, 4)})


def test_a_new_item_needs_a_row_somewhere(col: Collection) -> None:
    nothings: list[Any] = [None, [], np.empty((0, DIM))]
    for nothing in nothings:
        with pytest.raises(gl.errors.InvalidArgument, match="'b' is new and has no vector"):
            col.upsert(["a", "b"], {FRAMES: [eye(0), nothing]})
        assert len(col) == 0
    col.upsert(["a", "b"], {FRAMES: [eye(0), None], "title": eye(1, 2)})
    check(col, {"a": eye(0)})


def test_old_schemas_open_and_plain_fields_are_stored_as_before() -> None:
    plain = gl.Field("clip", "image")
    text = gl.Schema({"clip": gl.Space(4)}, {"image": plain}).to_json()
    assert "several" not in text
    assert not gl.Schema.from_json(text).fields["image"].several
    again = gl.Schema.from_json(clips().to_json())
    assert again == clips()
    assert again.fields[FRAMES].several
    with pytest.raises(gl.errors.InvalidArgument, match=r"Field\.several is 1: give True or False"):
        gl.Field("clip", "image", several=1)  # type: ignore[arg-type]


WRONG: dict[str, tuple[Any, type[Exception], str]] = {
    "too few entries": ([eye(0)], gl.errors.InvalidArgument, r"has 1 entries for 2 ids"),
    "too few rows": (eye(0), gl.errors.InvalidArgument, r"has 1 rows for 2 ids"),
    "dim": ([eye(0), np.ones((2, 3))], gl.errors.InvalidVector, r"\[1\] has shape \(2, 3\)"),
    "depth": ([eye(0), np.ones((1, 1, DIM))], gl.errors.InvalidVector, r"\[1\] has shape"),
    "flat": ([eye(0), np.ones(5)], gl.errors.InvalidVector, r"\[1\] has shape \(5,\)"),
    "uneven": ([eye(0), [[1.0], [1.0, 2.0]]], gl.errors.InvalidVector, r"\[1\] is no array"),
    "words": ([eye(0), "frames"], gl.errors.InvalidVector, r"\[1\] has dtype"),
    "zero": ([eye(0), np.zeros((2, DIM))], gl.errors.InvalidVector, r"\[1\]: .*row 0"),
    "nan": ([eye(0), [eye(1)[0], [np.nan] * DIM]], gl.errors.InvalidVector, r"\[1\]: .*row 1"),
    "string": ("frames", gl.errors.InvalidVector, "is a str"),
    "mapping": ({"a": eye(0)}, gl.errors.InvalidVector, "is a dict"),
    "none": (None, gl.errors.InvalidVector, "is a NoneType"),
    "masked": ([eye(0), np.ma.masked_equal(eye(1), 0)], gl.errors.InvalidVector, "masked"),
}


@pytest.mark.parametrize(("given", "error", "says"), WRONG.values(), ids=WRONG)
def test_bad_rows_change_nothing(
    tmp_path: Path, given: Any, error: type[Exception], says: str
) -> None:
    with gl.open(tmp_path / "c", clips()) as col:
        col.upsert(["a", "b"], {FRAMES: [eye(4, 5), eye(6)]})
        with pytest.raises(error, match=says):
            col.upsert(["a", "b"], {FRAMES: given, "title": eye(0, 1)})
        check(col, {"a": eye(4, 5), "b": eye(6)})
        assert len(col._storage.indexes["title"]) == 0
        check(reopened(col), {"a": eye(4, 5), "b": eye(6)})


def test_more_rows_than_an_item_takes_are_refused(tmp_path: Path) -> None:
    schema = gl.Schema({"s": gl.Space(1)}, {"f": gl.Field("s", "x", index="flat", several=True)})
    with gl.open(tmp_path / "c", schema) as col:
        with pytest.raises(gl.errors.InvalidVector, match=r"8388609 rows.* at most 8388608"):
            col.upsert(["a"], {"f": [np.ones((MAX_ROWS + 1, 1), np.float32)]})
        assert len(col) == 0


RAGGED: dict[str, Callable[[], Any]] = {
    "list of matrices": lambda: [eye(0, 1), eye(2)],
    "equal matrices": lambda: [eye(0, 1), eye(2, 3)],
    "stack": lambda: np.stack([eye(0, 1), eye(2, 3)]),
    "with none": lambda: [eye(0)[0], None],
    "nested lists": lambda: [eye(0, 1).tolist(), eye(2).tolist()],
}


@pytest.mark.parametrize("given", RAGGED.values(), ids=RAGGED)
def test_several_rows_for_a_field_of_one_name_the_remedy(
    tmp_path: Path, given: Callable[[], Any]
) -> None:
    with gl.open(tmp_path / "c", clips()) as col:
        with pytest.raises(gl.errors.InvalidVector, match=r"'title'.*Field\(\.\.\., several=True"):
            col.upsert(["a", "b"], {"title": given()})
        assert len(col) == 0


def test_a_write_that_memory_could_not_follow_is_there_after_reopening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_memory(*_: object) -> None:
        raise MemoryError

    with gl.open(tmp_path / "c", clips()) as col:
        spans = [[(0, 1), (1, 2), (2, 3)], None]
        col.upsert(["a", "b"], {FRAMES: [eye(0, 1, 2), eye(3)]}, spans={FRAMES: spans})
        with monkeypatch.context() as patch:
            patch.setattr("gapless.storage.put", no_memory)
            with pytest.raises(MemoryError):
                col.upsert(["a"], {FRAMES: [eye(5)]}, spans={FRAMES: [[(7, 8)]]})
        with pytest.raises(gl.errors.GaplessError, match="close the collection and open it again"):
            col.upsert(["a"], {FRAMES: [eye(6)]})
    with gl.open(tmp_path / "c") as col:
        check(col, {"a": eye(5), "b": eye(3)})
        assert col.get("a").spans == {FRAMES: [(7.0, 8.0)]}


def test_items_are_read_while_their_rows_come_and_go(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    counts = rng.integers(1, 40, 60).tolist()
    done, errors = threading.Event(), list[BaseException]()

    with gl.open(tmp_path / "c", clips("hnsw"), durability="normal") as col:
        col.upsert(["a", "b"], {FRAMES: [eye(0), eye(1)]})

        def read() -> None:
            try:
                while not done.is_set():
                    a, b = col.get(["a", "b"], vectors=True)
                    assert a.vectors[FRAMES].shape[1] == DIM
                    assert len(a.spans.get(FRAMES, a.vectors[FRAMES])) == len(a.vectors[FRAMES])
                    np.testing.assert_array_equal(b.vectors[FRAMES], eye(1))
                    assert col.neighbours("a", FRAMES, 0, n=50, vectors=True)[0].ordinal == 0
                    assert set(col.search(vectors={"clip": eye(1)[0]}, modality="text").ids) <= {
                        "a",
                        "b",
                    }
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=read) for _ in range(2)]
        for thread in threads:
            thread.start()
        for n in counts:
            spans = [[(j, j + 1) for j in range(n)]]
            col.upsert(["a"], {FRAMES: [rng.normal(size=(n, DIM))]}, spans={FRAMES: spans})
        done.set()
        for thread in threads:
            thread.join()
        assert errors == []
        assert len(stored(col)["a"]) == counts[-1]
