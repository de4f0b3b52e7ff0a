"""Opening a collection that another process may have open for a moment."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from gapless.errors import CollectionLocked, NotACollection

if TYPE_CHECKING:
    from gapless.collection import Collection

__all__ = ["open_existing", "open_patiently"]

PATIENCE = 2.0  # seconds; a search holds a collection for less
PAUSE = 0.05


def open_patiently(path: Path) -> Collection:
    """Open the collection at `path`, and try again for about 2 s while another process has it.

    Raises
    ------
    CollectionLocked
        It is still open elsewhere.
    NotACollection, CorruptFile
        As `gapless.open`.
    """
    import gapless

    last = time.monotonic() + PATIENCE
    while True:
        try:
            return gapless.open(path)
        except CollectionLocked:
            if time.monotonic() >= last:
                raise
            time.sleep(PAUSE)


def open_existing(path: Path) -> Collection:
    """Do as `open_patiently`; where there is no collection, name the command that makes one."""
    try:
        return open_patiently(path)
    except NotACollection as error:
        if path.is_dir():
            state = "holds no collection"
        else:
            state = "is a file" if path.exists() else "does not exist"
        raise NotACollection(
            f"{path} {state}: correct the path, or make a collection with "
            "`gapless index DIR --collection PATH`"
        ) from error
