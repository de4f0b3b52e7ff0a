"""Filtered search: recall at every selectivity, and exactly what may be returned."""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import gapless
from gapless import _core

DIM = 96
ROWS = 12_000
K = 10
SHARES = (1.0, 0.5, 0.1, 0.01, 0.001)
Rows = NDArray[np.float32]
Scores = NDArray[np.float64]
Ids = NDArray[np.int64]


def unit(rows: NDArray[Any]) -> Rows:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), np.float32)


@lru_cache(maxsize=1)
def data() -> tuple[Rows, Rows]:
    """Rows in 100 clusters of unequal width on a common cone, and queries like them."""
    random = np.random.default_rng(0)
    centres = random.normal(size=(100, DIM)) + 0.5
    of = random.integers(100, size=ROWS + 200)
    width = random.uniform(0.3, 1.0, size=(100, 1))
    drawn = unit(centres[of] + width[of] * random.normal(size=(ROWS + 200, DIM)))
    return drawn[:ROWS], drawn[ROWS:]


@lru_cache(maxsize=8)
def built(codes: str) -> gapless.HnswIndex:
    index = gapless.HnswIndex(DIM, m=16, ef_construction=80, codes=codes)
    index.add(data()[0])
    return index


def cases() -> list[tuple[str, Ids, Rows]]:
    """Filters drawn at random and by place, with queries anywhere, near and far."""
    rows, queries = data()
    random = np.random.default_rng(1)
    nearest = np.argsort(-(rows @ queries[0]), kind="stable")
    order = np.argsort(-(queries @ rows[nearest[0]]), kind="stable")
    made = []
    for share in SHARES:
        count = int(share * ROWS)
        drawn = np.sort(random.choice(ROWS, count, replace=False))
        made.append((f"{share} random", drawn, queries[:30]))
        made.append((f"{share} near", np.sort(nearest[:count]), queries[order[:30]]))
        made.append((f"{share} far", np.sort(nearest[:count]), queries[order[-30:]]))
    return made


def packed(ids: Ids, size: int = ROWS) -> NDArray[np.uint8]:
    mask = np.zeros(size, dtype=bool)
    mask[ids] = True
    return np.packbits(mask, bitorder="little")


def recall(found: Ids, allowed: Ids, scores: NDArray[Any]) -> float:
    """Share of answers that score as the true k-th does, by (nq, allowed) exact scores."""
    k = min(found.shape[1], len(allowed))
    floor = -np.sort(-scores, axis=1)[:, k - 1 : k]
    places = np.searchsorted(allowed, np.maximum(found[:, :k], allowed[0]))
    good = np.take_along_axis(scores, np.minimum(places, len(allowed) - 1), axis=1) >= floor - 1e-6
    return float((good & (found[:, :k] >= 0)).mean())


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("codes", ["cascade", "i8", "f32"])
def test_recall_at_every_selectivity(codes: str, aligned: bool) -> None:
    rows, _ = data()
    index = built(codes)
    mean = rows.mean(axis=0, dtype=np.float64)
    index.set_alignment(gapless.Alignment(offset=-mean) if aligned else None)
    try:
        for name, allowed, queries in cases():
            chosen = unit(rows[allowed] - mean) if aligned else rows[allowed]
            scores = queries.astype(np.float64) @ chosen.T.astype(np.float64)
            found = index.search(queries, K, filter=packed(allowed))[1]
            assert (found >= 0).all(), name
            assert np.isin(found, allowed).all(), name
            assert all(len(set(of)) == K for of in found.tolist()), name
            assert recall(found, allowed, scores) >= 0.95, name
    finally:
        index.set_alignment(None)


