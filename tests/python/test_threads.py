"""Searches beside writes, alignments, checkpoints and the close of a collection."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import gapless as gl
from collection_kit import DIM, eye, mixed_schema
from gapless import _core
from gapless.cohorts import Cohorts
from gapless.collection import Collection
from gapless.errors import InvalidArgument, UnknownId
from gapless.index_rows import present
from gapless.query import searcher
from gapless.segments import Index


def test_searches_run_beside_writes(tmp_path: Path, rng: np.random.Generator) -> None:
    schema = gl.Schema(
        {"clip": gl.Space(DIM)},
        {
            "image": gl.Field("clip", "image", m=8, ef_construction=40),
            "caption": gl.Field("clip", "text", index="flat"),
        },
    )
    vectors = rng.normal(size=(600, DIM))
    stop, trouble, searched = threading.Event(), [], [0]

    def search(alignment: str | None) -> None:
        try:
            while not stop.is_set():
                hits = col.search(
                    vectors={"clip": vectors[0]}, modality="text", limit=20, alignment=alignment
                )
                assert hits.ids[0] == "still"
                assert len(set(hits.ids)) == len(hits)
                assert hits.scores == sorted(hits.scores, reverse=True)
                assert all(hit.metadata is not None for hit in hits)
                item = col.get("still", vectors=True)
                assert set(item.fields) == {"image", "caption"}
                searched[0] += 1
        except BaseException as error:
            trouble.append(error)

    with gl.open(tmp_path / "c", schema, durability="normal") as col:
        col.upsert(["still"], {"image": vectors[:1], "caption": vectors[:1]}, [{"n": 0}])
        col.upsert(["s2"], {"image": vectors[1:2], "caption": vectors[1:2]}, [{"n": 0}])
        threads = [threading.Thread(target=search, args=(name,)) for name in (None, None, "raw")]
        for thread in threads:
            thread.start()
        for start in range(2, 600, 26):
            rows = vectors[start : start + 26]
            names = list(range(start, start + len(rows)))
            col.upsert(names, {"image": rows}, [{"n": n} for n in names])
            col.upsert(names[:5], {"caption": rows[:5]})
            col.remove(names[5:10])
            if start % 4 == 0:
                col.align("center" if start % 8 == 0 else "raw")
            if start % 7 == 0:
                col.checkpoint()
        stop.set()
        for thread in threads:
            thread.join()
        assert trouble == []
        assert searched[0] > 0
        assert len(col) == 2 + 598 - 5 * 23


def test_writers_take_turns(col: Collection) -> None:
    def write(who: int) -> None:
        for i in range(20):
            col.upsert([f"{who}-{i}"], {"image": eye(i % DIM)})

    threads = [threading.Thread(target=write, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(col) == len(set(col.ids())) == 80
    assert len(col.search(vectors={"clip": eye(0)[0]}, limit=200)) == 80


def test_close_waits_for_running_searches_and_ends_later_ones(
    tmp_path: Path, schema: gl.Schema, rng: np.random.Generator
) -> None:
    col = gl.open(tmp_path / "c", schema)
    col.upsert(list(range(500)), {"image": rng.normal(size=(500, DIM))})
    outcomes: list[object] = []

    def search() -> None:
        try:
            while True:
                outcomes.append(len(col.search(vectors={"clip": eye(0)[0]})))
        except Exception as error:
            outcomes.append(error)

    thread = threading.Thread(target=search)
    thread.start()
    while not outcomes:
        pass
    col.close()
    thread.join()
    assert isinstance(outcomes[-1], InvalidArgument)
    assert "is closed" in str(outcomes[-1])
    assert set(outcomes[:-1]) == {10}


def test_get_beside_a_remove_names_the_item(
    col: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    col.upsert(["a", "b"], {"image": eye(0, 1)})
    looked: list[object] = []

    def present_then_removed(index: Index, keys: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        found = present(index, keys)
        looked.append(index)
        if len(looked) == 2:  # both fields have been asked, and no vector is fetched yet
            remover = threading.Thread(target=col.remove, args=("b",))
            remover.start()
            remover.join()
        return found

    monkeypatch.setattr("gapless.item_reads.present", present_then_removed)
    with pytest.raises(UnknownId, match="there is no item 'b': it was removed just now"):
        col.get(["a", "b"], vectors=True)


def test_a_sample_redrawn_while_one_is_saved_stays_unsaved(rng: np.random.Generator) -> None:
    index, cohorts = _core.FlatIndex(DIM), Cohorts({})
    index.add(rng.normal(size=(20, DIM)).astype(np.float32))
    cohorts.of("image", index)
    saving = cohorts.unsaved()
    index.add(rng.normal(size=(80, DIM)).astype(np.float32))
    cohorts.of("image", index)  # too many rows have come for the first sample
    cohorts.saved(saving)
    assert {field: rows for field, (rows, _) in cohorts.unsaved().items()} == {"image": 100}
    cohorts.saved(cohorts.unsaved())
    assert cohorts.unsaved() == {}


@pytest.mark.parametrize("fusion", ["rrf", "cohort", "calibrated", "zscore", "alpha_mix", "auto"])
@pytest.mark.parametrize("change", ["empty", "fill"])
def test_fields_that_fill_or_empty_while_a_search_runs(
    tmp_path: Path,
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
    fusion: str,
    change: str,
) -> None:
    choose = searcher.choose_fusion
    meaning = rng.normal(size=(60, DIM))
    both = {"image": meaning, "caption": meaning + rng.normal(size=(60, DIM))}
    with gl.open(tmp_path / "c", mixed_schema()) as col:
        col.upsert(range(60), both)
        col.calibrate(background=True)
        if change == "fill":  # a caption comes into an empty field
            col.remove(list(range(60)))
            col.upsert(range(60), {"image": meaning})

        def meanwhile(*given: Any) -> Any:
            chosen = choose(*given)
            if change == "empty":
                col.remove(list(range(60)))
            else:
                col.upsert(range(60), {"caption": both["caption"]})
            return chosen

        monkeypatch.setattr(searcher, "choose_fusion", meanwhile)
        fields = ["image"] if change == "empty" else None
        hits = col.search(
            vectors={"clip": meaning[0]}, modality="text", fusion=fusion, fields=fields, limit=60
        )
        assert len(hits) == (0 if change == "empty" else 60)
        assert np.isfinite(hits.scores).all()


@pytest.mark.parametrize("fusion", ["cohort", "calibrated"])
def test_a_background_that_goes_while_a_search_runs_is_drawn_anew(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, fusion: str
) -> None:
    rows = rng.normal(size=(60, DIM))
    sample, drawn = Cohorts.of, []
    with gl.open(tmp_path / "c", mixed_schema()) as col:
        col.upsert(range(60), {"image": rows, "caption": rows + rng.normal(size=(60, DIM))})
        col.calibrate(background=True)

        def meanwhile(cohorts: Cohorts, field: str, index: Index) -> Any:
            found = sample(cohorts, field, index)
            drawn.append(field)
            if len(drawn) == 1:  # every row of the sample goes; others come
                col.remove(list(range(60)))
                col.upsert(range(100, 160), {"image": rows})
            return found

        monkeypatch.setattr(Cohorts, "of", meanwhile)
        ask = {"vectors": {"clip": rows[3]}, "modality": "text", "fields": ["image"], "limit": 60}
        hits = col.search(**ask, fusion=fusion)
        assert sorted(hits.ids) == list(range(100, 160))
        assert np.isfinite(hits.scores).all()
        assert len(drawn) == 2
        monkeypatch.undo()
        col.remove(list(range(101, 160)))  # what is refused for good is not tried again
        with pytest.raises(InvalidArgument, match="needs at least 2"):
            col.search(**ask, fusion=fusion)
