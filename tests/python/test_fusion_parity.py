"""gapless.fuse against ranx, and against the formulas that other engines document."""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gapless
from fuse_kit import List, Values, pairs

QUERIES = 25


def make_lists(seed: int, least: int = 2) -> list[List]:
    """Draw 2 to 6 lists of 2 to 40 items out of 60, no score twice."""
    random = np.random.default_rng(seed)
    lists = []
    for _ in range(random.integers(2, 7)):
        count = int(random.integers(least, 41))
        ids = random.permutation(60)[:count]
        scores = -np.sort(-random.uniform(-0.3, 1.0, count))
        lists.append((scores.tolist(), ids.tolist()))
    return lists


LISTS = [make_lists(seed) for seed in range(QUERIES)]


@pytest.fixture(scope="module")
def ranx() -> Any:
    """Import ranx without compiling it, which takes minutes."""
    before = os.environ.get("NUMBA_DISABLE_JIT")
    os.environ["NUMBA_DISABLE_JIT"] = "1"
    try:
        return pytest.importorskip("ranx")
    finally:
        if before is None:
            del os.environ["NUMBA_DISABLE_JIT"]
        else:
            os.environ["NUMBA_DISABLE_JIT"] = before


def ranx_fused(ranx: Any, lists: list[List], method: str, norm: str | None, **given: Any) -> Values:
    runs = [
        ranx.Run({"q": dict(zip(map(str, ids), scores, strict=True))}, name=str(number))
        for number, (scores, ids) in enumerate(lists)
    ]
    fused = ranx.fuse(runs, norm=norm, method=method, params=given).to_dict()["q"]
    return {int(label): float(score) for label, score in fused.items()}


