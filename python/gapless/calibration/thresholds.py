"""Leave out what scores too low, and refuse a threshold that would mean nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ..errors import InvalidArgument
from ..given import as_number
from ..query.routes import Plan
from ..results.ranking import Ranking
from ..schema import Schema
from .result import CalibrationResult
from .samples import PairType, type_name

__all__ = ["MinScore", "check_confidence", "check_score", "reaches"]

MinScore: TypeAlias = "float | Mapping[str, float]"


def check_confidence(minimum: float | None, method: str, reason: str) -> float | None:
    """Check a least probability of relevance; `method` is the fusion and `reason` why that one.

    Raises
    ------
    InvalidArgument
        When it is no number between 0 and 1, or scores are no probabilities.
    """
    if minimum is None:
        return None
    value = as_number(minimum)
    if value is None or not 0.0 <= value <= 1.0:
        raise InvalidArgument(f"min_confidence is {minimum!r:.60}: give a probability from 0 to 1")
    if method != "calibrated":
        raise InvalidArgument(
            f"min_confidence={value:g} needs probabilities and this search fuses by {method!r} "
            f"({reason}): call calibrate() with pairs or positives of every pair type searched"
        )
    return value


def check_score(
    minimum: MinScore | None,
    question: Plan,
    schema: Schema,
    calibration: CalibrationResult | None,
) -> dict[str, float] | None:
    """Check a least raw score, and give it by field.

    Raises
    ------
    InvalidArgument
        When it is no finite number, or one number (or one field's) for several pair types, whose
        raw scores are not comparable.
    """
    if minimum is None:
        return None
    asked: dict[str, list[str | None]] = {}
    for part, field, _ in question.routes:
        asked.setdefault(field, []).append(part.modality)
    if isinstance(minimum, Mapping):
        if set(minimum) != set(asked):
            raise InvalidArgument(
                f"min_score names {list(minimum)} and the fields searched are {list(asked)}: give "
                "a score for each of them"
            )
        groups = [[field] for field in asked]
        given = dict(minimum)
    else:
        groups = [list(asked)]
        given = dict.fromkeys(asked, minimum)
    for field, value in given.items():
        number = as_number(value)
        if number is None or not math.isfinite(number):
            raise InvalidArgument(f"min_score is {value!r:.60} for {field!r}: give a finite cosine")
    for group in groups:
        kinds = {
            (schema.fields[field].space, modality, schema.fields[field].modality): (
                modality or "",
                field,
            )
            for field in group
            for modality in asked[field]
        }
        if len(kinds) > 1:
            raise InvalidArgument(_incomparable(given, list(kinds.values()), calibration))
    return {field: float(value) for field, value in given.items()}


def reaches(ranking: Ranking, least: Mapping[str, float]) -> npt.NDArray[np.bool_]:
    """Tell which items (n,) have their field's least aligned cosine in some field."""
    asked = np.array([least[one.field] for one in ranking.lists], np.float64)
    # In float64: rounded to float32, a threshold may pass what lies below it. NaN reaches nothing.
    return np.asarray((ranking.raw.astype(np.float64) >= asked).any(axis=1), bool)


def _incomparable(
    given: Mapping[str, float], kinds: Sequence[PairType], calibration: CalibrationResult | None
) -> str:
    told = []
    for kind in kinds:
        known = None if calibration is None else calibration.types.get(kind)
        told.append(
            type_name(kind)
            if known is None
            else f"{type_name(kind)} (matches {known.card.matched_mean:.2f} ± "
            f"{known.card.matched_std:.2f}, random pairs {known.card.random_mean:.2f})"
        )
    value = given[kinds[0][1]]
    return (
        f"min_score={value:g} on a search over {' and '.join(told)}: raw scores of different pair "
        "types are not comparable, so what is a strong match for one is noise for another. Use "
        "min_confidence= after calibrate(), give min_score={field: score} for a single kind of "
        "query, or search one field"
    )
