"""A graph that lives: rows come, change and go, by one thread or many, and all stay findable."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

import gapless
from gapless.errors import InvalidArgument
from graph_kit import CODES, check_sound, clustered, nearest, recall

DIM = 96


def build(codes: str = "auto", m: int = 8, dim: int = DIM) -> gapless.HnswIndex:
    return gapless.HnswIndex(dim, m=m, ef_construction=60, codes=codes)


@pytest.mark.parametrize("codes", CODES)
def test_ten_times_turnover_costs_no_recall_and_no_room(codes: str) -> None:
    count, tenth = 2000, 200
    rows, queries = clustered(count * 11, DIM), clustered(100, DIM, seed=1)
    index = build(codes)
    index.add(rows[:count])
    for begin in range(0, count * 10, tenth):
        index.remove(np.arange(begin, begin + tenth))
        index.add(rows[begin + count : begin + count + tenth])
        if begin == 3 * count:
            room = index.memory_bytes
    assert index.memory_bytes <= 1.2 * room
    check_sound(index)
    last = np.arange(count * 10, count * 11)
    np.testing.assert_array_equal(index.ids(), last)
    fresh = build(codes)
    fresh.add(rows[last], ids=last)
    truth = last[nearest(queries, rows[last], 10)]
    for ef in (20, 64):
        turned, new = (recall(each.search(queries, 10, ef=ef)[1], truth) for each in (index, fresh))
        assert turned >= new - 0.01, ef


@pytest.mark.parametrize("m", [2, 8])
def test_every_row_is_reachable_when_whole_clusters_go(m: int) -> None:
    for seed in range(4):
        random = np.random.default_rng(seed)
        centres = np.repeat(6 * random.normal(size=(20, 32)), 100, axis=0)
        rows = (centres + 0.3 * random.normal(size=centres.shape)).astype(np.float32)
        index = build(m=m, dim=32)
        index.add(rows)
        alive = np.arange(2000)
        for _ in range(4):
            shrunk = np.isin(alive // 100, random.choice(20, 6, replace=False))
            gone = alive[shrunk & (random.random(len(alive)) < 0.9)]
            index.remove(gone)
            check_sound(index)
            index.add(rows[gone[::2]], ids=gone[::2])
            check_sound(index)
            alive = np.union1d(np.setdiff1d(alive, gone), gone[::2])
        np.testing.assert_array_equal(index.ids(), alive)


def test_random_life_stays_sound(tmp_path: Path) -> None:
    random = np.random.default_rng(4)
    rows = clustered(4000, DIM)
    index = build()
    held: dict[int, int] = {}
    for step in range(60):
        ids = np.array(sorted(held), dtype=np.int64)
        some = random.permutation(ids)[: random.integers(0, 60)]
        match step % 4:
            case 0 | 1:
                new = np.arange(step * 100, step * 100 + random.integers(1, 100))
                index.add(rows[new % 4000], ids=new)
                held |= {int(i): int(i) % 4000 for i in new}
            case 2:
                index.remove(some)
                for i in some:
                    del held[int(i)]
            case _:
                index.update(some, rows[(some * 7 + step) % 4000])
                held |= {int(i): int(i * 7 + step) % 4000 for i in some}
        if step % 20 == 19:
            index.save(tmp_path / "life.seg")
            index = gapless.HnswIndex.load(tmp_path / "life.seg")
        check_sound(index)
    ids = np.array(sorted(held))
    np.testing.assert_array_equal(index.ids(), ids)
    wanted = rows[[held[int(i)] for i in ids]]
    scores = index.search(wanted, 1, ef=100)[0][:, 0]
    assert (scores > 0.999).mean() >= 0.99


def test_many_threads_write_and_read_at_once() -> None:
    rows = clustered(3000, DIM)
    index = build()
    index.add(rows[:400], ids=np.arange(400))
    stop = threading.Event()
    trouble: list[BaseException] = []

    def guarded(work: object, *args: object) -> None:
        try:
            work(*args)  # type: ignore[operator]
        except BaseException as error:
            trouble.append(error)

    def write(who: int) -> None:
        base = 10_000 * (who + 1)
        for turn in range(8):
            ids = base + turn * 50 + np.arange(50)
            index.add(rows[(ids * 3) % 3000], ids=ids, threads=2)
            index.update(ids[:20], rows[(ids[:20] * 5) % 3000])
            index.remove(ids[20:30])
            index.update(np.arange(who, 400, 9), rows[np.arange(who, 400, 9) + turn + 1])

    def read(seed: int) -> None:
        queries = clustered(4, DIM, seed=seed)
        while not stop.is_set():
            scores, ids = index.search(queries, 20)
            assert (ids >= 0).all()
            assert (np.diff(scores, axis=1) <= 0).all()
            assert index.contains(np.arange(400)).all()
            assert not np.isnan(index.score(queries[0], np.arange(400))).any()
            assert len(index) >= 400

    writers = [threading.Thread(target=guarded, args=(write, i)) for i in range(3)]
    readers = [threading.Thread(target=guarded, args=(read, 10 + i)) for i in range(2)]
    for thread in writers + readers:
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    for thread in readers:
        thread.join()
    assert trouble == []
    assert len(index) == 400 + 3 * 8 * 40
    check_sound(index)
    held = index.ids()
    found = index.search(index.vectors(held), 1, ef=100)[0][:, 0]
    assert (found > 0.999).mean() >= 0.99


@pytest.mark.parametrize("kind", ["flat", "hnsw"])
def test_no_id_comes_twice_beside_updates(kind: str) -> None:
    index = gapless.FlatIndex(DIM) if kind == "flat" else build()
    rows = np.repeat(clustered(1, DIM), 200, axis=0)
    index.add(rows)
    stop = threading.Event()
    twice: list[int] = []

    def read() -> None:
        while not stop.is_set():
            ids = index.search(rows[0], 210)[1][0]
            ids = ids[ids >= 0]
            if len(set(ids.tolist())) != len(ids):
                twice.append(len(ids))

    reader = threading.Thread(target=read)
    reader.start()
    random = np.random.default_rng(0)
    for turn in range(300):
        some = random.choice(200, 10, replace=False)
        index.update(some, rows[some] + turn % 2 * 1e-4 * random.normal(size=(10, DIM)))
    stop.set()
    reader.join()
    assert twice == []


def test_an_asked_recall_is_reached() -> None:
    rows, queries = clustered(5000, DIM), clustered(300, DIM, seed=1)
    index = build(m=16)
    index.add(rows)
    truth = nearest(queries, rows, 10)
    for wanted in (0.9, 0.95, 0.99):
        assert recall(index.search(queries, 10, recall=wanted)[1], truth) >= wanted - 0.03
    for wrong in (0.0, 1.0, -0.5, 1.5, float("nan"), float("inf")):
        with pytest.raises(InvalidArgument, match="it must lie between 0 and 1"):
            index.search(queries, 10, recall=wrong)
    with pytest.raises(InvalidArgument, match="ef and recall are both given"):
        index.search(queries, 10, ef=50, recall=0.9)
    # An effort below k, and a k beyond the rows.
    assert (index.search(queries[:3], 50, ef=1)[1] >= 0).all()
    scores, ids = index.search(queries[0], 6000)
    assert sorted(ids[0, :5000]) == list(range(5000))
    assert (ids[0, 5000:] == -1).all()
    assert np.isneginf(scores[0, 5000:]).all()
