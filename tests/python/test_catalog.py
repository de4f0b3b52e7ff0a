from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import numpy as np
import pytest

from gapless import Field, Schema, Space
from gapless.catalog import FILE_NAME, Catalog, ItemRow, SegmentRow
from gapless.errors import (
    CorruptFile,
    InvalidArgument,
    NotACollection,
    SchemaMismatch,
    StorageError,
)

SCHEMA = Schema({"s": Space(2)}, {"a": Field("s", "image"), "b": Field("s", "text")})


def rows(*values: tuple[float, float]) -> np.ndarray:
    return np.array(values, np.float32)


def pending(catalog: Catalog, field: str, after: int = 0) -> list[tuple[int, list[float] | None]]:
    return [
        (key, None if blob is None else np.frombuffer(blob, np.float32).tolist())
        for batch in catalog.pending(field, after)
        for key, blob in batch
    ]


def test_integer_and_text_ids_are_two_ids(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path, SCHEMA)
    with catalog.writing():
        catalog.insert_items([ItemRow(1, 7, None, None), ItemRow(2, "7", '{"a": 1}', "file")])
    assert catalog.keys_of([7, "7", 8, "8"]) == [1, 2, None, None]
    assert catalog.ids() == [7, "7"]
    assert catalog.items([2, 1, 99]) == {
        1: ItemRow(1, 7, None, None),
        2: ItemRow(2, "7", '{"a": 1}', "file"),
    }
    catalog.close()


def test_keys_of_removed_items_are_never_given_again(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path, SCHEMA)
    assert catalog.next_key() == 1
    with catalog.writing():
        catalog.insert_items([ItemRow(1, "x", None, None), ItemRow(2, "y", None, None)])
        catalog.delete_items([1, 2])
    assert catalog.count() == 0
    catalog.close()
    catalog = Catalog(tmp_path)
    assert catalog.next_key() == 3
    catalog.close()


def test_many_keys_are_fetched_beyond_one_statements_limit(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path, SCHEMA)
    with catalog.writing():
        catalog.insert_items(ItemRow(k, k * 10, None, None) for k in range(1, 1301))
    found = catalog.items(list(range(1, 1301)))
    assert [found[k].id for k in range(1, 1301)] == [k * 10 for k in range(1, 1301)]
    catalog.close()


def test_metadata_and_uri_are_replaced(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path, SCHEMA)
    with catalog.writing():
        catalog.insert_items([ItemRow(1, "x", "{}", "old"), ItemRow(2, "y", "{}", "old")])
        catalog.set_metadata([('{"n": 1}', 1)])
        catalog.set_uris([("new", 2)])
    assert catalog.items([1, 2]) == {
        1: ItemRow(1, "x", '{"n": 1}', "old"),
        2: ItemRow(2, "y", "{}", "new"),
    }
    catalog.close()


def test_a_failed_transaction_leaves_nothing(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path, SCHEMA)
    with pytest.raises(RuntimeError, match="stop"), catalog.writing():
        catalog.insert_items([ItemRow(1, "x", None, None)])
        catalog.add_pending("a", [1], rows((1, 0)))
        raise RuntimeError("stop")
    assert catalog.count() == 0
    assert pending(catalog, "a") == []
    with catalog.writing():  # the connection is usable again
        catalog.insert_items([ItemRow(1, "x", None, None)])
    assert catalog.count() == 1
    catalog.close()


def test_pending_gives_the_last_write_of_each_key_oldest_first(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path, SCHEMA)
    with catalog.writing():
        catalog.add_pending("a", [1, 2, 3], rows((1, 0), (0, 1), (1, 1)))
        catalog.add_pending("b", [1], rows((5, 5)))
        catalog.add_pending("a", [1], rows((2, 0)))
        catalog.add_pending("a", [2], None)
    assert pending(catalog, "a") == [(3, [1, 1]), (1, [2, 0]), (2, None)]
    assert pending(catalog, "a", after=5) == [(2, None)]
    assert pending(catalog, "b") == [(1, [5, 5])]
    assert catalog.last_seq() == 6
    assert sorted(catalog.pending_fields()) == ["a", "b"]
    assert [len(batch) for batch in catalog.pending("a", 0, batch=2)] == [2, 1]
    catalog.close()


