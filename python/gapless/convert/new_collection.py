"""A new collection that is there as a whole, or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gapless.errors import NotACollection
from gapless.folder import folder_path
from gapless.schema import Schema
from gapless.segments import fsync

if TYPE_CHECKING:
    from gapless.collection import Collection

__all__ = ["new_collection"]


@contextmanager
def new_collection(folder: str | os.PathLike[str], schema: Schema) -> Iterator[Collection]:
    """Open an empty collection beside `folder`, and put it there when the block ends well.

    A process that is killed meanwhile leaves a hidden folder ``.NAME.XXXXXXXX.importing``, which
    may be deleted.

    Parameters
    ----------
    folder : str or path
        Must not be there, or be empty.
    schema : Schema

    Raises
    ------
    NotACollection
        When there is something at `folder` already.
    """
    from gapless.collection import open as open_collection

    target = folder_path(folder)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        what = "is not empty" if target.is_dir() else "is a file"
        raise NotACollection(
            f"{target} {what}: an import makes a new collection, so give a new or empty folder"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    building = target.parent / f".{target.name}.{secrets.token_hex(4)}.importing"
    try:
        # Unsafe against power cuts until it is whole, and so quicker; then all of it is synced.
        with open_collection(building, schema, durability="normal") as col:
            yield col
            col.checkpoint()
        for place in [*sorted(building.rglob("*")), building]:
            fsync(place)
        if target.is_dir():
            target.rmdir()
        building.rename(target)
        fsync(target.parent)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
