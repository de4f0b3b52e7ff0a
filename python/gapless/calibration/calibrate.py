"""Calibrate scores: from a raw score of one pair type to the probability of relevance.

A cosine of .3 is much between a text and an image and nothing between two texts. A calibration
maps the scores of each pair type, a (query modality -> field), to one scale, so that they can be
ranked together and a threshold means something.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core
from ..batch import whole
from ..errors import InvalidArgument
from ..findings import Finding
from .maps import CALIBRATIONS, Float64, Samples, fit_map
from .report import measure, score_card
from .result import FEW_PAIRS, CalibrationResult, PairCalibration
from .samples import NEGATIVES, PairType, Pool, draw_pools, type_name

__all__ = ["FEW_PAIRS", "PRIOR", "CalibrationResult", "PairCalibration", "calibrate"]

PRIOR = 0.01
LEAST_PRIOR = 1e-6  # beyond, probabilities are too near 0 or 1 to tell scores apart
FOLDS = 5


def calibrate(
    pairs: Mapping[PairType, tuple[npt.ArrayLike, npt.ArrayLike]],
    *,
    labels: Mapping[PairType, tuple[npt.ArrayLike, Sequence[Hashable]]] | None = None,
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
        another caption, another view, or `labels`.
    labels : mapping of (query modality, field) to (rows (n, dim), labels (n,)), optional
        Rows of that modality, two of which match when they have one label; 1,000 are used at most.
        For pair types that `pairs`, which may then be empty, does not name.
    method : {"auto", "platt", "beta", "isotonic"}
        Auto takes platt or beta, by pair type, whichever has the lower held-out log-loss. Isotonic
        assumes least, wants some thousand pairs, and ties the best scores.
    prior : float
        Share of relevant rows among the candidates that the probabilities assume, from 1e-6 to
        1 - 1e-6. It moves all of them together and changes no ranking of single-field items.
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
        Others per match, at most (and fewer where they would be more than 200,000); every pair
        type gets the same number, so that none looks more relevant by its sample.
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
    if not isinstance(method, str) or method not in ("auto", *CALIBRATIONS):
        raise InvalidArgument(
            f"method is {method!r}: choose one of auto, {', '.join(CALIBRATIONS)}"
        )
    number = isinstance(prior, (int, float, np.number)) and not isinstance(prior, bool)
    if not number or not LEAST_PRIOR <= prior <= 1.0 - LEAST_PRIOR:
        raise InvalidArgument(
            f"prior is {prior!r}: give the share of relevant rows, between 0 and 1 and at least "
            f"{LEAST_PRIOR:g} away from both"
        )
    if background is not None and not isinstance(background, (bool, np.bool_)):
        raise InvalidArgument(f"background is {background!r}: give True, False or None")
    prior, negatives = float(prior), whole("negatives", negatives)
    folds, seed = whole("folds", folds, 2), whole("seed", seed, 0)
    pools = draw_pools(
        _checked("pairs", pairs, "(queries, documents)") if pairs or not labels else {},
        documents or {},
        _checked("labels", labels, "(rows, labels)") if labels else {},
        alignment or {},
        negatives,
        seed,
    )
    types, findings = {}, []
    for pair_type, pool in pools.items():
        found = types[pair_type] = _fit(pair_type, pool, method, prior, background, folds, seed)
        findings += _findings(found)
    return CalibrationResult(method, float(prior), types, tuple(findings))


def _checked(what: str, given: Any, form: str) -> Any:
    if not isinstance(given, Mapping) or not given:
        raise InvalidArgument(
            f"{what} is {f'an empty {type(given).__name__}' if not given else type(given).__name__}"
            f": give {{(query modality, field): {form}}}"
        )
    for pair_type, rows in given.items():
        if not isinstance(pair_type, tuple) or len(pair_type) != 2:
            raise InvalidArgument(
                f"{what} has the key {pair_type!r}: give (query modality, field), such as "
                "('text', 'image')"
            )
        if not isinstance(rows, (tuple, list)) or len(rows) != 2:
            raise InvalidArgument(f"{what}[{pair_type!r}] is a {type(rows).__name__}: give {form}")
    return given


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
