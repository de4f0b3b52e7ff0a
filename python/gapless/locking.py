"""Who may touch a collection: one writing process by file lock, many threads beside one change."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from .errors import CollectionLocked, StorageError

__all__ = ["FileLock", "SharedLock"]


class FileLock:
    """An exclusive lock on a file, held until `release` or the end of the process.

    The kernel drops it when the holder dies, however it dies, so there is no stale lock to clean.
    A forked child shares the lock and must not give it back: its `release` closes the file alone.

    Raises
    ------
    CollectionLocked
        When another opener holds it; the message names its process id.
    StorageError
        When the folder cannot be written to, or the file system cannot lock files.
    """

    def __init__(self, path: Path) -> None:
        self._fd = -1
        self._pid = os.getpid()
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise StorageError(
                f"{path} cannot be opened for writing ({error}), and opening a collection takes "
                "its lock: see that the folder can be written to and the disk has room, or copy "
                "it to where that is so"
            ) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(fd)
            raise CollectionLocked(
                f"{path.parent} is open in process {holder}: "
                "close it there first (one process at a time opens a collection)"
            ) from error
        except OSError as error:
            os.close(fd)
            raise StorageError(
                f"{path} cannot be locked ({error}): put the collection on a local disk"
            ) from error
        with contextlib.suppress(OSError):  # a full disk: the lock holds, and names nobody
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        self._fd = fd

    def release(self) -> None:
        """Give the lock back; a second call does nothing."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            if self._pid == os.getpid():
                # Closing alone would leave it locked for as long as a forked child lives.
                fcntl.flock(fd, fcntl.LOCK_UN)
            os.close(fd)

    def __del__(self) -> None:
        self.release()


class SharedLock:
    """Many holders of `shared`, or one of `exclusive`; a waiting `exclusive` goes first.

    Searches hold it shared, so that a change that spans several indexes (an alignment, a close)
    is seen by each search wholly or not at all. It is not reentrant.
    """

    def __init__(self) -> None:
        self._condition = threading.Condition(threading.Lock())
        self._readers = 0
        self._waiting = 0
        self._writing = False

    @contextlib.contextmanager
    def shared(self) -> Iterator[None]:
        """Hold it beside other `shared` holders."""
        self.enter()
        try:
            yield
        finally:
            self.leave()

    def enter(self) -> None:
        """Begin to hold it shared, for callers whom a context manager would cost too much."""
        with self._condition:
            while self._writing or self._waiting:
                self._condition.wait()
            self._readers += 1

    def leave(self) -> None:
        """End what `enter` began."""
        with self._condition:
            self._readers -= 1
            if not self._readers and (self._waiting or self._writing):
                self._condition.notify_all()

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold it alone, after the present holders have left."""
        with self._condition:
            self._waiting += 1
            try:
                while self._writing or self._readers:
                    self._condition.wait()
            finally:
                self._waiting -= 1
                self._condition.notify_all()  # an interrupted wait must not leave readers asleep
            self._writing = True
        try:
            yield
        finally:
            with self._condition:
                self._writing = False
                self._condition.notify_all()