@pytest.mark.parametrize("matches", [0, 1, 9, 10, 600, 3000])
@pytest.mark.parametrize("k", [10, 300])
def test_never_fewer_than_match(matches: int, k: int) -> None:
    """With the matches in one corner and the queries in the other, too."""
    rows, queries = data()
    allowed = np.sort(np.argsort(rows @ queries[3], kind="stable")[:matches])
    for index in (built("cascade"), built("f32")):
        scores, found = index.search(queries[3:5], k, filter=packed(allowed))
        assert ((found >= 0).sum(axis=1) == min(k, matches)).all()
        assert np.isin(found[found >= 0], allowed).all()
        assert np.isneginf(scores[found < 0]).all()


def test_a_filter_object_is_what_its_array_is() -> None:
    _, queries = data()
    index = built("cascade")
    for _, allowed, _ in cases()[:9]:
        bits = packed(allowed)
        wanted = index.search(queries[:20], K, filter=bits)
        for made in (_core.Filter(bits), _core.Filter(allowed), _core.Filter(allowed[::-1])):
            assert len(made) == len(allowed)
            assert made.allows(int(allowed[0]))
            assert not made.allows(-1)
            for _ in range(2):
                found = index.search(queries[:20], K, filter=made)
                np.testing.assert_array_equal(found[1], wanted[1])
                np.testing.assert_array_equal(found[0], wanted[0])


def test_ids_without_a_row_are_ignored() -> None:
    _, queries = data()
    index = built("cascade")
    allowed = np.append(np.arange(700), np.arange(ROWS, 10 * ROWS))
    wanted = index.search(queries[:20], K, filter=np.arange(700))[1]
    for made in (allowed, packed(allowed, 10 * ROWS), np.append(allowed, [-7, 2**62])):
        np.testing.assert_array_equal(index.search(queries[:20], K, filter=made)[1], wanted)
    assert (index.search(queries[:3], K, filter=np.arange(ROWS, 2 * ROWS))[1] == -1).all()


@pytest.mark.parametrize("kind", ["labels", "bits"])
def test_a_filter_of_items_allows_all_rows_of_these(kind: str) -> None:
    rows, queries = data()
    random = np.random.default_rng(2)
    ordinals = np.concatenate([np.arange(n) for n in random.integers(1, 5, size=2000)])
    items = np.cumsum(ordinals == 0) - 1
    labels = (ordinals << 40) | items
    rows = rows[: len(labels)]
    index = gapless.HnswIndex(DIM, m=16, ef_construction=80)
    index.add(rows, ids=labels)
    flat = gapless.FlatIndex(DIM)
    flat.add(rows, ids=labels)
    for share in (0.5, 0.02):
        chosen = np.flatnonzero(random.random(2000) < share)
        of = _core.Filter(chosen if kind == "labels" else packed(chosen, 2000), items=True)
        allowed = np.flatnonzero(np.isin(items, chosen))
        scores = queries[:30] @ rows[allowed].T
        best = labels[allowed][np.argsort(-scores, axis=1, kind="stable")[:, :K]]
        exact = flat.search(queries[:30], K, filter=of)[1]
        assert (exact == best).mean() >= 0.99
        found = index.search(queries[:30], K, filter=of)[1]
        assert np.isin(found & (2**40 - 1), chosen).all()
        hits = [len(set(a) & set(b)) for a, b in zip(found.tolist(), exact.tolist(), strict=True)]
        assert np.mean(hits) / K >= 0.95
        assert len(index.search(queries[0], len(allowed), filter=of)[1][0]) == len(allowed)
        every = index.search(queries[0], len(allowed) + 5, filter=of)[1][0]
        np.testing.assert_array_equal(np.sort(every[every >= 0]), np.sort(labels[allowed]))


