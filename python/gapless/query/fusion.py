"""How the lists of a search become one ranking: the method, its parameters, and the choice."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ..batch import whole
from ..calibration.result import FEW_PAIRS, CalibrationResult
from ..calibration.samples import PairType, type_name
from ..cohorts import Cohorts
from ..errors import InvalidArgument
from ..given import as_flag, as_number, is_word
from ..segments import Index
from .routes import Plan

__all__ = ["COMBINES", "FUSIONS", "Fuse", "choose_fusion"]

MIN_COHORT = 10  # rows of a field below which "auto" does not trust their mean and deviation
COMBINES = ("max", "noisy_or", "mean_logit")
NUMBERS = ("rrf_k", "phi", "gamma", "sigma", "lower")
FUSIONS = (
    "rrf",
    "rrf_qdrant",
    "isr",
    "log_isr",
    "logn_isr",
    "borda",
    "rbc",
    "combsum",
    "combmnz",
    "combmin",
    "combmax",
    "combmed",
    "combanz",
    "gmnz",
    "convex",
    "minmax",
    "dbsf",
    "zscore",
    "cohort",
    "calibrated",
    "alpha_mix",
)


@dataclass(frozen=True, slots=True)
class Fuse:
    """A fusion method with its parameters; those left at None are the method's own defaults.

    Parameters
    ----------
    method : str
        ``"auto"`` or a method of `gapless.fuse`, or ``"alpha_mix"``; see `Collection.search`.
    rrf_k : float, optional
        Of ``"rrf"``; 60 (Cormack, Clarke and Buettcher 2009).
    rank_base : {0, 1}, optional
        Rank of the best; 1.
    phi, gamma, sigma : float, optional
        Persistence of ``"rbc"``, exponent of ``"gmnz"``, constant of ``"logn_isr"``.
    norm : str, optional
        How the ``"comb..."`` methods and ``"gmnz"`` normalise each list; see `gapless.fuse`.
    lower : float, optional
        The least score there can be, for ``"convex"``; -1, as of cosines.
    combine : {"mean_logit", "max", "noisy_or"}, optional
        How ``"calibrated"`` makes one probability of an item's.
    complete_ranks : bool, optional
        Whether methods that use ranks also rank the scores computed afterwards.

    Raises
    ------
    InvalidArgument
        For an unknown method or combine, and parameters of the wrong kind; what is out of a
        method's range is refused by the search.

    Examples
    --------
    >>> Fuse("rrf", rrf_k=20).to_dict()
    {'method': 'rrf', 'rrf_k': 20}
    """

    method: str = "auto"
    rrf_k: float | None = None
    rank_base: int | None = None
    phi: float | None = None
    gamma: float | None = None
    sigma: float | None = None
    norm: str | None = None
    lower: float | None = None
    combine: str | None = None
    complete_ranks: bool | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.method, str) or self.method not in ("auto", *FUSIONS):
            raise InvalidArgument(
                f"fusion is {self.method!r:.60}: choose one of auto, {', '.join(FUSIONS)}"
            )
        if self.combine is not None and (
            not isinstance(self.combine, str) or self.combine not in COMBINES
        ):
            raise InvalidArgument(
                f"combine is {self.combine!r:.60}; use one of {', '.join(COMBINES)}"
            )

        for name in NUMBERS:
            _put_number(self, name)
        if self.rank_base is not None:
            object.__setattr__(self, "rank_base", whole("rank_base", self.rank_base, 0))
        if self.norm is not None and not is_word(self.norm):
            raise InvalidArgument(f"norm is {self.norm!r:.60}: give a name; see gapless.fuse")
        if self.complete_ranks is not None:
            told = as_flag("complete_ranks", self.complete_ranks)
            object.__setattr__(self, "complete_ranks", told)

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters that were given, by name."""
        named = {field.name: getattr(self, field.name) for field in fields(self)[1:]}
        return {name: value for name, value in named.items() if value is not None}

    def to_dict(self) -> dict[str, Any]:
        """Give the method and what was given beside it, ready for JSON."""
        return {"method": self.method, **self.parameters}

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Fuse:
        """Read what `to_dict` gave.

        Raises
        ------
        InvalidArgument
            For unknown names or values.
        """
        if not isinstance(given, Mapping):
            raise InvalidArgument(f"Fuse is {given!r:.60}: give a dict, as to_dict makes it")
        known = [field.name for field in fields(cls)]
        for name in given:
            if name not in known:
                raise InvalidArgument(f"Fuse has no {name!r}: it takes {', '.join(known)}")
        return cls(**given)


