"""The pipeline by hand that bench_query.py compares with gives the answers that gapless gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import gapless as gl
import handmade
import query_data
from handmade import FaissFields, Fused
from measure import unit
from query_data import Questions

ITEMS, DIM, DEPTH, K = 600, 16, 100, 10
FIELDS = ("a", "b", "c")


@pytest.fixture(scope="module", params=query_data.KINDS)
def questions(request: pytest.FixtureRequest) -> Questions:
    rng = np.random.default_rng(1)
    fields = query_data.make([unit(rng.normal(size=(ITEMS, DIM))) for _ in FIELDS], request.param)
    queries = unit(rng.normal(size=(150, DIM)))
    return Questions(request.param, fields, queries, handmade.exact_lists(fields, queries, DEPTH))


def by_hand(
    questions: Questions,
    method: str,
    threads: int = 1,
    complete: handmade.Complete = handmade.complete_by_numpy,
) -> Fused:
    if method == "rrf":
        return handmade.rrf(questions.lists[1], K, threads=threads)
    return handmade.minmax(
        questions.lists, questions.queries, questions.fields, K, complete, threads
    )


def test_exact_lists_are_the_nearest_rows(questions: Questions) -> None:
    scores, ids = questions.lists
    for at, rows in enumerate(questions.fields):
        every = questions.queries.astype(np.float64) @ rows.T.astype(np.float64)
        np.testing.assert_array_equal(ids[:, at], np.argsort(-every, axis=1)[:, :DEPTH])
        np.testing.assert_allclose(scores[:, at], -np.sort(-every, axis=1)[:, :DEPTH], atol=1e-6)


def test_reciprocal_ranks_are_those_of_fuse(questions: Questions) -> None:
    scores, ids = questions.lists
    lists = [(scores[:, at], ids[:, at]) for at in range(len(FIELDS))]
    expected, items = gl.fuse(lists, K, "rrf")
    found, own = by_hand(questions, "rrf")
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    # Sums that differ by less than float32 tells apart may change places.
    differing = own != items
    gaps = np.abs(np.diff(expected, axis=1, append=0.0))
    assert (np.minimum(gaps, np.roll(gaps, 1, axis=1))[differing] < 1e-8).all()
    assert differing.mean() < 0.01


@pytest.mark.parametrize("method", ["rrf", "minmax"])
def test_answers_are_those_of_a_collection(
    questions: Questions, method: str, tmp_path: Path
) -> None:
    schema = gl.Schema(
        {"text": gl.Space(DIM)}, {name: gl.Field("text", "text", index="flat") for name in FIELDS}
    )
    found, own = by_hand(questions, method)
    with gl.open(tmp_path / "c", schema) as col:
        col.upsert(range(ITEMS), dict(zip(FIELDS, questions.fields, strict=True)))
        for row in range(20):
            hits = col.search(vectors={"text": questions.queries[row]}, limit=K, fusion=method)
            np.testing.assert_allclose(hits.scores, found[row], rtol=1e-4)
            true = questions.fused(method, own[row : row + 1].repeat(len(own), 0))[row]
            np.testing.assert_allclose(hits.scores, true, rtol=1e-4)


@pytest.mark.parametrize("method", ["rrf", "minmax"])
def test_threads_and_recall(questions: Questions, method: str) -> None:
    scores, ids = by_hand(questions, method)
    for again, expected in zip(by_hand(questions, method, threads=2), (scores, ids), strict=True):
        np.testing.assert_array_equal(again, expected)
    floor = questions.floor(method, K)
    assert questions.recall(method, ids, floor) == 1.0
    wrong = ids.copy()
    wrong[:, 0] = -1
    assert questions.recall(method, wrong, floor) == pytest.approx(0.9)


def test_faiss_searches_and_completes_alike(questions: Questions) -> None:
    pytest.importorskip("faiss", reason="faiss is not installed: pip install faiss-cpu")
    system = FaissFields(questions.fields, 16)
    system.build(1)
    scores, ids = system.search(questions.queries, DEPTH, 400, 2)
    assert (ids == questions.lists[1]).mean() > 0.99
    np.testing.assert_allclose(scores, questions.lists[0], atol=1e-3)
    found, own = by_hand(questions, "minmax", complete=handmade.complete_by_faiss)
    expected, items = by_hand(questions, "minmax")
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert (own == items).mean() > 0.99
    asked = np.array([[3, -1, 5]])
    dots = handmade.complete_by_faiss(questions.queries[:1], questions.fields[0], asked)
    np.testing.assert_allclose(
        dots,
        handmade.complete_by_numpy(questions.queries[:1], questions.fields[0], asked),
        rtol=1e-5,
    )


def test_other_ways_to_fuse_find_the_same(questions: Questions) -> None:
    found, own = by_hand(questions, "rrf")
    for row, ids in enumerate(questions.lists[1][:10]):
        answers = np.array(handmade.rrf_by_dict(ids.tolist(), K))
        true = questions.fused("rrf", np.tile(answers, (len(own), 1)))[row]
        np.testing.assert_allclose(true, found[row], rtol=1e-6)


@pytest.mark.filterwarnings("ignore:unsafe cast")  # of numba, when it compiles ranx
def test_ranx_finds_the_same(questions: Questions) -> None:
    call = handmade.rrf_by_ranx((questions.lists[0][:5], questions.lists[1][:5]))
    if call is None:
        pytest.skip("ranx is not installed: pip install ranx")
    fused = call().to_dict()
    for row, scores in enumerate(by_hand(questions, "rrf")[0][:5]):
        best = sorted(fused[f"q{row}"].values(), reverse=True)[:K]
        np.testing.assert_allclose(best, scores, rtol=1e-6)


def test_short_lists_end_in_no_item() -> None:
    ids = np.array([[[4, 2, -1], [2, -1, -1]]])
    found, own = handmade.rrf(ids, 2)
    np.testing.assert_array_equal(own, [[2, 4]])
    np.testing.assert_allclose(found, [[1 / 62 + 1 / 61, 1 / 61]], rtol=1e-6)
