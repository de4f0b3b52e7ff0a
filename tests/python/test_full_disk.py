"""Full disks and folders that cannot be written to: named, and nothing acknowledged is lost.

They are real: a small file system of its own for each test, in a namespace that ends with it.
Permissions would not do, as they do not bind root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

MOUNT = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
SMALL = 'mount -t tmpfs -o size=1m none "$0" && exec "$@"'


def small_disk(mount: Path, code: str) -> str:
    """Run Python code with a file system of 1 MiB at `mount`; give what it printed."""
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare to make a small file system with")
    tried = subprocess.run([*MOUNT, SMALL, str(mount), "true"], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip(f"no file system may be mounted here: {tried.stderr.decode().strip()}")
    command = [*MOUNT, SMALL, str(mount), sys.executable, "-W", "error", "-c", COMMON + code]
    done = subprocess.run(
        [*command, str(mount)], capture_output=True, text=True, check=False, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


COMMON = """
import subprocess, sys, warnings
from pathlib import Path
import numpy as np
import gapless as gl
from gapless.collection import Collection
from gapless.errors import StorageError
from gapless.storage import CheckpointPolicy

disk = Path(sys.argv[1])
path = disk / "c"
schema = gl.Schema({"clip": gl.Space(16)}, {"image": gl.Field("clip", "image", index="flat")})
rng = np.random.default_rng(0)

def rows(n):
    return {"image": rng.normal(size=(n, 16))}

def same(col, wanted):
    found = {item.id: item.vectors["image"].tobytes() for item in col.get(col.ids(), vectors=True)}
    assert found == wanted, (len(found), len(wanted))
    hits = col.search(vectors={"clip": np.ones(16)}, limit=10_000)
    assert set(hits.ids) == set(wanted)
"""

FILL = """
policy = CheckpointPolicy(rows=1 << 40, closing_share=1e9)
col = Collection(path, schema, policy=policy)
kept, refused = {}, 0
for n in range(4000):
    try:
        col.upsert([n], rows(1), [{"pad": "x" * 2000}])
    except StorageError as error:
        assert "see that the disk has room" in str(error), error
        assert "which has changed nothing" in str(error), error
        refused += 1
        if refused == 3:
            break
    else:
        kept[n] = col.get(n, vectors=True).vectors["image"].tobytes()
assert refused == 3 and len(kept) > 20, (refused, len(kept))
same(col, kept)
"""


def test_writes_to_a_full_disk_are_refused_and_the_others_stay(tmp_path: Path) -> None:
    small_disk(
        tmp_path,
        FILL
        + """
try:
    col.checkpoint()
except StorageError as error:
    assert "room" in str(error), error
else:
    raise AssertionError("a segment was written to a full disk")
same(col, kept)
col._storage.release()  # as a process that dies would
subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
with Collection(path, policy=policy) as col:
    same(col, kept)
    col.upsert(["more"], rows(1))
    col.checkpoint()
    assert len(col) == len(kept) + 1
with Collection(path, policy=policy) as col:
    assert len(col) == len(kept) + 1
""",
    )


def test_a_full_disk_opens_or_says_why(tmp_path: Path) -> None:
    small_disk(
        tmp_path,
        FILL
        + """
col._storage.release()
(disk / "rest").write_bytes(b"")
with open(disk / "rest", "ab", buffering=0) as file:
    try:
        while True:
            file.write(bytes(512))
    except OSError:
        pass
try:
    with Collection(path, policy=policy) as col:
        same(col, kept)
except StorageError as error:
    assert "room" in str(error), error
(disk / "rest").unlink()
subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
with Collection(path, policy=policy) as col:
    same(col, kept)
""",
    )


def test_a_collection_is_not_made_on_a_full_disk_and_may_be_later(tmp_path: Path) -> None:
    small_disk(
        tmp_path,
        """
(disk / "rest").write_bytes(bytes((1 << 20) - 3 * 4096))
try:
    gl.open(path, schema)
except StorageError as error:
    assert "room" in str(error), error
else:
    raise AssertionError("a collection was made on a full disk")
(disk / "rest").unlink()
with gl.open(path, schema) as col:
    col.upsert(["a"], rows(1))
with gl.open(path) as col:
    assert col.ids() == ["a"]
""",
    )


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    small_disk(
        tmp_path,
        """
with gl.open(path, schema) as col:
    col.upsert(["a", "b"], rows(2))
before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
for where, given, match in (
    (path, None, "lock cannot be opened for writing"),
    (path, schema, "lock cannot be opened for writing"),
    (disk / "new", schema, "new cannot be made"),
    (disk / "deep" / "new", schema, "new cannot be made"),
):
    try:
        gl.open(where, given)
    except StorageError as error:
        assert match in str(error) and "can be written to" in str(error), error
        assert "Read-only file system" in str(error), error
    else:
        raise AssertionError("opened for writing on a read-only file system")
assert before == {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
with gl.open(path) as col:
    assert col.ids() == ["a", "b"]
""",
    )
