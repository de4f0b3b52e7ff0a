"""Calibrate scores: from a raw score of one pair type to the probability of relevance.

A cosine of .3 is much between a text and an image and nothing between two texts. A calibration
maps the scores of each pair type, a (query modality -> field), to one scale, so that they can be
ranked together and a threshold means something.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _core
from .batch import whole
from .calibration_maps import CALIBRATIONS, Float64, Samples, ScoreMap, fit_map
from .calibration_report import HeldOut, ScoreCard, measure, score_card
from .calibration_samples import NEGATIVES, PairType, Pool, draw_pools, type_name
from .errors import InvalidArgument
from .findings import Finding
from .table import columns

__all__ = ["FEW_PAIRS", "PRIOR", "CalibrationResult", "PairCalibration", "calibrate"]

FEW_PAIRS = 50  # below, a cohort without labels ranks as well (measured on CLIP, COCO captions)
PRIOR = 0.01
FOLDS = 5


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

    def __str__(self) -> str:
        lines = [f"{self.method}, held out, assuming that {self.prior:g} of the rows are relevant"]
        lines += columns(
            ("pair type", "pairs", "others", "matched", "random", "AUC", "p = .5 at",
             "ECE", "Brier", "log-loss (prior)"),
            [_line(each) for each in self.types.values()],
        )  # fmt: skip
        return "\n".join([*lines, *map(str, self.findings)])


def calibrate(
    pairs: Mapping[PairType, tuple[npt.ArrayLike, npt.ArrayLike]],
    *,
    method: str = "auto",
    prior: float = PRIOR,
    documents: Mapping[str, npt.ArrayLike] | None = None,
    alignment: Mapping[str, _core.Alignment] | None = None,
    background: bool | None = None,
    negatives: int = NEGATIVES,
    folds: int = FOLDS,
    seed: int = 0,
) -> CalibrationResult:
    """Fit a map from score to probability of relevance for each pair type.

    Parameters
    ----------
    pairs : mapping of (query modality, field) to (queries (n, dim), documents (n, dim))
        Row i of the documents is right for query i; at least 10 distinct pairs, and 50 before
        fusion uses them. Items with an image and a caption give the cross types
        (("text", "image") and ("image", "caption")); a same type such as ("text", "caption") needs
        another caption, another view, or items of one label.
    method : {"auto", "platt", "beta", "isotonic"}
        Auto takes platt or beta, by pair type, whichever has the lower held-out log-loss. Isotonic
        assumes least, wants some thousand pairs, and ties the best scores.
    prior : float
        Share of relevant rows among the candidates that the probabilities assume, between 0
        and 1. It moves all of them together and changes no ranking of single-field items.
    documents : mapping of field to array-like (n, dim), optional
        Rows of the fields, as a background to draw others from; the pairs' own documents by
        default. 1,000 are used at most.
    alignment : mapping of field to Alignment, optional
        What the scores are to be aligned with: a calibration belongs to one alignment.
    background : bool, optional
        Let the log-odds depend on how high the rows of the field score for this query, too (with
        ``"platt"`` and ``"beta"``); such a map needs a cohort at search time. By default where
        that lowers the held-out log-loss.
    negatives : int
        Others per match, at most; every pair type gets the same number, so that none looks more
        relevant by its sample.
    folds, seed : int
        Of the cross-fitting, and of every draw.

    Returns
    -------
    CalibrationResult

    Raises
    ------
    InvalidArgument
        For unknown methods and pair types, a bad prior, too few pairs, constant scores, and
        matches that score no higher than others.
    InvalidVector, SpaceMismatch
        For zero, NaN or infinite rows, and dims that differ.

    Notes
    -----
    Log-odds are fitted at the sample's ratio of matches to others and moved to the prior by
    ln(prior / (1 - prior)) - ln(1 / negatives) (King and Zeng 2001).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> image = rng.normal(size=(200, 16))
    >>> text = image + rng.normal(size=(200, 16))
    >>> found = calibrate({("text", "image"): (text, image)}, method="platt", background=False)
    >>> found["text", "image"].probability([0.2, 0.6, 0.9]).round(2).tolist()
    [0.0, 0.2, 0.98]
    """
    if method != "auto" and method not in CALIBRATIONS:
        raise InvalidArgument(
            f"method is {method!r}: choose one of auto, {', '.join(CALIBRATIONS)}"
        )
    if isinstance(prior, bool) or not isinstance(prior, (int, float)) or not 0.0 < prior < 1.0:
        raise InvalidArgument(
            f"prior is {prior!r}: give the share of relevant rows, between 0 and 1"
        )
    whole("negatives", negatives)
    whole("folds", folds, 2)
    pools = draw_pools(_checked(pairs), documents or {}, alignment or {}, negatives, seed)
    types, findings = {}, []
    for pair_type, pool in pools.items():
        found = types[pair_type] = _fit(pair_type, pool, method, prior, background, folds, seed)
        findings += _findings(found)
    return CalibrationResult(method, float(prior), types, tuple(findings))


def _checked(pairs: Any) -> Mapping[PairType, tuple[npt.ArrayLike, npt.ArrayLike]]:
    if not isinstance(pairs, Mapping) or not pairs:
        raise InvalidArgument(
            f"pairs is {f'an empty {type(pairs).__name__}' if not pairs else type(pairs).__name__}"
            ": give {(query modality, field): (queries, documents)}"
        )
    for pair_type, rows in pairs.items():
        if not isinstance(pair_type, tuple) or len(pair_type) != 2:
            raise InvalidArgument(
                f"pairs has the key {pair_type!r}: give (query modality, field), such as "
                "('text', 'image')"
            )
        if not isinstance(rows, (tuple, list)) or len(rows) != 2:
            raise InvalidArgument(
                f"pairs[{pair_type!r}] is a {type(rows).__name__}: give (queries, documents)"
            )
    return pairs


def _fit(
    pair_type: PairType,
    pool: Pool,
    method: str,
    prior: float,
    background: bool | None,
    folds: int,
    seed: int,
) -> PairCalibration:
    name = type_name(pair_type)
    shift = math.log(prior) - math.log1p(-prior) + math.log(pool.negatives)
    levels = (False, True) if background is None else (bool(background),)
    matched = pool.samples.matched
    tried: list[tuple[float, str, bool, Float64]] = []
    for way in ("platt", "beta") if method == "auto" else (method,):
        for with_level in levels if way != "isotonic" else (False,):
            odds = _held_out(pool, way, with_level, folds, seed, name)
            # Compared before the prior comes in, which must move probabilities and nothing else.
            loss = float(np.logaddexp(0.0, np.where(matched, -odds, odds)).sum())
            tried.append((loss, way, with_level, odds))
    _, way, with_level, odds = min(tried, key=lambda each: each[0])
    return PairCalibration(
        *pair_type,
        map=fit_map(way, pool.samples, with_level, name).shifted(shift),
        prior=float(prior),
        matches=pool.matches,
        negatives=pool.negatives,
        held_out=measure(1.0 / (1.0 + np.exp(-odds - shift)), matched, prior),
        card=score_card(pool.samples.scores, matched),
    )


def _held_out(
    pool: Pool, method: str, background: bool, folds: int, seed: int, name: str
) -> Float64:
    """Log-odds of every sample by a map that was fitted without its fold."""
    fold = _folds(pool.cluster, folds, seed)[pool.pair]
    odds = np.zeros(len(fold))
    for number in range(folds):
        out = fold == number
        fitted = fit_map(method, pool.samples.take(~out), background, name)
        told: Samples = pool.samples.take(out)
        odds[out] = fitted.log_odds(told.scores, told.levels)
    return odds


def _folds(cluster: npt.NDArray[np.int64], folds: int, seed: int) -> npt.NDArray[np.int64]:
    """Deal the clusters out; pairs one by one where they make too few clusters to deal."""
    _, number = np.unique(cluster, return_inverse=True)
    if number.max() + 1 < folds:
        number = np.arange(len(cluster))
    dealt = np.random.default_rng(seed).permutation(int(number.max()) + 1) % folds
    return np.asarray(dealt[number])


def _findings(found: PairCalibration) -> list[Finding]:
    name, told = type_name((found.query, found.field)), []
    if not found.enough:
        told.append(
            Finding(
                "FEW_PAIRS",
                f"{name} was calibrated on {found.matches} pairs, fewer than {FEW_PAIRS}; searches "
                "of that pair type use 'cohort'.",
                f"Give {FEW_PAIRS} pairs, better some hundreds.",
            )
        )
    if found.held_out.log_loss >= found.held_out.prior_log_loss:
        told.append(
            Finding(
                "NOT_BETTER_THAN_PRIOR",
                f"{name}: the held-out log-loss is {found.held_out.log_loss:.4f}, and "
                f"{found.held_out.prior_log_loss:.4f} when the prior is predicted for everything.",
                "Do not set thresholds on this pair type; check the pairs, or give more.",
            )
        )
    return told


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
