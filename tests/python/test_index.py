"""FlatIndex and HnswIndex against plain numpy, in any order of adding, searching and removing."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import gapless
from gapless.errors import CorruptFile, DuplicateId, InvalidArgument, InvalidVector, UnknownId

DIM = 24
Index = gapless.FlatIndex | gapless.HnswIndex
Rows = NDArray[np.float32]
MAKERS: dict[str, Callable[[], Index]] = {
    "flat": lambda: gapless.FlatIndex(DIM),
    "hnsw": lambda: gapless.HnswIndex(DIM, m=8, ef_construction=60),
}
both = pytest.mark.parametrize("kind", MAKERS)


def clustered(count: int, dim: int = DIM, seed: int = 0) -> Rows:
    """Rows around a few centres, as embeddings are; uniform noise would flatter no graph."""
    centres = np.random.default_rng(99).normal(size=(40, dim))
    random = np.random.default_rng(seed)
    rows = centres[random.integers(0, 40, count)] + 0.6 * random.normal(size=(count, dim))
    return rows.astype(np.float32)


def unit(rows: Rows) -> NDArray[np.float64]:
    wide = rows.astype(np.float64)
    return np.asarray(wide / np.linalg.norm(wide, axis=-1, keepdims=True))


def exact(queries: Rows, rows: Rows, k: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    scores = unit(queries) @ unit(rows).T
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, order, axis=1), order


def recall(found: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    return float(
        np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found, truth, strict=True)])
    )


def test_flat_is_exact() -> None:
    rows, queries = clustered(3000), clustered(70, seed=1)
    index = gapless.FlatIndex(DIM)
    assert index.add(rows).tolist() == list(range(3000))
    scores, ids = index.search(queries, 10)
    truth_scores, truth = exact(queries, rows, 10)
    assert (ids == truth).all()
    np.testing.assert_allclose(scores, truth_scores, atol=1e-6)
    assert scores.dtype == np.float32
    assert ids.dtype == np.int64


def test_hnsw_recall_rises_with_ef() -> None:
    rows, queries = clustered(6000), clustered(200, seed=1)
    index = gapless.HnswIndex(DIM, m=16, ef_construction=100)
    index.add(rows)
    truth = exact(queries, rows, 10)[1]
    reached = [recall(index.search(queries, 10, ef=ef)[1], truth) for ef in (10, 40, 160)]
    assert reached[0] <= reached[1] + 0.01
    assert reached[1] >= 0.97
    assert reached[2] >= 0.995


@both
def test_one_row_at_a_time_finds_what_one_batch_finds(kind: str) -> None:
    rows, queries = clustered(1500), clustered(60, seed=1)
    index = MAKERS[kind]()
    found = []
    for i, row in enumerate(rows):
        index.add(row[None], ids=[i])
        if i % 500 == 250:  # searching in between must not disturb what comes later
            found.append(index.search(queries, 3)[1])
    assert all((ids >= 0).all() for ids in found)
    assert recall(index.search(queries, 10)[1], exact(queries, rows, 10)[1]) >= 0.97


@both
def test_threads_change_nothing_but_speed(kind: str) -> None:
    rows, queries = clustered(4000), clustered(64, seed=1)
    index = MAKERS[kind]()
    index.add(rows, threads=2)
    one = index.search(queries, 10, threads=1)
    many = index.search(queries, 10, threads=4)
    single = [index.search(query, 10) for query in queries]
    assert (one[1] == many[1]).all()
    assert (one[0] == many[0]).all()
    assert (np.concatenate([ids for _, ids in single]) == one[1]).all()
    assert recall(one[1], exact(queries, rows, 10)[1]) >= 0.97


@both
def test_short_rows_end_in_minus_infinity(kind: str) -> None:
    index = MAKERS[kind]()
    scores, ids = index.search(clustered(2), 3)
    assert (ids == -1).all()
    assert np.isneginf(scores).all()
    index.add(clustered(2), ids=[7, 3])
    scores, ids = index.search(clustered(1), 5)
    assert sorted(ids[0, :2]) == [3, 7]
    assert ids[0, 2:].tolist() == [-1, -1, -1]
    assert np.isneginf(scores[0, 2:]).all()


@both
def test_equal_scores_rank_by_ascending_id(kind: str) -> None:
    index = MAKERS[kind]()
    row = clustered(1)
    index.add(np.repeat(row, 30, axis=0), ids=np.arange(100, 70, -1))
    assert index.search(row, 5)[1][0].tolist() == [71, 72, 73, 74, 75]


def test_a_thousand_copies_trap_neither_build_nor_search() -> None:
    rows, queries = clustered(3000), clustered(100, seed=1)
    index = gapless.HnswIndex(DIM, m=8, ef_construction=60)
    index.add(np.repeat(rows[:1], 1000, axis=0), ids=np.arange(10_000, 11_000))
    index.add(rows[1:], ids=np.arange(1, 3000))
    assert recall(index.search(queries, 10, ef=100)[1], exact(queries, rows, 10)[1]) >= 0.9


@both
def test_removed_rows_are_gone_and_their_places_used_again(kind: str) -> None:
    rows, queries = clustered(3000), clustered(100, seed=1)
    index = MAKERS[kind]()
    index.add(rows)
    before = index.memory_bytes
    for _ in range(3):
        index.remove(np.arange(0, 3000, 2))
        assert len(index) == 1500
        _, ids = index.search(queries, 10, **({"ef": 100} if kind == "hnsw" else {}))
        assert (ids % 2 == 1).all()
        odd = exact(queries, rows[1::2], 10)[1] * 2 + 1
        assert recall(ids, odd) >= 0.97
        index.add(rows[::2], ids=np.arange(0, 3000, 2))
        _, ids = index.search(queries, 10, **({"ef": 100} if kind == "hnsw" else {}))
        assert recall(ids, exact(queries, rows, 10)[1]) >= 0.97
    assert index.memory_bytes <= 1.2 * before


def test_rows_that_survive_a_mass_removal_are_found() -> None:
    """Twelve of each cluster's 600 stay: their neighbourhoods are nearly all gone."""
    random = np.random.default_rng(5)
    centres = np.repeat(random.normal(size=(10, DIM)) * 3, 600, axis=0)
    rows = (centres + random.normal(size=centres.shape)).astype(np.float32)
    index = gapless.HnswIndex(DIM, m=8, ef_construction=60)
    index.add(rows)
    kept = np.flatnonzero(np.arange(6000) % 600 < 12)
    index.remove(np.setdiff1d(np.arange(6000), kept))
    assert recall(index.search(rows[kept], 1, ef=100)[1], kept[:, None]) >= 0.99
    few = np.flatnonzero(np.arange(6000) % 600 < 9)
    index.remove(np.setdiff1d(kept, few))
    assert recall(index.search(rows[few], 1, ef=100)[1], few[:, None]) >= 0.99


