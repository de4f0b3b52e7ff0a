"""FlatIndex against float64 arithmetic, where it scans codes: the same rows in the same order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import gapless

COUNT = 7000  # rows enough to be coded
CLOSE = 1e-6  # scores nearer than this may stand in either order
Floats = NDArray[np.float32]
Wide = NDArray[np.float64]


def decaying(count: int, dim: int, seed: int = 0) -> Floats:
    """Rows that vary most in a few directions, as embeddings do: their codes say much."""
    random = np.random.default_rng(seed)
    rows = random.normal(size=(count, dim)) / (1 + np.arange(dim) / 6) + 0.3
    return rows.astype(np.float32)


def unit(rows: Any) -> Wide:
    wide = np.asarray(rows, dtype=np.float64)
    return np.asarray(wide / np.linalg.norm(wide, axis=-1, keepdims=True))


def coded(rows: Floats) -> gapless.FlatIndex:
    index = gapless.FlatIndex(rows.shape[1])
    index.add(rows)
    assert index.memory["codes"] > 0.5 * rows.size
    return index


def check(
    index: gapless.FlatIndex,
    queries: Floats,
    k: int,
    allowed: NDArray[np.int64] | None = None,
    threads: int | None = None,
) -> None:
    """Compare a search with float64 arithmetic on the rows of the index."""
    ids = index.ids() if allowed is None else np.intersect1d(index.ids(), allowed)
    rows = index.vectors(ids).astype(np.float64)
    wanted, alignment = unit(queries), index.alignment
    slack = np.full(len(ids), CLOSE)  # of a score
    if alignment is None:
        truth = wanted @ rows.T
    else:
        moved = rows if alignment.linear is None else rows @ alignment.linear.T.astype(np.float64)
        moved = moved + (0 if alignment.offset is None else alignment.offset.astype(np.float64))
        length = np.linalg.norm(moved, axis=1)
        r = np.where(length < 1e-6, 0.0, 1 / np.maximum(length, 1e-7))
        truth = (wanted @ moved.T) * r
        # A short row's direction is what float32 leaves of it.
        slack = CLOSE * np.maximum(1.0, 4 * r)
    scores, found = index.search(queries, k, filter=allowed, threads=threads)
    assert scores.shape == found.shape == (len(queries), k)
    full = min(k, len(ids))
    assert (found[:, full:] == -1).all()
    assert np.isneginf(scores[:, full:]).all()
    for q in range(len(queries)):
        got, at = found[q, :full], np.searchsorted(ids, found[q, :full])
        assert len(set(got.tolist())) == full
        assert (ids[at] == got).all()
        assert (np.abs(scores[q, :full] - truth[q, at]) <= slack[at]).all()
        order = np.lexsort((got, -scores[q, :full]))
        assert (order == np.arange(full)).all()
        left_out = np.ones(len(ids), dtype=bool)
        left_out[at] = False
        if left_out.any():
            worst = scores[q, full - 1]
            assert (truth[q, left_out] - slack[left_out] <= worst).all()


@pytest.mark.parametrize("dim", [1, 3, 37, 64, 130, 385])
def test_every_dim_is_exact(dim: int) -> None:
    index = coded(decaying(COUNT, dim))
    check(index, decaying(9, dim, seed=1), 10)
    check(index, index.vectors(np.arange(3)), 4)


@pytest.mark.parametrize("batch", [1, 7, 33, 600])
@pytest.mark.parametrize("threads", [None, 1, 2])
def test_every_batch_is_exact(batch: int, threads: int | None) -> None:
    index = coded(decaying(COUNT, 48))
    queries = decaying(batch, 48, seed=1)
    check(index, queries, 10, threads=threads)
    single = [index.search(query, 10) for query in queries]
    scores, ids = index.search(queries, 10, threads=threads)
    assert (np.concatenate([found for _, found in single]) == ids).all()
    assert (np.concatenate([found for found, _ in single]) == scores).all()


def test_every_k_is_exact() -> None:
    index = coded(decaying(COUNT, 20))
    for k in (1, 2, 100, 1000, COUNT - 1, COUNT, COUNT + 3):
        check(index, decaying(3, 20, seed=1), k)
        check(index, decaying(1, 20, seed=2), k)


@pytest.mark.parametrize("spread", ["sphere", "one direction", "huge outliers"])
def test_rows_that_codes_say_little_of(spread: str) -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(COUNT, 96)).astype(np.float32)
    if spread == "one direction":
        rows = rows * 1e-4 + 1
    if spread == "huge outliers":
        rows[::50] *= np.where(random.random(96) < 0.05, 1000, 1)
    index = coded(rows.astype(np.float32))
    check(index, random.normal(size=(40, 96)).astype(np.float32), 10)
    check(index, rows[:5], 10)


def test_equal_rows_come_by_id() -> None:
    rows = np.repeat(decaying(COUNT // 50, 40), 50, axis=0)
    index = gapless.FlatIndex(40)
    ids = np.random.default_rng(1).permutation(len(rows)) * 3
    index.add(rows, ids=ids)
    assert index.memory["codes"] > 0
    check(index, decaying(12, 40, seed=1), 130)
    scores, found = index.search(rows[:1], 20)
    assert found[0].tolist() == sorted(ids[:50].tolist())[:20]
    assert len(set(scores[0].tolist())) == 1


def test_rows_that_come_go_and_change() -> None:
    random = np.random.default_rng(5)
    index = coded(decaying(COUNT, 33))
    queries = decaying(8, 33, seed=1)
    before = index.memory["codes"]
    for step in range(12):
        index.remove(random.choice(index.ids(), 200, replace=False))
        check(index, queries, 10)
        changed = random.choice(index.ids(), 300, replace=False)
        index.update(changed, decaying(300, 33, seed=100 + step))
        check(index, queries, 10)
        check(index, index.vectors(changed[:2]), 3)
        index.add(decaying(900, 33, seed=200 + step))  # some wait for codes, some bring new ones
        check(index, queries, 10)
        check(index, index.vectors(index.ids()[-2:]), 3)
    assert index.memory["codes"] > 1.5 * before


def test_growth_that_renumbers_keeps_codes_with_their_rows() -> None:
    index = coded(decaying(COUNT, 33))
    queries = decaying(20, 33, seed=1)
    index.remove(np.arange(0, COUNT, 3))
    for step in range(40):  # small ones: no codes are made anew
        index.add(decaying(100, 33, seed=step + 1))
        if step % 5 == 0:
            check(index, queries, 10)
    check(index, queries, 10, threads=1)


def test_rows_after_all_that_were_coded_have_gone() -> None:
    index = coded(decaying(COUNT, 33))
    index.remove(index.ids())
    for count in (100, 300, 5000, 9000):
        index.add(decaying(count, 33, seed=count))
        check(index, decaying(20, 33, seed=1), 10)
    assert index.memory["codes"] > 14000 * 33


def test_many_rows_of_another_kind_after_few() -> None:
    index = coded(decaying(5000, 40))
    rows = decaying(30000, 40, seed=9)[:, ::-1].copy()
    index.add(rows)
    check(index, rows[:20], 10)
    check(index, decaying(20, 40, seed=2), 10)


def alignment_of(name: str, rows: Wide) -> gapless.Alignment:
    random = np.random.default_rng(3)
    dim = rows.shape[1]
    linear = random.normal(size=(dim, dim)) / np.sqrt(dim)
    match name:
        case "centred":
            return gapless.Alignment(offset=-rows.mean(axis=0))
        case "linear":
            return gapless.Alignment(linear=linear)
        case "affine":
            return gapless.Alignment(offset=0.3 * random.normal(size=dim), linear=linear)
        case "no direction":  # r = 0 for a third of the rows
            flat = np.diag(np.arange(dim) >= 12).astype(np.float64)
            return gapless.Alignment(linear=flat)
    return gapless.Alignment(offset=-rows[7] + 3e-6 * random.normal(size=dim))  # r of 1e5


@pytest.mark.parametrize("name", ["centred", "linear", "affine", "no direction", "huge"])
def test_alignments_are_exact(name: str) -> None:
    rows = decaying(COUNT, 36)
    if name == "no direction":
        rows[::3, 12:] = 0
    index = coded(rows)
    alignment = alignment_of(name, index.vectors(index.ids()).astype(np.float64))
    index.set_alignment(alignment)
    queries = np.concatenate([decaying(30, 36, seed=1), rows[5:9]])
    if name == "no direction":
        queries *= np.where(np.arange(36) % 2, -1, 1)  # so that 0 is a good score to some
        assert (index.search(queries, 3000)[0] == 0).any()
    check(index, queries, 10)
    check(index, queries[:1], 10)
    index.add(decaying(500, 36, seed=8))
    index.remove(np.arange(0, 500, 2))
    check(index, queries, 10, threads=2)
    check(index, queries, 5, allowed=np.arange(1, COUNT, 2))
    index.set_alignment(None)
    check(index, queries, 10)


@pytest.mark.parametrize("matches", [0, 1, 40, 1500, 3000, COUNT - 5])
def test_filters_are_exact(matches: int) -> None:
    index = coded(decaying(COUNT, 50))
    index.remove(np.arange(0, 600, 2))
    index.add(decaying(300, 50, seed=4))
    allowed = np.sort(np.random.default_rng(6).choice(COUNT + 300, matches, replace=False))
    queries = decaying(35, 50, seed=1)
    check(index, queries, 10, allowed=allowed)
    check(index, queries[:1], 10, allowed=allowed)
    bits = np.zeros(COUNT + 300, dtype=np.uint8)
    bits[allowed] = 1
    by_bits = index.search(queries, 10, filter=np.packbits(bits, bitorder="little"))
    by_ids = index.search(queries, 10, filter=allowed)
    assert (by_bits[1] == by_ids[1]).all()
    assert (by_bits[0] == by_ids[0]).all()


def test_a_loaded_index_has_its_codes_again(tmp_path: Path) -> None:
    index = coded(decaying(COUNT, 45))
    index.remove(np.arange(0, 900, 2))
    index.add(decaying(200, 45, seed=3))
    index.set_alignment(gapless.Alignment(offset=np.full(45, -0.05)))
    index.save(tmp_path / "rows.seg")
    again = gapless.FlatIndex.load(tmp_path / "rows.seg")
    assert again.memory["codes"] > 0
    queries = decaying(30, 45, seed=1)
    check(again, queries, 10)
    for one, other in zip(index.search(queries, 10), again.search(queries, 10), strict=True):
        assert (one == other).all()


def test_few_rows_have_no_codes() -> None:
    index = gapless.FlatIndex(16)
    index.add(decaying(1000, 16))
    assert index.memory["codes"] < 1000
    check(index, decaying(9, 16, seed=1), 10)


@contextmanager
def readers(count: int, read: Callable[[np.random.Generator], None]) -> Iterator[threading.Event]:
    """Threads that repeat `read` beside the body; the event is set once one of them has failed."""
    stop, failures = threading.Event(), []

    def repeat(seed: int) -> None:
        random = np.random.default_rng(seed)
        try:
            while not stop.is_set():
                read(random)
        except BaseException as failure:  # a thread must not swallow it
            failures.append(failure)
            stop.set()

    threads = [threading.Thread(target=repeat, args=(seed,)) for seed in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield stop
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []


@pytest.mark.parametrize("batch", [1, 5, 40])
def test_readers_beside_a_writer_see_every_row_that_stays(batch: int) -> None:
    """Each row that stays is the best answer to itself; what moves is found once or not at all."""
    dim, stay = 24, 6000
    rows = decaying(stay, dim)
    index = coded(rows)
    moving = np.arange(stay, stay + 1500)
    index.add(decaying(len(moving), dim, seed=1), ids=moving)
    targets = decaying(40, dim, seed=2)

    def read(random: np.random.Generator) -> None:
        wanted = random.integers(0, stay, batch)
        _, ids = index.search(rows[wanted], 1)
        assert (ids[:, 0] == wanted).all(), "a row that stays was not found"
        scores, ids = index.search(targets[random.integers(0, 40, batch)], 12)
        assert (ids >= 0).all(), "fewer rows than there are"
        assert all(len(set(row)) == 12 for row in ids.tolist()), "one row twice"
        assert (np.diff(scores, axis=1) <= 0).all(), "scores out of order"

    random = np.random.default_rng(7)
    with readers(3, read) as failed:
        for step in range(60):
            # What moves lies where the targets are, so that it comes into their answers and goes.
            near = targets[random.integers(0, 40, 150)]
            near = near + random.normal(size=near.shape) * random.choice([0.02, 3.0])
            index.update(random.choice(moving, 150, replace=False), near.astype(np.float32))
            if step % 10 == 9:
                index.remove(moving[:500])
                index.add(decaying(500, dim, seed=step), ids=moving[:500])
            if failed.is_set():
                break
    check(index, targets, 12)


@pytest.mark.parametrize("batch", [1, 3])
def test_a_row_that_is_updated_is_there_before_or_after(batch: int) -> None:
    dim, count = 8, 5000
    index = coded(decaying(count, dim))
    query = decaying(batch, dim, seed=1)

    def read(_: np.random.Generator) -> None:
        for ids in index.search(query, count)[1]:
            assert (np.sort(ids) == np.arange(count)).all()

    random = np.random.default_rng(7)
    with readers(2, read) as failed:
        for step in range(150):
            changed = random.choice(count, 40, replace=False)
            index.update(changed, decaying(40, dim, seed=step))
            if failed.is_set():
                break
