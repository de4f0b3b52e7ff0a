"""What must be true after a kill at the worst moment, and what damage is called."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import gapless as gl
from collection_kit import DIM, answers, files, fill, mixed_schema
from gapless.collection import Collection
from gapless.errors import GaplessError, InvalidArgument, StorageError
from gapless.segments import FOLDER
from gapless.storage import CheckpointPolicy

# -- reopening ----------------------------------------------------------------------------------


def test_reopening_gives_the_same_answers_before_and_after_a_checkpoint(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    path = tmp_path / "c"
    policy = CheckpointPolicy(closing_share=100.0)  # closing leaves pending alone
    col = Collection(path, mixed_schema(), policy=policy)
    fill(col, rng)
    wanted = answers(col)
    assert len(wanted) == 4 * 2 * 128
    col.close()
    assert files(path) == []
    with Collection(path, policy=policy) as col:  # from pending alone
        assert answers(col) == wanted
        col.checkpoint()
        assert col.stats()["pending_rows"] == 0
        assert answers(col) == wanted
    assert len(files(path)) == 2
    with Collection(path, policy=policy) as col:  # from segments alone
        assert answers(col) == wanted
        col.upsert(["late"], {"image": rng.normal(size=(1, DIM))})
        col.remove([7])
        wanted = answers(col)
    with Collection(path, policy=policy) as col:  # from both
        assert col.stats()["pending_rows"] == 2
        assert answers(col) == wanted
        assert len(col) == 128


def test_a_checkpoint_writes_the_changed_fields_alone(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    with gl.open(tmp_path / "c", mixed_schema()) as col:
        fill(col, rng)
        col.checkpoint()
        first = files(col.path)
        col.checkpoint()  # nothing to do
        assert files(col.path) == first
        col.upsert([1], {"caption": rng.normal(size=(1, DIM))})
        col.checkpoint()
        second = files(col.path)
        assert [name for name in second if name.startswith("00-image")] == first[:1]
        assert len(second) == 2
        assert second[1] != first[1]


def test_closing_folds_what_is_worth_it(tmp_path: Path, rng: np.random.Generator) -> None:
    path = tmp_path / "c"
    with gl.open(path, mixed_schema()) as col:
        fill(col, rng)
    first = files(path)
    assert len(first) == 2
    with gl.open(path) as col:
        assert col.stats()["pending_rows"] == 0
        col.upsert(["one"], {"image": rng.normal(size=(1, DIM))})
    assert files(path) == first
    with gl.open(path) as col:
        assert col.stats()["pending_rows"] == 1
        assert "one" in col


def test_large_pending_is_folded_by_itself(tmp_path: Path, rng: np.random.Generator) -> None:
    vectors = rng.normal(size=(400, DIM))
    by_rows = Collection(tmp_path / "r", mixed_schema(), policy=CheckpointPolicy(rows=100))
    by_bytes = Collection(
        tmp_path / "b", mixed_schema(), policy=CheckpointPolicy(bytes=100 * 32, share=0)
    )
    for col in (by_rows, by_bytes):
        col.upsert(list(range(99)), {"image": vectors[:99]})
        assert col.stats()["pending_rows"] == 99
        col.upsert([99], {"image": vectors[99:100]})
        assert col.stats()["pending_rows"] == 0
        assert len(files(col.path)) == 1
        col.close()
    policy = CheckpointPolicy(rows=10, bytes=10**9, share=0.5)
    assert not policy.due(99, 0, 200, 0)
    assert policy.due(100, 0, 200, 0)
    assert not policy.due(9, 0, 2, 0)
    assert not CheckpointPolicy(bytes=10, share=0.5).due(0, 499, 0, 1000)
    assert CheckpointPolicy(bytes=10, share=0.5).due(0, 500, 0, 1000)


def test_a_cohort_drawn_by_a_search_is_kept(tmp_path: Path, rng: np.random.Generator) -> None:
    q = rng.normal(size=DIM)
    col = gl.open(tmp_path / "c", mixed_schema())
    col.upsert(list(range(1500)), {"caption": rng.normal(size=(1500, DIM))})
    col.search(vectors={"clip": q}, fusion="cohort")
    col.upsert(list(range(1500, 2000)), {"caption": rng.normal(size=(500, DIM))})
    col.remove(list(range(0, 1500, 5)))
    wanted = col.search(vectors={"clip": q}, fusion="cohort", limit=50)
    col.close()
    with gl.open(tmp_path / "c") as col:  # a fresh draw would come from other rows
        assert col.search(vectors={"clip": q}, fusion="cohort", limit=50) == wanted


def test_normal_durability_works_alike(tmp_path: Path, rng: np.random.Generator) -> None:
    with gl.open(tmp_path / "c", mixed_schema(), durability="normal") as col:
        fill(col, rng)
        wanted = answers(col)
    with gl.open(tmp_path / "c", durability="normal") as col:
        assert answers(col) == wanted
    with pytest.raises(InvalidArgument, match="durability is 'fast'"):
        gl.open(tmp_path / "c", durability="fast")
    gl.open(tmp_path / "c").close()


# -- killed in the middle -----------------------------------------------------------------------

WRITER = """
import sys
import numpy as np
import gapless as gl
from gapless.collection import Collection
from gapless.storage import CheckpointPolicy

