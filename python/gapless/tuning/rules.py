"""How the weights of lists make a fused score, for every fusion method whose weights can be learnt.

Scores here rank as those of a search with the same weights do; constants that are the same for
all items of a query are left out.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..errors import InvalidArgument
from .candidates import Float64

__all__ = ["Rule", "evidence", "fusion_rule", "log_odds"]

Rule = Callable[[Float64, Float64], Float64]  # values (..., lists), weights (lists,) -> (...)

EDGE = 1e-16  # a probability is kept so far from 0 and 1, as the native map keeps its own


def log_odds(values: Float64) -> Float64:
    """Log-odds of probabilities."""
    p = np.clip(values, EDGE, 1.0 - EDGE)
    return np.asarray(np.log(p) - np.log1p(-p))


def evidence(values: Float64) -> Float64:
    """``-ln(1 - p)`` of probabilities, which add up under noisy-or."""
    return np.asarray(-np.log1p(-np.clip(values, EDGE, 1.0 - EDGE)))


def _sum(values: Float64, weights: Float64) -> Float64:
    return _only_said(values, weights, np.nan_to_num(values) @ weights)


def _mean(values: Float64, weights: Float64) -> Float64:
    weight = ~np.isnan(values) @ weights
    return _only_said(
        values, weights, np.nan_to_num(values) @ weights / np.where(weight > 0, weight, 1.0)
    )


def _largest(values: Float64, weights: Float64) -> Float64:
    said = ~np.isnan(values) & (weights > 0)
    return np.asarray(np.where(said, values * weights, -np.inf).max(axis=-1))


def _counted_sum(values: Float64, weights: Float64) -> Float64:
    count = ~np.isnan(values) @ (weights > 0).astype(np.float64)
    return np.asarray(_sum(values, weights) * np.maximum(count, 1.0))


def _only_said(values: Float64, weights: Float64, scores: Float64) -> Float64:
    """Rank items of which no list of some weight says anything last: a search leaves them out."""
    said = ~np.isnan(values) @ (weights > 0).astype(np.float64) > 0
    return np.where(said, scores, -np.inf)


def _as_they_are(values: Float64) -> Float64:
    return values


Transform = Callable[[Float64], Float64]
SUMMED = ("rrf", "rbc", "convex", "minmax", "zscore", "dbsf", "combsum")
RULES: dict[str, tuple[Transform, Rule]] = {
    **dict.fromkeys(SUMMED, (_as_they_are, _sum)),
    **dict.fromkeys(("isr", "combmnz"), (_as_they_are, _counted_sum)),
    **dict.fromkeys(("cohort", "combanz"), (_as_they_are, _mean)),
    "combmax": (_as_they_are, _largest),
}
COMBINED: dict[str, tuple[Transform, Rule]] = {
    "mean_logit": (log_odds, _mean),
    "noisy_or": (evidence, _sum),
    "max": (evidence, _largest),
}


def fusion_rule(fusion: str, combine: str) -> tuple[Transform, Rule]:
    """Give what a method makes of the normalised values, and how weights sum that up.

    Raises
    ------
    InvalidArgument
        For a method whose weights cannot be learnt, or an unknown `combine`.
    """
    if combine not in COMBINED:
        raise InvalidArgument(f"combine is {combine!r}: choose one of {', '.join(COMBINED)}")
    if fusion == "calibrated":
        return COMBINED[combine]
    if fusion not in RULES:
        raise InvalidArgument(
            f"weights of fusion {fusion!r} cannot be learnt: choose one of "
            f"{', '.join(RULES)}, calibrated"
        )
    return RULES[fusion]
