"""The comparison's own arithmetic, and that every system under comparison is driven rightly."""

from __future__ import annotations

import numpy as np
import pytest

from measure import exact_floor, latency, rate_at, sweep
from others import ENTRIES
from systems import Entry
from texts import sentences


def test_sentences_are_split_deduplicated_and_of_middling_length() -> None:
    first = (
        "tool for\n This first sentence is long enough. Second one is long enough too.\n .\n No."
    )
    second = "tool for\n This FIRST sentence is long enough.\n  * a bullet point of proper length\n"
    assert sentences([first, second, "x" * 121]) == [
        "a bullet point of proper length",
        "Second one is long enough too.",
        "This first sentence is long enough.",
    ]


def test_rates_are_read_off_the_sweep() -> None:
    points = [{"recall": 0.92, "qps": 1000.0}, {"recall": 0.96, "qps": 250.0}]
    assert rate_at(points, 0.90) == 1000.0  # the least effort is already better
    assert rate_at(points, 0.94) == pytest.approx(500.0)  # the middle, on a log scale
    assert rate_at(points, 0.99) is None


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.label)
def test_every_system_finds_the_neighbours_numpy_finds(entry: Entry) -> None:
    if entry.version is None:
        pytest.skip(f"{entry.package} is not installed: pip install {entry.package}")
    rng = np.random.default_rng(8)
    rows = rng.normal(size=(3000, 64)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    queries = rows[:100] + rng.normal(scale=0.05, size=(100, 64)).astype(np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    floor = exact_floor(rows, queries)
    plain = np.sort(queries.astype(np.float64) @ rows.T.astype(np.float64), axis=1)[:, -10]
    np.testing.assert_allclose(floor, plain, atol=1e-6)
    try:
        system = entry.make(64, entry.m)
    except RuntimeError as error:
        if "non-Intel" in str(error):
            pytest.skip(str(error))
        raise
    system.build(rows, 2)
    points = sweep(system, rows, queries, floor, entry.m, 2)
    recalls = [point["recall"] for point in points]
    by_codes = entry.package == "usearch" or entry.kind == "HNSW i8"  # never scored in float32
    assert max(recalls) >= (0.95 if by_codes else 0.995)
    assert min(point["qps"] for point in points) > 0
    assert latency(system, queries, 64, 10, calls=20)["p50_us"] > 0
    if entry.m and recalls[0] < 0.995:
        assert len(recalls) > 1
        assert recalls[0] < max(recalls), "more effort must find more"
