"""Files of a folder as items: which are pictures, which are texts, and what a text says."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

__all__ = ["IMAGE_SUFFIXES", "TEXT_SUFFIXES", "read_text", "walk"]

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp"})
TEXT_SUFFIXES = frozenset({".txt", ".md"})

CHARACTERS = 2_000
"""How much of a text is read; encoders cut it further, to the length their model knows."""


def walk(folder: Path, skip: Path) -> Iterator[tuple[Path, str]]:
    """Yield (file, "image" or "text") below `folder` in a fixed order.

    Hidden files and folders, the folder `skip`, links to folders, and what is no file (pipes,
    sockets, devices) are passed over. A file that cannot be looked at is yielded, so that reading
    it says why.
    """
    for root, folders, files in os.walk(folder):
        here = Path(root)
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and (here / name).resolve() != skip
        )
        for name in sorted(files):
            suffix = Path(name).suffix.lower()
            if suffix in IMAGE_SUFFIXES:
                kind = "image"
            elif suffix in TEXT_SUFFIXES:
                kind = "text"
            else:
                continue
            if not name.startswith(".") and not _is_special(here / name):
                yield here / name, kind


def _is_special(path: Path) -> bool:
    """Tell pipes, sockets and devices, reading from which may never end."""
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False


def read_text(path: Path) -> str:
    """Read the first characters of a text file as one line of words.

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError
        It holds no text: nothing but space, or bytes that are not UTF-8.
    """
    with path.open(encoding="utf-8-sig") as file:
        text = " ".join(file.read(CHARACTERS).split())
    if not any(character.isalnum() for character in text):
        raise ValueError("there is no word in it")
    return text
