"""Where a filter looks: a path into the metadata, the item's id or its uri."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from ..errors import InvalidFilter

__all__ = ["ID", "URI", "Place", "parse_place"]

Source = Literal["metadata", "id", "uri"]

ESCAPED = re.compile(r"\\(.?)", re.DOTALL)
SPLIT = re.compile(r"(?:\\.|[^.\\])*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Place:
    r"""One place of an item.

    As text, a dot stands between the keys of nested objects; ``\.``, ``\\`` and a leading ``\$``
    are the characters themselves; ``$id`` and ``$uri`` are the item's own id and uri.

    Attributes
    ----------
    keys : tuple of str
        The keys from the outside inwards; empty for the id and the uri.
    source : {"metadata", "id", "uri"}
        What is looked at.

    Examples
    --------
    >>> str(Place(("camera", "model")))
    'camera.model'
    >>> parse_place(r"a\.b.c").keys
    ('a.b', 'c')
    """

    keys: tuple[str, ...]
    source: Source = "metadata"

    def __str__(self) -> str:
        if self.source != "metadata":
            return f"${self.source}"
        text = ".".join(key.replace("\\", r"\\").replace(".", r"\.") for key in self.keys)
        return "\\" + text if text.startswith("$") else text

    def __repr__(self) -> str:
        return f"F({str(self)!r})" if self.source == "metadata" else f"F.{self.source}()"


ID = Place((), "id")
URI = Place((), "uri")


def parse_place(text: object) -> Place:
    r"""Read a place as `str` writes it.

    Raises
    ------
    InvalidFilter
        When it is no string, starts with another ``$`` name, or has a stray backslash.

    Examples
    --------
    >>> parse_place("$id") == ID, parse_place(r"\$id").keys
    (True, ('$id',))
    """
    if not isinstance(text, str):
        raise InvalidFilter(
            f"a filter names the field {text!r}, a {type(text).__name__}: give a string, such as "
            '"year" or "camera.model"'
        )
    check_unicode(text)
    if text.startswith("$"):
        for place in (ID, URI):
            if text == str(place):
                return place
        raise InvalidFilter(
            f"a filter names {text!r}: the names with $ are $id and $uri; for a metadata key that "
            f"begins with $ write {chr(92) + text!r}"
        )
    if text.startswith("\\$"):
        text = text[1:]
    # findall gives an empty match after each part that a dot does not end
    parts, start = [], 0
    while True:
        found = SPLIT.match(text, start)
        end = found.end() if found else start
        parts.append(_unescape(text[start:end], text))
        if end == len(text):
            return Place(tuple(parts))
        if text[end] != ".":
            _unescape(text[end:], text)
        start = end + 1


def check_unicode(text: str) -> str:
    """`text`, which has no lone surrogate.

    Raises
    ------
    InvalidFilter
        When it has one.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidFilter(f"the filter holds {text!r}: give valid Unicode") from error
    return text


def _unescape(part: str, whole: str) -> str:
    def plain(found: re.Match[str]) -> str:
        if found[1] not in (".", "\\"):
            raise InvalidFilter(
                f"the field {whole!r} of a filter has a stray backslash: write \\\\ for a "
                "backslash, \\. for a dot within a key, \\$ for a $ at the beginning"
            )
        return found[1]

    return ESCAPED.sub(plain, part)
