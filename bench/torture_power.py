"""Power loss at every point of mixed writes, under everything that writes, SQLite included.

A process writes while `torture_shim.c` keeps a journal of all that it does to the collection's
folder. For every prefix of the journal, folders are built as a disk could have them after power
loss (`torture_disk.py` says the model), and opened. With durability "full" all that had been
acknowledged must be there and the write under way whole or not at all; with "normal", what the
first so many writes have left, with none of them in part.
"""

from __future__ import annotations

import collections
import hashlib
import json
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import torture_disk
import torture_shim as shim
import torture_writes as writes
from torture_disk import Disk
from torture_writes import State

Laid = dict[str, bytes | None]


@dataclass
class Run:
    """A script of writes on a folder, its journal, and what the writes have left, one by one."""

    seed: int
    first: int
    durability: str
    root: Path
    journal: Path
    disk: Disk
    states: list[State] = field(default_factory=list)


def write_all(run: Run, count: int) -> list[int]:
    """Open, write, close, open again and write on; runs in a process of its own."""
    shim.arm(run.root, run.journal)
    state, outcomes = run.states[0], []
    for part in np.array_split(np.arange(run.first, run.first + count), 2):
        with writes.open_collection(run.root / "c", run.durability) as col:
            for number in part.tolist():
                write = writes.draw(run.seed, number, state)
                outcomes.append(write.apply(col))
                state = write.follow(state, outcomes[-1])
                shim.mark(len(outcomes))
    return outcomes


def start(
    seed: int, first: int, state: State, durability: str, root: Path, journal: Path, count: int
) -> Run:
    """Let a process make `count` writes to what lies in `root`."""
    journal.unlink(missing_ok=True)
    run = Run(seed, first, durability, root, journal, Disk(root), [state])
    outcomes = shim.forked(lambda: write_all(run, count))
    run.states = list(writes.states(seed, first, state, outcomes))
    return run


def judge(path: Path, states: list[State], low: int) -> tuple[int, str]:
    """Open what is left; give which of `states` it is, and what is wrong."""
    with writes.open_collection(path) as col:
        found = writes.snapshot(col)
        reasons = []
        for at, state in reversed(list(enumerate(states[low:], low))):
            reason = writes.difference(found, state)
            if reason is None:
                return at, writes.unfound(col, state) or ""
            reasons.append(reason)
        return -1, "; ".join(reasons[:3])


class Powerless:
    """Counts, and the folder in which disks are laid out."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self.rng = np.random.default_rng(seed)
        self.counts: collections.Counter[str] = collections.Counter()
        self._seen: set[tuple[bytes, int]] = set()

    def try_run(self, run: Run, every: int, ways: int) -> tuple[Laid, int]:
        """Lose the power at every `every`-th prefix, `ways` times each.

        Gives one of the disks, and which of the run's states it holds.
        """
        done, acknowledged = 0, 0
        kept: tuple[Laid, int] = ({}, 0)
        phase = int(self.rng.integers(every))
        for record in torture_disk.read_journal(run.journal):
            if record.kind == torture_disk.MARK:
                acknowledged = record.offset
                continue
            run.disk.apply(record)
            done += 1
            if (done + phase) % every:
                continue
            self.counts["prefixes"] += 1
            plain = len(torture_disk.WAYS)
            for way in self.rng.permutation(plain)[:ways] if ways < plain else range(ways):
                name = torture_disk.WAYS[way] if way < plain else torture_disk.WAYS[3 + way % 2]
                made = run.disk.lost(name, self.rng)
                at = self.try_disk(run, made, acknowledged, f"call {done}, {name}")
                if at is not None and self.rng.random() < 0.02:
                    kept = made, at
        self.counts["calls"] += done
        return kept

    def try_disk(self, run: Run, made: Laid, acknowledged: int, where: str) -> int | None:
        """Open one disk, unless it is like one that has been opened; give the state it holds."""
        self.counts["disks"] += 1
        sums = hashlib.blake2b()
        for path, data in sorted(made.items()):
            sums.update(f"{path}\0{-1 if data is None else len(data)}\0".encode() + (data or b""))
        if (sums.digest(), acknowledged) in self._seen:
            return None
        self._seen.add((sums.digest(), acknowledged))
        self.counts["disks that differ"] += 1
        target = self.folder / "disk"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        torture_disk.lay_out(made, run.root, target)
        low = acknowledged if run.durability == "full" else 0
        states = run.states[: acknowledged + 2]
        here = f"seed {run.seed} from write {run.first}, {run.durability}, {where}"
        at: int
        try:
            at, reason = shim.forked(lambda: judge(target / "c", states, low))
        except RuntimeError as error:
            self.counts["failed opens"] += 1
            print(f"{here}: {error}", file=sys.stderr)
            return None
        if at < 0 or reason:
            self.counts["lost or wrong" if at < 0 else "unfound"] += 1
            print(f"{here}: {reason}", file=sys.stderr)
            return None
        if at > acknowledged:
            self.counts["with the write under way"] += 1
        elif at < acknowledged:
            self.counts["without the last writes (normal)"] += 1
        return at


def whole(run: Run) -> bool:
    """Whether the journal, read to its end, gives the folder as it is: nothing escaped the shim."""
    there = {
        str(path): path.read_bytes()
        for path in run.root.rglob("*")
        if path.is_file() and not path.name.endswith("-shm")
    }
    made = run.disk.lost("all", np.random.default_rng(0))
    return there == {
        path: data for path, data in made.items() if data is not None and not path.endswith("-shm")
    }


def run(scripts: int, seed: int, folder: Path, every: int, ways: int, count: int) -> dict[str, int]:
    """Lose the power in `scripts` scripts of writes; count what became of it."""
    power = Powerless(folder, seed)
    for name in ("failed opens", "lost or wrong", "unfound"):
        power.counts[name] = 0
    for script in range(scripts):
        root = folder / "root"
        durability = "normal" if (seed + script) % 4 == 3 else "full"
        own, first, state = seed * 1_000_000 + script, 0, State()
        laid: Laid = {}
        for _ in range(2):  # the second goes on from a disk that the first has left
            shutil.rmtree(root, ignore_errors=True)
            root.mkdir()
            torture_disk.lay_out(laid, root, root)
            done = start(own, first, state, durability, root, folder / "journal", count)
            laid, at = power.try_run(done, every, ways)
            if not whole(done):
                raise RuntimeError("the journal does not give the folder as it is")
            first, state = first + at, done.states[at]
            power.counts[f"writes ({durability})"] += count
        power.counts["scripts"] += 1
    return dict(power.counts)


if __name__ == "__main__":
    scripts, seed, *numbers = map(int, sys.argv[2:])
    print(json.dumps(run(scripts, seed, Path(sys.argv[1]), *numbers)))
