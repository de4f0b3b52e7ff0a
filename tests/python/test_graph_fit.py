"""What a sample of queries of another modality changes, alone and with an alignment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import gapless
from graph_kit import Ids, Rows, check_sound, clustered, recall, unit

DIM = 128
COUNT, FEW = 20_000, 4000
EFFORTS = (10, 16, 32, 64, 128)
AWAY = np.random.default_rng(5).normal(size=DIM)  # from the rows to where the others lie
Found = list[NDArray[Any]]


def others(count: int, seed: int, shift: float = 3.0, noise: float = 1.0) -> Rows:
    """Queries as of another modality: where no row is, and noisier than rows."""
    spread = np.random.default_rng(1000 + seed).normal(size=(count, DIM))
    return (clustered(count, DIM, seed) + shift * AWAY + noise * spread).astype(np.float32)


def best(scores: NDArray[np.float64], k: int = 10) -> Ids:
    some = np.argpartition(-scores, k, axis=1)[:, :k]
    order = np.argsort(-np.take_along_axis(scores, some, axis=1), axis=1)
    return np.asarray(np.take_along_axis(some, order, axis=1))


def recalls(index: gapless.HnswIndex, queries: Rows, truth: Ids, **how: Any) -> NDArray[Any]:
    return np.array([recall(index.search(queries, 10, ef=e, **how)[1], truth) for e in EFFORTS])


def answers(index: gapless.HnswIndex, queries: Rows, modality: str = "text") -> Found:
    """All that searches give, by two efforts."""
    by_ef = [index.search(queries, 10, ef=ef, query_modality=modality) for ef in (16, 64)]
    return [part for found in by_ef for part in found]


def same(some: Found, more: Found) -> bool:
    return all((a == b).all() for a, b in zip(some, more, strict=True))


def saver(rows: Rows, folder: Path) -> Callable[[], gapless.HnswIndex]:
    """Hands out copies of one index."""
    index = gapless.HnswIndex(DIM, m=16, ef_construction=80)
    index.add(rows)
    index.save(folder / "index.seg")
    return lambda: gapless.HnswIndex.load(folder / "index.seg")


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], gapless.HnswIndex]:
    return saver(clustered(COUNT, DIM), tmp_path_factory.mktemp("many"))


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], gapless.HnswIndex]:
    return saver(clustered(COUNT, DIM)[:FEW], tmp_path_factory.mktemp("few"))


@pytest.fixture(scope="module")
def wide() -> NDArray[np.float64]:
    return unit(clustered(COUNT, DIM))


def centring(rows: Rows, sample: Rows) -> gapless.Alignment:
    means = [unit(each).mean(axis=0) for each in (rows, sample)]
    return gapless.Alignment(offset=-means[0], query={"text": (-means[1], None)})


def test_a_sample_helps_queries_like_it_and_harms_no_others(
    many: Callable[[], gapless.HnswIndex], wide: NDArray[np.float64]
) -> None:
    index = many()
    like_rows, text = clustered(1000, DIM, seed=1), others(500, seed=1)
    truth, text_truth = best(unit(like_rows) @ wide.T), best(unit(text) @ wide.T)
    inside, outside = recalls(index, like_rows, truth), recalls(index, text, text_truth)
    before = answers(index, text) + answers(index, like_rows, "")
    index.fit_queries(others(4000, seed=2), modality="text")
    check_sound(index)

    for how in ({}, {"query_modality": ""}):
        assert (recalls(index, like_rows, truth, **how) >= inside - 0.002).all()
    fitted = recalls(index, text, text_truth, query_modality="text")
    assert (fitted >= outside - 0.002).all()
    assert (fitted - outside)[:3].mean() >= 0.12
    links_alone = recalls(index, text, text_truth)  # as queries of no known modality
    assert (links_alone - outside)[:3].mean() >= 0.08

    index.forget_queries()
    check_sound(index)
    assert same(answers(index, text) + answers(index, like_rows, ""), before)


@pytest.mark.parametrize(("shift", "noise"), [(0.5, 0.5), (3.0, 1.0)])
def test_a_recall_asked_for_is_reached_on_fresh_queries(
    many: Callable[[], gapless.HnswIndex],
    wide: NDArray[np.float64],
    shift: float,
    noise: float,
) -> None:
    index = many()
    index.fit_queries(others(2000, 2, shift, noise), modality="text")
    text = others(500, 1, shift, noise)
    truth = best(unit(text) @ wide.T)
    for wanted in (0.9, 0.95):
        found = index.search(text, 10, recall=wanted, query_modality="text")[1]
        assert recall(found, truth) >= wanted - 0.03


def test_a_recall_is_measured_again_in_a_graph_built_anew(
    few: Callable[[], gapless.HnswIndex], wide: NDArray[np.float64]
) -> None:
    """The links made for the sample are gone there, and what they made cheap costs more."""
    text, sample = others(500, seed=1), others(2000, seed=2)

    def check(index: gapless.HnswIndex, ids: Ids) -> None:
        truth = ids[best(unit(text) @ wide[ids].T)]
        for wanted in (0.9, 0.95):
            found = index.search(text, 10, recall=wanted, query_modality="text")[1]
            assert recall(found, truth) >= wanted - 0.03

    index = few()
    index.fit_queries(sample, modality="text")
    index.reindex()
    check(index, np.arange(FEW))
    index.fit_queries(sample, modality="text")
    index.remove(np.arange(0, FEW, 2))
    index.remove(np.arange(1, FEW // 2, 2))  # more than is left: built anew
    check(index, np.arange(FEW // 2 + 1, FEW, 2))

    index = few()
    index.fit_queries(sample, modality="text")
    index.set_alignment(centring(clustered(COUNT, DIM)[:FEW], sample))
    index.reindex()
    index.set_alignment(None)
    check(index, np.arange(FEW))


def test_a_recall_is_measured_again_once_many_rows_have_come_under_an_alignment(
    few: Callable[[], gapless.HnswIndex], wide: NDArray[np.float64]
) -> None:
    text, sample = others(500, seed=1), others(1000, seed=2)
    index = few()
    index.fit_queries(sample, modality="text")
    index.set_alignment(centring(clustered(COUNT, DIM)[:FEW], sample))
    index.add(clustered(COUNT, DIM)[FEW:])
    index.set_alignment(None)
    truth = best(unit(text) @ wide.T)
    found = index.search(text, 10, recall=0.9, query_modality="text")[1]
    assert recall(found, truth) >= 0.87


@pytest.mark.parametrize("modality", ["text", None])
def test_forgetting_brings_back_the_answers_of_before(
    few: Callable[[], gapless.HnswIndex], tmp_path: Path, modality: str | None
) -> None:
    text, sample = others(100, seed=1), others(1000, seed=2)
    alignment = centring(clustered(COUNT, DIM)[:FEW], sample)
    index = few()
    plain = answers(index, text)
    index.set_alignment(alignment)
    aligned = answers(index, text)
    assert not same(plain, aligned)

    index.fit_queries(sample, modality=modality)
    assert not same(answers(index, text), aligned)
    index.forget_queries()
    assert same(answers(index, text), aligned)
    index.set_alignment(None)
    assert same(answers(index, text), plain)

    index.fit_queries(sample, modality=modality)
    assert not same(answers(index, text), plain)
    index.save(tmp_path / "fitted.seg")
    loaded = gapless.HnswIndex.load(tmp_path / "fitted.seg")
    for each in (index, loaded):
        each.set_alignment(alignment)
        each.forget_queries()
        assert same(answers(each, text), aligned)
        each.set_alignment(None)
        assert same(answers(each, text), plain)
        check_sound(each)


def cone(count: int, seed: int = 0) -> Rows:
    """Rows whose mean is far from 0 and whose distances to it differ."""
    random = np.random.default_rng(seed)
    far = random.uniform(0.3, 3.0, size=(count, 1))
    return (far * clustered(count, DIM, seed) + 2 * AWAY[::-1]).astype(np.float32)


class Aligned:
    """An index under an alignment, and beside it the rows in float64."""

    def __init__(self, codes: str) -> None:
        self.rows = dict(enumerate(cone(FEW)))
        self.text = others(200, seed=1)
        self.sample = others(1000, seed=2)
        self.row_mean, self.text_mean = (
            unit(each).mean(axis=0).astype(np.float32) for each in (cone(FEW), self.sample)
        )
        self.index = gapless.HnswIndex(DIM, m=16, ef_construction=80, codes=codes)
        self.index.add(cone(FEW))
        query = {"text": (-self.text_mean, None)}
        self.index.set_alignment(gapless.Alignment(offset=-self.row_mean, query=query))

    def put(self, ids: Ids, rows: Rows) -> None:
        here = np.isin(ids, self.index.ids())
        self.index.update(ids[here], rows[here])
        self.index.add(rows[~here], ids=ids[~here])
        self.rows |= dict(zip(ids.tolist(), rows, strict=True))

    def remove(self, ids: Ids) -> None:
        self.index.remove(ids)
        for gone in ids.tolist():
            del self.rows[gone]

    def check(self, atol: float) -> None:
        ids = np.array(sorted(self.rows))
        rows = unit(unit(np.array([self.rows[i] for i in ids.tolist()])) - self.row_mean)
        wanted = unit(unit(self.text) - self.text_mean) @ rows.T
        for exact in (False, True):
            scores, found = self.index.search(
                self.text, 10, ef=400, query_modality="text", exact_scores=exact
            )
            at = np.searchsorted(ids, found)
            assert (ids[at] == found).all()
            assert (np.diff(scores, axis=1) <= 0).all()
            near = 1e-5 if exact else atol
            np.testing.assert_allclose(scores, np.take_along_axis(wanted, at, axis=1), atol=near)
            assert recall(found, ids[best(wanted)]) >= 0.97
        for query, all_wanted in zip(self.text[:20], wanted, strict=False):
            scores = self.index.score(query, ids, query_modality="text")
            np.testing.assert_allclose(scores, all_wanted, atol=1e-5)


@pytest.mark.parametrize(("codes", "atol"), [("cascade", 1e-3), ("i8", 1e-2), ("f32", 1e-5)])
def test_aligned_search_ranks_as_rows_that_were_really_centred(codes: str, atol: float) -> None:
    aligned = Aligned(codes)
    aligned.check(atol)
    aligned.index.fit_queries(aligned.sample, modality="text")
    aligned.check(atol)
    aligned.remove(np.arange(0, 900, 3))  # enough for a repair with those below
    aligned.remove(np.arange(1, 900, 3))
    aligned.put(np.arange(0, 450, 3), cone(150, seed=3))
    aligned.check(atol)
    aligned.index.reindex()
    check_sound(aligned.index)
    aligned.check(atol)
    aligned.put(np.arange(2, 900, 2), cone(449, seed=4))
    aligned.check(atol)


def test_rows_that_come_after_an_alignment_are_scaled_by_it() -> None:
    aligned = Aligned("auto")
    centred = unit(cone(FEW)) - aligned.row_mean
    lengths = np.linalg.norm(centred, axis=1)
    assert lengths.max() >= 2 * lengths.min()  # what a wrong one would show by
    for step in range(4):  # the index grows, into slots that are free and into new ones
        aligned.put(np.arange(FEW, FEW + 800) + 700 * step, cone(800, seed=10 + step))
        aligned.check(1e-3)
        aligned.remove(np.arange(200 * step, 200 * step + 200))
    aligned.check(1e-3)
