"""The formulas of gapless.fuse once more, in plain numpy, and lists to try them on."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

List = tuple[list[float], list[int]]
Values = dict[int, float]

BY_RANK = ("rrf", "rrf_qdrant", "isr", "log_isr", "logn_isr", "borda", "rbc")
COMB = ("combsum", "combmnz", "combmin", "combmax", "combmed", "combanz", "gmnz")
BY_SCORE = ("convex", "dbsf", "minmax", "zscore", "cohort", *COMB)
NORMS = (
    *("none", "minmax", "minmax_inverted", "max", "sum", "zmuv", "rank", "borda"),
    *("l2", "dbsf", "cosine", "atan"),
)
DEFAULTS: dict[str, Any] = {
    "rrf_k": 60.0,
    "rank_base": 1,
    "lower": -1.0,
    "phi": 0.8,
    "gamma": 0.5,
    "sigma": 0.01,
    "cohorts": None,
}
OWN_NORM = {"combmax": "none", "dbsf": "dbsf"}


def pairs(fused: tuple[Any, Any]) -> Values:
    """Scores by id, of what gapless.fuse returned."""
    return dict(zip(fused[1].tolist(), fused[0].tolist(), strict=True))


def by_score(s: npt.NDArray[np.float64], norm: str) -> npt.NDArray[np.float64]:
    """Normalise one list's scores."""
    low, spread = s.min(), s.max() - s.min()
    made: dict[str, Callable[[], npt.NDArray[np.float64]]] = {
        "none": lambda: s,
        "minmax": lambda: (s - low) / max(spread, 1e-9),
        "minmax_inverted": lambda: (s.max() - s) / max(spread, 1e-9),
        "max": lambda: s / max(s.max(), 1e-9),
        "sum": lambda: (s - low) / max((s - low).sum(), 1e-9),
        "zmuv": lambda: (s - s.mean()) / max(s.std(), 1e-9) * (spread > 0),
        "l2": lambda: s / np.linalg.norm(s) if s.any() else s,
        "dbsf": lambda: (
            (s - s.mean() + 3 * s.std(ddof=1)) / (6 * s.std(ddof=1))
            if spread > 0
            else np.full_like(s, 0.5)
        ),
        "cosine": lambda: (1 + s) / 2,
        "atan": lambda: 0.5 + np.arctan(s) / np.pi,
    }
    return made[norm]()


def list_values(
    method: str, norm: str, given: List, everything: set[int], weight: float, how: dict[str, Any]
) -> Values:
    """What one list says, before its weight."""
    scores, ids = given
    s, n, total = np.asarray(scores, dtype=np.float64), len(ids), len(everything)
    r = np.arange(1, n + 1)
    rest: float | None = None
    if not everything:
        return {}
    if method == "rrf":
        values = 1 / (how["rrf_k"] + r - 1 + how["rank_base"])
    elif method == "rrf_qdrant":
        values = 1 / (r / weight + how["rrf_k"] - 1) / weight
    elif method in ("isr", "log_isr", "logn_isr"):
        values = 1.0 / r**2
    elif method == "rbc":
        values = (1 - how["phi"]) * how["phi"] ** (r - 1.0)
    elif method == "borda":
        values, rest = total - r + 1.0, (total - n + 1) / 2
    elif method in COMB and norm == "borda":
        values, rest = 1 - (r - 1) / total, 0.5 - (n - 1) / (2 * total)
    elif method in COMB and norm == "rank":
        values = 1 - (r - 1) / n
    elif n == 0:
        values = s
    elif method == "convex":
        spread = s.max() - how["lower"]
        values = (s - how["lower"]) / spread if spread > 0 else np.ones_like(s)
    elif method == "cohort":
        values = (s - np.mean(how["cohort"])) / np.std(how["cohort"])
    elif method == "minmax":
        values = by_score(s, "minmax") if s.max() > s.min() else np.ones_like(s)
    else:
        values = by_score(s, {"zscore": "zmuv", "dbsf": "dbsf"}.get(method, norm))
    found = dict(zip(ids, values.tolist(), strict=True))
    return found if rest is None else {**dict.fromkeys(everything, rest), **found}


def reference(lists: list[List], method: str, weights: list[float], **given: Any) -> Values:
    """Every method of gapless.fuse but "calibrated", from its formula."""
    how = {**DEFAULTS, **given}
    norm = how.get("norm") or OWN_NORM.get(method, "minmax")
    said: dict[int, list[tuple[float, float]]] = {}
    everything = {i for (_, ids), w in zip(lists, weights, strict=True) for i in ids if w > 0}
    for number, (pair, weight) in enumerate(zip(lists, weights, strict=True)):
        if weight == 0:
            continue
        if how["cohorts"] is not None:
            how["cohort"] = how["cohorts"][number]
        for label, value in list_values(method, norm, pair, everything, weight, how).items():
            if label in everything:
                said.setdefault(label, []).append((weight, value))
    return {label: merged(method, parts, weights, how) for label, parts in said.items()}


def merged(
    method: str, parts: list[tuple[float, float]], weights: list[float], how: dict[str, Any]
) -> float:
    """Make one score of an item's (weight, value) pairs."""
    products = [w * v for w, v in parts]
    m, total = len(parts), math.fsum(products)
    if method in ("combmax", "combmin"):
        return max(products) if method == "combmax" else min(products)
    if method == "combmed":
        return float(np.median(products))
    if method in ("combanz", "cohort"):
        return total / sum(abs(w) for w, _ in parts)
    factor = {
        "isr": lambda: m,
        "log_isr": lambda: math.log(m),
        "logn_isr": lambda: math.log(m + how["sigma"]),
        "combmnz": lambda: m,
        "gmnz": lambda: m ** how["gamma"],
        "convex": lambda: 1 / sum(map(abs, weights)),
    }.get(method, lambda: 1.0)
    return float(factor() * total)


@st.composite
def ranked_lists(draw: st.DrawFn, most: int = 6, least: int = 0) -> list[List]:
    """Draw up to `most` lists of up to 20 of 40 items, each of at least `least`."""
    lists = []
    for _ in range(draw(st.integers(1, most))):
        ids = draw(st.lists(st.integers(0, 40), unique=True, min_size=least, max_size=20))
        scores = draw(
            st.lists(
                st.floats(-1, 1, allow_subnormal=False).map(lambda x: round(x, 4)),
                min_size=len(ids),
                max_size=len(ids),
            )
        )
        lists.append((sorted(scores, reverse=True), ids))
    return lists
