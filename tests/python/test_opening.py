"""Who may open a collection, where one may be made, and what a refusal leaves behind: nothing."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import gapless as gl
from collection_kit import DIM, mixed_schema
from gapless import folder
from gapless.errors import CollectionLocked, InvalidArgument, NotACollection, StorageError
from gapless.locking import SharedLock

# -- one writer ---------------------------------------------------------------------------------

HOLDER = """
import sys, gapless as gl
col = gl.open(sys.argv[1])
print("open", flush=True)
sys.stdin.read()
"""


def test_a_second_writer_is_refused_and_the_holder_named(tmp_path: Path) -> None:
    path = tmp_path / "c"
    gl.open(path, mixed_schema()).close()
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdin is not None
    try:
        assert holder.stdout.readline() == b"open\n"
        with pytest.raises(CollectionLocked, match=f"in process {holder.pid}: close it there"):
            gl.open(path)
    finally:
        holder.kill()
        holder.wait()
        holder.stdin.close()
        holder.stdout.close()
    gl.open(path).close()  # the lock died with its holder


def test_the_same_process_may_not_open_it_twice(tmp_path: Path) -> None:
    with (
        gl.open(tmp_path / "c", mixed_schema()),
        pytest.raises(CollectionLocked, match=f"open in process {os.getpid()}: close it"),
    ):
        gl.open(tmp_path / "c")


def test_a_dropped_collection_gives_the_lock_back(tmp_path: Path) -> None:
    col = gl.open(tmp_path / "c", mixed_schema())
    col.upsert(["a"], {"caption": np.eye(1, DIM)})
    del col
    with gl.open(tmp_path / "c") as col:
        assert col.ids() == ["a"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_may_not_use_the_parents_collection(tmp_path: Path) -> None:
    with gl.open(tmp_path / "c", mixed_schema()) as col:
        child = os.fork()
        if child == 0:
            try:
                col.upsert(["child"], {"caption": np.eye(1, DIM)})
            except InvalidArgument as error:
                os._exit(17 if "open it after the fork" in str(error) else 1)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 17
        col.upsert(["parent"], {"caption": np.eye(1, DIM)})
        assert col.ids() == ["parent"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_close_gives_the_lock_back_beside_a_living_child(tmp_path: Path) -> None:
    col = gl.open(tmp_path / "c", mixed_schema())
    ear, mouth = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(mouth)
        os.read(ear, 1)  # until the parent is done
        os._exit(0)
    try:
        os.close(ear)
        col.close()
        gl.open(tmp_path / "c").close()
    finally:
        os.close(mouth)
        os.waitpid(child, 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_forked_amid_a_write_does_not_wait_for_it(tmp_path: Path) -> None:
    col = gl.open(tmp_path / "c", mixed_schema())
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with col._storage.writing:
            held.set()
            done.wait()

    writer = threading.Thread(target=hold)
    writer.start()
    held.wait()
    child = os.fork()
    if child == 0:
        signal.alarm(10)  # kills a child that waits for a thread it does not have
        refused = 0
        for call in (lambda: col.remove("a"), lambda: col.align("raw"), col.checkpoint):
            try:
                call()
            except InvalidArgument:
                refused += 1
        col.close()
        os._exit(refused)
    try:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
    finally:
        done.set()
        writer.join()
        col.close()


def test_a_file_system_without_locks_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(fd: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(StorageError, match=r"lock cannot be locked .*No locks available"):
        gl.open(tmp_path / "c", mixed_schema())


def test_exclusive_is_exclusive() -> None:
    lock = SharedLock()
    with lock.shared(), lock.shared():
        assert (lock._readers, lock._writing) == (2, False)
    with lock.exclusive():
        assert (lock._readers, lock._writing) == (0, True)
    with pytest.raises(RuntimeError), lock.exclusive():
        raise RuntimeError
    with lock.shared():  # given back after the error
        pass


# -- where a collection may be made -------------------------------------------------------------


def tree(path: Path) -> list[str]:
    return sorted(str(found.relative_to(path)) for found in path.rglob("*"))


@pytest.mark.parametrize(
    "theirs",
    ["segments/photo.jpg", "segments/x.gap.old", "catalog.sqlite/x", "lock/x", "notes.txt"],
)
def test_a_foreign_folder_is_left_as_it_is(tmp_path: Path, theirs: str) -> None:
    path = tmp_path / "c"
    (path / theirs).parent.mkdir(parents=True)
    (path / theirs).touch()
    before = tree(path)
    for schema in (None, mixed_schema()):
        with pytest.raises(NotACollection, match="holds no collection"):
            gl.open(path, schema)
        assert tree(path) == before


def test_an_empty_folder_of_segments_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "c" / "segments").mkdir(parents=True)
    gl.open(tmp_path / "c", mixed_schema()).close()


def test_a_wrong_durability_or_path_makes_nothing(tmp_path: Path) -> None:
    for durability in ("fast", ["full"]):
        with pytest.raises(InvalidArgument, match=r"durability is .*: choose one of full, normal"):
            gl.open(tmp_path / "c", mixed_schema(), durability=durability)  # type: ignore[arg-type]
    assert tree(tmp_path) == []
    for path in (5, None, b"c", "c\0d"):
        with pytest.raises(InvalidArgument, match=r"path is .*: give the folder of a collection"):
            gl.open(path, mixed_schema())  # type: ignore[arg-type]


def test_every_folder_made_on_the_way_is_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(folder, "fsync", synced.append)
    folder.prepare_folder(tmp_path / "a" / "b" / "c", mixed_schema())
    assert (tmp_path / "a" / "b" / "c").is_dir()
    assert sorted(synced) == [tmp_path, tmp_path / "a", tmp_path / "a" / "b"]
