"""The durable half of a collection: commit to the catalogue first, then follow in memory."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from .alignment.sums import RunningSums
from .alignment.versions import active_alignment
from .batch import Batch
from .calibration.stored import Calibrations
from .catalog import FILE_NAME, Catalog, ItemRow, check_durability
from .checkpoints import CheckpointPolicy
from .cohorts import Cohorts
from .errors import CorruptFile, GaplessError, InvalidArgument, StorageError
from .folder import LOCK_NAME, prepare_folder
from .index_rows import labels, present, put, replay
from .known_items import KnownItems
from .locking import FileLock, SharedLock
from .row_changes import RowChange, removal, replacement
from .schema import Schema
from .segments import (
    Index,
    fsync,
    load_segment,
    make_index,
    refuse_forgotten,
    remove_unnamed,
    write_segment,
)
from .storage_gap import GapStorage

__all__ = ["CheckpointPolicy", "Storage"]


class Storage(GapStorage):
    """Catalogue, indexes and locks of one open collection.

    `writing` is held by whoever changes something, `swapping` (shared) by whoever needs the
    indexes to stay under one alignment. Methods that write expect checked arguments and take
    `writing` themselves; it is reentrant, so that a caller can look and write in one step.

    `version` grows with every write, and `metadata_version` with every one that changes which
    items there are, their metadata or their uris. Both grow once the write can be seen whole: what
    was computed since a version was read is at least as new as that version.
    """

    def __init__(
        self, path: Path, schema: Schema | None, durability: str, policy: CheckpointPolicy
    ) -> None:
        self.path = path
        self.policy = policy
        self.writing = threading.RLock()
        self.swapping = SharedLock()
        self._catalog: Catalog | None = None
        self._lock: FileLock | None = None
        self._behind = False
        self.version = self.metadata_version = 0
        self._known = KnownItems()
        self._pid = os.getpid()
        check_durability(durability)
        prepare_folder(path, schema)
        self._lock = FileLock(path / LOCK_NAME)
        try:
            self._load(Catalog(path, schema, durability))
        except (TypeError, ValueError, LookupError, OverflowError, AttributeError) as error:
            self.release()
            if isinstance(error, GaplessError):
                raise
            # SQLite checks no content: a damaged page gives values that nothing here has written.
            raise CorruptFile(
                f"{path / FILE_NAME} holds what gapless does not write ({error}): "
                "restore the folder from a backup"
            ) from error
        except BaseException:
            self.release()
            raise

    # -- opening and closing ------------------------------------------------------------------

    def _load(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self.schema = catalog.schema
        fsync(self.path)
        named = catalog.segments()
        self.indexes: dict[str, Index] = {
            field: load_segment(self.path, self.schema, field, named[field])
            if field in named
            else make_index(self.schema, field)
            for field in self.schema.fields
        }
        refuse_forgotten(self.path, self.schema, named, catalog.last_seq(), catalog.waits)
        remove_unnamed(self.path, (row.file for row in named.values()))
        for field, index in self.indexes.items():
            replay(catalog, field, index, named[field].seq if field in named else 0)
        self.count = catalog.count()
        self.sums = RunningSums(self.indexes)
        self.alignment, self.maps = active_alignment(catalog)
        for field, index in self.indexes.items():
            index.set_alignment(self.maps.get(field))
        self.calibrations = Calibrations(catalog)
        self.cohorts = Cohorts(
            {
                field: (rows, keys[present(self.indexes[field], keys)])
                for field, (rows, keys) in catalog.cohorts().items()
            }
        )

    def live(self) -> Catalog:
        """Give the catalogue, if the collection can be used here.

        Raises
        ------
        InvalidArgument
            When it is closed, or was opened before a fork.
        """
        if self._pid != os.getpid():
            raise InvalidArgument(
                f"the collection {self.path} was opened in process {self._pid}: "
                "open it after the fork, in the process that uses it"
            )
        if self._catalog is None:
            raise InvalidArgument(f"the collection {self.path} is closed: open it again")
        return self._catalog

    @property
    def closed(self) -> bool:
        """Whether `close` has been called."""
        return self._catalog is None

    def close(self) -> None:
        """Wait for running searches, fold what is worth it, give all back."""
        if self._pid != os.getpid():  # `writing` may be held for ever in a forked child
            return
        with self.writing, self.swapping.exclusive():
            if self._catalog is None:
                return
            try:
                if not self._behind:
                    rows = sum(map(len, self.indexes.values()))
                    if self._catalog.pending_rows > self.policy.closing_share * rows:
                        self._fold()
                    if self.cohorts.unsaved():
                        # Lost samples are drawn again: no reason for a close to fail.
                        with contextlib.suppress(StorageError):
                            self._commit(lambda catalog: None, lambda: None)
            finally:
                self.release()

    def release(self) -> None:
        """Give back connections and the lock at once; what was acknowledged is on disk."""
        if self._pid != os.getpid():
            return
        catalog, self._catalog = self._catalog, None
        lock, self._lock = self._lock, None
        if catalog is not None:
            catalog.close()
        if lock is not None:
            lock.release()

    # -- writing ------------------------------------------------------------------------------

    def _commit(
        self, write: Callable[[Catalog], None], follow: Callable[[], None], metadata: bool = False
    ) -> None:
        """Commit what `write` does, then let the memory `follow`; say whether `metadata` changes.

        Should the memory not follow (no memory left, an interrupt), the catalogue is right and
        this object is behind it: further writes are refused until the collection is opened again.
        """
        catalog = self.live()
        if self._behind:
            raise GaplessError(
                f"an earlier write to {self.path} was committed but interrupted before it reached "
                "the indexes in memory: close the collection and open it again"
            )
        cohorts = self.cohorts.unsaved()
        try:
            with catalog.writing():
                catalog.put_cohorts(cohorts)
                write(catalog)
                self._behind = True  # from here on a commit may have happened
        except Exception:
            self._behind = False  # rolled back
            raise
        try:
            follow()
        finally:  # committed, whatever becomes of the memory
            self.version += 1
            self.metadata_version += metadata
        self._behind = False
        self.cohorts.touch()
        self.cohorts.saved(cohorts)

    def upsert(self, batch: Batch) -> None:
        """Store a checked batch.

        Raises
        ------
        InvalidArgument
            For a new item that the batch has no vector for.
        """
        with self.writing:
            catalog = self.live()
            known = catalog.keys_of(batch.ids)
            empty = np.array([key is None for key in known])
            for told in batch.vectors.values():
                empty &= told.counts <= 0
            if empty.any():
                raise InvalidArgument(
                    f"id {batch.ids[int(np.argmax(empty))]!r} is new and has no vector: "
                    "give vectors={field: rows} (metadata alone can change present items)"
                )
            fresh = catalog.next_key()
            keys: list[int] = []
            for key in known:
                keys.append(fresh if key is None else key)
                fresh += key is None
            rows = list(zip(keys, batch.ids, batch.metadata, batch.uris, known, strict=True))
            changes = {
                field: replacement(
                    self.indexes[field], labels(keys), told, self.schema.fields[field].several
                )
                for field, told in batch.vectors.items()
            }

            def write(catalog: Catalog) -> None:
                catalog.insert_items(ItemRow(*row[:4]) for row in rows if row[4] is None)
                kept = [row for row in rows if row[4] is not None]
                catalog.set_metadata((row[2], row[0]) for row in kept if row[2] is not None)
                catalog.set_uris((row[3], row[0]) for row in kept if row[3] is not None)
                for field, change in changes.items():
                    change.write(catalog, field)

            described = any(value is not None for value in (*batch.metadata, *batch.uris))

            def follow() -> None:
                if described:
                    self._known.forget(key for key in known if key is not None)
                self.count += known.count(None)
                self._follow(changes)

            self._commit(write, follow, metadata=described or None in known)
            self._checkpoint_if_due()

    def remove(self, keys: list[int]) -> None:
        """Remove the items with these keys, which are present, from every field."""
        with self.writing:
            changes = {
                field: removal(index, labels(keys), self.schema.fields[field].several)
                for field, index in self.indexes.items()
            }

            def write(catalog: Catalog) -> None:
                catalog.delete_items(keys)
                for field, change in changes.items():
                    change.write(catalog, field)

            def follow() -> None:
                self._known.forget(keys)
                self.count -= len(keys)
                self._follow(changes)

            self._commit(write, follow, metadata=True)
            self._checkpoint_if_due()

    def _follow(self, changes: Mapping[str, RowChange]) -> None:
        """Bring the memory to what has been committed about the rows."""
        size = sum(change.rows.nbytes for change in changes.values())
        self.live().recount_pending(sum(len(c.touched) for c in changes.values()), size)
        for field, change in changes.items():
            self.sums.leave(field, change.touched)
            put(self.indexes[field], change.labels, change.rows)
            if len(change.gone):  # last: a search beside this finds old or new rows, never none
                self.indexes[field].remove(change.gone)
            self.sums.enter(field, change.labels)
            self.cohorts.forget(field, change.gone)

    def items_of(self, keys: list[int]) -> list[ItemRow | None]:
        """Item of each key; None where it is not there, such as one removed meanwhile."""
        return self._known.items_of(keys, self.live)

    # -- checkpoints --------------------------------------------------------------------------

    def checkpoint(self) -> None:
        """Write every changed field to a fresh segment and clear `pending`."""
        self.live()
        with self.writing:
            catalog = self.live()
            fields = catalog.pending_fields()
            if not fields or self._behind:
                return
            seq = catalog.last_seq()
            fresh = {
                field: write_segment(self.path, self.schema, field, self.indexes[field], seq)
                for field in fields
            }
            catalog.commit_checkpoint(fresh, seq)
            remove_unnamed(self.path, (row.file for row in catalog.segments().values()))

    def _checkpoint_if_due(self) -> None:
        catalog, indexes = self.live(), self.indexes.values()
        if self.policy.due(
            catalog.pending_rows,
            catalog.pending_bytes,
            sum(map(len, indexes)),
            sum(index.memory_bytes for index in indexes),
        ):
            self._fold()

    def _fold(self) -> None:
        # The write that led here has been committed: to raise now would say it had not.
        try:
            self.checkpoint()
        except (OSError, sqlite3.Error) as error:
            warnings.warn(
                f"{self.path}: every write is safe, but could not be folded into segments "
                f"({error}): free the disk and call checkpoint()",
                RuntimeWarning,
                stacklevel=4,
            )
