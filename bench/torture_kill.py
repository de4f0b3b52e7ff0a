"""Kill -9 at random points of mixed writes, and compare what is there with what was acknowledged.

A life is one collection. In each round a process opens it and writes; it is killed either after a
random delay, or by itself at the start of a random one of its calls that change a file, of which
one that writes may have put a part. Then another process opens the collection: what has been
acknowledged must be there whole, and the write under way whole or not at all.
"""

from __future__ import annotations

import collections
import functools
import json
import os
import shutil
import signal
import struct
import sys
import time
from pathlib import Path

import numpy as np

import torture_shim as shim
import torture_writes as writes
from torture_writes import State

ACKNOWLEDGED = struct.Struct("<qq")
ROUNDS_OF_A_LIFE = 8
WRITES_OF_A_ROUND = 40


def write_until_killed(
    path: Path, seed: int, first: int, state: State, kill_at: int, torn: int, ack: int
) -> int:
    """Open the collection and write; runs in the process that is killed."""
    shim.arm(path.parent, None, kill_at, torn)
    os.write(ack, ACKNOWLEDGED.pack(-1, 0))  # it has begun
    with writes.open_collection(path) as col:
        for number in range(first, first + WRITES_OF_A_ROUND):
            write = writes.draw(seed, number, state)
            outcome = write.apply(col)
            # A kill takes nothing from a pipe, as it takes nothing from the kernel's page cache.
            os.write(ack, ACKNOWLEDGED.pack(number, outcome))
            state = write.follow(state, outcome)
    return shim.calls()


def judge(path: Path, before: State, seed: int, number: int) -> tuple[int, int, str]:
    """Say whether the write under way is there (0 or 1; -1: in part), its outcome, and why."""
    with writes.open_collection(path) as col:
        found = writes.snapshot(col)
        reason = writes.difference(found, before)
        if reason is None:
            return 0, 0, writes.unfound(col, before) or ""
        write = writes.draw(seed, number, before)
        outcome = found.alignment if write.kind == "center" else 1
        after = write.follow(before, outcome)
        other = writes.difference(found, after)
        if other is None:
            return 1, outcome, writes.unfound(col, after) or ""
        return -1, 0, f"not as before {write.kind} ({reason}), nor as after it ({other})"


def run(rounds: int, seed: int, folder: Path) -> dict[str, int]:
    """Kill `rounds` times; count what became of it, and print every fault."""
    rng = np.random.default_rng(seed)
    counts = dict.fromkeys(
        (
            *("kills", "at a call", "after a delay", "not killed", "writes acknowledged"),
            *("in flight kept", "in flight gone", "failed opens", "lost or wrong", "unfound"),
        ),
        0,
    )
    kinds: collections.Counter[str] = collections.Counter()
    life = number = done = 0
    path, state = folder / "c0", State()
    while counts["kills"] < rounds:
        if done == ROUNDS_OF_A_LIFE:
            shutil.rmtree(path, ignore_errors=True)
            life, number, done = life + 1, 0, 0
            path, state = folder / f"c{life}", State()
        done += 1
        script = seed * 1_000_000 + life
        at_call = bool(rng.random() < 0.7)
        kill_at = int(np.exp(rng.uniform(0, np.log(900)))) if at_call else 0
        torn = int(rng.integers(0, 4097)) if rng.random() < 0.5 else -1
        arguments = (path, script, number, state, kill_at, torn)
        process = shim.Forked(functools.partial(write_until_killed, *arguments))
        if not at_call:
            time.sleep(float(rng.uniform(0.001, 0.4)))
            process.kill()
        died, _, said = process.wait()
        if died not in (None, signal.SIGKILL):
            raise RuntimeError(f"the writer of life {life} died of signal {died}")
        outcomes = [outcome for n, outcome in ACKNOWLEDGED.iter_unpack(said) if n >= 0]
        for outcome in outcomes:
            state = writes.draw(script, number, state).follow(state, outcome)
            number += 1
        counts["writes acknowledged"] += len(outcomes)
        if died is None:
            counts["not killed"] += 1
        else:
            counts["kills"] += 1
            counts["at a call" if at_call else "after a delay"] += 1
        here = f"life {life} of seed {seed}, write {number}, kill_at {kill_at}, torn {torn}"
        try:
            look = functools.partial(judge, path, state, script, number)
            kept, outcome, reason = shim.forked(look)
        except RuntimeError as error:
            counts["failed opens"] += 1
            print(f"{here}: {error}", file=sys.stderr)
            done = ROUNDS_OF_A_LIFE
            continue
        if kept < 0 or reason:
            counts["lost or wrong" if kept < 0 else "unfound"] += 1
            print(f"{here}: {reason}", file=sys.stderr)
            done = ROUNDS_OF_A_LIFE
        elif died is not None:
            kinds[writes.draw(script, number, state).kind] += 1
            counts["in flight kept" if kept else "in flight gone"] += 1
        if kept > 0:
            state = writes.draw(script, number, state).follow(state, outcome)
            number += 1
    shutil.rmtree(path, ignore_errors=True)
    return counts | {f"killed in {kind}": count for kind, count in sorted(kinds.items())}


if __name__ == "__main__":
    print(json.dumps(run(int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[1]))))
