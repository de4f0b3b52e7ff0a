"""The catalogue: one SQLite file with ids, metadata, pending vectors and the list of segments.

It is the only commit point. What a transaction here has not committed did not happen; what it has
committed survives a kill at any later moment. Vectors wait in `pending` until a checkpoint has
written them to segment files and says so in the same transaction that clears them.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from .catalog_gap import CALIBRATIONS, GapTables
from .catalog_rows import SPANS, PendingRow, RowTables
from .errors import CorruptFile, InvalidArgument, NotACollection, StorageError
from .schema import Schema

__all__ = [
    "FILE_NAME",
    "FORMAT",
    "Catalog",
    "ItemRow",
    "PendingRow",
    "SegmentRow",
    "check_durability",
]

FILE_NAME = "catalog.sqlite"
SEGMENT_FOLDER = "segments"
FORMAT = 1
APPLICATION_ID = 0x6761706C  # "gapl": tells our file from any other SQLite file of that name
DURABILITY = {"full": "FULL", "normal": "NORMAL"}
CACHE_KIB = 16_384  # of pages that a reading connection keeps; with SQLite's 2,000 most keys miss
CHUNK = 500  # keys of one IN (...) list; SQLite's oldest limit on variables is 999

TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
-- id has no declared type, so the integer 1 and the text '1' stay distinct
CREATE TABLE items (
    key INTEGER PRIMARY KEY AUTOINCREMENT, id NOT NULL UNIQUE, metadata TEXT, uri TEXT);
-- vector NULL removes the row from the field
CREATE TABLE pending (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, field TEXT NOT NULL, key INTEGER NOT NULL, vector BLOB);
CREATE INDEX pending_by_field ON pending (field, key, seq);
CREATE TABLE segments (
    field TEXT PRIMARY KEY, file TEXT NOT NULL, seq INTEGER NOT NULL, rows INTEGER NOT NULL);
CREATE TABLE alignments (
    version INTEGER PRIMARY KEY AUTOINCREMENT, method TEXT NOT NULL, active INTEGER NOT NULL,
    details TEXT NOT NULL);
CREATE TABLE alignment_fields (
    version INTEGER NOT NULL, field TEXT NOT NULL, map BLOB NOT NULL,
    PRIMARY KEY (version, field));
CREATE TABLE cohorts (field TEXT PRIMARY KEY, rows INTEGER NOT NULL, keys BLOB NOT NULL);
"""


def check_durability(durability: object) -> None:
    """Refuse any other word than those of `DURABILITY`, with InvalidArgument."""
    if not isinstance(durability, str) or durability not in DURABILITY:
        raise InvalidArgument(
            f"durability is {durability!r}: choose one of {', '.join(DURABILITY)}"
        )


class ItemRow(NamedTuple):
    """One item as stored; `metadata` is JSON text."""

    key: int
    id: str | int
    metadata: str | None
    uri: str | None


class SegmentRow(NamedTuple):
    """The segment file of a field: holds every write up to `seq`."""

    file: str
    seq: int
    rows: int


