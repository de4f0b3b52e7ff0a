"""Alignment by the scalar formula against rows that numpy really shifts and renormalises."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import gapless
from gapless.errors import InvalidArgument, InvalidVector

DIM = 40
OUT = 28
MAKERS: dict[str, Callable[[], gapless.FlatIndex | gapless.HnswIndex]] = {
    "flat": lambda: gapless.FlatIndex(DIM),
    "hnsw": lambda: gapless.HnswIndex(DIM, m=16, ef_construction=100),
}
both = pytest.mark.parametrize("kind", MAKERS)
Wide = NDArray[np.float64]

random = np.random.default_rng(7)
CONE = random.normal(size=DIM)
ROWS = (CONE + random.normal(size=(2000, DIM))).astype(np.float32)
QUERIES = (random.normal(size=DIM) + random.normal(size=(50, DIM))).astype(np.float32)
OFFSET = random.normal(size=DIM).astype(np.float32) * 0.2
LINEAR = random.normal(size=(OUT, DIM)).astype(np.float32)
OUT_OFFSET = random.normal(size=OUT).astype(np.float32)
TEXT = (random.normal(size=OUT).astype(np.float32), random.normal(size=(OUT, DIM)))
SQUARE = random.normal(size=(DIM, DIM)).astype(np.float32)

CASES: dict[str, dict[str, Any]] = {
    "offset": {"offset": OFFSET},
    "two-sided": {"offset": OFFSET, "query": {"text": (-OFFSET, None)}},
    "linear": {"linear": SQUARE},
    "affine": {"offset": OFFSET, "linear": SQUARE, "query": {"text": (OFFSET, SQUARE)}},
    "other dim": {"offset": OUT_OFFSET, "linear": LINEAR, "query": {"text": TEXT}},
    "query only": {"query": {"text": (OFFSET, SQUARE)}},
}


def unit(rows: NDArray[Any]) -> Wide:
    wide = rows.astype(np.float64)
    return np.asarray(wide / np.linalg.norm(wide, axis=-1, keepdims=True))


def moved(rows: NDArray[Any], offset: Any, linear: Any) -> Wide:
    """N(linear @ N(x) + offset), row by row, in double."""
    out = unit(rows)
    if linear is not None:
        out = out @ np.asarray(linear, dtype=np.float64).T
    if offset is not None:
        out = out + np.asarray(offset, dtype=np.float64)
    return unit(out)


def truth(case: dict[str, Any]) -> Wide:
    offset, linear = case.get("query", {}).get("text", (None, None))
    rows = moved(ROWS, case.get("offset"), case.get("linear"))
    return np.asarray(moved(QUERIES, offset, linear) @ rows.T)


@both
@pytest.mark.parametrize("name", CASES)
def test_scores_equal_rows_that_were_really_moved(kind: str, name: str) -> None:
    case = CASES[name]
    index = MAKERS[kind]()
    index.add(ROWS[:1500])
    index.set_alignment(gapless.Alignment(**case))
    index.add(ROWS[1500:])  # rows that come later are aligned too
    wanted = truth(case)
    scores = np.stack([index.score(q, np.arange(2000), query_modality="text") for q in QUERIES])
    np.testing.assert_allclose(scores, wanted, atol=1e-5)
    effort = {"ef": 300, "exact_scores": True} if kind == "hnsw" else {}
    found, ids = index.search(QUERIES, 10, query_modality="text", **effort)
    np.testing.assert_allclose(found, np.take_along_axis(wanted, ids, axis=1), atol=1e-5)
    best = np.argsort(-wanted, axis=1)[:, :10]
    hit = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(ids, best, strict=True)])
    assert hit == 1.0 if kind == "flat" else hit >= 0.95


@both
def test_alignments_swap_on_a_live_index(kind: str) -> None:
    index = MAKERS[kind]()
    index.add(ROWS)
    raw = index.search(QUERIES, 10)
    for name in CASES:
        alignment = gapless.Alignment(**CASES[name])
        index.set_alignment(alignment)
        assert index.alignment is alignment
        scores = index.score(QUERIES[0], np.arange(2000), query_modality="text")
        np.testing.assert_allclose(scores, truth(CASES[name])[0], atol=1e-5)
    index.set_alignment(None)
    assert index.alignment is None
    again = index.search(QUERIES, 10)
    assert (raw[0] == again[0]).all()
    assert (raw[1] == again[1]).all()


@both
def test_updated_rows_are_rescaled(kind: str) -> None:
    index = MAKERS[kind]()
    index.add(ROWS[:100])
    index.set_alignment(gapless.Alignment(offset=OFFSET))
    index.update(np.arange(100), ROWS[100:200])
    wanted = moved(QUERIES[:1], None, None) @ moved(ROWS[100:200], OFFSET, None).T
    np.testing.assert_allclose(index.score(QUERIES[0], np.arange(100)), wanted[0], atol=1e-5)


@both
def test_a_row_without_direction_scores_zero(kind: str) -> None:
    index = MAKERS[kind]()
    index.add(ROWS[:10])
    index.set_alignment(gapless.Alignment(offset=-index.vectors([3])[0]))
    scores = index.score(QUERIES[0], np.arange(10))
    assert scores[3] == 0.0
    assert np.count_nonzero(scores) == 9
    index.set_alignment(gapless.Alignment(query={"text": (-unit(QUERIES[0]), None)}))
    lost = index.score(QUERIES[0], np.arange(10), query_modality="text")
    np.testing.assert_allclose(lost, 0.0, atol=1e-5)


def test_parts_are_read_back() -> None:
    alignment = gapless.Alignment(OUT_OFFSET, LINEAR, {"text": TEXT, "image": (None, None)})
    assert alignment.offset is not None
    assert alignment.linear is not None
    np.testing.assert_array_equal(alignment.offset, OUT_OFFSET)
    np.testing.assert_array_equal(alignment.linear, LINEAR)
    np.testing.assert_allclose(alignment.query["text"][1], TEXT[1], rtol=1e-6)
    assert alignment.query["image"] == (None, None)


def test_query_modalities_pick_their_map() -> None:
    index = gapless.FlatIndex(DIM)
    index.add(ROWS[:50])
    index.set_alignment(gapless.Alignment(query={"text": (OFFSET, None), "image": (None, SQUARE)}))
    rows = unit(ROWS[:50])
    for modality, parts in {"text": (OFFSET, None), "image": (None, SQUARE)}.items():
        wanted = moved(QUERIES[:1], *parts) @ rows.T
        scores = index.score(QUERIES[0], np.arange(50), query_modality=modality)
        np.testing.assert_allclose(scores, wanted[0], atol=1e-5)
    np.testing.assert_allclose(
        index.score(QUERIES[0], np.arange(50)), unit(QUERIES[:1])[0] @ rows.T, atol=1e-5
    )
    with pytest.raises(InvalidArgument, match="no query map for modality 'audio'"):
        index.search(QUERIES, 3, query_modality="audio")


def test_unusable_alignments_are_refused_and_change_nothing() -> None:
    index = gapless.FlatIndex(DIM)
    index.add(ROWS[:50])
    before = index.search(QUERIES, 5)
    with pytest.raises(InvalidArgument, match="none is given"):
        gapless.Alignment()
    with pytest.raises(InvalidArgument, match="offset of the row map has 3 values"):
        gapless.Alignment(offset=np.ones(3), linear=LINEAR)
    with pytest.raises(InvalidArgument, match="NaN or infinity"):
        gapless.Alignment(offset=np.full(DIM, np.nan))
    with pytest.raises(InvalidArgument, match="out of the range of float32"):
        index.set_alignment(gapless.Alignment(linear=np.full((DIM, DIM), 3e38)))
    with pytest.raises(InvalidArgument, match="2-dimensional"):
        gapless.Alignment(linear=np.ones(3))
    with pytest.raises(InvalidArgument, match="query map of 'text' gives 3 dims"):
        gapless.Alignment(offset=OFFSET, query={"text": (np.ones(3), None)})
    with pytest.raises(InvalidArgument, match="maps rows of 12 dims, the index has 40"):
        index.set_alignment(gapless.Alignment(offset=np.ones(12)))
    with pytest.raises(InvalidArgument, match="gives 12 dims, aligned rows have 40"):
        index.set_alignment(gapless.Alignment(query={"text": (np.ones(12), None)}))
    assert index.alignment is None
    after = index.search(QUERIES, 5)
    assert (before[0] == after[0]).all()
    index.set_alignment(gapless.Alignment(offset=OUT_OFFSET, linear=LINEAR))
    with pytest.raises(InvalidVector, match="the index takes 28"):
        index.search(QUERIES, 5)
