"""A search that was planned before answers as if it were planned anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gapless as gl
from collection_kit import DIM, mixed_schema
from gapless.collection import Collection
from gapless.errors import InvalidArgument, InvalidVector
from gapless.query.repeat import key_of
from gapless.query.searcher import Searcher

N = 60


@pytest.fixture
def col(tmp_path: Path, rng: np.random.Generator) -> Any:
    rows = rng.normal(size=(N, DIM))
    with gl.open(tmp_path / "c", mixed_schema()) as made:
        made.upsert(range(N), {"image": rows, "caption": rows + rng.normal(size=(N, DIM))})
        yield made


def planned(col: Collection, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Note of every search whether it was planned."""
    seen: list[bool] = []
    again = Searcher.again

    def noted(self: Searcher, key: Any, vectors: Any) -> Any:
        found = again(self, key, vectors)
        seen.append(found is None)
        return found

    monkeypatch.setattr(Searcher, "again", noted)
    return seen


@pytest.mark.parametrize(
    "wishes",
    [
        {},
        {"fusion": "cohort"},
        {"fusion": gl.Fuse("rrf", rrf_k=7)},
        {"fields": ["image"], "limit": 3, "offset": 2},
        {"weights": {"image": 2.0, "caption": 1}},
        {"filter": {"n": {"$lt": 40}}},
        {"min_score": {"image": 0.1, "caption": 0.2}, "modality": "text"},
    ],
)
def test_the_second_time_is_not_planned_and_says_the_same(
    col: Collection, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, wishes: Any
) -> None:
    col.upsert(range(N), metadata=[{"n": i} for i in range(N)])
    queries = rng.normal(size=(5, DIM))
    wanted = [col.search(vectors={"clip": q.tolist()}, **wishes) for q in queries]
    seen = planned(col, monkeypatch)
    found = [col.search(vectors={"clip": q}, **wishes) for q in queries]
    assert seen == [False] * 5
    assert found == wanted
    assert [hits.explain() for hits in found] == [hits.explain() for hits in wanted]
    assert len(found[0])


def test_what_was_written_is_seen(
    col: Collection, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = rng.normal(size=DIM)
    col.search(vectors={"clip": query})
    seen = planned(col, monkeypatch)
    col.upsert(["new"], {"image": query[None], "caption": query[None]})
    assert col.search(vectors={"clip": query}).ids[0] == "new"
    col.remove("new")
    assert "new" not in col.search(vectors={"clip": query}, limit=N).ids
    col.align("center")
    with pytest.raises(InvalidArgument, match="modality is None"):
        col.search(vectors={"clip": query})
    text = col.search(vectors={"clip": query}, modality="text")
    assert text != col.search(vectors={"clip": query}, modality="image")
    assert all(seen)


def test_what_planning_refuses_is_refused_the_second_time(
    col: Collection, rng: np.random.Generator
) -> None:
    query = rng.normal(size=DIM)
    for _ in range(2):
        assert len(col.search(vectors={"clip": query}, limit=5)) == 5
        for bad in (np.zeros(DIM), np.full(DIM, np.nan), query[:3], query[None, None]):
            with pytest.raises(InvalidVector, match=r"vectors\['clip'\]"):
                col.search(vectors={"clip": bad}, limit=5)
        with pytest.raises(InvalidVector, match="masked"):
            masked = np.ma.masked_less(np.ma.array(query), 0.0)
            col.search(vectors={"clip": masked}, limit=5)
        with pytest.raises(InvalidArgument, match=r"limit is 5\.0"):
            col.search(vectors={"clip": query}, limit=5.0)  # type: ignore[arg-type]
    col.close()
    with pytest.raises(InvalidArgument, match="closed"):
        col.search(vectors={"clip": query}, limit=5)


def test_keys_tell_apart_what_is_not_the_same() -> None:
    assert key_of(1, ["a"]) == key_of(1, ["a"])
    assert len({key_of(1), key_of(1.0), key_of(True), key_of("1"), key_of(None)}) == 5
    assert key_of({"a": 1}) != key_of({"a": 2})
    assert key_of({"a": {"$in": [1, 2]}}) == key_of({"a": {"$in": [1, 2]}})
    assert key_of({"a": 1}) != key_of({"a": True})
    assert key_of(x for x in "ab") is None


@pytest.mark.filterwarnings("error")
def test_a_number_beyond_float32_is_refused_without_a_warning(
    col: Collection, rng: np.random.Generator
) -> None:
    query = rng.normal(size=DIM)
    for _ in range(2):
        col.search(vectors={"clip": query})
        with pytest.raises(InvalidVector, match="NaN or infinity"):
            col.search(vectors={"clip": query * 1e200})


def test_arrays_of_every_kind_ask_the_same(col: Collection, rng: np.random.Generator) -> None:
    query = rng.normal(size=DIM).astype(np.float16).astype(np.float64)
    wide = np.zeros((DIM, 3))
    wide[:, 1] = query
    frozen = query.copy()
    frozen.setflags(write=False)
    wanted = col.search(vectors={"clip": query.tolist()})
    for same in (
        query, query.astype(np.float16), query.astype(np.float32), query.astype(np.longdouble),
        query.astype(">f8"), query.astype(">f4"), wide[:, 1], query[::-1].copy()[::-1], frozen,
        query.view(np.recarray), 1e30 * query, tuple(query),
    ):  # fmt: skip
        for _ in range(2):
            hits = col.search(vectors={"clip": same})
            assert hits.ids == wanted.ids
            np.testing.assert_allclose(hits.scores, wanted.scores, rtol=1e-6)


def test_what_changes_in_a_callers_hands_is_seen(col: Collection, rng: np.random.Generator) -> None:
    col.upsert(range(N), metadata=[{"n": i} for i in range(N)])
    query = rng.normal(size=DIM)
    given: dict[str, Any] = {
        "filter": {"n": {"$in": [1, 2]}}, "weights": {"image": 1.0}, "fields": ["image", "caption"],
    }  # fmt: skip

    def ids() -> set[Any]:
        return set(col.search(vectors={"clip": query}, fusion="minmax", limit=N, **given).ids)

    assert ids() == ids() == {1, 2}
    given["filter"]["n"]["$in"].append(3)
    assert ids() == {1, 2, 3}
    before = col.search(vectors={"clip": query}, fusion="minmax", **given).scores
    given["weights"]["image"] = 5.0
    assert col.search(vectors={"clip": query}, fusion="minmax", **given).scores != before
    query[:] = -query
    assert col.search(vectors={"clip": query}, fusion="minmax", **given).scores != before


def test_fields_that_fill_and_empty_are_seen(tmp_path: Path, rng: np.random.Generator) -> None:
    rows = rng.normal(size=(N, DIM))
    with gl.open(tmp_path / "f", mixed_schema()) as col:
        col.upsert(range(N), {"image": rows})
        for fusion in ("rrf", "minmax", "cohort"):
            for fill in (True, False, True):
                for _ in range(2):
                    hits = col.search(vectors={"clip": rows[0]}, fusion=fusion)
                    found = {part.field for hit in hits for part in hit.contributions}
                    assert ("caption" in found) is ("c0" in col)
                if fill:
                    col.upsert([f"c{i}" for i in range(5)], {"caption": rows[:5]})
                else:
                    col.remove([f"c{i}" for i in range(5)])
            col.remove([f"c{i}" for i in range(5)])
