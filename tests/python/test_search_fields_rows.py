"""search_fields over items with several rows in a field, quotas, and what is at the edges."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import gapless
from gapless._core import FieldSearch, search_fields, search_fields_batch
from gapless.errors import InvalidArgument, InvalidVector

DIM = 16
SHIFT = 40  # a row's label is ordinal << SHIFT | item
Index = gapless.FlatIndex | gapless.HnswIndex
random = np.random.default_rng(23)
QUERY = random.normal(size=DIM).astype(np.float32)


def near_query(count: int, noise: float) -> np.ndarray:
    return (QUERY + noise * random.normal(size=(count, DIM))).astype(np.float32)


@pytest.fixture(params=["flat", "hnsw"])
def frames(request: pytest.FixtureRequest) -> Index:
    """Items 0 to 59: the first has 400 rows near the query, each other one 1 to 4 further off."""
    index: Index = gapless.FlatIndex(DIM) if request.param == "flat" else gapless.HnswIndex(DIM)
    index.add(near_query(400, 0.05), ids=np.arange(400) << SHIFT)
    for item in range(1, 60):
        count = item % 4 + 1
        index.add(near_query(count, 2.0), ids=np.arange(count) << SHIFT | item)
    return index


@pytest.mark.parametrize("rule", ["max", "mean", "maxsim"])
def test_an_item_of_many_rows_takes_one_place(frames: Index, rule: str) -> None:
    hits = search_fields([FieldSearch(frames, QUERY, several=True, rule=rule)], 60, depth=25)
    assert len(hits) == len(set(hits.ids.tolist())) == 25
    assert hits.ranks[:, 0].tolist() == list(range(1, 26))
    assert hits.ids[0] == 0
    rows = frames.vectors(np.arange(400) << SHIFT) @ (QUERY / np.linalg.norm(QUERY))
    assert hits.rows[0, 0] == rows.argmax()
    wanted = rows.mean() if rule == "mean" else rows.max()
    np.testing.assert_allclose(hits.raw[0, 0], wanted, rtol=1e-5)


def test_excluded_items_leave_no_gap(frames: Index) -> None:
    search = FieldSearch(frames, QUERY, several=True)
    all_of_them = search_fields([search], 60, depth=30).ids.tolist()
    hits = search_fields([search], 60, depth=25, exclude=all_of_them[:5])
    assert hits.ids.tolist() == all_of_them[5:]


def test_filters_name_items(frames: Index) -> None:
    hits = search_fields([FieldSearch(frames, QUERY, several=True, filter=[0, 7, 1000])], 10)
    assert hits.ids.tolist() == [0, 7]
    mask = np.packbits(np.arange(60) == 7, bitorder="little")
    hits = search_fields([FieldSearch(frames, QUERY, several=True, filter=mask)], 10)
    assert hits.ids.tolist() == [7]
    nothing = np.zeros(0, np.uint8)
    assert len(search_fields([FieldSearch(frames, QUERY, several=True, filter=nothing)], 10)) == 0


def test_quotas_are_exact() -> None:
    """16 texts and 16 images, of which 3 items are both."""
    image, text = gapless.FlatIndex(DIM), gapless.FlatIndex(DIM)
    image.add(near_query(200, 3.0), ids=np.arange(200))
    text.add(near_query(200, 3.0), ids=np.arange(180, 380))
    searches = [FieldSearch(image, QUERY, depth=16), FieldSearch(text, QUERY, depth=16)]
    hits = search_fields(searches, 32, depth=100)
    assert sorted(hits.ranks[hits.ranks[:, 0] > 0, 0]) == list(range(1, 17))
    assert sorted(hits.ranks[hits.ranks[:, 1] > 0, 1]) == list(range(1, 17))
    assert len(hits) == 32 - int((hits.ranks > 0).all(axis=1).sum())


def test_large_ids_of_plain_fields_are_no_ordinals() -> None:
    index = gapless.FlatIndex(DIM)
    ids = (np.arange(50) % 5 << SHIFT) + np.arange(50) // 5
    index.add(near_query(50, 1.0), ids=ids)
    hits = search_fields([FieldSearch(index, QUERY)], 50)
    assert sorted(hits.ids.tolist()) == sorted(ids.tolist())
    assert (hits.rows == 0).all()
    tokens = near_query(3, 1.0)
    late = search_fields([FieldSearch(index, tokens, rule="maxsim")], 50)
    cosines = (index.vectors(late.ids) @ tokens.T / np.linalg.norm(tokens, axis=1)).mean(axis=1)
    np.testing.assert_allclose(late.raw[:, 0], cosines, rtol=1e-5)


def test_sixty_four_lists_some_of_them_empty() -> None:
    made = []
    for place in range(64):
        index = gapless.FlatIndex(DIM)
        if place % 3:
            index.add(near_query(30, 2.0), ids=np.arange(place, place + 30))
        made.append(index)
    hits = search_fields([FieldSearch(index, QUERY) for index in made], 1000, depth=10)
    assert hits.ranks.shape == (len(hits), 64)
    assert (hits.ranks[:, ::3] == 0).all()
    assert np.isnan(hits.raw[:, ::3]).all()
    wanted = np.where(hits.ranks > 0, 1 / (60.0 + np.maximum(hits.ranks, 1)), 0).sum(axis=1)
    np.testing.assert_allclose(hits.scores, wanted, rtol=1e-12)
    assert (hits.raw[hits.ranks > 0] >= -1).all()


def test_only_winners_are_completed_where_ranks_decide() -> None:
    image, text = gapless.FlatIndex(DIM), gapless.FlatIndex(DIM)
    image.add(near_query(40, 2.0))
    text.add(near_query(40, 2.0))
    hits = search_fields([FieldSearch(image, QUERY), FieldSearch(text, QUERY)], 5, depth=6)
    for column, index in enumerate((image, text)):
        np.testing.assert_array_equal(hits.raw[:, column], index.score(QUERY, hits.ids))
        assert (hits.ranks[:, column] == 0).any()
        assert (hits.rows[:, column] == 0).all()


@pytest.mark.parametrize("rule", ["max", "mean", "maxsim"])
def test_searches_beside_a_writer(frames: Index, rule: str) -> None:
    """Items come and go; every ranking holds whole items, each once, best first."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def write() -> None:
        rng = np.random.default_rng(1)
        try:
            while not stop.is_set():
                for item in rng.permutation(np.arange(1, 60))[:8]:
                    labels = np.arange(item % 4 + 1) << SHIFT | item
                    frames.remove(labels[::-1])
                    frames.add(near_query(len(labels), 2.0), ids=labels)
        except BaseException as failure:
            failures.append(failure)

    other = gapless.FlatIndex(DIM)
    other.add(near_query(60, 2.0))
    queries = near_query(40, 1.0)
    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(15):
            hits = search_fields_batch(
                [
                    FieldSearch(frames, queries, several=True, rule=rule),
                    FieldSearch(other, queries),
                ]
                if rule != "maxsim"
                else [
                    FieldSearch(frames, queries, several=True, rule=rule, tokens=np.full(20, 2)),
                    FieldSearch(other, queries[::2]),
                ],
                10,
                "minmax",
                depth=20,
            )
            for one in (hits[i] for i in range(len(hits))):
                assert len(one) == len(set(one.ids.tolist())) == 10
                assert (np.diff(one.scores) <= 0).all()
                assert np.isfinite(one.raw[one.ranks > 0]).all()
    finally:
        stop.set()
        writer.join()
    assert not failures


def test_bad_input(frames: Index) -> None:
    with pytest.raises(InvalidArgument, match="rule 'best' is not known; use one of max, mean"):
        FieldSearch(frames, QUERY, several=True, rule="best")
    with pytest.raises(InvalidArgument, match="tokens are given"):
        FieldSearch(frames, QUERY, several=True, tokens=[1])
    with pytest.raises(InvalidArgument, match="tokens count 3 query rows and there are 2"):
        FieldSearch(frames, np.ones((2, DIM)), several=True, rule="maxsim", tokens=[1, 2])
    with pytest.raises(InvalidArgument, match="tokens is 0"):
        FieldSearch(frames, np.ones((1, DIM)), several=True, rule="maxsim", tokens=[1, 0])
    with pytest.raises(InvalidVector, match="give \\(n, dim\\)"):
        FieldSearch(frames, np.ones((2, 2, DIM)))
    with pytest.raises(InvalidArgument, match="depth is 0"):
        FieldSearch(frames, QUERY, depth=0)
    empty = np.ones((0, DIM))
    with pytest.raises(InvalidArgument, match="list 0 has 0 query rows for question 0"):
        search_fields([FieldSearch(frames, empty, several=True, rule="maxsim")], 5)
