"""Spans of rows: stored and replaced with them, read back with items and around a row."""

from __future__ import annotations

import math
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gapless as gl
from collection_kit import DIM, eye
from gapless.catalog import FILE_NAME
from gapless.collection import Collection

FRAMES = "frame"
THREE = [(0.0, 10.0), (10.0, 20.0), (20.0, 25.5)]


def clips(index: str = "flat") -> gl.Schema:
    return gl.Schema(
        {"clip": gl.Space(DIM)},
        {
            FRAMES: gl.Field("clip", "image", index=index, several=True),
            "title": gl.Field("clip", "text", index="flat"),
        },
    )


@pytest.fixture
def col(tmp_path: Path) -> Any:
    with gl.open(tmp_path / "c", clips()) as opened:
        opened.upsert(
            ["a", "b"],
            {FRAMES: [eye(0, 1, 2), eye(3, 4)], "title": eye(5, 6)},
            spans={FRAMES: [THREE, None]},
        )
        yield opened


def reopened(col: Collection) -> Collection:
    col._storage.release()
    return gl.open(col.path)


def spans(col: Collection) -> dict[Any, Any]:
    """Spans of every item with any, by id and field."""
    return {item.id: dict(item.spans) for item in col.get(col.ids()) if item.spans}


def test_spans_come_back_with_their_items(col: Collection) -> None:
    assert spans(col) == {"a": {FRAMES: THREE}}
    assert spans(reopened(col)) == {"a": {FRAMES: THREE}}


def test_spans_may_be_arrays_pairs_of_one_row_or_missing_for_some_rows(col: Collection) -> None:
    col.upsert(
        ["a", "b", "c"],
        {FRAMES: [eye(0, 1, 2), eye(3, 4), eye(5)], "title": eye(0, 1, 2)},
        spans={
            FRAMES: [np.array(THREE), [None, (1, 2)], (3, 4)],
            "title": [(0, 5), None, [(7.5, 7.5)]],
        },
    )
    wanted: dict[str, Any] = {
        "a": {FRAMES: THREE, "title": [(0.0, 5.0)]},
        "b": {FRAMES: [None, (1.0, 2.0)]},
        "c": {FRAMES: [(3.0, 4.0)], "title": [(7.5, 7.5)]},
    }
    assert spans(col) == wanted
    again = reopened(col)
    assert spans(again) == wanted
    again.upsert(["a", "c"], {"title": eye(1, 1)}, spans={"title": np.array([(1, 2), (3, 4)])})
    wanted["a"]["title"], wanted["c"]["title"] = [(1.0, 2.0)], [(3.0, 4.0)]
    assert spans(again) == wanted


def test_spans_go_with_the_rows_they_belong_to(col: Collection) -> None:
    col.upsert(["a"], metadata=[{"x": 1}])
    col.upsert(["a", "b"], {FRAMES: [None, eye(1)]}, spans={FRAMES: [None, [(4, 5)]]})
    assert spans(col) == {"a": {FRAMES: THREE}, "b": {FRAMES: [(4.0, 5.0)]}}
    col.upsert(["a"], {FRAMES: [eye(0, 1)]}, spans={FRAMES: [[(1, 2), (2, 3)]]})
    assert spans(col)["a"] == {FRAMES: [(1.0, 2.0), (2.0, 3.0)]}
    col.upsert(["b"], {FRAMES: [eye(2)]})
    assert spans(col) == {"a": {FRAMES: [(1.0, 2.0), (2.0, 3.0)]}}
    again = reopened(col)
    again.remove("a")
    assert again._storage.live().spans_of(FRAMES, 1) == {}
    again.upsert(["b"], {FRAMES: [eye(2)]}, spans={FRAMES: [[(8, 9)]]})
    again.upsert(["b"], {FRAMES: [[]]})
    assert spans(again) == {}
    with sqlite3.connect(again.path / FILE_NAME) as db:
        assert db.execute("SELECT COUNT(*) FROM spans").fetchone() == (0,)


def test_the_catalogue_finds_spans_by_label(col: Collection) -> None:
    catalog = col._storage.live()
    key = catalog.keys_of(["a"])[0] or 0
    wanted = {j << 40 | key: THREE[j] for j in (2, 0)}
    assert catalog.spans(FRAMES, [*wanted, 3 << 40 | key, 999]) == wanted
    assert catalog.spans("title", [key]) == {}
    assert catalog.spans(FRAMES, []) == {}