def test_a_filter_for_the_far_modality_is_exact_enough_and_not_slow() -> None:
    """Every text ranks before every image, and only images are wanted."""
    random = np.random.default_rng(6)
    cones = np.repeat(np.eye(2, DIM) * 6, 4000, axis=0)
    rows = (cones + random.normal(size=cones.shape)).astype(np.float32)
    query = (np.eye(1, DIM) * 6 + random.normal(size=(30, DIM))).astype(np.float32)
    index = gapless.HnswIndex(DIM, m=8, ef_construction=60)
    index.add(rows)
    images = np.arange(4000, 8000)
    truth = 4000 + exact(query, rows[4000:], 10)[1]
    assert recall(index.search(query, 10, filter=images)[1], truth) >= 0.95


@both
def test_a_failed_add_leaves_a_working_index(kind: str) -> None:
    code = f"""
import resource, numpy as np, gapless
index = {"gapless.FlatIndex(256)" if kind == "flat" else "gapless.HnswIndex(256, m=8)"}
rows = np.random.default_rng(0).normal(size=(200_000, 256)).astype(np.float32)
index.add(rows[:500])
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (150 << 20), -1))
try:
    index.add(rows)
except MemoryError:
    print("refused", len(index), (index.search(rows[:500], 1)[1][:, 0] == np.arange(500)).mean())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["refused", "500", "1.0"], done.stderr


def test_more_threads_than_the_system_gives_are_no_error() -> None:
    index = gapless.HnswIndex(DIM, m=8)
    index.add(clustered(3000), threads=100_000)
    assert recall(index.search(clustered(3000), 1)[1], np.arange(3000)[:, None]) >= 0.99


@both
def test_ids_do_not_run_over(kind: str) -> None:
    index = MAKERS[kind]()
    index.add(clustered(1), ids=[2**63 - 2])
    with pytest.raises(InvalidArgument, match="no id left"):
        index.add(clustered(2))
    assert index.ids().tolist() == [2**63 - 2]


def test_updates_of_a_flat_index_take_bounded_room() -> None:
    index = gapless.FlatIndex(DIM)
    index.add(clustered(5000))
    before = index.memory_bytes
    for seed in range(2, 10):  # replaced rows go when the next room is made
        index.update(np.arange(5000), clustered(5000, seed=seed))
    assert index.memory_bytes <= 2.5 * before


@both
def test_an_emptied_index_fills_again(kind: str) -> None:
    index = MAKERS[kind]()
    rows = clustered(500)
    index.add(rows[:20])
    index.remove(np.arange(20))
    assert len(index) == 0
    assert index.search(rows[:1], 1)[1][0, 0] == -1
    index.add(rows, ids=np.arange(100, 600))
    assert recall(index.search(rows, 1)[1], np.arange(100, 600)[:, None]) >= 0.99


@both
def test_update_moves_a_row(kind: str) -> None:
    index = MAKERS[kind]()
    rows = clustered(400)
    index.add(rows)
    index.update([5, 9], rows[[9, 5]])
    assert len(index) == 400
    np.testing.assert_allclose(index.vectors([5, 9]), unit(rows[[9, 5]]), atol=1e-6)
    assert index.search(rows[9], 1)[1][0, 0] == 5


@both
@pytest.mark.parametrize("share", [0.5, 0.1, 0.01])
def test_filters_return_only_what_they_allow(kind: str, share: float) -> None:
    rows, queries = clustered(4000), clustered(60, seed=1)
    index = MAKERS[kind]()
    index.add(rows)
    mask = np.random.default_rng(3).random(4000) < share
    allowed = np.flatnonzero(mask)
    truth = allowed[exact(queries, rows[mask], 10)[1]]
    bitset = np.packbits(mask, bitorder="little")
    by_ids = index.search(queries, 10, filter=allowed[::-1])
    by_bits = index.search(queries, 10, filter=bitset)
    assert np.isin(by_ids[1], allowed).all()
    assert (by_ids[1] == by_bits[1]).all()
    assert recall(by_ids[1], truth) >= 0.95


@both
def test_filters_ignore_ids_without_a_row(kind: str) -> None:
    index = MAKERS[kind]()
    rows = clustered(50)
    index.add(rows)
    ids = index.search(rows[:1], 4, filter=[-5, 49, 3, 10_000])[1]
    assert sorted(ids[0, :2]) == [3, 49]
    assert ids[0, 2:].tolist() == [-1, -1]
    with pytest.raises(InvalidArgument, match="packbits"):
        index.search(rows[:1], 4, filter=np.ones(50, dtype=bool))


@both
def test_score_is_exact_and_nan_for_absent_ids(kind: str) -> None:
    index = MAKERS[kind]()
    rows, query = clustered(100), clustered(1, seed=5)[0]
    index.add(rows)
    scores = index.score(query, [4, 999, 7, -1])
    np.testing.assert_allclose(scores[[0, 2]], unit(rows[[4, 7]]) @ unit(query), atol=1e-6)
    assert np.isnan(scores[[1, 3]]).all()
    assert index.contains([4, 999, -1]).tolist() == [True, False, False]
    assert index.ids().tolist() == list(range(100))


@both
def test_saved_and_loaded_answers_are_identical(kind: str, tmp_path: Path) -> None:
    rows, queries = clustered(2000), clustered(50, seed=1)
    index = MAKERS[kind]()
    index.add(rows, ids=np.arange(5, 2005))
    index.remove(np.arange(5, 300))
    index.set_alignment(gapless.Alignment(-unit(rows).mean(0), query={"text": (None, None)}))
    path = tmp_path / "index.seg"
    index.save(path)
    loaded = type(index).load(path)
    want, got = index.search(queries, 10), loaded.search(queries, 10)
    assert (want[0] == got[0]).all()
    assert (want[1] == got[1]).all()
    assert loaded.alignment is not None
    assert loaded.alignment.query == {"text": (None, None)}
    assert loaded.add(rows[:1]).tolist() == index.add(rows[:1]).tolist() == [2005]


@both
def test_refused_rows_leave_the_index_as_it_was(kind: str) -> None:
    index = MAKERS[kind]()
    rows = clustered(50)
    index.add(rows)
    before = index.search(rows, 5)

    def bad(value: float) -> Rows:
        broken = clustered(3, seed=9)
        broken[1] = value
        return broken

    refusals: list[tuple[type[Exception], str, Callable[[], object]]] = [
        (InvalidVector, "row 1 is zero", lambda: index.add(bad(0.0))),
        (InvalidVector, "row 1 holds NaN or infinity", lambda: index.add(bad(np.nan))),
        (InvalidVector, "row 1 holds NaN or infinity", lambda: index.add(bad(np.inf))),
        (InvalidVector, "have 7 dims, the index has 24", lambda: index.add(np.ones((2, 7)))),
        (InvalidVector, r"shape \(24,\)", lambda: index.add(np.ones(DIM))),
        (InvalidVector, "dtype", lambda: index.add(np.full((2, DIM), "x"))),
        (DuplicateId, "id 3 is in the index already", lambda: index.add(rows[:2], ids=[90, 3])),
        (DuplicateId, "id 90 occurs twice", lambda: index.add(rows[:2], ids=[90, 90])),
        (InvalidArgument, "id -4 is negative", lambda: index.add(rows[:2], ids=[90, -4])),
        (InvalidArgument, "largest int64", lambda: index.add(rows[:1], ids=[2**63 - 1])),
        (InvalidArgument, "3 ids for 2 vectors", lambda: index.add(rows[:2], ids=[90, 91, 92])),
        (InvalidArgument, "integers", lambda: index.add(rows[:2], ids=[0.5, 1.5])),
        (InvalidArgument, "threads is 0", lambda: index.add(rows[:2], threads=0)),
        (UnknownId, "id 77 is not in the index", lambda: index.remove([3, 77])),
        (DuplicateId, "id 3 occurs twice", lambda: index.remove([3, 3])),
        (UnknownId, "id 77", lambda: index.update([3, 77], rows[:2])),
        (InvalidVector, "row 1 is zero", lambda: index.update([3, 4], bad(0.0)[:2])),
        (UnknownId, "id 77", lambda: index.vectors([77])),
        (InvalidArgument, "k is 0", lambda: index.search(rows, 0)),
        (InvalidArgument, "k is -2", lambda: index.search(rows, -2)),
        (InvalidVector, "query has 7 dims", lambda: index.search(np.ones((1, 7)), 3)),
        (InvalidVector, "query 0 is zero", lambda: index.search(np.zeros(DIM), 3)),
        (InvalidVector, "query 1 is zero or holds NaN", lambda: index.search(bad(np.nan), 3)),
    ]
    for error, message, call in refusals:
        with pytest.raises(error, match=message):
            call()
    after = index.search(rows, 5)
    assert len(index) == 50
    assert (before[1] == after[1]).all()
    assert (before[0] == after[0]).all()


def test_constructor_arguments_are_checked() -> None:
    with pytest.raises(InvalidArgument, match="dim is 0"):
        gapless.FlatIndex(0)
    with pytest.raises(InvalidArgument, match="m is 1; it must be 2 to 512"):
        gapless.HnswIndex(8, m=1)
    with pytest.raises(InvalidArgument, match="ef_construction"):
        gapless.HnswIndex(8, ef_construction=0)
    with pytest.raises(InvalidArgument, match="ef is 0"):
        gapless.HnswIndex(8).search(np.ones(8), 1, ef=0)
    index = gapless.HnswIndex(8, m=5, ef_construction=33)
    assert (index.dim, index.m, index.ef_construction) == (8, 5, 33)


def test_a_file_of_the_other_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "flat.seg"
    gapless.FlatIndex(4).save(path)
    with pytest.raises(InvalidArgument, match="kind 'flat'"):
        gapless.HnswIndex.load(path)
    with pytest.raises(FileNotFoundError):
        gapless.FlatIndex.load(tmp_path / "absent.seg")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CorruptFile, match=r"flat\.seg"):
        gapless.FlatIndex.load(path)


@both
def test_float16_and_strided_rows_are_taken(kind: str) -> None:
    rows = clustered(64)
    index = MAKERS[kind]()
    index.add(np.asfortranarray(rows), ids=np.arange(64))
    index.add(rows.astype(np.float16), ids=np.arange(64, 128))
    index.add(np.repeat(rows, 2, axis=0)[::2], ids=np.arange(128, 192))
    np.testing.assert_allclose(index.vectors(np.arange(64)), unit(rows), atol=1e-6)
    np.testing.assert_allclose(index.vectors(np.arange(64, 128)), unit(rows), atol=1e-3)
    np.testing.assert_allclose(index.vectors(np.arange(128, 192)), unit(rows), atol=1e-6)


@pytest.mark.parametrize("dim", [1, 2, 3, 15, 16, 17, 31, 33, 127, 257, 1025])
def test_any_dim(dim: int) -> None:
    rows = np.random.default_rng(dim).normal(size=(300, dim)).astype(np.float32)
    for index in (gapless.FlatIndex(dim), gapless.HnswIndex(dim, m=8)):
        index.add(rows)
        scores, _ = index.search(rows[:20], 1)
        np.testing.assert_allclose(scores[:, 0], 1.0, atol=1e-3)


@both
def test_searches_run_beside_a_writer(kind: str) -> None:
    index = MAKERS[kind]()
    rows = clustered(4000)
    index.add(rows[:500])
    stop = threading.Event()
    failures: list[BaseException] = []

    def search() -> None:
        try:
            while not stop.is_set():
                scores, ids = index.search(rows[:8], 5)
                assert (np.diff(scores, axis=1) <= 0).all()
                assert ((ids >= 0) & (ids < 4000)).all()
        except BaseException as error:
            failures.append(error)

    readers = [threading.Thread(target=search) for _ in range(3)]
    for reader in readers:
        reader.start()
    for start in range(500, 4000, 250):
        index.add(rows[start : start + 250], ids=np.arange(start, start + 250))
        index.remove(np.arange(start, start + 250, 5))
        index.update(np.arange(start + 1, start + 250, 5), rows[start + 1 : start + 250 : 5])
    stop.set()
    for reader in readers:
        reader.join()
    assert not failures
    assert len(index) == 500 + 14 * 200


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["add", "remove", "update"]), st.integers(0, 59)), max_size=60
    )
)
@pytest.mark.parametrize("kind", MAKERS)
def test_any_sequence_agrees_with_a_dict(kind: str, steps: list[tuple[str, int]]) -> None:
    rows = clustered(120)
    index = MAKERS[kind]()
    held: dict[int, int] = {}
    for step, (action, item) in enumerate(steps):
        row = (item * 7 + step) % 120
        if action == "add" and item not in held:
            index.add(rows[row : row + 1], ids=[item])
            held[item] = row
        elif action == "update" and item in held:
            index.update([item], rows[row : row + 1])
            held[item] = row
        elif action == "remove" and item in held:
            index.remove([item])
            del held[item]
    assert index.ids().tolist() == sorted(held)
    if held:
        ids = sorted(held)
        scores, found = index.search(rows[:5], len(ids))
        truth = unit(rows[:5]) @ unit(rows[[held[i] for i in ids]]).T
        np.testing.assert_allclose(scores, -np.sort(-truth, axis=1), atol=1e-5)
        assert all(sorted(row) == ids for row in found)
