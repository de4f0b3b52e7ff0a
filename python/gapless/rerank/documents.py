"""What a scorer gets to see of a hit: its text, its image, or whatever the caller makes of it."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ..errors import InvalidArgument
from ..filters.place import parse_place
from .how import Rerank
from .scorers import Document

__all__ = ["Candidate", "document_of", "part_of", "retrieving_modalities"]


class Place(Protocol):
    """What is read of a contribution."""

    @property
    def field(self) -> str:
        """The field searched."""

    @property
    def rank(self) -> int | None:
        """Place in that list, from 1; None where it did not retrieve the item."""


class Candidate(Protocol):
    """What is read of a hit."""

    @property
    def id(self) -> str | int:
        """Of the item."""

    @property
    def metadata(self) -> Mapping[str, Any] | None:
        """As stored."""

    @property
    def uri(self) -> str | None:
        """Where the original lies."""

    @property
    def contributions(self) -> Sequence[Place]:
        """What each searched list said."""


def document_of(hit: Candidate, how: Rerank, modalities: Mapping[str, str]) -> Document:
    """Give the parts of a hit that `how` wants, those it has.

    Parameters
    ----------
    modalities : mapping of field to modality

    Raises
    ------
    InvalidArgument
        When the caller's own ``document=`` gives no mapping.
    """
    if how.document is not None:
        found = how.document(hit)
        if not isinstance(found, Mapping):
            raise InvalidArgument(
                f"document= gave a {type(found).__name__} for hit {hit.id!r}: give a dict of part "
                "to value, such as {'text': ...}"
            )
        parts = dict(found)
    else:
        metadata = hit.metadata or {}
        texts = (part_of(metadata, path) for path in how.text)
        image = _image(hit, modalities) if how.image is None else part_of(metadata, how.image)
        parts = {"text": next((t for t in texts if t is not None), None), "image": image}
    wanted = parts if how.fields is None else how.fields
    return {name: parts[name] for name in wanted if parts.get(name) is not None}


def part_of(metadata: Mapping[str, Any], path: str) -> Any:
    """Look up a path, such as ``"article.caption"``; None where there is nothing.

    Paths are spelled as in filters (`gapless.filters.place`).
    """
    found: Any = metadata
    for key in parse_place(path).keys:
        if not isinstance(found, Mapping) or key not in found:
            return None
        found = found[key]
    return found


def retrieving_modalities(hit: Candidate, modalities: Mapping[str, str]) -> list[str]:
    """Modalities of the fields whose own lists hold the hit, each once."""
    found = (
        modalities[each.field]
        for each in hit.contributions
        if each.rank is not None and each.field in modalities
    )
    return list(dict.fromkeys(found))


def _image(hit: Candidate, modalities: Mapping[str, str]) -> str | None:
    if hit.uri is None:
        return None
    kind = mimetypes.guess_type(hit.uri)[0]
    if kind not in (None, "application/octet-stream"):
        return hit.uri if str(kind).startswith("image/") else None
    seen = any(modalities.get(each.field) == "image" for each in hit.contributions)
    return hit.uri if seen else None