def test_a_kept_filter_follows_the_rows() -> None:
    """Removed, replaced and added rows, in slots that had other rows before."""
    random = np.random.default_rng(4)
    rows = unit(random.normal(size=(3000, 16)))
    query = unit(random.normal(size=16))
    for index in (gapless.HnswIndex(16, m=8, ef_construction=40), gapless.FlatIndex(16)):
        index.add(rows)
        now = dict(enumerate(rows))
        for kept in (
            _core.Filter(np.arange(0, 9000, 3)),
            _core.Filter(packed(np.arange(600), 9000)),
        ):
            for turn in range(4):
                gone = random.choice(sorted(now), 200, replace=False)
                index.remove(gone)
                for id_ in gone.tolist():
                    del now[id_]
                fresh = 3000 + 150 * int(max([0, *(i // 150 - 19 for i in now)])) + np.arange(150)
                index.add(unit(random.normal(size=(150, 16))), ids=fresh)
                now |= dict.fromkeys(fresh.tolist(), query)
                moved = random.choice(sorted(now), 50, replace=False)
                index.update(moved, unit(random.normal(size=(50, 16))))
                allowed = np.array([i for i in sorted(now) if kept.allows(i)])
                found = index.search(query, len(allowed) + 3, filter=kept)[1][0]
                np.testing.assert_array_equal(np.sort(found[found >= 0]), allowed, f"{turn}")


def test_beside_a_writer_only_what_is_allowed_is_found() -> None:
    rows, queries = data()
    index = gapless.HnswIndex(DIM, m=8, ef_construction=40)
    index.add(rows[:4000])
    lasting = np.arange(0, 4000, 2)  # never touched
    some = _core.Filter(packed(lasting, 8000))
    few = _core.Filter(lasting[:40])
    done = threading.Event()
    wrong: list[str] = []

    def read(kept: Any, allowed: Ids) -> None:
        while not done.is_set():
            found = index.search(queries[:8], K, filter=kept, threads=1)[1]
            if not np.isin(found, allowed).all():
                wrong.append(f"{found[~np.isin(found, allowed)]}")

    readers = [
        threading.Thread(target=read, args=of) for of in ((some, lasting), (few, lasting[:40]))
    ]
    for reader in readers:
        reader.start()
    for turn in range(8):
        odd = np.arange(1 + 2 * turn, 4000, 16)
        index.remove(odd)
        index.add(rows[4000 : 4000 + len(odd)], ids=odd)
        index.update(odd, rows[odd])
    done.set()
    for reader in readers:
        reader.join()
    assert not wrong


ROW = st.lists(st.integers(-3, 3), min_size=3, max_size=3).filter(any)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.lists(st.integers(-3, 3), min_size=3, max_size=3).filter(any), min_size=1, max_size=40
    ),
    names=st.sets(st.integers(0, 60), max_size=60),
    removed=st.sets(st.integers(0, 39)),
    k=st.integers(1, 45),
    bits=st.booleans(),
    graph=st.booleans(),
)
def test_tiny_indexes_answer_as_brute_force(
    rows: list[list[int]], names: set[int], removed: set[int], k: int, bits: bool, graph: bool
) -> None:
    index = gapless.HnswIndex(3) if graph else gapless.FlatIndex(3)
    index.add(np.asarray(rows, np.float32))
    gone = sorted(removed & set(range(len(rows))))
    index.remove(gone)
    query = np.array([1.0, 2.0, -0.5], np.float32)
    left = [i for i in range(len(rows)) if i in names and i not in gone]
    ids = np.array(sorted(names), np.int64)
    given_filter = packed(ids, 64) if bits else ids
    scores, found = index.search(query, k, filter=given_filter)
    assert set(found[0][found[0] >= 0].tolist()) <= set(left)
    assert (found[0] >= 0).sum() == min(k, len(left))
    exact = sorted((unit(np.asarray(rows)[left]) @ unit(query)).tolist(), reverse=True)
    np.testing.assert_allclose(scores[0][: len(exact)], exact[:k], atol=1e-5)


def test_a_filter_names_what_was_wrong() -> None:
    with pytest.raises(gapless.errors.InvalidArgument, match="packbits"):
        _core.Filter(np.ones(8, dtype=bool))
    with pytest.raises(gapless.errors.InvalidArgument):
        _core.Filter(np.ones(8))
