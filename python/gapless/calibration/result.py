"""Calibrations as they are handed out: by pair type, with what is known of each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core
from ..errors import InvalidArgument
from ..findings import Finding
from ..table import columns
from .maps import Float64, ScoreMap
from .report import HeldOut, ScoreCard
from .samples import PairType, type_name

__all__ = ["FEW_PAIRS", "CalibrationResult", "PairCalibration"]

FEW_PAIRS = 50  # below, a cohort without labels ranks as well (measured on CLIP, COCO captions)


@dataclass(frozen=True, slots=True)
class PairCalibration:
    """The calibration of one pair type.

    Attributes
    ----------
    query : str
        Modality of the query.
    field : str
    map : ScoreMap
    prior : float
        Share of relevant rows that the probabilities assume.
    matches, negatives : int
        How many pairs it was fitted on, and how many others were drawn for each of them.
    held_out : HeldOut
        Errors by cross-fitting: every pair judged by a map fitted on others.
    card : ScoreCard
    """

    query: str
    field: str
    map: ScoreMap
    prior: float
    matches: int
    negatives: int
    held_out: HeldOut
    card: ScoreCard

    @property
    def enough(self) -> bool:
        """Whether it was fitted on as many pairs as fusion asks for."""
        return self.matches >= FEW_PAIRS

    def native(self) -> _core.Calibration:
        """Give the map as `gapless.fuse` and searches take it."""
        return self.map.native()

    def probability(self, scores: npt.ArrayLike, levels: npt.ArrayLike | None = None) -> Float64:
        """Give the probabilities of scores (n,).

        Parameters
        ----------
        levels : array-like (n,) or float
            The `map.quantile` of each query's scores against rows of the field; needed where the
            map has a background.

        Raises
        ------
        InvalidArgument
            When levels are needed and not given.
        """
        odds = self.map.log_odds(scores, self._levels(levels))
        return np.asarray(1.0 / (1.0 + np.exp(-odds)))

    def _levels(self, levels: npt.ArrayLike | None) -> npt.ArrayLike:
        if levels is None and self.map.background:
            raise InvalidArgument(
                f"the calibration of {type_name((self.query, self.field))} depends on the query's "
                f"level: give the levels, the {self.map.quantile} quantile of its scores against "
                "rows of the field, or calibrate with background=False"
            )
        return 0.0 if levels is None else levels

    def threshold(self, probability: float, level: float | None = None) -> float:
        """Find the least score that is as probable as this; infinity when none up to 1 is.

        Raises
        ------
        InvalidArgument
            For a probability that is not between 0 and 1, and without a level that is needed.
        """
        given = self._levels(level)
        if not 0.0 < probability < 1.0:
            raise InvalidArgument(f"probability is {probability}: give one between 0 and 1")
        wanted = math.log(probability) - math.log1p(-probability)
        low, high = -1.0, 1.0
        if self.map.log_odds([high], given)[0] < wanted:
            return math.inf
        if self.map.log_odds([low], given)[0] >= wanted:
            return low
        while (middle := (low + high) / 2) not in (low, high):
            if self.map.log_odds([middle], given)[0] < wanted:
                low = middle
            else:
                high = middle
        return high

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and lists, ready for JSON."""
        return {**asdict(self), "map": self.map.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> PairCalibration:
        """Read what `to_dict` gave."""
        return cls(
            **{
                **data,
                "map": ScoreMap.from_dict(data["map"]),
                "held_out": HeldOut.from_dict(data["held_out"]),
                "card": ScoreCard.from_dict(data["card"]),
            }
        )


@dataclass(frozen=True, slots=True)
class CalibrationResult:
    """The calibrations of several pair types under one prior; print it.

    Attributes
    ----------
    method : str
    prior : float
    types : mapping of (query modality, field) to PairCalibration
    findings : tuple of Finding
        ``FEW_PAIRS`` for pair types that fusion does not use yet, ``NOT_BETTER_THAN_PRIOR``.
    """

    method: str
    prior: float
    types: Mapping[PairType, PairCalibration]
    findings: tuple[Finding, ...]

    def missing(self, pair_types: Iterable[PairType]) -> list[PairType]:
        """Those pair types of a search that have no calibration of enough pairs.

        One is enough to search by ``"cohort"`` instead: calibrated scores and others are never
        mixed in one ranking.
        """
        return [
            each for each in pair_types if each not in self.types or not self.types[each].enough
        ]

    def __getitem__(self, pair_type: PairType) -> PairCalibration:
        if pair_type not in self.types:
            raise InvalidArgument(
                f"there is no calibration of {pair_type!r}: there are {list(self.types)}"
            )
        return self.types[pair_type]

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and lists, ready for JSON."""
        return {
            "method": self.method,
            "prior": self.prior,
            "types": [each.to_dict() for each in self.types.values()],
            "findings": [asdict(finding) for finding in self.findings],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> CalibrationResult:
        """Read what `to_dict` gave.

        Raises
        ------
        KeyError, TypeError
            When it is damaged.
        """
        types = [PairCalibration.from_dict(each) for each in data["types"]]
        return cls(
            str(data["method"]),
            float(data["prior"]),
            {(each.query, each.field): each for each in types},
            tuple(Finding(**finding) for finding in data["findings"]),
        )

    def __str__(self) -> str:
        lines = [f"{self.method}, held out, assuming that {self.prior:g} of the rows are relevant"]
        lines += columns(
            ("pair type", "pairs", "others", "matched", "random", "AUC", "p = .5 at",
             "ECE", "Brier", "log-loss (prior)"),
            [_line(each) for each in self.types.values()],
        )  # fmt: skip
        return "\n".join([*lines, *map(str, self.findings)])


def _line(found: PairCalibration) -> tuple[str, ...]:
    card, held = found.card, found.held_out
    level = "" if found.map.background == 0 else " + background"
    even = "" if level else f"{found.threshold(0.5):.3f}"
    return (
        type_name((found.query, found.field)) + level,
        str(found.matches),
        str(found.negatives),
        f"{card.matched_mean:.3f} ± {card.matched_std:.3f}",
        f"{card.random_mean:.3f} ± {card.random_std:.3f}",
        f"{card.auc:.3f}",
        even,
        f"{held.ece:.4f}",
        f"{held.brier:.4f}",
        f"{held.log_loss:.4f} ({held.prior_log_loss:.4f})",
    )
