"""Learnt weights as they are handed out, with what they gain on queries they have not seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ..findings import Finding
from ..table import columns

__all__ = ["TuneResult"]


@dataclass(frozen=True, slots=True)
class TuneResult:
    """Weights for the lists of a search, judged by cross-validation; print it.

    Attributes
    ----------
    weights : mapping of list to float
        What to search with: `fitted` where that surely gains on queries it has not seen, else all
        1. Their mean is 1; 0 leaves a list out.
    fitted : mapping of list to float
        The weights that fit all queries best, recommended or not.
    spread : mapping of list to (float, float)
        Least and largest weight over the fits without one fold each. Far apart, the queries
        do not agree.
    method : str
        ``"ascent"`` or ``"logistic"``.
    fusion, metric : str
        What the weights are for, and what they were judged by.
    queries, folds : int
        Queries that were judged, and the parts they were cut into.
    baseline : float
        Mean of the metric with equal weights.
    tuned : float
        The same with weights that were fitted without the query's own fold.
    interval : (float, float)
        One-sided 95 % bounds of the gain, by a paired bootstrap over the queries.
    missing : mapping of list to float
        By the logistic method, the log-odds of relevance where the list says nothing of an item,
        beside the others'; lists that speak of every item are left out. A search has no use for
        them: it judges an item by the lists that have it.
    findings : tuple of Finding
        ``NO_GAIN`` and ``UNSURE_GAIN`` where equal weights are recommended, ``NOT_FOUND``,
        ``NOTHING_RELEVANT``, ``UNJUDGED``.
    """

    weights: Mapping[str, float]
    fitted: Mapping[str, float]
    spread: Mapping[str, tuple[float, float]]
    method: str
    fusion: str
    metric: str
    queries: int
    folds: int
    baseline: float
    tuned: float
    interval: tuple[float, float]
    missing: Mapping[str, float] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    @property
    def gain(self) -> float:
        """Held-out gain over equal weights: ``tuned - baseline``."""
        return self.tuned - self.baseline

    @property
    def recommended(self) -> bool:
        """Whether `weights` are the fitted ones."""
        return self.interval[0] > 0

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and lists, ready for JSON."""
        return {**asdict(self), "gain": self.gain, "recommended": self.recommended}

    def __str__(self) -> str:
        low, high = self.interval
        told = (
            f"{self.fusion}, weights by {self.method}: held-out {self.metric} of "
            f"{self.queries:,} queries {self.baseline:.3f} -> {self.tuned:.3f} ({self.gain:+.3f}, "
            f"95 % bounds {low:+.3f} to {high:+.3f})"
        )
        header = ("list", "weight", "fitted", f"fitted without one of {self.folds} folds")
        rows = [
            (
                name,
                f"{self.weights[name]:.3g}",
                f"{fitted:.3g}",
                f"{self.spread[name][0]:.3g} to {self.spread[name][1]:.3g}",
            )
            for name, fitted in self.fitted.items()
        ]
        return "\n".join([told, *columns(header, rows), *map(str, self.findings)])

    __repr__ = __str__
