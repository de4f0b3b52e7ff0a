"""Fit the map from a score to the log-odds of relevance: Platt, beta and isotonic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .. import _core
from ..errors import InvalidArgument

__all__ = ["CALIBRATIONS", "QUANTILE", "Samples", "ScoreMap", "fit_map", "pool_adjacent"]

CALIBRATIONS = ("platt", "beta", "isotonic")
QUANTILE = 0.95  # of the background: high enough to see near misses, low enough to be steady
MOST_LOG_ODDS = 36.0  # as the native map: 1 / (1 + exp(-37)) is 1 in float64
EDGE = 1e-9  # as the native map keeps scores of ±1 out of the logarithm
STEPS = 100
CLOSE = 1e-10

Float64: TypeAlias = "npt.NDArray[np.float64]"


@dataclass(frozen=True, slots=True)
class Samples:
    """Scores of pairs that are known to match or not.

    `scores` (n,), `levels` (n,) of each score's query, `matched` (n,) bool.
    """

    scores: Float64
    levels: Float64
    matched: npt.NDArray[np.bool_]

    def take(self, kept: npt.NDArray[np.bool_]) -> Samples:
        """Give those that `kept` (n,) marks."""
        return Samples(self.scores[kept], self.levels[kept], self.matched[kept])


@dataclass(frozen=True, slots=True)
class ScoreMap:
    """A map from a score s to log-odds that never falls: f(s) + background * level.

    Attributes
    ----------
    method : str
        ``"platt"``: f = a s + c. ``"beta"``: f = a ln t - b ln(1 - t) + c with t = (1 + s) / 2.
        ``"isotonic"``: f is linear between `knots` and constant beyond.
    a, b, c : float
    knots, values : tuple of float
        Scores and the log-odds there.
    background : float
        Weight of the level; 0 where it is not used.
    quantile : float
        The level is this quantile of the query's scores against background rows of the field.
    """

    method: str
    a: float = 1.0
    b: float = 0.0
    c: float = 0.0
    knots: tuple[float, ...] = ()
    values: tuple[float, ...] = ()
    background: float = 0.0
    quantile: float = QUANTILE

    def log_odds(self, scores: npt.ArrayLike, levels: npt.ArrayLike = 0.0) -> Float64:
        """Log-odds of scores (n,), whose queries have `levels` (n,) or one level."""
        s = np.asarray(scores, np.float64)
        if self.method == "platt":
            found = self.a * s + self.c
        elif self.method == "beta":
            t = np.clip((1.0 + s) / 2.0, EDGE, 1.0 - EDGE)
            found = self.a * np.log(t) - self.b * np.log1p(-t) + self.c
        else:
            found = np.interp(s, self.knots, self.values)
        if self.background:
            found = found + self.background * np.asarray(levels, np.float64)
        return np.asarray(np.clip(found, -MOST_LOG_ODDS, MOST_LOG_ODDS))

    def shifted(self, by: float) -> ScoreMap:
        """Give the map with `by` added to all log-odds."""
        return replace(self, c=self.c + by, values=tuple(value + by for value in self.values))

    def native(self) -> _core.Calibration:
        """Give the map as searches take it."""
        how: Mapping[str, Any] = {"background": self.background, "quantile": self.quantile}
        if self.method == "platt":
            return _core.Calibration.platt(self.a, self.c, **how)
        if self.method == "beta":
            return _core.Calibration.beta(self.a, self.b, self.c, **how)
        return _core.Calibration.isotonic(self.knots, self.values, **how)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and lists, ready for JSON."""
        return {**asdict(self), "knots": list(self.knots), "values": list(self.values)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ScoreMap:
        """Read what `to_dict` gave."""
        return cls(**{**data, "knots": tuple(data["knots"]), "values": tuple(data["values"])})


def fit_map(method: str, given: Samples, background: bool, what: str) -> ScoreMap:
    """Fit a map by maximum likelihood, at the share of matches that the samples have.

    The targets are Platt's, (N₊ + 1) / (N₊ + 2) for matches and 1 / (N₋ + 2) for others, which
    keep the map finite where scores separate them completely. Platt and beta are logistic
    regressions, solved by Newton's method with backtracking (Lin, Lin and Weng 2007; Kull, Silva
    Filho and Flach 2017); isotonic regression pools adjacent violators and joins the pools' means
    (Oron and Flournoy 2017), and has no background.

    Parameters
    ----------
    method : {"platt", "beta", "isotonic"}
    given : Samples
        At least one that matches and one that does not.
    background : bool
        Use the levels too.
    what : str
        Names the samples in messages.

    Raises
    ------
    InvalidArgument
        When all scores are equal, or matches do not score higher than others.
    """
    positive = int(given.matched.sum())
    negative = len(given.matched) - positive
    if not positive or not negative:
        raise InvalidArgument(
            f"{what}: there are {positive} matches and {negative} others; give some of both"
        )
    if given.scores.min() == given.scores.max():
        raise InvalidArgument(
            f"{what}: all {len(given.scores):,} scores are {given.scores[0]:.4g}, so nothing tells "
            "matches from others; check the vectors"
        )
    targets = np.where(given.matched, (positive + 1) / (positive + 2), 1 / (negative + 2))
    if method == "isotonic":
        return _isotonic(given, targets, what)
    columns = [given.scores]
    if method == "beta":
        t = np.clip((1.0 + given.scores) / 2.0, EDGE, 1.0 - EDGE)
        columns = [np.log(t), -np.log1p(-t)]
    level = [given.levels] if background and np.ptp(given.levels) > 0 else []
    slopes, c = _rising(columns, level, targets)
    if not any(slopes[: len(columns)]):
        raise _uninformative(given, what)
    weight = slopes[-1] if level else 0.0
    if method == "platt":
        return ScoreMap("platt", a=slopes[0], c=c, background=weight)
    return ScoreMap("beta", a=slopes[0], b=slopes[1], c=c, background=weight)


def _rising(
    columns: list[Float64], level: list[Float64], targets: Float64
) -> tuple[list[float], float]:
    """Fit slopes and intercept; a column that would fall is left out, with slope 0."""
    kept = list(range(len(columns)))
    while kept:
        found, c = _logistic(np.stack([*(columns[i] for i in kept), *level], axis=1), targets)
        falling = [i for i, slope in zip(kept, found, strict=False) if slope <= 0]
        if not falling:
            slopes = dict(zip(kept, found, strict=False))
            extra = [float(found[-1])] if level else []
            return [float(slopes.get(i, 0.0)) for i in range(len(columns))] + extra, c
        kept = [i for i in kept if i not in falling]
    return [0.0] * (len(columns) + len(level)), 0.0


def _logistic(features: Float64, targets: Float64) -> tuple[Float64, float]:
    """Logistic regression onto targets in (0, 1): slopes and intercept."""
    centre, scale = features.mean(axis=0), features.std(axis=0)
    scale[scale == 0] = 1.0
    x = np.column_stack([(features - centre) / scale, np.ones(len(features))])
    beta = np.zeros(x.shape[1])
    beta[-1] = np.log(targets.mean() / (1 - targets.mean()))
    loss = _loss(x @ beta, targets)
    for _ in range(STEPS):
        p = 1.0 / (1.0 + np.exp(-(x @ beta)))
        gradient = x.T @ (p - targets)
        hessian = (x * (p * (1 - p))[:, None]).T @ x
        # Columns that say the same would make it singular.
        hessian[np.diag_indices_from(hessian)] += 1e-12 * len(x)
        step = np.linalg.solve(hessian, gradient)
        slope, size = float(gradient @ step), 1.0
        while size > CLOSE:
            moved = beta - size * step
            less = _loss(x @ moved, targets)
            if less <= loss - 1e-4 * size * slope:
                break
            size /= 2
        else:
            break
        beta, gained, loss = moved, loss - less, less
        if gained <= CLOSE * abs(loss):
            break
    slopes = beta[:-1] / scale
    return slopes, float(beta[-1] - slopes @ centre)


def _loss(z: Float64, targets: Float64) -> float:
    return float(np.sum(np.logaddexp(0.0, z) - targets * z))


def _isotonic(given: Samples, targets: Float64, what: str) -> ScoreMap:
    knots, means = pool_adjacent(given.scores, targets)
    if len(means) < 2:
        raise _uninformative(given, what)
    values = np.log(means) - np.log1p(-means)
    return ScoreMap("isotonic", knots=tuple(knots.tolist()), values=tuple(values.tolist()))


def pool_adjacent(scores: Float64, targets: Float64) -> tuple[Float64, Float64]:
    """Isotonic regression by pooling adjacent violators: mean score and target of each pool.

    Both ascend strictly; samples of equal score are one.
    """
    distinct, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    mean = np.bincount(place.ravel(), weights=targets) / count
    # Neighbours of one target end up in one pool, so that the loop below has few left to visit.
    starts = np.flatnonzero(np.r_[True, mean[1:] != mean[:-1]])
    weights = np.add.reduceat(count, starts)
    sums = np.add.reduceat(mean * count, starts)
    places = np.add.reduceat(distinct * count, starts)
    pools: list[tuple[float, float, float]] = []  # weight, sum of targets, sum of scores
    for new in zip(weights.tolist(), sums.tolist(), places.tolist(), strict=True):
        pool = new
        while pools and pools[-1][1] * pool[0] >= pool[1] * pools[-1][0]:
            last = pools.pop()
            pool = (last[0] + pool[0], last[1] + pool[1], last[2] + pool[2])
        pools.append(pool)
    weight, total, place_sum = np.array(pools).T
    return place_sum / weight, total / weight


def _uninformative(given: Samples, what: str) -> InvalidArgument:
    return InvalidArgument(
        f"{what}: matches score {given.scores[given.matched].mean():.4f} on average and others "
        f"{given.scores[~given.matched].mean():.4f}, so a higher score is no sign of relevance; "
        "check that the pairs are in order and the vectors from one model"
    )
