"""The parts of a question as their asker gives them: texts, images, sounds, vectors, items."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..batch import read_id
from ..errors import InvalidArgument
from ..given import as_number, is_listed, is_word

__all__ = ["ItemId", "Part", "read_parts"]

ItemId: TypeAlias = "str | int"
CONTENTS = ("text", "image", "audio", "vector", "like")
WEIGHTS = (1e-6, 1e6)  # what lies beyond is as good as 0, and sums of it overflow


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One part of a question; exactly one of text, image, audio, vector and like.

    Parameters
    ----------
    text : str, optional
    image, audio : optional
        Whatever the space's encoder takes, such as a path.
    vector : array-like (dim,) or (tokens, dim), optional
        A query vector of `space`; several make a late interaction (MaxSim).
    like : str or int, optional
        Id of a stored item, which is asked with its own vectors and left out of the answer.
    space : str, optional
        The space of `vector`.
    modality : str, optional
        Modality of `vector`, needed while an alignment is active.
    box : (left, top, right, bottom), optional
        The region of `image` that is meant: pixels as integers, or shares of its width and height
        as floats from 0 to 1.
    weight : float
        Relative to other parts, 1e-6 to 1e6; below 0 for what the items are not to be like.

    Raises
    ------
    InvalidArgument
        For none or several contents, and for what is of the wrong kind.

    Examples
    --------
    >>> Part(text="in snow", weight=0.5).modality
    'text'
    """

    text: str | None = None
    image: Any = None
    audio: Any = None
    vector: npt.ArrayLike | None = None
    like: ItemId | None = None
    space: str | None = None
    modality: str | None = None
    box: tuple[float, float, float, float] | None = None
    weight: float = 1.0

    def __post_init__(self) -> None:
        given = [name for name in CONTENTS if getattr(self, name) is not None]
        if len(given) != 1:
            raise InvalidArgument(
                f"a Part has {' and '.join(given) or 'nothing'}: give exactly one of "
                f"{', '.join(CONTENTS)}"
            )
        if self.text is not None and (not isinstance(self.text, str) or not self.text.strip()):
            raise InvalidArgument(f"text is {self.text!r}: give a string with something in it")
        if self.like is not None:
            object.__setattr__(self, "like", read_id(self.like))
        if (self.vector is None) != (self.space is None):
            raise InvalidArgument(
                "a Part with a vector names its space, and no other does: "
                "Part(vector=q, space='clip')"
            )
        if self.space is not None and not is_word(self.space):
            raise InvalidArgument(f"space is {self.space!r:.60}: give the name of a space")
        if given[0] in ("text", "image", "audio"):
            if self.modality not in (None, given[0]):
                raise InvalidArgument(
                    f"modality is {self.modality!r:.60} for a part with {given[0]}: leave it out"
                )
            object.__setattr__(self, "modality", given[0])
        elif self.modality is not None and (not is_word(self.modality) or self.like is not None):
            raise InvalidArgument(
                f"modality is {self.modality!r:.60}: give the modality of the query vectors, "
                "together with vectors={space: q}"
            )
        if self.box is not None:
            object.__setattr__(self, "box", _box(self.box, self.image))
        weight = as_number(self.weight)
        if weight is None or not WEIGHTS[0] <= abs(weight) <= WEIGHTS[1]:
            raise InvalidArgument(
                f"weight is {self.weight!r:.40}: give a number from {WEIGHTS[0]:g} to "
                f"{WEIGHTS[1]:g}, below 0 for what the items are not to be like"
            )


def read_parts(
    text: str | None,
    image: Any,
    audio: Any,
    vectors: Mapping[str, npt.ArrayLike] | None,
    modality: str | None,
    like: ItemId | Iterable[ItemId] | None,
    negatives: Any,
    parts: Iterable[Part] | None,
) -> list[Part]:
    """Gather every part of a question, and refuse one that asks for nothing.

    Raises
    ------
    InvalidArgument
        For no part at all, negative parts alone, and whatever `Part` refuses.
    """
    if vectors is not None and not isinstance(vectors, Mapping):
        raise InvalidArgument(
            f"vectors is a {type(vectors).__name__}: give a dict of space to query vector"
        )
    if modality is not None and (not is_word(modality) or not vectors):
        raise InvalidArgument(
            f"modality is {modality!r:.60}: give the modality of the query vectors, together with "
            "vectors={space: q}"
        )
    asked = [] if text is None else [Part(text=text)]
    asked += [] if image is None else [Part(image=image)]
    asked += [] if audio is None else [Part(audio=audio)]
    asked += [
        Part(vector=vector, space=space, modality=modality)
        for space, vector in (vectors or {}).items()
    ]
    asked += [Part(like=item) for item in _listed(like)]
    for part in _listed(parts):
        if not isinstance(part, Part):
            raise InvalidArgument(f"parts holds {part!r:.60}: give gapless.Part objects")
        asked.append(part)
    for part in _listed(negatives):
        unlike = Part(text=part) if isinstance(part, str) else part
        if not isinstance(unlike, Part):
            raise InvalidArgument(
                f"negatives holds {part!r:.60}: give texts, or Part(image=...), Part(like=...)"
            )
        asked.append(replace(unlike, weight=-abs(unlike.weight)))
    if not any(part.weight > 0 for part in asked):
        raise InvalidArgument(
            "there is nothing to search for: give text=, image=, audio=, like=, "
            "vectors={space: q} or a part of positive weight"
        )
    return asked


def _listed(given: Any) -> list[Any]:
    """Give a list of what is one, of one thing alone, and of nothing."""
    if given is None:
        return []
    return [given] if isinstance(given, (Part, Mapping)) or not is_listed(given) else list(given)


def _box(box: Any, image: object) -> tuple[float, float, float, float]:
    wanted = "give (left, top, right, bottom) in pixels, or in shares from 0.0 to 1.0"
    if image is None:
        raise InvalidArgument("box names a region of an image, and this part has none")
    if not is_listed(box):
        raise InvalidArgument(f"box is {box!r:.60}: {wanted}")
    edges = tuple(box)
    numbers = all(
        isinstance(edge, (int, float, np.number)) and not isinstance(edge, bool) for edge in edges
    )
    if (
        len(edges) != 4
        or not numbers
        or not 0 <= edges[0] < edges[2]
        or not 0 <= edges[1] < edges[3]
    ):
        raise InvalidArgument(f"box is {box!r}: {wanted}, left below right and top below bottom")
    if any(isinstance(edge, (float, np.floating)) for edge in edges):
        if max(edges) > 1.0:
            raise InvalidArgument(f"box is {box!r}, and shares end at 1.0: {wanted}")
        return tuple(map(float, edges))  # type: ignore[return-value]
    return tuple(map(int, edges))  # type: ignore[return-value]
