"""A tenth of `torture.py`, and that each part of it would notice what it is there to notice."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import torture
import torture_damage
import torture_disk
import torture_kill
import torture_power
import torture_shim
import torture_writes as writes
from torture_disk import CREATE, MKDIR, RENAME, SYNC, TRUNCATE, UNLINK, WRITE, Disk, Record
from torture_writes import State

needs_shim = pytest.mark.skipif(
    torture_shim.missing() is not None, reason=str(torture_shim.missing())
)


@needs_shim
def test_nothing_acknowledged_is_lost_by_fifty_kills(tmp_path: Path) -> None:
    counts = torture.kill(50, 1, tmp_path.resolve())
    print(counts)
    assert counts["kills"] == 50
    assert min(counts["at a call"], counts["after a delay"], counts["writes acknowledged"]) > 5
    assert [counts[fault] for fault in torture.FAULTS] == [0, 0, 0]


@needs_shim
@pytest.mark.parametrize(("durability", "seed", "every"), [("full", 4, 9), ("normal", 3, 20)])
def test_nothing_acknowledged_is_lost_with_the_power(
    tmp_path: Path, durability: str, seed: int, every: int
) -> None:
    counts = torture.power(1, seed, tmp_path.resolve(), every=every, ways=3, count=16)
    print(counts)
    assert counts[f"writes ({durability})"] == 32
    assert counts["disks that differ"] > 40
    assert counts["with the write under way"] > 0
    assert [counts[fault] for fault in torture.FAULTS] == [0, 0, 0]


def test_damage_is_named_or_harmless(tmp_path: Path) -> None:
    counts = torture_damage.run(1200, 1, tmp_path.resolve())
    print(counts)
    segments = [counts[kind] for kind in counts if kind.startswith("segment")]
    assert len(segments) == 4
    for own in segments:  # every byte of these is under a checksum
        assert own["CorruptFile"] == 200
    for own in counts.values():
        never = ("foreign error", "crash", "hang", "segments deleted")
        assert [own[fate] for fate in never] == [0, 0, 0, 0]


# -- would they notice? -------------------------------------------------------------------------


def grown(path: Path, count: int = 12) -> State:
    state = State()
    with writes.open_collection(path) as col:
        for number in range(count):
            write = writes.draw(5, number, state)
            state = write.follow(state, write.apply(col))
    return state


def a_lost_item(state: State) -> None:
    state.items["was here"] = next(iter(state.items.values()))


def another_vector(state: State) -> None:
    name, content = next((n, c) for n, c in state.items.items() if "image" in c.fields)
    rows, spans = content.fields["image"]
    nearly = np.nextafter(rows, 2)
    changed = content.fields | {"image": (nearly, spans)}
    state.items[name] = writes.Content(content.metadata, content.uri, changed)


def another_metadata(state: State) -> None:
    name, content = next(iter(state.items.items()))
    state.items[name] = writes.Content({"n": -1}, content.uri, content.fields)


def another_uri(state: State) -> None:
    name, content = next(iter(state.items.items()))
    state.items[name] = writes.Content(content.metadata, "elsewhere", content.fields)


def another_span(state: State) -> None:
    name, content = next((n, c) for n, c in state.items.items() if "frame" in c.fields)
    rows, _ = content.fields["frame"]
    changed = content.fields | {"frame": (rows, ((9.0, 9.5),) * len(rows))}
    state.items[name] = writes.Content(content.metadata, content.uri, changed)


def another_alignment(state: State) -> None:
    state.alignment += 7


def another_calibration(state: State) -> None:
    state.calibrations[state.alignment] = 0.5


CHANGES = (
    a_lost_item,
    another_vector,
    another_metadata,
    another_uri,
    another_span,
    another_alignment,
    another_calibration,
)


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_lost_is_noticed(tmp_path: Path, change: Callable[[State], None]) -> None:
    state = grown(tmp_path / "c")
    assert torture_kill.judge(tmp_path / "c", state, 5, 12) == (0, 0, "")
    assert torture_power.judge(tmp_path / "c", [state], 0) == (0, "")
    change(state)
    assert torture_kill.judge(tmp_path / "c", state, 5, 12)[0] == -1
    assert torture_power.judge(tmp_path / "c", [state], 0)[0] == -1


def test_a_write_that_is_there_in_part_is_noticed(tmp_path: Path) -> None:
    state = grown(tmp_path / "c")
    new = writes.Write("upsert", ["one", "two"], {"image": np.eye(2, writes.DIM, dtype="f4")})
    with writes.open_collection(tmp_path / "c") as col:
        writes.Write("upsert", ["one"], {"image": new.vectors["image"][:1]}).apply(col)
    found = torture_power.judge(tmp_path / "c", [state, new.follow(state, 0)], 0)
    assert found[0] == -1


def test_a_script_is_the_same_for_whoever_draws_it() -> None:
    def drawn() -> str:
        state, sums = State(), hashlib.sha256()
        for number in range(40):
            write = writes.draw(2, number, state)
            sums.update(repr(write).encode())
            state = write.follow(state, number if write.kind == "center" else 1)
        return sums.hexdigest()

    assert drawn() == drawn()


# -- the model of a disk ------------------------------------------------------------------------


def record(kind: int, path: str = "", inode: int = 0, offset: int = 0, data: bytes = b"") -> Record:
    return Record(kind, path, "", inode, offset, data)


def outcomes(disk: Disk, way: str, tries: int = 200) -> set[tuple[tuple[str, bytes | None], ...]]:
    rng = np.random.default_rng(0)
    return {tuple(sorted(disk.lost(way, rng).items())) for _ in range(tries)}


def test_what_was_synced_stays_and_the_rest_may_go(tmp_path: Path) -> None:
    disk = Disk(tmp_path)
    name, folder = f"{tmp_path}/a", tmp_path.stat().st_ino
    disk.apply(record(CREATE, name, 7))
    disk.apply(record(WRITE, inode=7, data=b"first"))
    disk.apply(record(SYNC, inode=7))
    assert outcomes(disk, "nothing") == {()}  # its name has not been synced
    assert outcomes(disk, "writes") == {(), ((name, b"first"),)}
    disk.apply(record(SYNC, inode=folder))
    for way in torture_disk.WAYS:
        assert outcomes(disk, way) == {((name, b"first"),)}
    disk.apply(record(WRITE, inode=7, offset=5, data=b"AA"))
    disk.apply(record(WRITE, inode=7, offset=7, data=b"BB"))
    assert {made[0][1] for made in outcomes(disk, "prefix")} == {b"first", b"firstAA", b"firstAABB"}
    assert {made[0][1] for made in outcomes(disk, "writes")} == {
        *(b"first", b"firstAA", b"firstAABB", b"first\0\0BB"),
        *(b"first\0\0\0\0", b"firstAA\0\0"),
    }
    disk.apply(record(TRUNCATE, inode=7, offset=2))
    disk.apply(record(SYNC, inode=7))
    assert outcomes(disk, "nothing") == {((name, b"fi"),)}


def test_sectors_are_torn_apart_and_never_within(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"o" * 2048)
    disk = Disk(tmp_path)
    disk.apply(record(WRITE, inode=path.stat().st_ino, offset=100, data=b"n" * 1800))
    seen = set()
    for ((_, data),) in outcomes(disk, "sectors"):
        assert data is not None and len(data) == 2048
        assert data[:100] + data[1900:] == b"o" * 248
        parts = [data[100:512], data[512:1024], data[1024:1536], data[1536:1900]]
        assert all(len(set(part)) == 1 for part in parts)
        seen.add(tuple(part[:1] for part in parts))
    assert len(seen) == 16


def test_names_change_in_order_or_out_of_order_until_their_folder_is_synced(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"1")
    disk = Disk(tmp_path)
    inode = (tmp_path / "old").stat().st_ino
    disk.apply(Record(RENAME, f"{tmp_path}/old", f"{tmp_path}/new", inode, 0, b""))
    disk.apply(record(UNLINK, f"{tmp_path}/new"))
    old, new = ((f"{tmp_path}/old", b"1"),), ((f"{tmp_path}/new", b"1"),)
    assert outcomes(disk, "prefix") == {old, new, ()}
    disk = Disk(tmp_path)
    disk.apply(record(MKDIR, f"{tmp_path}/sub", 99))
    disk.apply(record(CREATE, f"{tmp_path}/sub/a", 98))
    disk.apply(record(SYNC, inode=99))
    kept = {dict(made).get(f"{tmp_path}/sub/a") for made in outcomes(disk, "writes")}
    assert kept == {None, b""}
    for made in outcomes(disk, "writes"):  # with its folder or not at all
        assert len(made) in (1, 3)