class Catalog(GapTables, RowTables):
    """One open catalogue: a single writing connection and a pool of reading ones.

    Methods that write take part in the `writing` transaction that the caller opens; the caller
    makes sure that one thread writes at a time. Methods that read may be called from any thread
    and see the last committed state.

    Parameters
    ----------
    folder : Path
        The collection's folder, which exists.
    schema : Schema, optional
        Makes a new catalogue when there is none; compared with the stored one when there is.
    durability : {"full", "normal"}
        ``"full"`` waits for the disk at every commit; ``"normal"`` may lose the last commits when
        the machine loses power (never when the process dies), and is faster.

    Raises
    ------
    InvalidArgument
        For another durability; and from every method that reads, once it is closed.
    NotACollection
        When there is no catalogue and no schema, or the file belongs to something else.
    SchemaMismatch
        When the schema given differs from the stored one.
    CorruptFile
        When SQLite finds the file damaged, here or in any method.
    StorageError
        When the disk is full or the file cannot be read or written, here or in any method.
    """

    def __init__(
        self, folder: Path, schema: Schema | None = None, durability: str = "full"
    ) -> None:
        check_durability(durability)
        self._synchronous = DURABILITY[durability]
        self.path = folder / FILE_NAME
        if not self.path.is_file():
            self._refuse_orphans(folder)
        self._pool: list[sqlite3.Connection] = []
        self._pool_lock = threading.Lock()
        self._open = True
        if schema is None and not self.path.is_file():
            raise NotACollection(
                f"{folder} holds no collection (no {FILE_NAME}): "
                "correct the path, or give a schema to make one in a new folder"
            )
        with self._damage():
            self._writer = sqlite3.connect(
                self.path, isolation_level=None, check_same_thread=False, timeout=30.0
            )
        try:
            with self._damage():
                self.schema = self._read_or_create(folder, schema)
                self._writer.execute(f"PRAGMA synchronous = {self._synchronous}")
                self.pending_rows, self.pending_bytes = self._count_pending()
                self.spanned = self._fields_with_spans(self.schema.fields)
        except BaseException:
            self.close()
            raise

    def _read_or_create(self, folder: Path, schema: Schema | None) -> Schema:
        db = self._writer
        tables = db.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]
        if tables == 0:  # new, or killed before the first commit
            self._refuse_orphans(folder)
            if schema is None:
                raise NotACollection(
                    f"{folder} holds a collection whose creation was interrupted: "
                    "give the schema to finish it"
                )
            db.execute("PRAGMA auto_vacuum = INCREMENTAL")
            db.execute("PRAGMA journal_mode = WAL")
            with self.writing():
                for statement in TABLES.split(";\n"):
                    db.execute(statement)
                db.execute(CALIBRATIONS)
                db.execute(SPANS)
                db.execute("INSERT INTO meta VALUES ('schema', ?)", (schema.to_json(),))
                db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                db.execute(f"PRAGMA user_version = {FORMAT}")
            return schema
        if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
            raise NotACollection(
                f"{self.path} is a database of another program: give another folder"
            )
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version != FORMAT:
            raise NotACollection(
                f"{folder} has format {version} and this version of gapless reads {FORMAT}: "
                "install the version that wrote it, or a newer one"
            )
        db.execute("PRAGMA journal_mode = WAL")
        row = db.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone()
        try:
            stored = Schema.from_json(row[0] if row else "")
        except InvalidArgument as error:
            raise CorruptFile(f"{self.path}: the stored schema is damaged: {error}") from error
        if schema is not None:
            stored.require(schema)
        db.execute(CALIBRATIONS)
        db.execute(SPANS)
        return stored

    def _refuse_orphans(self, folder: Path) -> None:
        # A new catalogue names no segment, and what no row names is deleted: not someone's data.
        orphans = sorted(path.name for path in (folder / SEGMENT_FOLDER).glob("*.gap"))
        if orphans:
            raise CorruptFile(
                f"{self.path} is missing or empty, and there are segments of it, such as "
                f"{orphans[0]}: restore {FILE_NAME} from a backup, or remove the folder"
            )

    # -- transactions -------------------------------------------------------------------------

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """One transaction: all of it is committed, or after an error none of it."""
        with self._damage():
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:
                    self._writer.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection that reads the last committed state; for any thread."""
        with self._pool_lock:
            if not self._open:
                raise InvalidArgument(f"the collection {self.path.parent} is closed: open it again")
            connection = self._pool.pop() if self._pool else None
        if connection is None:
            uri = f"{self.path.absolute().as_uri()}?mode=ro"
            with self._damage():
                connection = sqlite3.connect(
                    uri, uri=True, isolation_level=None, check_same_thread=False, timeout=30.0
                )
                connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        try:
            with self._damage():
                yield connection
        finally:
            with self._pool_lock:
                if self._open:
                    self._pool.append(connection)
                else:
                    connection.close()

    @contextlib.contextmanager
    def _damage(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            # Its subclasses say something else than damage.
            if type(error) is sqlite3.DatabaseError:
                raise CorruptFile(
                    f"{self.path}: {error}: restore the folder from a backup"
                ) from error
            if isinstance(error, sqlite3.OperationalError):
                raise StorageError(
                    f"{self.path}: {error}: see that the disk has room and the file can be read "
                    "and written, then repeat the call, which has changed nothing"
                ) from error
            raise

    def close(self) -> None:
        """Close every connection; a second call does nothing."""
        with self._pool_lock:
            self._open = False
            connections, self._pool = self._pool, []
        for connection in (*connections, self._writer):
            connection.close()

    # -- items --------------------------------------------------------------------------------

    def count(self) -> int:
        """Count the items."""
        with self.reading() as db:
            return int(db.execute("SELECT COUNT(*) FROM items").fetchone()[0])

    def keys_of(self, ids: Iterable[str | int]) -> list[int | None]:
        """Key of each id, None where there is no such item."""
        with self.reading() as db:
            query = "SELECT key FROM items WHERE id = ?"
            rows = (db.execute(query, (item,)).fetchone() for item in ids)
            return [None if row is None else row[0] for row in rows]

    def items(self, keys: Sequence[int]) -> dict[int, ItemRow]:
        """Fetch the items with these keys, by key; absent ones are left out."""
        found: dict[int, ItemRow] = {}
        with self.reading() as db:
            for start in range(0, len(keys), CHUNK):
                part = keys[start : start + CHUNK]
                marks = ",".join("?" * len(part))
                query = f"SELECT key, id, metadata, uri FROM items WHERE key IN ({marks})"
                found.update((row[0], ItemRow(*row)) for row in db.execute(query, part))
        return found

    def ids(self) -> list[str | int]:
        """Every id, in order of first insertion."""
        with self.reading() as db:
            return [row[0] for row in db.execute("SELECT id FROM items ORDER BY key")]

    def next_key(self) -> int:
        """Key of the next new item, for who writes; keys of removed items are never given again."""
        return self._last("items") + 1

    def key_bound(self) -> int:
        """Look up a number above every key that has been committed; from any thread."""
        with self.reading() as db:
            row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'items'").fetchone()
        return 1 if row is None else int(row[0]) + 1

    def insert_items(self, rows: Iterable[ItemRow]) -> None:
        """Add new items."""
        self._writer.executemany(
            "INSERT INTO items (key, id, metadata, uri) VALUES (?,?,?,?)", rows
        )

    def set_metadata(self, rows: Iterable[tuple[str, int]]) -> None:
        """Replace the metadata of items, from pairs (JSON text, key)."""
        self._writer.executemany("UPDATE items SET metadata = ? WHERE key = ?", rows)

    def set_uris(self, rows: Iterable[tuple[str, int]]) -> None:
        """Replace the uris of items, from pairs (uri, key)."""
        self._writer.executemany("UPDATE items SET uri = ? WHERE key = ?", rows)

    def delete_items(self, keys: Iterable[int]) -> None:
        """Remove items."""
        self._writer.executemany("DELETE FROM items WHERE key = ?", ((key,) for key in keys))

    def _last(self, table: str) -> int:
        query = "SELECT seq FROM sqlite_sequence WHERE name = ?"
        with self._damage():
            row = self._writer.execute(query, (table,)).fetchone()
        return 0 if row is None else int(row[0])

    # -- segments -----------------------------------------------------------------------------

    def segments(self) -> dict[str, SegmentRow]:
        """Name the live segment of each field that has one."""
        with self.reading() as db:
            query = "SELECT field, file, seq, rows FROM segments"
            return {row[0]: SegmentRow(*row[1:]) for row in db.execute(query)}

    def commit_checkpoint(self, segments: Mapping[str, SegmentRow], seq: int) -> None:
        """In one transaction name the new segments and drop what they hold from `pending`.

        It is on disk when this returns, whatever the durability: the caller may delete the files
        that no row names any more.
        """
        with self._on_disk(), self.writing():
            self._writer.executemany(
                "INSERT OR REPLACE INTO segments (field, file, seq, rows) VALUES (?,?,?,?)",
                ((field, *row) for field, row in segments.items()),
            )
            self._writer.execute("DELETE FROM pending WHERE seq <= ?", (seq,))
            pending = self._count_pending()
        self.pending_rows, self.pending_bytes = pending
        try:
            with self._damage():
                self._writer.execute("PRAGMA incremental_vacuum").fetchall()
                self._writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except StorageError as error:  # committed all the same; the next checkpoint tidies up
            warnings.warn(f"space was not given back: {error}", RuntimeWarning, stacklevel=2)

    @contextlib.contextmanager
    def _on_disk(self) -> Iterator[None]:
        """Let a transaction wait for the disk even with durability "normal"."""
        with self._damage():
            self._writer.execute("PRAGMA synchronous = FULL")
            try:
                yield
            finally:
                self._writer.execute(f"PRAGMA synchronous = {self._synchronous}")