def _put_number(fuse: Fuse, name: str) -> None:
    given = getattr(fuse, name)
    value = as_number(given)
    if given is None:
        return
    if value is None or not math.isfinite(value):
        raise InvalidArgument(f"{name} is {given!r:.60}: give a finite number")
    object.__setattr__(fuse, name, given if isinstance(given, int) else value)


def choose_fusion(
    fusion: str,
    question: Plan,
    indexes: Mapping[str, Index],
    cohorts: Cohorts,
    calibration: CalibrationResult | None = None,
) -> tuple[str, str]:
    """Choose the fusion method for a question whose fields have rows, and say why.

    ``"auto"`` takes ``"calibrated"`` where every pair type of the search is calibrated on enough
    pairs; ``"cohort"`` where some are, for a composed query, and where most items fill one searched
    field (RRF is a mere round-robin there); else ``"rrf"``; and ``"rrf"`` while a searched field is
    too small to make a background (``"minmax"`` for a query with negative parts, which have no
    ranks).

    Raises
    ------
    InvalidArgument
        For an unknown method, for ``"cohort"`` on a field with a single row, and for
        ``"calibrated"`` without the calibrations.
    """
    if not isinstance(fusion, str) or fusion not in ("auto", *FUSIONS):
        raise InvalidArgument(f"fusion is {fusion!r}: choose one of auto, {', '.join(FUSIONS)}")
    kinds = question.pair_types
    missing = kinds if calibration is None else calibration.missing(kinds)
    if fusion == "calibrated" and (missing or calibration is None):
        raise InvalidArgument(_uncalibrated(missing, calibration))
    rows = {name: len(indexes[name]) for name in question.fields}
    smallest = min(rows, key=lambda name: rows[name], default="")
    if fusion == "cohort" and rows and rows[smallest] == 1:
        raise InvalidArgument(
            f"fusion 'cohort' needs at least 2 rows in each field and {smallest!r} has "
            f"{rows[smallest]}: use fusion='rrf', or leave the field out"
        )
    if fusion != "auto":
        return fusion, "asked for"
    if rows and rows[smallest] < MIN_COHORT:
        plain = "minmax" if question.negative else "rrf"
        return plain, f"auto: field {smallest!r} has {rows[smallest]} rows, too few to compare with"
    if kinds and not missing:
        return "calibrated", "auto: every pair type of the search is calibrated"
    if len(missing) < len(kinds):
        lacking = ", ".join(map(type_name, missing))
        return "cohort", f"auto: {lacking} is not calibrated on {FEW_PAIRS} pairs"
    if question.composed:
        return "cohort", "auto: the query has several parts"
    several = cohorts.multi_share({name: indexes[name] for name in question.fields})
    reason = f"auto: {several:.0%} of the items fill more than one searched field"
    return ("rrf" if several > 0.5 else "cohort"), reason


def _uncalibrated(missing: list[PairType], calibration: CalibrationResult | None) -> str:
    if calibration is None:
        return (
            "fusion 'calibrated' needs a calibration and the scores of this alignment have none: "
            "call calibrate() first, or leave fusion='auto'"
        )
    told = [
        f"{type_name(kind)} "
        + (f"({calibration.types[kind].matches} pairs)" if kind in calibration.types else "(none)")
        for kind in missing
    ]
    return (
        f"fusion 'calibrated' needs {FEW_PAIRS} pairs of every pair type searched, and there are "
        f"fewer of {', '.join(told)}: call calibrate() with more pairs or positives, or leave "
        "fusion='auto', which then takes 'cohort'"
    )
