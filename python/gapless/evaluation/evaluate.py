"""Measure rankings against judgements: recall, precision, MRR, mAP, nDCG, median rank."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..batch import whole
from ..errors import InvalidArgument
from ..table import columns
from .groups import groups_of
from .measures import (
    ANY_GAIN,
    BiasRate,
    Judged,
    intra_modal_bias,
    ndcg_at_k,
    recall_at_k,
    reciprocal_rank,
)
from .metrics import DEFAULT_METRICS, canonical, cut, depth, gain_transform, measure, metric_names
from .runs import Id, Qrels, Run, as_qrels, as_run

__all__ = [
    "DEFAULT_METRICS",
    "BiasRate",
    "Evaluation",
    "evaluate",
    "intra_modal_bias",
    "ndcg_at_k",
    "recall_at_k",
    "reciprocal_rank",
]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """What `evaluate` measured; print it for a table.

    Attributes
    ----------
    metrics : tuple of str
        Canonical names, as asked: ``"recall@10"``, ``"mrr"``.
    queries : tuple of str or int
        The judged queries, in the order of the judgements.
    values : mapping of metric to ndarray (queries,) float64
        One value per query. For ``median_rank`` the rank of its first relevant item, inf if none.
    mean : mapping of metric to float
        Mean over the queries; for ``median_rank`` their median.
    intervals : mapping of metric to (float, float)
        Bootstrap interval of each mean; empty unless asked for.
    groups : mapping of group to Evaluation
        The same for the queries of each group; empty without `by`.
    notes : tuple of str
        What a reader has to know: queries that were missing, unjudged, or had nothing to find.
    """

    metrics: tuple[str, ...]
    queries: tuple[Id, ...]
    values: Mapping[str, Array]
    mean: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    groups: Mapping[str, Evaluation] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __getitem__(self, metric: str) -> float:
        """Mean of a metric, by any of its names: ``evaluation["R@10"]``."""
        name = canonical(metric)
        if name not in self.mean:
            raise InvalidArgument(f"{metric!r} was not measured: there is {', '.join(self.mean)}")
        return self.mean[name]

    def __len__(self) -> int:
        return len(self.queries)

    def shown(self, metric: str) -> str:
        """Write the mean of a metric as tables do, with its interval where there is one."""
        shape = ".1f" if metric == "median_rank" else ".3f"
        mean = f"{self.mean[metric]:{shape}}"
        if metric not in self.intervals:
            return mean
        low, high = self.intervals[metric]
        return f"{mean} [{low:{shape}}, {high:{shape}}]"

    def __str__(self) -> str:
        rows = [_line(name, part) for name, part in self.groups.items()]
        header = ("", "queries", *self.metrics)
        lines = columns(header, [*rows, _line("all", self)])
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and numbers, ready for JSON; an infinite rank is None."""
        return {
            "queries": len(self),
            "mean": {name: _finite(value) for name, value in self.mean.items()},
            "intervals": {
                name: [_finite(end) for end in ends] for name, ends in self.intervals.items()
            },
            "per_query": {
                str(query): {m: _finite(float(self.values[m][i])) for m in self.metrics}
                for i, query in enumerate(self.queries)
            },
            "groups": {name: part.to_dict() for name, part in self.groups.items()},
            "notes": list(self.notes),
        }


def evaluate(
    run: Any,
    qrels: Any,
    metrics: str | Sequence[str] | None = None,
    by: Any = None,
    *,
    level: float | None = None,
    gains: str = "linear",
    bootstrap: int = 0,
    confidence: float = 0.95,
    seed: int = 0,
) -> Evaluation:
    """Measure a run against judgements.

    Parameters
    ----------
    run
        What was found: {query: {item: score}}, {query: [(item, score), ...]}, {query: [item, ...]}
        best first, {query: `Hits`}, or the arrays (scores, ids) of a search; see
        `gapless.evaluation.runs`. Items rank by descending score, equal scores by ascending id.
    qrels
        What is right: {query: {item: gain}}, or {query: set of items}. A negative gain counts as 0.
        For arrays and lists the queries are 0, 1, ..., so a list of sets will do.
    metrics : str or sequence of str, optional
        With a cut-off k: ``recall@k`` (R@k), ``precision@k`` (P@k), ``hit@k`` (success@k). With
        or without: ``mrr`` (recip_rank), ``map``, ``ndcg``. Without: ``median_rank``, of the first
        relevant item. Default: R@1, R@5, R@10, nDCG@10, MRR, mAP and the median rank.
    by : mapping, sequence or pair of mappings, optional
        Groups that are measured on their own too. {query: group}, or one group for each query in
        the order of qrels; a pair of words such as ``("text", "image")`` is written
        ``text->image``. Or, for pair types, ({query: modality}, {item: modality}): then each of
        them counts the relevant items of one modality alone, where they stand in the whole
        ranking, for the queries of one modality that have any. These may also be sequences, for
        ids that count from 0.
    level : float, optional
        The least gain of a relevant item, for all but nDCG. Default: any gain above 0.
    gains : {"linear", "exponential"}
        What nDCG sums: the gain, as trec_eval and ranx do (Järvelin and Kekäläinen 2002), or
        2^gain - 1 (Burges et al. 2005).
    bootstrap : int
        Resamples of the queries for percentile intervals of the means; 0 for none, else some
        1,000.
    confidence : float
        Coverage of these intervals, between 0 and 1.
    seed : int

    Returns
    -------
    Evaluation

    Raises
    ------
    InvalidArgument
        For an unknown metric, a form that is none of the above, a run in which no query is
        judged, a query without a group, or a number out of range.

    Notes
    -----
    Means are over all judged queries, as ``trec_eval -c`` takes them: a query that the run lacks,
    and one to which nothing is relevant, count 0 (and rank infinity). Queries that nobody judged
    are left out. `Evaluation.notes` says how many of each there were. The ideal of nDCG is over
    all judged items, found or not. trec_eval orders equal scores by *descending* id; every other
    definition is the same.

    Examples
    --------
    >>> found = evaluate({"q1": {"a": 0.9, "b": 0.4}}, {"q1": {"b": 1}}, ["R@1", "mrr"])
    >>> print(found)
         queries  recall@1  mrr
    all  1        0.000     0.500
    """
    names = metric_names(metrics)
    transform = gain_transform(gains)
    bootstrap, seed = whole("bootstrap", bootstrap, 0), whole("seed", seed, 0)
    if not _is_number(confidence) or not 0.0 < confidence < 1.0:
        raise InvalidArgument(f"confidence is {confidence!r}: give a coverage between 0 and 1")
    if level is not None and (not _is_number(level) or not 0.0 < level < math.inf):
        raise InvalidArgument(
            f"level is {level!r}: give the least gain of a relevant item, above 0"
        )
    right, found = as_qrels(qrels), as_run(run)
    if not any(query in found for query in right):
        raise InvalidArgument(
            f"no query of the run is judged: the run has {_some(found)} and qrels has "
            f"{_some(right)}; 1 and '1' are two ids"
        )
    measured = _Measured(
        names, transform, level or ANY_GAIN, _Bootstrap(bootstrap, confidence, seed)
    )
    parts = groups_of(right, by, measured.level)
    return replace(
        measured.on(found, right),
        groups={name: measured.on(found, part) for name, part in parts.items()},
        notes=_notes(names, found, right, measured.level),
    )