def test_a_catalogue_of_an_older_release_gets_the_table(col: Collection) -> None:
    col.upsert(["b"], {FRAMES: [eye(0)]}, spans={FRAMES: [None]})
    col._storage.release()
    with sqlite3.connect(col.path / FILE_NAME) as db:
        db.execute("DROP TABLE spans")
    with gl.open(col.path) as again:
        assert spans(again) == {}
        again.upsert(["b"], {FRAMES: [eye(0)]}, spans={FRAMES: [(0, 1)]})
        assert spans(again) == {"b": {FRAMES: [(0.0, 1.0)]}}


WRONG: dict[str, tuple[Any, str]] = {
    "no mapping": ([THREE, None], "spans is a list"),
    "too few ids": ({FRAMES: [THREE]}, r"has 1 entries for 2 ids"),
    "no list": ({FRAMES: 5}, r"is a int"),
    "text": ({FRAMES: ["0-1", None]}, r"\[0\] is '0-1'"),
    "too few": ({FRAMES: [THREE[:2], None]}, r"\[0\] has 2 spans for 3 rows"),
    "too many": ({FRAMES: [None, THREE]}, r"\[1\] has 3 spans for 2 rows"),
    "lone pair": ({FRAMES: [(0, 1), None]}, r"\[0\] has 2 spans for 3 rows"),
    "negative": ({FRAMES: [None, [(0, 1), (-1, 1)]]}, r"\[1\]\[1\] is \(-1, 1\).*0 <= start"),
    "backwards": ({FRAMES: [None, [(0, 1), (3, 2)]]}, r"\[1\]\[1\] is \(3, 2\).*start <= end"),
    "nan": ({FRAMES: [None, [(math.nan, 1), (1, 2)]]}, r"\[1\]\[0\] is \(nan, 1\): give finite"),
    "nan end": ({FRAMES: [None, [(0, math.nan), (1, 2)]]}, r"\[1\]\[0\].*give finite"),
    "endless": ({FRAMES: [None, [(0, math.inf), (1, 2)]]}, r"\[1\]\[0\].*give finite"),
    "triple": ({FRAMES: [None, [(0, 1), (1, 2, 3)]]}, r"\[1\]\[1\] is \(1, 2, 3\): give a pair"),
    "triples": ({FRAMES: [None, [(0, 1, 2), (1, 2, 3)]]}, r"\[1\]\[0\].*give a pair of numbers"),
    "numbers": ({FRAMES: [[0, 1, 2], None]}, r"\[0\]\[0\] is 0: give a pair"),
    "words": ({FRAMES: [None, [("a", "b"), (1, 2)]]}, r"\[1\]\[0\] is \('a', 'b'\): give a pair"),
    "without vectors": ({"title": [(0, 1), (0, 1)]}, r"spans\['title'\] comes without vectors"),
}


@pytest.mark.parametrize(("given", "says"), WRONG.values(), ids=WRONG)
def test_bad_spans_change_nothing(col: Collection, given: Any, says: str) -> None:
    with pytest.raises(gl.errors.InvalidArgument, match=says):
        col.upsert(["a", "b"], {FRAMES: [eye(5, 5, 5), eye(6, 6)]}, spans=given)
    for _ in range(2):
        assert spans(col) == {"a": {FRAMES: THREE}}
        np.testing.assert_array_equal(col.get("a", vectors=True).vectors[FRAMES], eye(0, 1, 2))
        col = reopened(col)


def test_spans_of_rows_that_stay_are_refused(col: Collection) -> None:
    with pytest.raises(gl.errors.InvalidArgument, match="3 spans for rows that stay as they are"):
        col.upsert(["a", "b"], {FRAMES: [None, eye(1)]}, spans={FRAMES: [THREE, None]})
    with pytest.raises(gl.errors.UnknownField, match="no field 'film'"):
        col.upsert(["a"], {FRAMES: [eye(1)]}, spans={"film": [None]})


