"""Say how far a calibration can be trusted: held-out errors, and the score card of a pair type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .maps import Float64

__all__ = ["BINS", "Bin", "HeldOut", "ScoreCard", "measure", "score_card"]

BINS = 15  # of equal width, as Guo et al. 2017 have them
SHOWN = (5, 25, 50, 75, 95)  # percentiles of a score card


@dataclass(frozen=True, slots=True)
class Bin:
    """Predictions between two bounds: their share of the whole, mean, and how many came true."""

    low: float
    high: float
    share: float
    predicted: float
    observed: float


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Errors on pairs that the map was not fitted on, under the assumed prior.

    Attributes
    ----------
    ece : float
        Expected calibration error: mean distance of predicted and observed frequency over bins.
    brier : float
        Mean squared error (Brier 1950).
    log_loss : float
        Mean negative log-likelihood, in nats.
    prior_brier, prior_log_loss : float
        What predicting the prior for everything gives; a useful map lies well below.
    bins : tuple of Bin
        Those that hold anything, for a reliability curve.
    """

    ece: float
    brier: float
    log_loss: float
    prior_brier: float
    prior_log_loss: float
    bins: tuple[Bin, ...]

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> HeldOut:
        """Read what `dataclasses.asdict` gave."""
        return cls(**{**data, "bins": tuple(Bin(**each) for each in data["bins"])})


@dataclass(frozen=True, slots=True)
class ScoreCard:
    """What scores of one model and pair type look like: a .3 may be much or nothing.

    Attributes
    ----------
    matched_mean, matched_std, random_mean, random_std : float
        Of scores of pairs that match, and of random ones.
    matched_percentiles, random_percentiles : tuple of float
        5th, 25th, 50th, 75th and 95th.
    auc : float
        Chance that a match outscores a random pair, ties by half.
    """

    matched_mean: float
    matched_std: float
    random_mean: float
    random_std: float
    matched_percentiles: tuple[float, ...]
    random_percentiles: tuple[float, ...]
    auc: float

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ScoreCard:
        """Read what `dataclasses.asdict` gave."""
        lists: dict[str, Any] = {n: tuple(v) for n, v in data.items() if isinstance(v, list)}
        return cls(**{**data, **lists})


def measure(
    predicted: Float64, matched: npt.NDArray[np.bool_], prior: float, bins: int = BINS
) -> HeldOut:
    """Measure probabilities (n,) in (0, 1) against what was true (n,).

    Matches weigh `prior` together and the others the rest, whatever their numbers.
    """
    weights = np.where(matched, prior / matched.sum(), (1.0 - prior) / (~matched).sum())
    truth = matched.astype(np.float64)
    place = np.minimum((predicted * bins).astype(np.int64), bins - 1)
    share, sums, true = (
        np.bincount(place, weights=values, minlength=bins)
        for values in (weights, weights * predicted, weights * truth)
    )
    filled = [
        Bin(i / bins, (i + 1) / bins, share[i], sums[i] / share[i], true[i] / share[i])
        for i in np.flatnonzero(share).tolist()
    ]
    rest = 1.0 - prior
    return HeldOut(
        ece=float(np.abs(sums - true).sum()),
        brier=float(weights @ (predicted - truth) ** 2),
        log_loss=-float(weights @ np.where(matched, np.log(predicted), np.log1p(-predicted))),
        prior_brier=prior * rest,
        prior_log_loss=-float(prior * np.log(prior) + rest * np.log(rest)),
        bins=tuple(Bin(**{k: float(v) for k, v in asdict(each).items()}) for each in filled),
    )


def score_card(scores: Float64, matched: npt.NDArray[np.bool_]) -> ScoreCard:
    """Describe scores (n,) of pairs that match and of others."""
    own, others = scores[matched], np.sort(scores[~matched])
    below, upto = (np.searchsorted(others, own, side) for side in ("left", "right"))
    return ScoreCard(
        matched_mean=float(own.mean()),
        matched_std=float(own.std()),
        random_mean=float(others.mean()),
        random_std=float(others.std()),
        matched_percentiles=tuple(np.percentile(own, SHOWN).tolist()),
        random_percentiles=tuple(np.percentile(others, SHOWN).tolist()),
        auc=float((below + upto).mean() / (2 * len(others))),
    )