col = Collection(sys.argv[1], policy=CheckpointPolicy(rows=150))
rng = np.random.default_rng(int(sys.argv[2]))
n = 0
while True:
    ids = [f"{sys.argv[2]}-{n + i}" for i in range(20)]
    image, caption = rng.normal(size=(2, 20, 8))
    col.upsert(ids, {"image": image, "caption": caption}, [{"n": n + i} for i in range(20)])
    print("add", n, flush=True)
    if n % 60 == 0:
        col.remove(ids[:5])
        print("remove", n, flush=True)
    n += 20
"""


def test_everything_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "c"
    gl.open(path, mixed_schema()).close()
    wanted: dict[str, npt.NDArray[np.float64]] = {}
    for seed, lines in ((1, 7), (2, 24), (3, 41)):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(seed)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        said = [writer.stdout.readline().split() for _ in range(lines)]
        writer.send_signal(signal.SIGKILL)
        rest = writer.stdout.read()
        assert writer.wait() == -signal.SIGKILL
        writer.stdout.close()
        said += [line.split() for line in rest.splitlines(keepends=True) if line.endswith("\n")]
        rng = np.random.default_rng(seed)
        for word, number in said:
            names = [f"{seed}-{int(number) + i}" for i in range(20)]
            if word == "add":
                image, _ = rng.normal(size=(2, 20, DIM))
                wanted |= dict(zip(names, image, strict=True))
            else:
                for name in names[:5]:
                    del wanted[name]
        with gl.open(path) as col:
            present = set(col.ids())
            missing = set(wanted) - present
            # The write under way at the kill may have been committed without being acknowledged:
            # at most one batch more, whole, or one removal of five.
            assert len(missing) in (0, 5)
            assert len(present - set(wanted)) in (0, 20)
            for name in sorted(missing):
                del wanted[name]
            for item in col.get(col.ids(), vectors=True):
                assert set(item.fields) == {"image", "caption"}
                assert item.metadata == {"n": int(str(item.id).split("-")[1])}
                if item.id in wanted:
                    row = wanted[str(item.id)]
                    np.testing.assert_allclose(
                        item.vectors["image"], row / np.linalg.norm(row), atol=1e-6
                    )
            hits = col.search(vectors={"clip": np.ones(DIM)}, limit=10_000, ef=10_000)
            assert set(hits.ids) == present
            assert len(col) == len(present)
            col.remove(sorted(present - set(wanted)))
            assert len(files(path)) <= 2


CRASHER = """
import os, signal, sys
import numpy as np
import gapless as gl
from gapless import storage
from gapless.catalog import Catalog

def die(*arguments, **more):
    os.kill(os.getpid(), signal.SIGKILL)

