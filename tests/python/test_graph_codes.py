"""Every kind of codes: what it finds, how exact its scores are, what it costs and refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gapless
from gapless.errors import InvalidArgument
from graph_kit import CODES, KINDS, Rows, check_sound, clustered, nearest, recall, unit

# A byte a dim and no code of what it leaves: nearer than this needs exact_scores.
NEAR = {"f32": 1e-6, "bf16": 1e-3, "i8": 5e-3, "cascade": 1e-3}
every_kind = pytest.mark.parametrize(("codes", "keep"), KINDS)


def build(rows: Rows, **options: Any) -> gapless.HnswIndex:
    index = gapless.HnswIndex(rows.shape[1], m=16, ef_construction=80, **options)
    index.add(rows)
    return index


@every_kind
def test_recall_and_scores_of_every_kind(codes: str, keep: bool) -> None:
    rows, queries = clustered(2000, 128), clustered(60, 128, seed=1)
    index = build(rows, codes=codes, keep_f32=keep)
    assert index.codes == codes
    check_sound(index)
    truth = nearest(queries, rows, 10)
    reached = [recall(index.search(queries, 10, ef=ef)[1], truth) for ef in (16, 64, 256)]
    assert reached[0] <= reached[1] + 0.01
    assert reached[1] <= reached[2] + 0.01
    assert reached[2] >= (0.96 if codes == "i8" else 0.98)
    scores, ids = index.search(queries, 10, ef=100)
    exact = np.take_along_axis(unit(queries) @ unit(rows).T, ids, axis=1)
    np.testing.assert_allclose(scores, exact, atol=NEAR[codes])
    assert (np.diff(scores, axis=1) <= 0).all()


@pytest.mark.parametrize("dim", [97, 131, 385, 1023, 2049])
@pytest.mark.parametrize("codes", CODES)
def test_scores_are_within_a_thousandth_at_odd_dims(codes: str, dim: int) -> None:
    rows, queries = clustered(200, dim), clustered(20, dim, seed=1)
    index = build(rows, codes=codes)
    scores, ids = index.search(queries, 5, ef=100)
    exact = np.take_along_axis(unit(queries) @ unit(rows).T, ids, axis=1)
    np.testing.assert_allclose(scores, exact, atol=NEAR[codes])
    scores, ids = index.search(queries, 5, ef=100, exact_scores=True)
    exact = np.take_along_axis(unit(queries) @ unit(rows).T, ids, axis=1)
    np.testing.assert_allclose(scores, exact, atol=1e-6)


def test_auto_says_what_it_picked() -> None:
    assert gapless.HnswIndex(95).codes == "f32"
    assert gapless.HnswIndex(95, keep_f32=False).codes == "bf16"
    assert gapless.HnswIndex(96).codes == "cascade"
    assert gapless.HnswIndex(96, keep_f32=False).codes == "cascade"
    assert gapless.HnswIndex(8, codes="i8").codes == "i8"


def test_codes_that_cannot_be_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="keep_f32=False drops these; take bf16"):
        gapless.HnswIndex(8, codes="f32", keep_f32=False)
    with pytest.raises(InvalidArgument, match="codes is 'pq'; take auto, f32, bf16, i8 or cascade"):
        gapless.HnswIndex(8, codes="pq")
    with pytest.raises(InvalidArgument, match="codes is ''"):
        gapless.HnswIndex(8, codes="")


@pytest.mark.parametrize("codes", ["bf16", "i8", "cascade"])
def test_exact_scores_without_f32_rows_name_the_remedy(codes: str) -> None:
    index = build(clustered(50, 96), codes=codes, keep_f32=False)
    with pytest.raises(InvalidArgument, match="make it with keep_f32=True"):
        index.search(clustered(1, 96), 3, exact_scores=True)


@every_kind
def test_memory_by_purpose_sums_to_memory(codes: str, keep: bool) -> None:
    index = build(clustered(500, 100), codes=codes, keep_f32=keep)
    index.set_alignment(gapless.Alignment(offset=np.ones(100, np.float32)))
    memory = index.memory
    assert sum(memory.values()) == index.memory_bytes
    assert (memory["vectors"] > 0) == keep
    assert (memory["codes"] > 0) == (codes != "f32")
    assert min(memory["graph"], memory["labels"], memory["alignment"]) > 0


def test_cascade_without_f32_takes_two_thirds_of_faiss() -> None:
    """IndexHNSWFlat keeps 4 dim + 8 m bytes a row, and some more for levels and offsets."""
    count, dim, m = 1000, 384, 32
    index = gapless.HnswIndex(dim, m=m, ef_construction=40, codes="cascade", keep_f32=False)
    index.add(clustered(count, dim))
    assert index.memory_bytes <= 0.65 * count * (4 * dim + 8 * m)


@every_kind
def test_saved_and_loaded_answers_are_identical(tmp_path: Path, codes: str, keep: bool) -> None:
    rows, queries = clustered(700, 100), clustered(20, 100, seed=1)
    index = build(np.concatenate([rows, rows[:100]]), codes=codes, keep_f32=keep)
    index.remove(np.arange(0, 180, 3))
    index.save(tmp_path / "index.seg")
    loaded = gapless.HnswIndex.load(tmp_path / "index.seg")
    assert (loaded.codes, loaded.m, loaded.dim) == (codes, 16, 100)
    check_sound(loaded)
    # As wide as can be, so that no path depends on where a walk begins.
    for effort in ({"ef": 500}, {"ef": 500, "exact_scores": keep}):
        want, got = index.search(queries, 10, **effort), loaded.search(queries, 10, **effort)
        np.testing.assert_array_equal(want[1], got[1])
        np.testing.assert_array_equal(want[0], got[0])
    np.testing.assert_array_equal(index.vectors(index.ids()), loaded.vectors(index.ids()))


@every_kind
def test_an_update_replaces_the_codes_too(codes: str, keep: bool) -> None:
    rows = clustered(600, 96)
    index = build(rows, codes=codes, keep_f32=keep)
    index.update(np.arange(300), rows[299::-1])
    found = index.search(rows[:300], 1, ef=100)[1][:, 0]
    assert (found == np.arange(299, -1, -1)).mean() >= 0.99
    np.testing.assert_allclose(index.score(rows[0], [299]), 1.0, atol=1e-3 if not keep else 1e-6)


@pytest.mark.parametrize("codes", CODES)
def test_rows_far_apart_in_size_keep_their_direction(codes: str) -> None:
    rows = clustered(300, 96)
    scale = np.logspace(-15, 15, 300, dtype=np.float32)[:, None]
    index = build(rows * scale, codes=codes)
    scores = index.search(rows * scale[::-1], 1, ef=300)[0][:, 0]
    np.testing.assert_allclose(scores, 1.0, atol=1e-3)