def test_a_checkpoint_names_segments_and_drops_what_they_hold(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path, SCHEMA)
    with catalog.writing():
        catalog.add_pending("a", [1, 2], rows((1, 0), (0, 1)))
    with catalog.writing():
        catalog.add_pending("a", [3], rows((1, 1)))
    catalog.commit_checkpoint({"a": SegmentRow("one.gap", 2, 2)}, 2)
    assert catalog.segments() == {"a": SegmentRow("one.gap", 2, 2)}
    assert pending(catalog, "a") == [(3, [1, 1])]
    assert (catalog.pending_rows, catalog.pending_bytes) == (1, 8)
    catalog.commit_checkpoint({"a": SegmentRow("two.gap", 3, 3)}, 3)
    catalog.close()
    catalog = Catalog(tmp_path)
    assert catalog.segments() == {"a": SegmentRow("two.gap", 3, 3)}
    assert (catalog.pending_rows, catalog.pending_bytes) == (0, 0)
    assert catalog.last_seq() == 3  # numbers go on after the rows are gone
    catalog.close()


def test_pending_is_counted_again_when_opened(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path, SCHEMA)
    with catalog.writing():
        catalog.add_pending("a", [1, 2], rows((1, 0), (0, 1)))
        catalog.add_pending("a", [1], None)
    catalog.close()
    catalog = Catalog(tmp_path)
    assert (catalog.pending_rows, catalog.pending_bytes) == (3, 16)
    catalog.recount_pending(2, 10)
    assert (catalog.pending_rows, catalog.pending_bytes) == (5, 26)
    catalog.close()


def test_one_alignment_is_active_and_old_versions_stay_numbered(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path, SCHEMA)
    assert catalog.alignments() == []
    with catalog.writing():
        assert catalog.add_alignment("center", {"rows": {"a": 1}}, {"a": b"one"}) == 1
    with catalog.writing():
        assert catalog.add_alignment("center", {"rows": {"a": 2}}, {"a": b"x", "b": b"y"}) == 2
    first, second = '{"rows": {"a": 1}}', '{"rows": {"a": 2}}'
    assert catalog.alignments() == [(1, "center", False, first), (2, "center", True, second)]
    assert catalog.alignment_maps(1) == {"a": b"one"}
    assert catalog.alignment_maps(2) == {"a": b"x", "b": b"y"}
    with catalog.writing():
        catalog.activate_alignment(1)
    assert [active for _, _, active, _ in catalog.alignments()] == [True, False]
    with catalog.writing():
        catalog.deactivate_alignment()
    assert [active for _, _, active, _ in catalog.alignments()] == [False, False]
    with catalog.writing():
        assert catalog.add_alignment("project", {}, {}) == 3
    assert catalog.alignments()[2] == (3, "project", True, "{}")
    catalog.close()


def test_cohorts_come_back_as_stored(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path, SCHEMA)
    with catalog.writing():
        catalog.put_cohorts({"a": (9, np.array([3, 1, 4])), "b": (0, np.array([], np.int64))})
        catalog.put_cohorts({"a": (10, np.array([2**40]))})
    stored = catalog.cohorts()
    assert stored["a"][0] == 10
    assert stored["a"][1].tolist() == [2**40]
    assert stored["b"][1].dtype == np.int64
    assert len(stored["b"][1]) == 0
    catalog.close()


def test_readers_see_the_last_commit_while_a_write_is_under_way(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path, SCHEMA)
    seen: list[int] = []
    with catalog.writing():
        catalog.insert_items([ItemRow(1, "x", None, None)])
        reader = threading.Thread(target=lambda: seen.append(catalog.count()))
        reader.start()
        reader.join()
    assert seen == [0]
    assert catalog.count() == 1
    catalog.close()


def test_durability_sets_sqlites_synchronous(tmp_path: Path) -> None:
    for name, level in (("full", 2), ("normal", 1)):
        catalog = Catalog(tmp_path, SCHEMA, durability=name)
        assert catalog._writer.execute("PRAGMA synchronous").fetchone()[0] == level
        assert catalog._writer.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        catalog.close()
    with pytest.raises(InvalidArgument, match="durability is 'none': choose one of full, normal"):
        Catalog(tmp_path, SCHEMA, durability="none")