@dataclass(frozen=True, slots=True)
class _Measured:
    """What is asked of the run, of all queries and of each group alike."""

    names: tuple[str, ...]
    transform: Callable[[Array], Array]
    level: float
    draw: _Bootstrap

    def on(self, run: Run, qrels: Qrels) -> Evaluation:
        judged = _judge(run, qrels, self.level, depth(self.names))
        values = {name: measure(name, judged, self.transform) for name in self.names}
        mean, intervals = _means(values), self.draw.intervals(values)
        return Evaluation(self.names, tuple(qrels), values, mean, intervals)


def _judge(run: Run, qrels: Qrels, level: float, depth: int | None) -> Judged:
    rows = [
        [gain.get(item, 0.0) for item, _ in run.get(query, [])[:depth]]
        for query, gain in qrels.items()
    ]
    found = np.zeros((len(rows), max(map(len, rows))))
    for place, row in enumerate(rows):
        found[place, : len(row)] = row
    ideal = [np.sort(np.array([*gain.values()], np.float64))[::-1] for gain in qrels.values()]
    return Judged(np.maximum(found, 0.0), [best[best > 0] for best in ideal], level)


def _means(values: Mapping[str, Array]) -> dict[str, float]:
    return {
        name: float(np.median(own) if name == "median_rank" else own.mean())
        for name, own in values.items()
    }


@dataclass(frozen=True, slots=True)
class _Bootstrap:
    resamples: int
    confidence: float
    seed: int

    def intervals(self, values: Mapping[str, Array]) -> dict[str, tuple[float, float]]:
        """Percentile intervals; the same queries are drawn for every metric."""
        if not self.resamples:
            return {}
        random = np.random.default_rng(self.seed)
        count = len(next(iter(values.values())))
        drawn: dict[str, list[float]] = {name: [] for name in values}
        for _ in range(self.resamples):
            chosen = random.integers(count, size=count)
            for name, mean in _means({name: own[chosen] for name, own in values.items()}).items():
                drawn[name].append(mean)
        tail = (1.0 - self.confidence) / 2
        # Ranks may be infinite, between which nothing can be interpolated.
        return {
            name: (
                float(np.quantile(means, tail, method="lower")),
                float(np.quantile(means, 1.0 - tail, method="higher")),
            )
            for name, means in drawn.items()
        }


def _notes(names: Sequence[str], run: Run, qrels: Qrels, level: float) -> tuple[str, ...]:
    missing = sum(query not in run for query in qrels)
    unjudged = sum(query not in qrels for query in run)
    nothing = sum(max(gains.values(), default=0.0) < level for gains in qrels.values())
    longest = max(len(answers) for answers in run.values())
    beyond = [name for name in names if (cut(name) or 0) > longest]
    notes = [
        (missing, f"{missing} judged queries are not in the run; they count 0"),
        (unjudged, f"{unjudged} queries of the run are not judged; they are left out"),
        (nothing, f"{nothing} judged queries have no relevant item; they count 0"),
        (beyond, f"no ranking is longer than {longest}, less than {', '.join(beyond)} looks at"),
    ]
    return tuple(text for given, text in notes if given)


def _line(name: str, part: Evaluation) -> tuple[str, ...]:
    return (name, str(len(part)), *(part.shown(metric) for metric in part.metrics))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _some(ids: Mapping[Id, Any]) -> str:
    shown = ", ".join(f"{query!r:.40}" for query in list(ids)[:3])
    return (shown or "none") + (", ..." if len(ids) > 3 else "")
