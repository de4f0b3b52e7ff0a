"""Kernels through the native API: each checked against numpy, and timed.

    pytest bench/bench_kernels.py --benchmark-enable --benchmark-columns=median,iqr,ops

A plain ``pytest`` runs every case once, as a test, since the project disables timing by default.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gapless import Alignment, FlatIndex, fuse
from gapless._core import Calibration, normalise, top_k

ROWS, DIM, QUERIES, K = 20_000, 384, 16, 10

Benchmark = Callable[..., Any]


def unit(rows: NDArray[Any]) -> NDArray[np.float64]:
    wide = rows.astype(np.float64)
    return np.asarray(wide / np.linalg.norm(wide, axis=-1, keepdims=True))


@pytest.fixture(scope="module")
def rows() -> NDArray[np.float32]:
    return np.random.default_rng(1).normal(size=(ROWS, DIM)).astype(np.float32)


@pytest.fixture(scope="module")
def queries() -> NDArray[np.float32]:
    return np.random.default_rng(2).normal(size=(QUERIES, DIM)).astype(np.float32)


@pytest.fixture(scope="module")
def index(rows: NDArray[np.float32]) -> FlatIndex:
    flat = FlatIndex(DIM)
    flat.add(rows)
    return flat


@pytest.fixture(scope="module")
def alignment() -> Alignment:
    """Return a shift and a linear map, and another shift for text queries."""
    rng = np.random.default_rng(3)
    linear = np.eye(DIM) + rng.normal(size=(DIM, DIM)) * 0.02
    offset = rng.normal(size=DIM) * 0.03
    return Alignment(
        offset=offset.astype(np.float32),
        linear=linear.astype(np.float32),
        query={"text": ((-offset).astype(np.float32), None)},
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_normalise(benchmark: Benchmark, rows: NDArray[np.float32], dtype: Any) -> None:
    given = rows.astype(dtype)
    got = benchmark(normalise, given)
    np.testing.assert_allclose(got, unit(given), atol=1e-6)


@pytest.mark.parametrize("threads", [1, None], ids=["one thread", "all cores"])
def test_dot(
    benchmark: Benchmark,
    index: FlatIndex,
    rows: NDArray[np.float32],
    queries: NDArray[np.float32],
    threads: int | None,
) -> None:
    scores, ids = benchmark(index.search, queries, K, threads=threads)
    exact = unit(queries) @ unit(rows).T
    best = -np.sort(-exact, axis=1)[:, :K]
    np.testing.assert_allclose(scores, best, atol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(exact, ids, axis=1), best, atol=1e-5)


def test_affine(
    benchmark: Benchmark,
    index: FlatIndex,
    rows: NDArray[np.float32],
    queries: NDArray[np.float32],
    alignment: Alignment,
) -> None:
    assert alignment.offset is not None
    assert alignment.linear is not None
    index.set_alignment(alignment)
    try:
        scores, ids = benchmark(index.search, queries, K, query_modality="text", threads=1)
    finally:
        index.set_alignment(None)
    offset, linear = alignment.offset.astype(np.float64), alignment.linear.astype(np.float64)
    moved_rows = unit(unit(rows) @ linear.T + offset)  # really shifted and renormalised
    moved_queries = unit(unit(queries) - offset)
    exact = moved_queries @ moved_rows.T
    best = -np.sort(-exact, axis=1)[:, :K]
    np.testing.assert_allclose(scores, best, atol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(exact, ids, axis=1), best, atol=1e-5)


def test_score(
    benchmark: Benchmark,
    index: FlatIndex,
    rows: NDArray[np.float32],
    queries: NDArray[np.float32],
) -> None:
    ids = np.random.default_rng(4).permutation(ROWS)[:1000].astype(np.int64)
    got = benchmark(index.score, queries[0], ids)
    np.testing.assert_allclose(got, unit(rows)[ids] @ unit(queries)[0], atol=1e-5)


@pytest.mark.parametrize("k", [10, 100, 1000])
def test_top_k(benchmark: Benchmark, k: int) -> None:
    scores = np.random.default_rng(5).integers(0, 5000, 100_000).astype(np.float32)  # many ties
    got, positions = benchmark(top_k, scores, k)
    want = np.lexsort((np.arange(len(scores)), -scores))[:k]
    np.testing.assert_array_equal(positions, want)
    np.testing.assert_array_equal(got, scores[want])


def gains(method: str, s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute what one list says of its items; the log-odds 20 s - 4 for "calibrated"."""
    made: dict[str, Callable[[], NDArray[np.float64]]] = {
        "rrf": lambda: 1 / (60 + np.arange(1, len(s) + 1)),
        "minmax": lambda: (s - s.min()) / (s.max() - s.min()),
        "zscore": lambda: (s - s.mean()) / s.std(),
        "cohort": lambda: s / 0.5,  # the background is 0.5 about 0
        "calibrated": lambda: 20 * s - 4,
    }
    return made[method]()


@pytest.mark.parametrize("method", ["rrf", "minmax", "zscore", "cohort", "calibrated"])
def test_fuse(benchmark: Benchmark, method: str) -> None:
    rng = np.random.default_rng(6)
    lists = []
    for _ in range(4):
        ids = rng.permutation(500)[:200].astype(np.int64)
        lists.append((-np.sort(-rng.normal(0.1, 0.05, size=200)), ids))
    how: dict[str, Any] = {"method": method}
    if method == "cohort":
        how["cohorts"] = [np.array([-0.5, 0.5])] * 4
    elif method == "calibrated":
        how.update(calibrations=[Calibration.platt(20.0, -4.0)] * 4, combine="mean_logit")
    scores, ids = benchmark(fuse, lists, 10, **how)
    parts: dict[int, list[float]] = {}
    for given, labels in lists:
        for label, gain in zip(labels.tolist(), gains(method, given).tolist(), strict=True):
            parts.setdefault(label, []).append(gain)
    mean = method in ("cohort", "calibrated")
    want = {i: sum(found) / (len(found) if mean else 1) for i, found in parts.items()}
    order = sorted(want, key=lambda label: (-want[label], label))[:10]
    assert ids.tolist() == order
    best = np.array([want[label] for label in order])
    if method == "calibrated":
        best = 1 / (1 + np.exp(-best))
    np.testing.assert_allclose(scores, best, atol=1e-9)
