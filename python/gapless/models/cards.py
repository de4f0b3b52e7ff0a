"""Model cards: what a model was trained on, what it is good at, and what its scores look like.

A cosine of 0.30 is a strong match for one model and pair of modalities, and noise for another. A
card states the range of each pair type, from data that is named; where none was measured or
published, it says so by None.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

import numpy as np
import numpy.typing as npt

from ..errors import InvalidArgument

__all__ = ["MIN_SCORES", "TRAITS", "ModelCard", "ScoreRange", "Spread", "model_card"]

TRAITS = {
    "photos": "photographs found by what they show",
    "icons": "icons and pictograms found by their names",
    "documents": "screenshots and scanned pages, with the text in them",
    "fine_grained": "attributes, counts and sub-species",
    "text_to_text": "texts found by texts",
    "long_text": "texts beyond a few sentences",
    "sound": "sounds and sound effects",
    "music": "music",
    "speech": "what is said in a recording",
}
"""What a model can be good or bad at: the words of `ModelCard.good_for` and `bad_for`."""

MIN_SCORES = 20
"""Of fewer, the lowest twentieth is no score at all."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Where some scores lie.

    Attributes
    ----------
    count : int
        How many they are.
    mean, std : float
    low, median, high : float
        The 5 %, 50 % and 95 % quantiles.
    """

    count: int
    mean: float
    std: float
    low: float
    median: float
    high: float

    @classmethod
    def of(cls, scores: npt.ArrayLike) -> Spread | None:
        """Measure scores (n,); None for fewer than 20 of them."""
        given: npt.NDArray[np.float64] = np.asarray(scores, np.float64)
        if given.size < MIN_SCORES:
            return None
        low, median, high = np.quantile(given, [0.05, 0.5, 0.95]).tolist()
        return cls(given.size, float(given.mean()), float(given.std()), low, median, high)

    def __str__(self) -> str:
        return f"{self.mean:.3f} +- {self.std:.3f} ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True, slots=True)
class ScoreRange:
    """Cosines between two modalities, or within one.

    Attributes
    ----------
    modalities : (str, str)
        In either order: a cosine has no direction.
    matched : Spread or None
        Of rows that belong together; None where there were fewer than 20 such pairs.
    random : Spread or None
        Of rows that do not.
    auc : float or None
        Probability that a matched pair scores above a random one; 0.5 is chance.
    source : str
        The data that were measured.
    """

    modalities: tuple[str, str]
    matched: Spread | None
    random: Spread | None
    auc: float | None
    source: str

    def __str__(self) -> str:
        return (
            f"{'-'.join(self.modalities)}: matched {self.matched or 'not measured'}, "
            f"random {self.random or 'not measured'} [{self.source}]"
        )


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What is known of a model; None and empty where nothing is.

    Attributes
    ----------
    name : str
        Id on the hub where it is published, or any name of one's own.
    modalities : tuple of str
    dim : int
    languages : tuple of str
        Codes such as ``"en"``; ``"multilingual"`` for many.
    licence : str or None
        Of the weights.
    commercial : bool or None
        Whether the licence allows commercial use.
    parameters : int or None
        Of all towers.
    max_tokens : int or None
        Longest text.
    truncated_dims : tuple of int
        Shorter vectors that the model was trained for (Matryoshka).
    data : str or None
        What it was trained on.
    pairs : int or None
        How many pairs that is.
    strengths, weaknesses : tuple of str
    good_for, bad_for : frozenset of str
        The same in the words of `TRAITS`, for `gapless.recommend_model`.
    logistic : (float, float) or None
        Scale t and bias b of the model's own probability of a match, 1 / (1 + exp(-(t s + b))),
        for those trained with the sigmoid loss.
    scores : tuple of ScoreRange
    onnx : str or None
        Where ONNX graphs of it are published.
    sources : mapping of str to str
        Where each fact comes from, by attribute.
    """

    name: str
    modalities: tuple[str, ...]
    dim: int
    languages: tuple[str, ...] = ()
    licence: str | None = None
    commercial: bool | None = None
    parameters: int | None = None
    max_tokens: int | None = None
    truncated_dims: tuple[int, ...] = ()
    data: str | None = None
    pairs: int | None = None
    strengths: tuple[str, ...] = ()
    weaknesses: tuple[str, ...] = ()
    good_for: frozenset[str] = frozenset()
    bad_for: frozenset[str] = frozenset()
    logistic: tuple[float, float] | None = None
    scores: tuple[ScoreRange, ...] = ()
    onnx: str | None = None
    sources: Mapping[str, str] = field(default_factory=dict)

    def scores_of(self, one: str, other: str) -> ScoreRange | None:
        """Give the range between two modalities, in either order; None when it is not known."""
        for known in self.scores:
            if known.modalities in ((one, other), (other, one)):
                return known
        return None

    def __str__(self) -> str:
        def words(value: object) -> str:
            return "not known" if value is None or value == () else str(value)

        size = None if self.parameters is None else f"{self.parameters / 1e6:.1f} M parameters"
        lines = [
            f"{self.name}: {' and '.join(self.modalities)}, {self.dim} dims",
            f"  size: {words(size)}; licence: {words(self.licence)}",
            f"  languages: {words(', '.join(self.languages) or None)}",
            f"  data: {words(self.data)}",
            *(f"  + {line}" for line in self.strengths),
            *(f"  - {line}" for line in self.weaknesses),
            *(f"  {known}" for known in self.scores),
        ]
        if not self.scores:
            lines.append("  scores: not measured; measure_card() does it on your own pairs")
        return "\n".join(lines)


def model_card(name: str) -> ModelCard:
    """Give the card of a model that gapless knows.

    Parameters
    ----------
    name : str
        Its id, with or without the owner, in any case; ``"gapless.demo"`` is the packaged one.
        The id of its ONNX export will do.

    Raises
    ------
    InvalidArgument
        When no card is known by that name.

    Examples
    --------
    >>> card = model_card("openai/clip-vit-base-patch32")
    >>> card.dim, card.scores_of("image", "text").matched.mean
    (512, 0.31)
    """
    from .known import CARDS

    known: dict[str, ModelCard] = {}
    for card in CARDS:
        for alias in (card.name, card.onnx or card.name):
            known.setdefault(alias.lower(), card)
            known.setdefault(alias.lower().rsplit("/", 1)[-1], card)
    found = known.get(name.lower()) if isinstance(name, str) else None
    if found is None:
        close = get_close_matches(str(name).lower(), known, 3, 0.5)
        near = sorted({known[one].name for one in close}) or [card.name for card in CARDS]
        raise InvalidArgument(
            f"there is no card of {name!r}: the nearest are {', '.join(near)}; measure_card() "
            "makes one from your own pairs"
        )
    return found
