"""The folder of a collection: which are its own names, and what may become one."""

from __future__ import annotations

import os
from pathlib import Path

from .catalog import FILE_NAME
from .errors import InvalidArgument, NotACollection, StorageError
from .schema import Schema
from .segments import FOLDER, SUFFIX, fsync

__all__ = ["LOCK_NAME", "folder_path", "prepare_folder"]

LOCK_NAME = "lock"
OWN_FILES = {LOCK_NAME, *(FILE_NAME + end for end in ("", "-wal", "-shm", "-journal"))}
HOW_TO_MAKE = "make one with gl.open(path, schema) or `gapless index DIR --collection PATH`"


def folder_path(path: str | os.PathLike[str]) -> Path:
    """Absolute path of a collection's folder.

    Raises
    ------
    InvalidArgument
        When `path` is no path.
    """
    try:
        found = Path(path).absolute()
    except TypeError:
        found = None
    if found is None or "\0" in str(found):
        raise InvalidArgument(f"path is {path!r}: give the folder of a collection")
    return found


def prepare_folder(path: Path, schema: Schema | None) -> None:
    """See that `path` holds a collection, or make the folder for a new one.

    Raises
    ------
    InvalidArgument
        For a schema of another type.
    NotACollection
        When the folder holds something else, or nothing and there is no schema. Nothing is made.
    StorageError
        When it cannot be made.
    """
    if schema is not None and not isinstance(schema, Schema):
        raise InvalidArgument(f"schema is a {type(schema).__name__}: give a gapless.Schema")
    if path.exists() and not path.is_dir():
        raise NotACollection(f"{path} is a file: give the folder of a collection")
    # Segments without their catalogue are a damaged collection, which the catalogue reports.
    if (path / FILE_NAME).is_file() or any((path / FOLDER).glob(f"*{SUFFIX}")):
        return
    if schema is None:
        what = "holds no collection" if path.is_dir() else "does not exist"
        raise NotACollection(f"{path} {what}: correct the path, or {HOW_TO_MAKE}")
    if path.is_dir():
        foreign = sorted(entry.name for entry in path.iterdir() if not _own(entry))
        if foreign:
            raise NotACollection(
                f"{path} holds no collection and is not empty ({foreign[0]!r}): "
                "give a new or empty folder"
            )
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
        for folder in made:
            fsync(folder.parent)
    except OSError as error:
        raise StorageError(
            f"{path} cannot be made ({error}): see that {path.parent} can be written to and the "
            "disk has room, or give another folder"
        ) from error


def _own(entry: Path) -> bool:
    """Whether a creation cut short may have left `entry`."""
    if entry.name == FOLDER and entry.is_dir():
        return not any(entry.iterdir())
    return entry.name in OWN_FILES and entry.is_file()