def test_no_catalogue_and_no_schema(tmp_path: Path) -> None:
    with pytest.raises(NotACollection, match=r"no catalog\.sqlite.*give a schema"):
        Catalog(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_another_schema_is_refused(tmp_path: Path) -> None:
    Catalog(tmp_path, SCHEMA).close()
    other = Schema({"s": Space(3)}, dict(SCHEMA.fields))
    with pytest.raises(SchemaMismatch, match="dim 2 on disk, 3 given"):
        Catalog(tmp_path, other)
    Catalog(tmp_path, SCHEMA).close()


def test_a_file_that_is_no_database_is_corrupt(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"not a database at all" * 100)
    with pytest.raises(CorruptFile, match=r"catalog\.sqlite.*restore the folder from a backup"):
        Catalog(tmp_path)


def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE theirs (x)")
    db.commit()
    db.close()
    before = path.read_bytes()
    with pytest.raises(NotACollection, match="database of another program"):
        Catalog(tmp_path, SCHEMA)
    assert path.read_bytes() == before


def test_a_newer_format_is_named(tmp_path: Path) -> None:
    Catalog(tmp_path, SCHEMA).close()
    db = sqlite3.connect(tmp_path / FILE_NAME)
    db.execute("PRAGMA user_version = 2")
    db.close()
    with pytest.raises(NotACollection, match="has format 2 and this version of gapless reads 1"):
        Catalog(tmp_path)


def test_a_creation_that_was_cut_short_is_finished_with_a_schema(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).touch()
    with pytest.raises(NotACollection, match="creation was interrupted: give the schema"):
        Catalog(tmp_path)
    Catalog(tmp_path, SCHEMA).close()
    catalog = Catalog(tmp_path)
    assert catalog.schema == SCHEMA
    catalog.close()


@pytest.mark.parametrize("value", ["", "{}", None])
def test_a_damaged_schema_is_corrupt(tmp_path: Path, value: str | None) -> None:
    Catalog(tmp_path, SCHEMA).close()
    db = sqlite3.connect(tmp_path / FILE_NAME)
    if value is None:
        db.execute("DELETE FROM meta")
    else:
        db.execute("UPDATE meta SET value = ?", (value,))
    db.commit()
    db.close()
    with pytest.raises(CorruptFile, match="stored schema is damaged"):
        Catalog(tmp_path)


def test_damage_found_later_is_corrupt_too(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path, SCHEMA)
    with catalog.writing():
        catalog.insert_items(ItemRow(k, f"id {k}", None, "u" * 500) for k in range(1, 500))
    catalog.close()
    path = tmp_path / FILE_NAME
    data = bytearray(path.read_bytes())
    data[8192 * 12 :] = b"\xa5" * (len(data) - 8192 * 12)
    path.write_bytes(data)
    catalog = Catalog(tmp_path)  # the damage lies in the items, which opening does not read
    with pytest.raises(CorruptFile, match=r"catalog\.sqlite: database disk image is malformed"):
        catalog.items(list(range(1, 500)))
    catalog.close()


def test_a_closed_catalogue_says_so(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path, SCHEMA)
    catalog.count()
    catalog.close()
    catalog.close()
    with pytest.raises(InvalidArgument, match="is closed: open it again"):
        catalog.count()


def test_a_checkpoint_waits_for_the_disk_with_either_durability(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path, SCHEMA, durability="normal")
    said: list[str] = []
    catalog._writer.set_trace_callback(said.append)
    catalog.commit_checkpoint({"a": SegmentRow("one.gap", 2, 2)}, 2)
    catalog._writer.set_trace_callback(None)
    order = ["PRAGMA synchronous = FULL", "BEGIN IMMEDIATE", "COMMIT"]
    order += ["PRAGMA synchronous = NORMAL", "PRAGMA incremental_vacuum"]
    assert [line for line in said if line in order] == order
    assert catalog._writer.execute("PRAGMA synchronous").fetchone()[0] == 1
    catalog.close()


class Refusing:
    """A connection whose disk fails at one statement."""

    def __init__(self, connection: sqlite3.Connection, statement: str) -> None:
        self._connection, self._statement = connection, statement

    def execute(self, statement: str, *values: object) -> sqlite3.Cursor:
        if statement.startswith(self._statement):
            raise sqlite3.OperationalError("disk I/O error")
        return self._connection.execute(statement, *values)

    def __getattr__(self, name: str) -> object:
        return getattr(self._connection, name)


@pytest.mark.parametrize("statement", ["PRAGMA incremental_vacuum", "PRAGMA wal_checkpoint"])
def test_tidying_up_after_a_checkpoint_may_fail(tmp_path: Path, statement: str) -> None:
    catalog = Catalog(tmp_path, SCHEMA)
    with catalog.writing():
        catalog.add_pending("a", [1, 2], rows((1, 0), (0, 1)))
    catalog._writer = Refusing(catalog._writer, statement)  # type: ignore[assignment]
    with pytest.warns(RuntimeWarning, match=r"space was not given back: .*disk I/O error"):
        catalog.commit_checkpoint({"a": SegmentRow("one.gap", 2, 2)}, 2)
    assert catalog.segments() == {"a": SegmentRow("one.gap", 2, 2)}
    assert (catalog.pending_rows, catalog.pending_bytes) == (0, 0)
    catalog.close()


def test_a_catalogue_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).mkdir()
    with pytest.raises(StorageError, match=r"catalog\.sqlite: unable to open database file"):
        Catalog(tmp_path, SCHEMA)
