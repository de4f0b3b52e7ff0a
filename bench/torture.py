"""Kill, cut the power, damage: what a collection makes of each, with counts.

    python bench/torture.py                  # everything, about half an hour on two idle cores
    python bench/torture.py --tenth          # a tenth of each, as the tests do
    python bench/torture.py --only damage --damages 1000

Exits with 1 when anything acknowledged was lost, an open failed, or a process crashed.
"""

from __future__ import annotations

import argparse
import json
import platform
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gapless as gl
import torture_damage
import torture_shim as shim

HERE = Path(__file__).parent
FAULTS = ("failed opens", "lost or wrong", "unfound")  # each must be 0


def kill(rounds: int, seed: int, folder: Path) -> dict[str, int]:
    """See `torture_kill.py`."""
    script = [str(HERE / "torture_kill.py"), str(folder), str(rounds), str(seed)]
    return dict(json.loads(shim.launch(script, folder)))


def power(
    scripts: int, seed: int, folder: Path, every: int = 1, ways: int = 7, count: int = 24
) -> dict[str, int]:
    """See `torture_power.py`."""
    numbers = [str(number) for number in (scripts, seed, every, ways, count)]
    script = [str(HERE / "torture_power.py"), str(folder), *numbers]
    return dict(json.loads(shim.launch(script, folder)))


def faults(found: dict[str, Any]) -> int:
    """Count what must not happen in the results of `main`."""
    lost = sum(found[part][name] for part in ("kill", "power") if part in found for name in FAULTS)
    fates = found.get("damage", {}).values()
    return int(lost + sum(kind["crash"] + kind["foreign error"] + kind["hang"] for kind in fates))


def show(part: str, counts: dict[str, Any], seconds: float) -> None:
    """Print the counts of one part."""
    print(f"{part}: {seconds:.0f} s")
    for name, value in counts.items():
        parts = value.items() if isinstance(value, dict) else [("", value)]
        print(f"  {name}: {', '.join(f'{word} {n}'.strip() for word, n in parts)}", flush=True)


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=500, help="kills")
    parser.add_argument("--scripts", type=int, default=8, help="scripts that lose the power")
    parser.add_argument("--every", type=int, default=1, help="take every n-th prefix alone")
    parser.add_argument("--ways", type=int, default=7, help="disks for each prefix")
    parser.add_argument("--damages", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tenth", action="store_true")
    parser.add_argument("--only", choices=("kill", "power", "damage"))
    parser.add_argument("--folder", type=Path, help="where to work; by default in memory")
    parser.add_argument("--write", type=Path, help="a file for the counts, as JSON")
    given = parser.parse_args()
    share = 10 if given.tenth else 1
    parts: dict[str, Callable[[Path], Any]] = {
        "kill": lambda at: kill(given.rounds // share, given.seed, at),
        "power": lambda at: power(given.scripts, given.seed, at, given.every * share, given.ways),
        "damage": lambda at: torture_damage.run(given.damages // share, given.seed, at),
    }
    if reason := shim.missing():
        print(f"kill and power are left out: {reason}", file=sys.stderr)
        parts = {"damage": parts["damage"]}
    memory = Path("/dev/shm")
    found: dict[str, Any] = {
        "gapless": gl.__version__,
        "sqlite": sqlite3.sqlite_version,
        "system": platform.platform(),
        "seed": given.seed,
    }
    for name, part in parts.items():
        if given.only not in (None, name):
            continue
        begin = time.monotonic()
        parent = given.folder or (memory if memory.is_dir() else None)
        with tempfile.TemporaryDirectory(prefix="torture-", dir=parent) as folder:
            found[name] = part(Path(folder).resolve())
        show(name, found[name], time.monotonic() - begin)
        if given.write:
            given.write.write_text(json.dumps(found, indent=1) + "\n")
    return 1 if faults(found) else 0


if __name__ == "__main__":
    sys.exit(main())
