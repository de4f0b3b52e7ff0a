"""A batch of questions gives what its questions give one by one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import gapless
from gapless._core import FieldSearch, FusedHits, search_fields, search_fields_batch
from gapless.errors import InvalidArgument, InvalidVector, Timeout

DIM = 24
QUESTIONS = 70  # more than a thread takes at a time
random = np.random.default_rng(5)
QUERIES = random.normal(size=(QUESTIONS, DIM)).astype(np.float32)
METHODS = ["rrf", "convex", "minmax", "zscore", "cohort", "combmax", "calibrated"]
Searches = Callable[[slice], list[FieldSearch]]


@pytest.fixture(scope="module", params=["flat", "hnsw"])
def searches(request: pytest.FixtureRequest) -> Searches:
    """Three fields with different items, one of them aligned; searches of some of the questions."""
    made = []
    for start, count in ((0, 500), (300, 400), (600, 200)):
        index = gapless.FlatIndex(DIM) if request.param == "flat" else gapless.HnswIndex(DIM)
        index.add(random.normal(size=(count, DIM)), ids=np.arange(start, start + count))
        made.append(index)
    made[1].set_alignment(gapless.Alignment(offset=np.full(DIM, 0.05)))
    calibration = gapless._core.Calibration.platt(8.0, -1.0, background=-3.0)

    def searches(part: slice) -> list[FieldSearch]:
        return [
            FieldSearch(
                index,
                QUERIES[part],
                weight=1.0 + place / 2,
                cohort=index.ids()[::7],
                calibration=calibration,
                field=f"field {place}",
            )
            for place, index in enumerate(made)
        ]

    return searches


def assert_equal_hits(one: FusedHits, other: FusedHits) -> None:
    for name in ("scores", "ids", "ranks", "raw", "normalised", "rows"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("method", METHODS)
def test_equals_its_questions_one_by_one(searches: Searches, method: str, threads: int) -> None:
    exclude = [None if i % 3 else np.arange(i, 700, 9) for i in range(QUESTIONS)]
    batch = search_fields_batch(
        searches(slice(None)), 7, method, depth=40, exclude=exclude, threads=threads
    )
    assert len(batch) == QUESTIONS
    assert batch.offsets.tolist() == list(range(0, 7 * QUESTIONS + 1, 7))
    assert batch.raw.shape == (7 * QUESTIONS, 3)
    for i in range(QUESTIONS):
        alone = search_fields(searches(slice(i, i + 1)), 7, method, depth=40, exclude=exclude[i])
        assert_equal_hits(batch[i], alone)
        assert len(alone) == 7


def test_arrays_outlive_the_batch_and_are_read_only(searches: Searches) -> None:
    batch = search_fields_batch(searches(slice(0, 3)), 5)
    last = batch[-1]
    ids, flat = last.ids, batch.ids.copy()
    assert_equal_hits(last, batch[2])
    del batch, last
    np.testing.assert_array_equal(ids, flat[10:])
    with pytest.raises(ValueError, match="read-only"):
        ids[0] = 1


def test_rankings_of_unequal_length() -> None:
    index = gapless.FlatIndex(2)
    index.add(np.eye(2), ids=[4, 9])
    hits = search_fields_batch(
        [FieldSearch(index, [[1, 0], [1, 0], [0, 1]])], 5, exclude=[[4], None, [4, 9]]
    )
    assert hits.offsets.tolist() == [0, 1, 3, 3]
    assert hits.ids.tolist() == [9, 4, 9]
    assert len(hits[2]) == 0
    assert hits[2].raw.shape == (0, 1)


def test_no_questions(searches: Searches) -> None:
    batch = search_fields_batch(searches(slice(0, 0)), 5, "cohort")
    assert len(batch) == 0
    assert batch.offsets.tolist() == [0]
    assert batch.ids.shape == (0,)
    with pytest.raises(IndexError):
        batch[0]


def test_timeout(searches: Searches) -> None:
    with pytest.raises(Timeout, match=r"timeout = 1e-09 s: \d+ of 70 questions are answered"):
        search_fields_batch(searches(slice(None)), 5, timeout=1e-9)
    with pytest.raises(TimeoutError, match="0 of 3 lists are searched"):
        search_fields(searches(slice(0, 1)), 5, timeout=1e-9)
    assert len(search_fields(searches(slice(0, 1)), 5, timeout=600)) == 5


def test_bad_input(searches: Searches) -> None:
    index = gapless.FlatIndex(DIM)
    index.add(QUERIES)
    with pytest.raises(InvalidArgument, match="list 1 has 3 questions and list 0 has 4"):
        search_fields_batch([FieldSearch(index, QUERIES[:n]) for n in (4, 3)], 5)
    with pytest.raises(InvalidArgument, match="exclude is for 1 questions and there are 4"):
        search_fields_batch([FieldSearch(index, QUERIES[:4])], 5, exclude=[[1]])
    with pytest.raises(InvalidArgument, match="use search_fields_batch"):
        search_fields(searches(slice(0, 2)), 5)
    for timeout in (0.0, -1.0, float("nan")):
        with pytest.raises(InvalidArgument, match="timeout is"):
            search_fields(searches(slice(0, 1)), 5, timeout=timeout)
    zero = QUERIES.copy()
    zero[50] = 0
    with pytest.raises(InvalidVector, match="query 50 is zero"):
        search_fields_batch([FieldSearch(index, zero)], 5)
    with pytest.raises(InvalidArgument, match="threads is 0"):
        search_fields_batch(searches(slice(None)), 5, threads=0)
