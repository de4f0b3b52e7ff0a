"""The decision guide: from what is measured and what can be changed to one thing to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..batch import whole
from ..errors import InvalidArgument
from .result import SORTED_LIFT, Diagnosis
from .verdicts import FEW_PAIRS

__all__ = ["CHOICES", "Recommendation", "recommend"]

MOSTLY = 0.5  # share of queries from which on they decide what to do
FILLED = 0.5  # share of items with several modalities from which on ranks have something to merge

CHOICES = {
    "nothing": "Leave it as it is.",
    "unimodal_encoder": "Add a field with an encoder trained for that modality alone, and search "
    "it for queries of the same modality.",
    "train_against_gap": "Train, or choose, a model with losses within each modality beside the "
    "one across (SigLIP-style), and embed anew.",
    "calibrate": "col.align('center'), then col.calibrate(), and use min_confidence.",
    "vectors_per_modality": "Store a vector of each modality an item has, one field each, and "
    "search all of them.",
    "route": "One field per modality, each searched by itself, then fused: fusion='rrf' where most "
    "items fill several fields, else fusion='cohort', as ranks of lists without a common item only "
    "alternate.",
    "subtract_offset": "col.align('center'): the offset of each modality is taken out of the "
    "scores, no vector is rewritten.",
}


@dataclass(frozen=True, slots=True)
class Recommendation:
    """One choice and why.

    Attributes
    ----------
    choice : str
        A key of `CHOICES`.
    action : str
        What to do.
    reasons : tuple of str
        What spoke for it, with figures where there are any.
    """

    choice: str
    action: str
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join([f"{self.choice}: {self.action}", *(f"  - {r}" for r in self.reasons)])


@dataclass(frozen=True, slots=True)
class _Case:
    """What is known, with the measured figures folded in."""

    targets: frozenset[str]
    queries: frozenset[str]
    lift: float | None
    pairs: int
    one_model: bool
    several: float
    room: bool
    same_modality: float
    can_train: bool
    threshold: bool

    @property
    def mixed(self) -> bool:
        """Whether one ranking holds several modalities."""
        return len(self.targets) > 1

    @property
    def gap_hurts(self) -> bool:
        """Whether the gap decides rankings; taken for granted where it was not measured."""
        return self.lift is None or self.lift > SORTED_LIFT


@dataclass(frozen=True, slots=True)
class _Row:
    choice: str
    applies: Callable[[_Case], bool]
    reason: Callable[[_Case], str]


# Read from the top: the first row that applies is the answer. A threshold cannot be met by any
# of the other rows, so it stands first; what costs most to change stands before what is cheap,
# as it is only asked for when the caller says that it can be had.
TABLE = (
    _Row(
        "calibrate",
        lambda c: c.threshold and (c.mixed or len(c.queries) > 1) and c.pairs >= FEW_PAIRS,
        lambda c: (
            "Scores are to be compared with a threshold, and raw scores of different pairs "
            f"of modalities have no common scale; {c.pairs} matched pairs are enough to calibrate."
        ),
    ),
    _Row(
        "unimodal_encoder",
        lambda c: c.same_modality >= MOSTLY and bool(c.queries & c.targets),
        lambda c: (
            f"{c.same_modality:.0%} of the queries look for their own modality, which the "
            "loss of a dual encoder never trained."
        ),
    ),
    _Row(
        "nothing",
        lambda c: not c.mixed and not c.threshold and not c.queries & c.targets,
        lambda c: (
            f"Only {_words(c.targets)} is searched, and not by its own kind: the offset is "
            "the same for all candidates and cancels out."
        ),
    ),
    _Row(
        "nothing",
        lambda c: not c.threshold and not c.gap_hurts,
        lambda c: (
            f"The measured lift of the own modality is {c.lift:.2f}, below {SORTED_LIFT}: "
            "meaning decides the rankings."
        ),
    ),
    _Row(
        "train_against_gap",
        lambda c: c.can_train,
        lambda c: (
            "The model can be changed, and one with constraints within each modality serves "
            "both kinds of search without corrections."
        ),
    ),
    _Row(
        "vectors_per_modality",
        lambda c: c.mixed and c.several >= FILLED and c.room,
        lambda c: (
            f"{c.several:.0%} of the items have several modalities and there is room for a "
            "vector of each: every comparison can stay within one modality."
        ),
    ),
    _Row(
        "route",
        lambda c: c.mixed and (not c.one_model or c.several >= FILLED),
        lambda c: (
            "Several encoders are in use, whose scores have no common scale."
            if not c.one_model
            else f"{c.several:.0%} of the items stand in several lists: ranks can be merged."
        ),
    ),
    _Row(
        "subtract_offset",
        lambda c: True,
        lambda c: (
            "One model, fixed vectors"
            + (
                f", and {_words(c.targets)} in one ranking: the constant part of the gap is the "
                "cheapest to remove."
                if c.mixed
                else ": removing the mean puts the scores of every query kind on one level."
            )
        ),
    ),
)


def recommend(
    diagnosis: Diagnosis | None = None,
    *,
    targets: Iterable[str] | None = None,
    queries: Iterable[str] | None = None,
    one_model: bool | None = None,
    several: float | None = None,
    room: bool = False,
    same_modality: float = 0.0,
    can_train: bool = False,
    threshold: bool = False,
    pairs: int | None = None,
) -> Recommendation:
    """Choose one way to live with the modality gap, or to close it.

    Parameters
    ----------
    diagnosis : Diagnosis, optional
        Fills in what is not given: targets, one_model, several, pairs, and the measured bias.
    targets : modalities, optional
        What is searched, in one ranking.
    queries : modalities, optional
        What asks; text by default.
    one_model : bool, optional
        Whether all vectors come from one dual encoder.
    several : float, optional
        Share of the items that have several modalities, 0 to 1.
    room : bool
        Whether there is storage, and time to encode, for a vector per modality.
    same_modality : float
        Share of the queries that look for their own modality, such as image by image.
    can_train : bool
        Whether the model can be trained or replaced, and everything embedded anew.
    threshold : bool
        Whether hits below some score are to be dropped.
    pairs : int, optional
        Matched pairs that are known.

    Returns
    -------
    Recommendation

    Raises
    ------
    InvalidArgument
        For neither a diagnosis nor targets, no modality, shares outside 0 to 1, or negative pairs.

    Examples
    --------
    >>> recommend(targets=["image"], queries=["text"]).choice
    'nothing'
    >>> recommend(targets=["image", "text"], queries=["text"], one_model=True).choice
    'subtract_offset'
    """
    if diagnosis is None and targets is None:
        raise InvalidArgument("neither a diagnosis nor targets is given: say what is searched")
    if diagnosis is not None:
        targets = [r.modality for r in diagnosis.modalities] if targets is None else targets
        one_model = (
            len({r.space for r in diagnosis.modalities}) == 1 if one_model is None else one_model
        )
        several = _several(diagnosis) if several is None else several
        pairs = max((p.matched for p in diagnosis.pairs), default=0) if pairs is None else pairs
    several, pairs = (0.0 if several is None else several), (0 if pairs is None else pairs)
    searched = _modalities("targets", targets)
    asking = _modalities("queries", ["text"] if queries is None else queries)
    for name, value in (("several", several), ("same_modality", same_modality)):
        if not isinstance(value, (int, float, np.number)) or not 0.0 <= value <= 1.0:
            raise InvalidArgument(f"{name} is {value!r}: give a share from 0 to 1")
    pairs = whole("pairs", pairs, 0)
    lifts = [] if diagnosis is None else [reading.lift for reading in diagnosis.bias_in_use]
    case = _Case(
        searched,
        asking,
        max(lifts, default=None),
        pairs,
        True if one_model is None else one_model,
        several,
        room,
        same_modality,
        can_train,
        threshold,
    )
    row = next(row for row in TABLE if row.applies(case))
    reasons = [row.reason(case)]
    if case.lift is not None and row.choice != "nothing":
        reasons.append(f"The measured lift of the own modality is {case.lift:.2f}.")
    if threshold and row.choice != "calibrate":
        reasons.append(
            f"A threshold needs calibration, which needs {FEW_PAIRS} matched pairs; {pairs} are "
            "known."
        )
    return Recommendation(row.choice, CHOICES[row.choice], tuple(reasons))


def _modalities(what: str, given: Any) -> frozenset[str]:
    try:
        # A lone word is one modality and not a set of letters.
        listed = [given] if isinstance(given, str) else list(given)
    except TypeError:
        listed = [given]
    if not listed:
        raise InvalidArgument(f"{what} is empty: name at least one modality")
    if not all(isinstance(word, str) for word in listed):
        raise InvalidArgument(f"{what} is {given!r}: name modalities, such as ['image', 'text']")
    return frozenset(listed)


def _several(diagnosis: Diagnosis) -> float:
    """Share of the sampled items that have rows of several modalities."""
    seen: dict[tuple[str, int], set[str]] = {}
    for sample in diagnosis.samples:
        for name, keys in sample.keys.items():
            for key in keys.tolist():
                seen.setdefault((sample.space, key), set()).add(sample.modality_of[name])
    return sum(len(found) > 1 for found in seen.values()) / len(seen) if seen else 0.0


def _words(modalities: Iterable[str]) -> str:
    return " and ".join(sorted(modalities))
