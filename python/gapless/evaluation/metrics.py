"""The names of metrics, and which formula each stands for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt

from ..errors import InvalidArgument
from . import measures
from .measures import Judged

__all__ = [
    "DEFAULT_METRICS", "canonical", "cut", "depth", "gain_transform", "measure", "metric_names",
]  # fmt: skip

Array = npt.NDArray[np.float64]

DEFAULT_METRICS = (
    "recall@1", "recall@5", "recall@10", "ndcg@10", "mrr", "map", "median_rank",
)  # fmt: skip
NEEDS_CUT, MAY_CUT, NO_CUT = "needs", "may", "no"
MEASURES: dict[str, tuple[Callable[..., npt.NDArray[np.float64]], str]] = {
    "recall": (measures.recall, NEEDS_CUT),
    "precision": (measures.precision, NEEDS_CUT),
    "hit": (measures.success, NEEDS_CUT),
    "mrr": (measures.reciprocal, MAY_CUT),
    "map": (measures.average_precision, MAY_CUT),
    "ndcg": (measures.ndcg, MAY_CUT),
    "median_rank": (measures.first_rank, NO_CUT),
}
ALIASES = {
    "r": "recall", "p": "precision", "success": "hit", "hit_rate": "hit", "recip_rank": "mrr",
    "rr": "mrr", "ap": "map", "map_cut": "map", "ndcg_cut": "ndcg", "medr": "median_rank",
}  # fmt: skip


def canonical(metric: str) -> str:
    """Name a metric as results do: ``"R@10"``, ``"recall_10"`` and ``"recall@10"`` are one.

    Raises
    ------
    InvalidArgument
        For an unknown metric, or one with a cut-off that it does not take or without one it needs.
    """
    parts = re.fullmatch(r"([a-z_]+?)(?:[@_.]?(\d{1,9}))?", str(metric).strip().lower())
    name = ALIASES.get(parts[1], parts[1]) if parts else ""
    if parts is None or name not in MEASURES:
        raise InvalidArgument(
            f"the metric {metric!r} is unknown: choose of {', '.join(MEASURES)}, such as "
            "'recall@10', 'ndcg@10' or 'mrr'"
        )
    takes = MEASURES[name][1]
    if takes == NEEDS_CUT and not parts[2]:
        raise InvalidArgument(f"the metric {metric!r} needs a cut-off: write '{name}@10'")
    if parts[2] and (takes == NO_CUT or int(parts[2]) < 1):
        wanted = "takes no cut-off" if takes == NO_CUT else "needs a cut-off of at least 1"
        raise InvalidArgument(f"the metric {metric!r} {wanted}")
    return f"{name}@{int(parts[2])}" if parts[2] else name


def metric_names(metrics: str | Sequence[str] | None) -> tuple[str, ...]:
    """Name the metrics asked for, each once; None for the usual ones."""
    given = DEFAULT_METRICS if metrics is None else metrics
    names = given.split(",") if isinstance(given, str) else given
    if not isinstance(names, Iterable):
        raise InvalidArgument(f"metrics is {metrics!r}: give names, such as ['ndcg@10', 'mrr']")
    chosen = tuple(dict.fromkeys(canonical(name) for name in names))
    if not chosen:
        raise InvalidArgument("metrics is empty: name at least one, or give None for the usual")
    return chosen


def cut(name: str) -> int | None:
    """Give the cut-off of a canonical name, None without one."""
    _, _, k = name.partition("@")
    return int(k) if k else None


def depth(names: Sequence[str]) -> int | None:
    """Say how many places count; None for all, if any metric looks at the whole ranking."""
    cuts = [cut(name) for name in names]
    return None if None in cuts else max(k for k in cuts if k is not None)


def gain_transform(gains: str) -> Callable[[Array], Array]:
    """Say what nDCG makes of a gain: ``"linear"`` or ``"exponential"`` (2^gain - 1)."""
    if gains == "linear":
        return lambda given: given
    if gains == "exponential":
        return _exponential
    raise InvalidArgument(f"gains is {gains!r}: choose 'linear' or 'exponential'")


def _exponential(given: Array) -> Array:
    if given.size and given.max() > 512:
        raise InvalidArgument(
            f"a gain is {given.max():g}, too large for 2^gain - 1: use gains='linear'"
        )
    return np.exp2(given) - 1.0


def measure(name: str, judged: Judged, transform: Callable[[Array], Array]) -> Array:
    """Compute a metric of every ranking, float64 (n,)."""
    base, _, _ = name.partition("@")
    formula, takes = MEASURES[base]
    if base == "ndcg":
        judged = Judged(transform(judged.gains), [transform(best) for best in judged.ideal])
    return formula(judged) if takes == NO_CUT else formula(judged, cut(name))