def agrees(lists: list[List], wanted: Values, method: str, **given: Any) -> None:
    scores, ids = gapless.fuse(lists, 1000, method, **given)
    assert set(ids.tolist()) == set(wanted)
    np.testing.assert_allclose(scores, [wanted[i] for i in ids.tolist()], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("theirs", "ours", "parameters"),
    [
        ("rrf", "rrf", ({"k": 60}, {})),
        ("rrf", "rrf", ({"k": 7}, {"rrf_k": 7})),
        ("isr", "isr", ({}, {})),
        ("log_isr", "log_isr", ({}, {})),
        ("logn_isr", "logn_isr", ({}, {})),
        ("logn_isr", "logn_isr", ({"sigma": 0.3}, {"sigma": 0.3})),
        ("bordafuse", "borda", ({}, {})),
        ("rbc", "rbc", ({"phi": 0.8}, {})),
        ("rbc", "rbc", ({"phi": 0.95}, {"phi": 0.95})),
    ],
)
def test_rank_methods_are_those_of_ranx(
    ranx: Any, theirs: str, ours: str, parameters: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    for lists in LISTS:
        agrees(lists, ranx_fused(ranx, lists, theirs, None, **parameters[0]), ours, **parameters[1])


@pytest.mark.parametrize(
    "norms",
    [
        (None, "none"),
        ("min-max", "minmax"),
        ("min-max-inverted", "minmax_inverted"),
        ("max", "max"),
        ("sum", "sum"),
        ("zmuv", "zmuv"),
        ("rank", "rank"),
        ("borda", "borda"),
    ],
)
@pytest.mark.parametrize(
    ("theirs", "ours", "parameters"),
    [
        ("sum", "combsum", {}),
        ("mnz", "combmnz", {}),
        ("min", "combmin", {}),
        ("max", "combmax", {}),
        ("med", "combmed", {}),
        ("anz", "combanz", {}),
        ("gmnz", "gmnz", {"gamma": 0.5}),
        ("gmnz", "gmnz", {"gamma": 1.7}),
    ],
)
def test_score_methods_are_those_of_ranx_under_all_its_norms(
    ranx: Any, theirs: str, ours: str, parameters: dict[str, float], norms: tuple[str | None, str]
) -> None:
    for lists in LISTS:
        wanted = ranx_fused(ranx, lists, theirs, norms[0], **parameters)
        agrees(lists, wanted, ours, norm=norms[1], **parameters)


@pytest.mark.parametrize(
    ("theirs", "ours", "given"),
    [
        ("wsum", "combsum", {}),
        ("mixed", "gmnz", {"gamma": 0.5}),
        ("w_bordafuse", "borda", {}),
    ],
)
def test_weighted_methods_are_those_of_ranx(
    ranx: Any, theirs: str, ours: str, given: dict[str, Any]
) -> None:
    for seed, lists in enumerate(LISTS):
        weights = np.random.default_rng(seed).uniform(0.1, 2.0, len(lists)).tolist()
        norm = None if theirs == "w_bordafuse" else "min-max"
        wanted = ranx_fused(ranx, lists, theirs, norm, weights=weights)
        agrees(lists, wanted, ours, weights=weights, **given)


@pytest.mark.parametrize("norm", ["minmax", "minmax_inverted", "max", "sum", "zmuv", "rank"])
def test_lists_of_one_item_are_those_of_ranx(ranx: Any, norm: str) -> None:
    lists: list[List] = [([0.4], [3]), ([0.9, 0.2], [5, 3])]
    names = {"minmax": "min-max", "minmax_inverted": "min-max-inverted"}
    wanted = ranx_fused(ranx, lists, "sum", names.get(norm, norm))
    agrees(lists, wanted, "combsum", norm=norm)


# What other engines document, each written from its own documentation. A table of (their name,
# the formula of one list's part of an item, ours). The formula gets the position p from 0, the
# scores of the list and the list's weight, and gives what the sum over the lists takes.
def qdrant_rrf(p: int, scores: list[float], weight: float) -> float:
    """Qdrant >= 1.16: weights divide the position, k = 2."""
    return 1.0 / ((p + 1) / weight + 2.0 - 1.0)


def qdrant_plain_rrf(p: int, scores: list[float], weight: float) -> float:
    """Qdrant without weights: positions from 0, k = 2."""
    return 1.0 / (p + 2.0)


def qdrant_dbsf(p: int, scores: list[float], weight: float) -> float:
    """Qdrant: mean +- 3 sample deviations become 0 and 1; one score alone is 0.5."""
    if len(scores) == 1:
        return 0.5
    mean, deviation = statistics.mean(scores), statistics.stdev(scores)
    low, high = mean - 3 * deviation, mean + 3 * deviation
    return 0.5 if low == high else (scores[p] - low) / (high - low)


def weaviate_ranked(p: int, scores: list[float], weight: float) -> float:
    """Weaviate rankedFusion: weight / (position + 60), positions from 0."""
    return weight / (p + 60)


def weaviate_relative(p: int, scores: list[float], weight: float) -> float:
    """Weaviate relativeScoreFusion: min-max times the weight; equal scores give the weight."""
    low, high = min(scores), max(scores)
    return weight if low == high else weight * (scores[p] - low) / (high - low)


def milvus_rrf(p: int, scores: list[float], weight: float) -> float:
    """Milvus RRFRanker(k=60): 1 / (k + rank), ranks from 1."""
    return 1.0 / (60 + p + 1)


def milvus_cosine(p: int, scores: list[float], weight: float) -> float:
    """Milvus WeightedRanker(norm_score=True) of COSINE: weight (1 + s) / 2."""
    return weight * (1.0 + scores[p]) * 0.5


def milvus_inner_product(p: int, scores: list[float], weight: float) -> float:
    """Milvus WeightedRanker(norm_score=True) of IP: weight (0.5 + atan(s) / pi)."""
    return weight * (0.5 + math.atan(scores[p]) / math.pi)


def milvus_plain(p: int, scores: list[float], weight: float) -> float:
    """Milvus WeightedRanker(norm_score=False)."""
    return weight * scores[p]


def opensearch_l2(p: int, scores: list[float], weight: float) -> float:
    """OpenSearch normalization-processor "l2", times the weight of its arithmetic mean."""
    return weight * scores[p] / math.sqrt(math.fsum(s * s for s in scores))


Formula = Callable[[int, list[float], float], float]
DOCUMENTED: list[tuple[str, Formula, str, dict[str, Any], bool]] = [
    ("Qdrant RRF, weighted", qdrant_rrf, "rrf_qdrant", {"rrf_k": 2}, True),
    ("Qdrant RRF", qdrant_plain_rrf, "rrf", {"rrf_k": 2, "rank_base": 0}, False),
    ("Qdrant DBSF", qdrant_dbsf, "dbsf", {}, False),
    ("Qdrant DBSF as a norm", qdrant_dbsf, "combsum", {"norm": "dbsf"}, False),
    ("Weaviate ranked", weaviate_ranked, "rrf", {"rrf_k": 60, "rank_base": 0}, True),
    ("Weaviate relative score", weaviate_relative, "minmax", {}, True),
    ("Milvus RRFRanker", milvus_rrf, "rrf", {}, False),
    ("Milvus WeightedRanker, COSINE", milvus_cosine, "combsum", {"norm": "cosine"}, True),
    ("Milvus WeightedRanker, IP", milvus_inner_product, "combsum", {"norm": "atan"}, True),
    ("Milvus WeightedRanker, raw", milvus_plain, "combsum", {"norm": "none"}, True),
    ("OpenSearch l2", opensearch_l2, "combsum", {"norm": "l2"}, True),
]


@pytest.mark.parametrize(
    ("formula", "method", "parameters", "weighted"),
    [row[1:] for row in DOCUMENTED],
    ids=[row[0] for row in DOCUMENTED],
)
def test_documented_formulas_of_other_engines(
    formula: Formula, method: str, parameters: dict[str, Any], weighted: bool
) -> None:
    alone = [make_lists(100 + seed, least=1) for seed in range(5)]
    alone.append([([0.7], [4]), ([0.8, 0.6], [9, 4]), ([0.3, 0.3], [1, 2])])
    for seed, lists in enumerate(LISTS + alone):
        random = np.random.default_rng(seed)
        weights = random.uniform(0.2, 3.0, len(lists)).tolist() if weighted else [1.0] * len(lists)
        wanted: Values = {}
        for (scores, ids), weight in zip(lists, weights, strict=True):
            for p, label in enumerate(ids):
                wanted[label] = wanted.get(label, 0.0) + formula(p, scores, weight)
        agrees(lists, wanted, method, weights=weights, **parameters)


def test_the_order_is_theirs_too() -> None:
    for lists in LISTS:
        scores, ids = gapless.fuse(lists, 1000, "rrf")
        best = pairs((scores, ids))
        assert ids.tolist() == sorted(best, key=lambda label: (-best[label], label))
