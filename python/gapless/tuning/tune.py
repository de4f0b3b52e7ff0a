"""Learn how much each list of a search should weigh, and how much that gains."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..batch import whole
from ..errors import InvalidArgument
from ..evaluation.metrics import canonical, cut
from ..evaluation.runs import Qrels, as_qrels
from ..findings import Finding
from ..resampling import RESAMPLES, draws
from .ascent import Ascent
from .candidates import Candidates, Float64, check_candidates
from .judged import JudgedQueries, judge
from .logistic import LogisticSamples
from .result import TuneResult
from .rules import fusion_rule

__all__ = ["FOLDS", "METHODS", "tune"]

METHODS = ("ascent", "logistic")
FOLDS = 5
PER_FOLD = 2  # queries at least
SURE = 95.0  # per cent, of either bound
LEAST_WEIGHT = 1e-6  # a search takes no smaller one but 0
MOSTLY = 0.5  # of the relevant items

Fit: TypeAlias = "Callable[[npt.NDArray[np.bool_]], Float64]"


def tune(
    candidates: Mapping[Any, Candidates],
    qrels: Any,
    lists: Sequence[str],
    *,
    fusion: str = "rrf",
    method: str = "ascent",
    metric: str = "ndcg@10",
    combine: str = "mean_logit",
    folds: int = FOLDS,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> TuneResult:
    """Find the weights of the lists that rank the judged items best.

    The queries are cut into folds at random. For each fold, weights are fitted to the others and
    its own queries ranked by them; the mean difference to equal weights is the held-out gain. What
    is handed out is fitted to all queries, and recommended only if the lower bound of that gain is
    above 0.

    Parameters
    ----------
    candidates : mapping of query to Candidates
        What every list said of the items it found; `gapless.tuning.collect` asks a collection.
    qrels
        What is right: {query: {item: gain}}, or {query: set of items}; see `gapless.evaluate`.
    lists : sequence of str
        A name for each column of the candidates, such as that of the field. Columns of one name
        get one weight.
    fusion : str
        How the searches fuse: ``"rrf"``, ``"isr"``, ``"rbc"``, ``"convex"``, ``"minmax"``,
        ``"zscore"``, ``"dbsf"``, ``"cohort"``, ``"combsum"``, ``"combmnz"``, ``"combanz"``,
        ``"combmax"`` or ``"calibrated"``.
    method : {"ascent", "logistic"}
        Coordinate ascent on the metric itself, weights from 1/64 to 1 and 0, from several starts;
        or a logistic regression of relevance on what the lists say (log-odds where calibrated),
        coefficients of at least 0, with a bias of its own for a list that says nothing. The
        latter needs fewer judgements, and is at its best where lists are calibrated.
    metric : str
        ``"ndcg@k"``; its gains are linear.
    combine : {"mean_logit", "max", "noisy_or"}
        For ``"calibrated"``.
    folds : int
        At least 2, with two queries in each.
    resamples : int
        Of the bootstrap.
    seed : int
        The same seed gives the same result.

    Returns
    -------
    TuneResult

    Raises
    ------
    InvalidArgument
        For an unknown fusion, method, metric or combine, candidates that do not fit `lists`,
        numbers out of range, or too few queries with something relevant.

    Notes
    -----
    The bounds take the queries as independent. Rephrasings of one question, when they fall into
    different folds, make the gain look larger and surer than it is.

    Examples
    --------
    >>> right = {query: {query} for query in range(20)}
    >>> def found(query):
    ...     return Candidates((query, -1), np.array([[0.6, 0.1], [0.5, 0.9]]))
    >>> print(tune({q: found(q) for q in right}, right, ["image", "noise"], fusion="minmax"))
    minmax, weights by ascent: held-out ndcg@10 of 20 queries 0.631 -> 1.000 (+0.369, \
95 % bounds +0.369 to +0.369)
    list   weight  fitted  fitted without one of 5 folds
    image  1.84    1.84    1.84 to 1.84
    noise  0.162   0.162   0.162 to 0.162
    """
    if method not in METHODS:
        raise InvalidArgument(f"method is {method!r}: choose one of {', '.join(METHODS)}")
    transform, rule = fusion_rule(fusion, combine)
    names, group = check_candidates(candidates, lists)
    folds, seed = whole("folds", folds, 2), whole("seed", seed, 0)
    resamples, k = whole("resamples", resamples), _places(metric)
    right = as_qrels(qrels)
    judged = judge(candidates, right, transform, k)
    if len(judged) < PER_FOLD * folds:
        raise InvalidArgument(
            f"{len(judged)} queries have something relevant, for {folds} folds: judge at least "
            f"{PER_FOLD * folds}, or give fewer folds"
        )
    fit: Fit
    missing = {}
    everything = np.ones(len(judged), np.bool_)
    if method == "ascent":
        climber = Ascent(judged, rule, len(names), group)
        fit = lambda kept: climber.best(kept, np.random.default_rng(seed))  # noqa: E731
    else:
        samples = LogisticSamples(judged, len(names), group)
        fit = lambda kept: samples.fit(kept).weights  # noqa: E731
        missing = _missing(samples.fit(everything).missing, lists)
    weights = _of_mean_one(fit(everything))
    equal = judged.ndcg(rule, np.ones(len(lists)))
    rng = np.random.default_rng(seed)
    fold = rng.permutation(len(judged)) % folds
    fits = [_of_mean_one(fit(fold != number)) for number in range(folds)]
    each = np.stack([judged.ndcg(rule, found[group]) for found in fits])
    held = each[fold, np.arange(len(judged))]
    means = draws(len(judged), resamples, rng) @ (held - equal) / len(judged)
    low, high = np.percentile(means, [100.0 - SURE, SURE])
    fitted = dict(zip(names, weights.tolist(), strict=True))
    result = TuneResult(
        weights=fitted if low > 0 else dict.fromkeys(names, 1.0),
        fitted=fitted,
        spread={
            name: (float(own.min()), float(own.max()))
            for name, own in zip(names, np.transpose(fits), strict=True)
        },
        method=method,
        fusion=fusion,
        metric=f"ndcg@{k}",
        queries=len(judged),
        folds=folds,
        baseline=float(equal.mean()),
        tuned=float(held.mean()),
        interval=(float(low), float(high)),
        missing=missing,
    )
    return replace(result, findings=tuple(_findings(result, judged, candidates, right)))


def _places(metric: str) -> int:
    name = canonical(metric)
    k = cut(name)
    if k is None or not name.startswith("ndcg"):
        raise InvalidArgument(f"metric is {metric!r}: weights are learnt for 'ndcg@k', any k")
    return k


def _of_mean_one(weights: Float64) -> Float64:
    """Scale weights to a mean of 1, as equal ones have; all 0 say nothing and become equal."""
    if not weights.any():
        return np.ones_like(weights)
    scaled = weights * (len(weights) / weights.sum())
    return np.where(scaled < LEAST_WEIGHT, 0.0, scaled)


def _missing(biases: Float64, lists: Sequence[str]) -> dict[str, float]:
    """Name the biases; where several columns have one name, they are numbered from 0."""
    named: dict[str, float] = {}
    for at, bias in enumerate(biases.tolist()):
        if not math.isnan(bias):
            several = list(lists).count(lists[at]) > 1
            number = list(lists[:at]).count(lists[at])
            named[f"{lists[at]}[{number}]" if several else lists[at]] = bias
    return named


def _findings(
    result: TuneResult,
    judged: JudgedQueries,
    candidates: Mapping[Any, Candidates],
    right: Qrels,
) -> Iterator[Finding]:
    told = (
        f"the held-out gain of {result.gain:+.4f} {result.metric} over equal weights has the lower "
        f"bound {result.interval[0]:+.4f}"
    )
    if result.gain <= 0:
        yield Finding(
            "NO_GAIN",
            f"The fitted weights rank queries that they have not seen no better: {told}.",
            "Keep equal weights.",
        )
    elif not result.recommended:
        yield Finding(
            "UNSURE_GAIN",
            f"That the fitted weights help may be chance: {told}.",
            f"Judge more queries than these {result.queries}, or search with `fitted` at your own "
            "risk.",
        )
    found = len(judged.place)
    if found < MOSTLY * judged.relevant:
        yield Finding(
            "NOT_FOUND",
            f"Of {judged.relevant:,} relevant items {found:,} are among the candidates, and no "
            "weights bring up the others.",
            "Give deeper lists, or check that qrels names items as the collection does.",
        )
    unjudged = sum(query not in right for query in candidates)
    if unjudged:
        yield Finding(
            "UNJUDGED",
            f"{unjudged} of {len(candidates)} queries are not judged; they were left out.",
            "Judge them, or leave them out yourself.",
        )
    nothing = len(candidates) - unjudged - len(judged)
    if nothing:
        yield Finding(
            "NOTHING_RELEVANT",
            f"{nothing} judged queries have no relevant item; they were left out.",
            "Weights cannot be learnt from them.",
        )
