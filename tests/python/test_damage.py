"""Missing, cut, flipped and mixed-up files: each is named, and nothing else is touched."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import gapless as gl
from collection_kit import DIM, files, fill, mixed_schema
from gapless.errors import CollectionLocked, CorruptFile
from gapless.segments import FOLDER


@pytest.fixture
def folded(tmp_path: Path, rng: np.random.Generator) -> Iterator[Path]:
    path = tmp_path / "c"
    with gl.open(path, mixed_schema()) as col:
        fill(col, rng)
    assert len(files(path)) == 2
    yield path


@pytest.mark.parametrize("field", [0, 1])
def test_a_missing_segment_is_named(folded: Path, field: int) -> None:
    victim = folded / FOLDER / files(folded)[field]
    away = victim.rename(folded / "away")
    with pytest.raises(CorruptFile, match="is missing, and the catalogue names it") as caught:
        gl.open(folded)
    assert str(victim) in str(caught.value)
    away.rename(victim)
    gl.open(folded).close()  # nothing else was touched, and no lock stayed behind


@pytest.mark.parametrize("field", [0, 1])
@pytest.mark.parametrize("damage", ["empty", "truncated", "flipped", "swapped"])
def test_a_damaged_segment_is_named(folded: Path, field: int, damage: str) -> None:
    names = files(folded)
    victim = folded / FOLDER / names[field]
    data = bytearray(victim.read_bytes())
    if damage == "empty":
        data.clear()
    elif damage == "truncated":
        del data[len(data) * 2 // 3 :]
    elif damage == "flipped":
        data[len(data) // 2] ^= 0x55
    else:
        data = bytearray((folded / FOLDER / names[1 - field]).read_bytes())
    victim.write_bytes(data)
    with pytest.raises(CorruptFile) as caught:
        gl.open(folded)
    assert victim.name in str(caught.value)


def test_a_segment_of_another_collection_is_noticed(
    folded: Path, tmp_path: Path, rng: np.random.Generator
) -> None:
    with gl.open(tmp_path / "other", mixed_schema()) as col:
        col.upsert([1], {"caption": rng.normal(size=(1, DIM))})
    victim = folded / FOLDER / files(folded)[1]
    shutil.copy(tmp_path / "other" / FOLDER / files(tmp_path / "other")[0], victim)
    with pytest.raises(CorruptFile, match="holds 1 rows of dim 8, and the catalogue says 49 rows"):
        gl.open(folded)


@pytest.mark.parametrize(
    "loss", ["DELETE FROM segments", "UPDATE segments SET seq = 1 WHERE field = 'image'"]
)
def test_a_segment_that_the_catalogue_has_forgotten_is_named_and_kept(
    folded: Path, loss: str
) -> None:
    before = files(folded)
    db = sqlite3.connect(folded / "catalog.sqlite")
    assert db.execute(loss).rowcount
    if "UPDATE" in loss:
        db.execute("UPDATE segments SET file = 'older.gap' WHERE field = 'image'")
        shutil.copy(folded / FOLDER / before[0], folded / FOLDER / "older.gap")
    db.commit()
    db.close()
    with pytest.raises(CorruptFile, match=r"00-image.*gap holds writes .* has forgotten"):
        gl.open(folded)
    assert set(before) <= set(files(folded))


def test_a_count_of_writes_that_is_lost_is_named(folded: Path) -> None:
    db = sqlite3.connect(folded / "catalog.sqlite")
    db.execute("UPDATE sqlite_sequence SET seq = 3 WHERE name = 'pending'")
    db.commit()
    db.close()
    with pytest.raises(
        CorruptFile, match=r"holds writes up to \d+, and the catalogue has counted 3"
    ):
        gl.open(folded)


def test_a_pending_vector_of_the_wrong_length_is_noticed(folded: Path) -> None:
    db = sqlite3.connect(folded / "catalog.sqlite")
    db.execute("INSERT INTO pending (field, key, vector) VALUES ('caption', 3, x'0000')")
    db.commit()
    db.close()
    with pytest.raises(CorruptFile, match="pending vector of field 'caption' is not 32 bytes"):
        gl.open(folded)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE alignment_fields SET map = zeroblob(9)",
        "UPDATE alignments SET details = '[]'",
        "INSERT OR REPLACE INTO cohorts VALUES ('caption', 3, x'000000')",
        "UPDATE segments SET rows = 'many'",
        "UPDATE segments SET file = x'ff'",
        "INSERT INTO pending (field, key, vector) VALUES ('caption', 'three', NULL)",
    ],
)
def test_content_of_the_catalogue_that_nothing_here_writes_is_named(
    folded: Path, damage: str
) -> None:
    with gl.open(folded) as col:
        col.align("center", tolerance=1.0)
    db = sqlite3.connect(folded / "catalog.sqlite")
    assert db.execute(damage).rowcount
    db.commit()
    db.close()
    for _ in range(2):  # and no lock stays behind
        with pytest.raises(CorruptFile):
            gl.open(folded)


def test_a_damaged_catalogue_is_named(folded: Path) -> None:
    (folded / "catalog.sqlite").write_bytes(b"\x00" * 5000)
    with pytest.raises(CorruptFile, match=r"catalog\.sqlite"):
        gl.open(folded)


@pytest.mark.parametrize("how", ["gone", "empty"])
def test_segments_without_their_catalogue_are_never_deleted(folded: Path, how: str) -> None:
    before = files(folded)
    (folded / "catalog.sqlite").unlink()
    if how == "empty":
        (folded / "catalog.sqlite").touch()
    for schema in (None, mixed_schema()):
        with pytest.raises(CorruptFile, match=r"catalog\.sqlite is missing or empty.*00-image"):
            gl.open(folded, schema)
    assert files(folded) == before


def test_a_creation_cut_short_is_finished(tmp_path: Path, rng: np.random.Generator) -> None:
    path = tmp_path / "c"
    path.mkdir()
    (path / "lock").write_text("1\n")
    with gl.open(path, mixed_schema()) as col:
        fill(col, rng)
        assert len(col) == 128


def test_opening_and_closing_leaves_no_connection_open(tmp_path: Path) -> None:
    def handles() -> int:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("this system has no /proc/self/fd to count handles in")
    gl.open(tmp_path / "c", mixed_schema()).close()
    before = handles()
    for _ in range(5):
        with gl.open(tmp_path / "c") as col:
            col.search(vectors={"clip": np.ones(DIM)})
            with pytest.raises(CollectionLocked):
                gl.open(tmp_path / "c")
    assert handles() == before
