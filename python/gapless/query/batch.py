"""A batch of questions that are alike in all but what they ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..alignment.versions import AlignmentVersion
from ..batch import as_array, as_matrix
from ..errors import InvalidArgument, InvalidVector
from ..given import is_word
from ..schema import Schema
from .encoders import Encoders, QueryVector
from .routes import Homes, Routing

__all__ = ["Batch", "embed_batch", "read_batch"]


@dataclass(frozen=True, slots=True)
class Batch:
    """`count` questions, each of them composed of what is given here."""

    texts: tuple[str, ...] | None
    images: tuple[Any, ...] | None
    audios: tuple[Any, ...] | None
    vectors: Mapping[str, npt.NDArray[Any]]
    modality: str | None
    count: int

    def questions(self) -> list[dict[str, Any]]:
        """Give what was asked in each question but for its vectors."""
        given = {"text": self.texts, "image": self.images, "audio": self.audios}
        return [
            {part: items[i] for part, items in given.items() if items is not None}
            for i in range(self.count)
        ]


def read_batch(
    texts: Sequence[str] | None,
    images: Sequence[Any] | None,
    audios: Sequence[Any] | None,
    vectors: Mapping[str, npt.ArrayLike] | None,
    modality: str | None,
) -> Batch:
    """Check the parts of a batch but for their dims.

    Raises
    ------
    InvalidArgument
        For no part at all, parts of unequal length, and texts that are none.
    InvalidVector
        For vectors of another shape.
    """
    if vectors is not None and not isinstance(vectors, Mapping):
        raise InvalidArgument(
            f"vectors is a {type(vectors).__name__}: give a dict of space to query vectors (n, dim)"
        )
    if modality is not None and (not is_word(modality) or not vectors):
        raise InvalidArgument(
            f"modality is {modality!r:.60}: give the modality of the query vectors, together with "
            "vectors={space: queries}"
        )
    counts: dict[str, int] = {}
    for name, given in (("texts", texts), ("images", images), ("audios", audios)):
        if given is None:
            continue
        if isinstance(given, (str, bytes)) or not isinstance(given, Sequence):
            raise InvalidArgument(f"{name} is a {type(given).__name__}: give a list of them")
        counts[name] = len(given)
    for i, text in enumerate(texts or ()):
        if not isinstance(text, str) or not text.strip():
            raise InvalidArgument(f"texts[{i}] is {text!r}: give a string with something in it")
    arrays = {}
    for space, queries in (vectors or {}).items():
        arrays[space] = array = as_array(f"vectors[{space!r}]", queries)
        if array.ndim not in (2, 3):
            raise InvalidVector(
                f"vectors[{space!r}] has shape {array.shape}: give (n, dim), or (n, tokens, dim); "
                "a single question is for search"
            )
        counts[f"vectors[{space!r}]"] = len(array)
    if not counts:
        raise InvalidArgument(
            "there is nothing to search for: give texts=, images=, audios= or vectors={space: "
            "queries}"
        )
    if len(set(counts.values())) > 1:
        raise InvalidArgument(
            f"{' and '.join(counts)} are {' and '.join(map(str, counts.values()))} long: give one "
            "of each for every question"
        )
    return Batch(
        None if texts is None else tuple(texts),
        None if images is None else tuple(images),
        None if audios is None else tuple(audios),
        arrays,
        modality,
        next(iter(counts.values())),
    )


def embed_batch(
    schema: Schema,
    encoders: Encoders,
    alignment: AlignmentVersion | None,
    batch: Batch,
    routing: Routing,
) -> list[QueryVector]:
    """Make vectors of a batch, in every space where they can meet a field.

    Raises
    ------
    InvalidArgument, UnknownField, InvalidVector, SpaceMismatch
        As `gapless.query.routes.embed`.
    """
    homes = Homes(schema, alignment, routing)
    found: list[QueryVector] = []
    asked = (("text", batch.texts), ("image", batch.images), ("audio", batch.audios))
    for modality, items in asked:
        if items is not None:
            homes.check(modality)
            found += encoders.encode(modality, items, homes(modality))
    for space, rows in batch.vectors.items():
        homes.check_space(space, batch.modality)
        dim = schema.spaces[space].dim
        tokens = rows[:, None] if rows.ndim == 2 else rows
        if not tokens.shape[1]:
            raise InvalidVector(f"vectors[{space!r}] has shape {rows.shape}: give a token at least")
        flat = as_matrix(f"vectors[{space!r}]", tokens.reshape(-1, rows.shape[-1]), dim)
        unit = np.ascontiguousarray(flat).reshape(*tokens.shape[:2], dim)
        found.append(QueryVector(space, batch.modality, unit))
    return found