path, where = sys.argv[1:]
col = gl.open(path)
col.upsert(["new"], {"image": np.eye(1, 8), "caption": np.eye(1, 8)})
if where == "before the file is whole":
    real = storage.write_segment
    def half(folder, *arguments):
        row = real(folder, *arguments)
        whole = folder / "segments" / row.file
        data = whole.read_bytes()
        whole.unlink()
        whole.with_name(row.file + ".tmp").write_bytes(data[: len(data) // 2])
        die()
    storage.write_segment = half
elif where == "between rename and commit":
    Catalog.commit_checkpoint = die
elif where == "inside the commit":
    real = Catalog.writing
    import contextlib
    @contextlib.contextmanager
    def writing(self):
        with real(self):
            yield
            die()
    Catalog.writing = writing
elif where == "between commit and clean-up":
    storage.remove_unnamed = die
elif where == "between commit and memory":
    storage.put = die
    col.upsert(["newer"], {"caption": np.eye(1, 8)})
col.checkpoint()
"""


@pytest.mark.parametrize(
    ("where", "pending", "left_over"),
    [
        ("before the file is whole", 2, 1),
        ("between rename and commit", 2, 2),
        ("inside the commit", 2, 2),
        ("between commit and clean-up", 0, 2),
        ("between commit and memory", 3, 0),
    ],
)
def test_a_crash_at_each_step_of_a_checkpoint(
    tmp_path: Path, rng: np.random.Generator, where: str, pending: int, left_over: int
) -> None:
    path = tmp_path / "c"
    with gl.open(path, mixed_schema()) as col:
        fill(col, rng)
        col.checkpoint()
        before = len(col)
    old = files(path)
    assert len(old) == 2
    crash = subprocess.run([sys.executable, "-c", CRASHER, str(path), where], check=False)
    assert crash.returncode == -signal.SIGKILL
    assert len(files(path)) == 2 + left_over
    with gl.open(path) as col:
        assert col.stats()["pending_rows"] == pending
        extra = 2 if where == "between commit and memory" else 1
        assert len(col) == before + extra
        assert col.get("new", vectors=True).vectors["image"].tolist() == [1, 0, 0, 0, 0, 0, 0, 0]
        found = col.search(vectors={"clip": np.eye(1, DIM)[0]}, limit=500, ef=500)
        assert len(found) == before + extra
        assert found.ids[0] == "new"
        assert len(files(path)) == 2  # what no row names is gone
        col.checkpoint()
        wanted = answers(col)
    with gl.open(path) as col:
        assert answers(col) == wanted


def test_leftovers_are_removed_and_foreign_files_are_not(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    path = tmp_path / "c"
    with gl.open(path, mixed_schema()) as col:
        fill(col, rng)
    named = files(path)
    for name in ("00-image-000000000001.gap", "00-image-000000000999.gap.tmp", "notes.txt"):
        (path / FOLDER / name).write_bytes(b"half a file")
    gl.open(path).close()
    assert files(path) == sorted([*named, "notes.txt"])


def test_a_write_that_memory_cannot_follow_is_safe_and_says_to_reopen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "c"
    col = gl.open(path, mixed_schema())
    col.upsert(["a"], {"caption": np.eye(1, DIM)})

    def no_memory(*arguments: object) -> None:
        raise MemoryError("no more")

    with monkeypatch.context() as patch:
        patch.setattr("gapless.storage.put", no_memory)
        with pytest.raises(MemoryError):
            col.upsert(["b"], {"caption": np.eye(1, DIM)})
    for write in (
        lambda: col.upsert(["c"], {"caption": np.eye(1, DIM)}),
        lambda: col.remove("a"),
        lambda: col.align("raw"),
    ):
        with pytest.raises(GaplessError, match="close the collection and open it again"):
            write()
    assert col.search(vectors={"clip": np.ones(DIM)}).ids == ["a"]
    col.close()
    with gl.open(path) as col:
        assert col.ids() == ["a", "b"]
        assert set(col.search(vectors={"clip": np.ones(DIM)}).ids) == {"a", "b"}


def test_a_full_disk_is_named_and_changes_nothing(tmp_path: Path) -> None:
    with gl.open(tmp_path / "c", mixed_schema()) as col:
        col.upsert(["a"], {"caption": np.eye(1, DIM)}, [{"n": 1}])
        catalog = col._storage.live()
        catalog._writer.execute("PRAGMA max_page_count = 1")  # it may not grow from here on
        with pytest.raises(
            StorageError, match=r"catalog\.sqlite: .*full: see that the disk"
        ) as full:
            col.upsert(["a", "b"], {"caption": np.eye(2, DIM)}, [{"n": "x" * 50_000}, None])
        assert isinstance(full.value, OSError)
        assert col.ids() == ["a"]
        assert col.get("a").metadata == {"n": 1}
        assert len(col) == 1
        catalog._writer.execute("PRAGMA max_page_count = 1000000")
        col.upsert(["b"], {"caption": np.eye(1, DIM)})  # and goes on working
        assert len(col) == 2


def test_a_failed_align_changes_no_answer(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    q = rng.normal(size=DIM)

    def answer(col: Collection) -> gl.Hits:
        return col.search(vectors={"clip": q}, modality="text", fusion="cohort", limit=50)

    def full(*arguments: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with gl.open(tmp_path / "c", mixed_schema()) as col:
        col.upsert(list(range(1500)), {"caption": rng.normal(size=(1500, DIM))})
        col.upsert(list(range(20)), {"image": rng.normal(size=(20, DIM))})
        answer(col)  # draws the background samples
        col.upsert(list(range(1500, 2000)), {"caption": rng.normal(size=(500, DIM))})
        before = answer(col)
        with monkeypatch.context() as patch:
            patch.setattr("gapless.catalog.Catalog.add_alignment", full)
            with pytest.raises(StorageError, match="disk is full"):
                col.align("center")
        assert col.alignment is None
        assert answer(col) == before
        col.align("center")
        wanted = answer(col)
        assert wanted != before
    with gl.open(tmp_path / "c") as col:
        assert answer(col) == wanted


def test_a_write_does_not_fail_because_folding_does(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    path = tmp_path / "c"
    col = Collection(path, mixed_schema(), policy=CheckpointPolicy(rows=10))
    (path / FOLDER).touch()  # where the folder of segments should be made
    with pytest.warns(RuntimeWarning, match="every write is safe, but could not be folded"):
        col.upsert(list(range(20)), {"caption": rng.normal(size=(20, DIM))})
    with pytest.warns(RuntimeWarning, match="every write is safe"):
        col.remove([0, 1])
    assert len(col) == len(col.search(vectors={"clip": np.ones(DIM)}, limit=50)) == 18
    with pytest.raises(StorageError, match=r"cannot be written .*call checkpoint\(\) again"):
        col.checkpoint()
    wanted = answers(col)
    with pytest.warns(RuntimeWarning, match="every write is safe"):
        col.close()
    (path / FOLDER).unlink()
    with gl.open(path) as col:
        assert answers(col) == wanted
    assert len(files(path)) == 1