def test_get_gives_all_rows_of_a_field_of_several(col: Collection) -> None:
    a, b = col.get(["a", "b"], vectors=True)
    np.testing.assert_array_equal(a.vectors[FRAMES], eye(0, 1, 2))
    np.testing.assert_array_equal(b.vectors[FRAMES], eye(3, 4))
    np.testing.assert_array_equal(a.vectors["title"], eye(5)[0])
    assert a.fields == b.fields == (FRAMES, "title")
    assert col.get("a").vectors == {}
    col.upsert(["c"], {"title": eye(0)})
    (c,) = col.get(["c"], vectors=True)
    assert c.fields == ("title",)
    assert set(c.vectors) == {"title"}


def test_neighbours_are_the_rows_around_one(col: Collection) -> None:
    film = np.eye(DIM, dtype=np.float32)
    times = [(float(t), t + 1.0) for t in range(DIM)]
    col.upsert(["film"], {FRAMES: [film]}, spans={FRAMES: [[*times[:-1], None]]})
    around = col.neighbours("film", FRAMES, 4)
    assert [(row.ordinal, row.span) for row in around] == [(j, times[j]) for j in (3, 4, 5)]
    assert [row.vector for row in around] == [None] * 3

    def places(*args: Any, **more: Any) -> list[int]:
        return [row.ordinal for row in col.neighbours("film", FRAMES, *args, **more)]

    assert places(0) == [0, 1]
    assert places(7, n=2) == [5, 6, 7]
    assert places(4, 2, 0) == [2, 3, 4]
    assert places(4, after=3) == [3, 4, 5, 6, 7]
    assert places(4, n=0) == [4]
    assert places(4, 100, 100) == list(range(DIM))
    last = col.neighbours("film", FRAMES, 7, vectors=True)
    assert last[-1].span is None
    np.testing.assert_array_equal([row.vector for row in last], film[6:])
    assert [row.ordinal for row in col.neighbours("film", FRAMES, np.int64(3))] == [2, 3, 4]
    assert [row.ordinal for row in col.neighbours("a", "title", 0)] == [0]


def test_neighbours_refuse_what_is_not_there(col: Collection) -> None:
    for args, error, says in (
        (("a", FRAMES, 3), gl.errors.InvalidArgument, r"row is 3, .* 3 rows .*from 0 to 2"),
        (("a", FRAMES, -1), gl.errors.InvalidArgument, "row is -1"),
        (("a", FRAMES, 0, -1), gl.errors.InvalidArgument, "before is -1"),
        (("a", FRAMES), gl.errors.InvalidArgument, "give field and row beside an id"),
        (("z", FRAMES, 0), gl.errors.UnknownId, "no item 'z'"),
        (("a", "film", 0), gl.errors.UnknownField, "no field 'film'"),
    ):
        with pytest.raises(error, match=says):
            col.neighbours(*args)
    col.upsert(["b"], {FRAMES: [[]]})
    with pytest.raises(gl.errors.InvalidArgument, match=r"0 rows in field 'frame'.*it fills"):
        col.neighbours("b", FRAMES, 0)


def test_stats_tell_rows_from_items(col: Collection) -> None:
    said = col.stats()
    frames, title = said["fields"][FRAMES], said["fields"]["title"]
    assert said["items"] == 2
    assert (frames["items"], frames["rows"], frames["rows_per_item"]) == (2, 5, 2.5)
    assert title["rows"] == 2
    assert {"items", "rows_per_item"}.isdisjoint(title)
    col.upsert(["a", "b"], {FRAMES: [[], []]})
    assert col.stats()["fields"][FRAMES]["rows_per_item"] == 0.0


def test_neighbours_of_a_hit_are_those_of_the_row_that_was_found(col: Collection) -> None:
    (hit,) = col.search(vectors={"clip": eye(1)[0]}, fields=[FRAMES], limit=1)
    assert (hit.id, hit.field, hit.row, hit.span) == ("a", FRAMES, 1, THREE[1])
    assert [row.span for row in col.neighbours(hit)] == THREE
    assert [row.ordinal for row in col.neighbours(hit, before=0)] == [1, 2]
    with pytest.raises(gl.errors.InvalidArgument, match="says its field and row itself"):
        col.neighbours(hit, FRAMES, 0)
    col.remove("a")
    with pytest.raises(gl.errors.UnknownId, match="no item 'a'"):
        col.neighbours(hit)
