"""A disk that may forget: rebuilt from a journal of `torture_shim.c` as power loss could leave it.

The model, at a cut between two calls:

- What was written to a file before an fsync or fdatasync of that file has returned is there.
- Of what was written since, any subset may be there, in any order between files and within one:
  nothing, all, a prefix, single writes, or single sectors of them (of 512 or 4,096 bytes). Where a
  write that made a file longer is not there, the length may be, filled with zeros. A sector is old
  or new as a whole, and bytes beside those written never change.
- A name that was made, renamed or removed before an fsync of its folder has returned is so. Of
  what was done to names since, any subset may have happened, in order or out of order; a rename
  happens whole or not at all. An fsync of a file says nothing of its name (POSIX; Linux's usual
  file systems do more).
- Memory that is mapped shared holds nothing durable. SQLite's index of its log (-shm) alone is
  written so, and it is absent, or holds noise.
- Disks that lie about fsync, and damage to what lies still, are no part of it (`torture_damage.py`
  has the latter).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

HEAD = struct.Struct("<IIIIQQQ")
CREATE, WRITE, TRUNCATE, RENAME, UNLINK, MKDIR, RMDIR, SYNC, MARK, MAP, UNKNOWN = range(1, 12)
NAMING = (CREATE, RENAME, UNLINK, MKDIR, RMDIR)
WAYS = ("nothing", "all", "prefix", "writes", "sectors")


@dataclass(frozen=True)
class Record:
    """One call, as `torture_shim.c` writes it down."""

    kind: int
    path: str
    other: str
    inode: int
    offset: int
    data: bytes


def read_journal(path: Path) -> Iterator[Record]:
    """Give the records of a journal, in order."""
    content = path.read_bytes()
    at = 0
    while at < len(content):
        kind, first, second, _, inode, offset, size = HEAD.unpack_from(content, at)
        at += HEAD.size
        name = os.fsdecode(content[at : at + first])
        other = os.fsdecode(content[at + first : at + first + second])
        at += first + second
        data = content[at : at + size] if kind == WRITE else b""
        at += len(data)
        if kind == UNKNOWN:
            raise RuntimeError(f"the shim does not know what {name} {other} does to the disk")
        yield Record(kind, name, other, inode, offset, data)


@dataclass
class File:
    """What of a file is on disk, and what was done to it since: WRITE and TRUNCATE records."""

    durable: bytes = b""
    since: list[Record] = field(default_factory=list)
    mapped: bool = False


@dataclass(frozen=True)
class Naming:
    """A change of names that its folder's fsync has not confirmed; `what` is the file, or None."""

    folder: str
    kind: int
    path: str
    other: str
    what: File | None


class Disk:
    """The durable and the passing state of a folder while a journal is read."""

    def __init__(self, root: Path) -> None:
        """Take what lies under `root` now as durable."""
        self.names: dict[str, File | None] = {}  # None: a folder
        self.since: list[Naming] = []
        self._files: dict[int, File] = {}
        self._folders: dict[int, str] = {root.stat().st_ino: str(root)}
        for path in sorted(root.rglob("*")):
            if path.is_dir():
                self.names[str(path)] = None
                self._folders[path.stat().st_ino] = str(path)
            else:
                file = File(path.read_bytes())
                self.names[str(path)] = self._files[path.stat().st_ino] = file

    def apply(self, record: Record) -> None:
        """Follow one call."""
        kind = record.kind
        if kind in NAMING:
            what = None
            if kind == CREATE:
                what = self._files[record.inode] = File()
            elif kind == MKDIR:
                self._folders[record.inode] = record.path
            elif kind == RENAME:
                what = self._files[record.inode]
            folder = str(Path(record.path).parent)
            self.since.append(Naming(folder, kind, record.path, record.other, what))
        elif kind in (WRITE, TRUNCATE):
            self._files[record.inode].since.append(record)
        elif kind == MAP:
            self._files[record.inode].mapped = True
        elif kind == SYNC and record.inode in self._folders:
            folder = self._folders[record.inode]
            for naming in self.since:
                if naming.folder == folder:
                    rename(self.names, naming)
            self.since = [naming for naming in self.since if naming.folder != folder]
        elif kind == SYNC:
            file = self._files[record.inode]
            file.durable, file.since = content(file.durable, file.since), []

    def lost(self, way: str, rng: np.random.Generator) -> dict[str, bytes | None]:
        """Give paths and contents (None: a folder) that power loss could leave now."""
        names = dict(self.names)
        share = float(rng.choice((0.1, 0.5, 0.9)))
        for naming in chosen(self.since, way, share, rng):
            rename(names, naming)
        made: dict[str, bytes | None] = {}
        contents: dict[int, bytes] = {}
        top = min((len(path) for path in self._folders.values()), default=0)
        for path, file in sorted(names.items()):
            folder = str(Path(path).parent)
            if len(folder) > top and folder not in made:
                continue  # its folder was lost with it
            if file is None:
                made[path] = None
            elif file.mapped:
                if way != "nothing" and rng.random() < 0.5:
                    made[path] = rng.bytes(32768)
            else:
                if id(file) not in contents:
                    contents[id(file)] = remembered(file, way, share, rng)
                made[path] = contents[id(file)]
        return made


def rename(names: dict[str, Any], naming: Naming) -> None:
    """Let one change of names happen."""
    if naming.kind in (CREATE, MKDIR):
        names[naming.path] = naming.what
    else:
        names.pop(naming.path, None)
        if naming.kind == RENAME:
            names[naming.other] = naming.what


def chosen(since: list[Any], way: str, share: float, rng: np.random.Generator) -> list[Any]:
    """Choose which of some changes have happened."""
    if way == "nothing":
        return []
    if way == "all":
        return since
    if way == "prefix":
        return since[: int(rng.integers(0, len(since) + 1))]
    return [change for change in since if rng.random() < share]


def remembered(file: File, way: str, share: float, rng: np.random.Generator) -> bytes:
    """Give the content that a file could have after power loss."""
    if way != "sectors":
        kept = chosen(file.since, way, share, rng)
        length = 0
        if way == "writes" and len(kept) < len(file.since) and rng.random() < 0.3:
            length = len(content(file.durable, file.since))
        return content(file.durable, kept).ljust(length, b"\0")
    sector = int(rng.choice((512, 4096)))
    kept = []
    for record in file.since:
        if record.kind == TRUNCATE:
            kept += [record] if rng.random() < share else []
            continue
        end = record.offset + len(record.data)
        at = record.offset
        while at < end:
            stop = min(end, (at // sector + 1) * sector)
            if rng.random() < share:
                data = record.data[at - record.offset : stop - record.offset]
                kept.append(Record(WRITE, "", "", 0, at, data))
            at = stop
    return content(file.durable, kept)


def content(durable: bytes, changes: list[Record]) -> bytes:
    """Give `durable` after these writes and truncations."""
    if not changes:
        return durable
    now = bytearray(durable)
    for change in changes:
        if change.kind == TRUNCATE:
            del now[change.offset :]
            now.extend(bytes(change.offset - len(now)))
        else:
            now.extend(bytes(max(0, change.offset - len(now))))
            now[change.offset : change.offset + len(change.data)] = change.data
    return bytes(now)


def lay_out(made: dict[str, bytes | None], root: Path, target: Path) -> None:
    """Write what lay under `root` into the empty folder `target`."""
    for path, data in made.items():
        place = target / Path(path).relative_to(root)
        if data is None:
            place.mkdir()
        else:
            place.write_bytes(data)
