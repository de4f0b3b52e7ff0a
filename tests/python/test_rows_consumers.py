"""What looks at rows or items of a collection, where an item has several rows in a field.

Where one row of an item is taken, it is the first: what is found must be what a collection of the
first rows alone gives. Where all are, numpy says what that is.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import gapless as gl
from gapless.alignment.view import candidates_under
from gapless.calibration.calibrate import calibrate
from gapless.cohorts import COHORT, Cohorts, draw
from gapless.collection import Collection
from gapless.diagnosis.conflicts import with_neighbours
from gapless.index_rows import all_rows, filling, labels
from gapless.mining.duplicates import near_duplicates
from gapless.mining.mine import mine_hard_negatives
from gapless.row_labels import KEYS, item_keys, row_labels

DIM, FILMS, TEXTS = 16, 60, 40
Rows = npt.NDArray[np.float64]


def schema(several: bool) -> gl.Schema:
    return gl.Schema(
        {"clip": gl.Space(DIM)},
        {
            "frame": gl.Field("clip", "image", index="flat", several=several),
            "title": gl.Field("clip", "text", index="flat"),
        },
    )


def unit(rows: Any) -> Rows:
    array = np.asarray(rows, np.float64)
    return np.asarray(array / np.linalg.norm(array, axis=-1, keepdims=True), np.float64)


@pytest.fixture(scope="module")
def films() -> dict[str, Rows]:
    """Rows of 60 films, 1 to 9 each, around a direction of the film, off the centre."""
    rng = np.random.default_rng(3)
    themes = rng.normal(size=(FILMS, DIM))
    bias = 2.0 * rng.normal(size=DIM)
    return {
        f"film {i}": unit(themes[i] + bias + 0.7 * rng.normal(size=(1 + i % 9, DIM)))
        for i in range(FILMS)
    }


@pytest.fixture(scope="module")
def titles(films: dict[str, Rows]) -> Rows:
    """A title for each of the first 40 films, near its first row and off another centre."""
    rng = np.random.default_rng(4)
    first = np.stack([rows[0] for rows in films.values()])[:TEXTS]
    return unit(first + 0.1 * rng.normal(size=first.shape) - rng.normal(size=DIM))


def filled(path: Path, films: dict[str, Rows], titles: Rows, several: bool) -> Collection:
    names = list(films)
    col = gl.open(path, schema(several))
    col.upsert(names, {"frame": [r if several else r[0] for r in films.values()]})
    col.upsert(names[:TEXTS], {"title": titles})
    return col


@pytest.fixture(scope="module")
def col(
    tmp_path_factory: pytest.TempPathFactory, films: dict[str, Rows], titles: Rows
) -> Iterator[Collection]:
    with filled(tmp_path_factory.mktemp("all") / "c", films, titles, True) as opened:
        yield opened


@pytest.fixture(scope="module")
def firsts(
    tmp_path_factory: pytest.TempPathFactory, films: dict[str, Rows], titles: Rows
) -> Iterator[Collection]:
    """The same items with their first rows alone."""
    with filled(tmp_path_factory.mktemp("first") / "c", films, titles, False) as opened:
        yield opened


def test_an_alignment_is_of_all_rows_and_its_pairs_of_first_rows(
    col: Collection, firsts: Collection, films: dict[str, Rows], titles: Rows
) -> None:
    every = np.concatenate(list(films.values()))
    storage = col._storage
    np.testing.assert_allclose(storage.sums.of("frame").mean, every.mean(axis=0), atol=1e-6)
    mine = col.align("center", tolerance=1.0)
    other = firsts.align("center", tolerance=1.0)
    try:
        offset = np.asarray(storage.maps["frame"].offset)
        np.testing.assert_allclose(offset, -every.mean(axis=0), atol=1e-6)
        assert mine is not None
        assert other is not None
        assert mine.rows == {"frame": len(every), "title": TEXTS}
        assert mine.validation is not None
        assert other.validation is not None
        paired, alone = (
            [(d.query, d.document, d.pairs, d.raw_mrr) for d in each.validation.directions]
            for each in (mine, other)
            if each.validation is not None
        )
        assert paired == alone
        assert {pairs for _, _, pairs, _ in paired} == {TEXTS}
        drift = {part.field: part for part in col.drift()}
        assert drift["frame"].added == 0.0
        assert drift["frame"].rows == len(every)
    finally:
        col.align(None)
        firsts.align(None)


def test_drift_counts_rows_of_items_that_came_later(
    tmp_path: Path, films: dict[str, Rows], titles: Rows
) -> None:
    with filled(tmp_path / "c", films, titles, True) as col:
        before = len(col._storage.indexes["frame"])
        col.align("center", tolerance=1.0)
        more = np.random.default_rng(5).normal(size=(30, DIM))
        col.upsert(["new", "film 0"], {"frame": [more, more[:7]]})
        drift = {part.field: part for part in col.drift()}
        rows = before + 30 + 7 - len(films["film 0"])
        assert drift["frame"].rows == rows
        assert drift["frame"].added == pytest.approx(30 / rows)
        now = col._storage.sums.of("frame").mean
        index = col._storage.indexes["frame"]
        np.testing.assert_allclose(now, index.vectors(index.ids()).mean(axis=0), atol=1e-6)
        col.upsert(["film 8"], {"frame": [films["film 8"][:2]]})
        col.remove(["film 7", "film 3"])
        now = col._storage.sums.of("frame").mean
        np.testing.assert_allclose(now, index.vectors(index.ids()).mean(axis=0), atol=1e-6)


def test_a_calibration_pairs_first_rows(
    col: Collection, firsts: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[Any, Any]] = []

    def told(pairs: dict[Any, Any], **more: Any) -> Any:
        seen.append(pairs)
        return calibrate(pairs, **more)

    monkeypatch.setattr("gapless.collection_calibration.calibrate", told)
    pairs = [("film 3", "film 1"), *((f"film {i}", f"film {i}") for i in range(12))]
    for given in (None, pairs):
        for which in (col, firsts):
            which.calibrate(given)
        several, plain = seen[-2:]
        assert set(several) == set(plain)
        for kind, sides in several.items():
            for mine, other in zip(sides, plain[kind], strict=True):
                np.testing.assert_array_equal(mine, other)
    ids = [f"film {i}" for i in range(12)]
    for which in (col, firsts):
        asked = np.stack([which.get(name, vectors=True).vectors["title"] for name in ids])
        which.calibrate(positives={("text", "frame"): (asked, ids)})
    for mine, other in zip(*(each["text", "frame"] for each in seen[-2:]), strict=True):
        np.testing.assert_array_equal(mine, other)


def test_a_diagnosis_is_that_of_first_rows_and_says_so(col: Collection, firsts: Collection) -> None:
    assert len(col._storage.indexes["frame"]) > 3 * FILMS
    groups = {f"film {i}": i % 5 for i in range(FILMS)}
    choices: list[dict[str, Any]] = [{}, {"sample": 50}, {"labels": groups}]
    for given in choices:
        mine, other = col.diagnose(**given), firsts.diagnose(**given)
        notes = "clip: only the first row of each item in 'frame'"
        assert notes in mine.notes
        assert notes not in other.notes
        for reading in ("modalities", "pairs", "bias", "routes", "outliers"):
            assert getattr(mine, reading) == getattr(other, reading)
        assert mine.whole == ()
    assert firsts.diagnose(sample=50).whole  # of rows, which are items there


def test_neighbours_of_a_sample_are_items(col: Collection) -> None:
    with col._storage.writing:
        (sample, _), *_ = col._draw(None, None, None, None, 50, 0)[0]
        asked, wide = with_neighbours(sample, col._storage.indexes)
    known = set(filling(col._storage.indexes["frame"]).tolist())
    assert set(wide.keys["frame"].tolist()) <= known
    assert len(set(wide.keys["frame"].tolist())) == len(wide.keys["frame"])
    assert len(wide.keys["frame"]) > len(asked.keys["frame"])
    index = col._storage.indexes["frame"]
    np.testing.assert_array_equal(wide.rows["frame"], index.vectors(wide.keys["frame"]))
    assert len(col.doctor()) == 4


def test_near_duplicates_are_sought_among_all_rows_and_named_by_item(
    tmp_path: Path, films: dict[str, Rows]
) -> None:
    rows: dict[Any, Rows] = dict(films)
    rows["copy"] = unit(np.stack([films["film 8"][5] + 1e-3, films["film 4"][0]]))
    with gl.open(tmp_path / "c", schema(True)) as col:
        col.upsert(list(rows), {"frame": list(rows.values())})
        found = near_duplicates(["frame"], 0.9, collection=col)
    every = np.concatenate(list(rows.values()))
    owner = [name for name, some in rows.items() for _ in some]
    cosine = every @ every.T
    wanted = {
        (i, j) for i, j in np.argwhere(np.triu(cosine >= 0.9, 1)).tolist() if owner[i] != owner[j]
    }
    assert found.rows == len(every)
    assert list(found.ids or ()) == owner
    assert {tuple(pair) for pair in found.pairs.tolist()} == wanted
    assert {"copy", "film 8"} in [{owner[i], owner[j]} for i, j in wanted]


def test_mined_negatives_are_items_scored_by_their_best_row(
    col: Collection, films: dict[str, Rows], titles: Rows
) -> None:
    mined = mine_hard_negatives(
        "title",
        "frame",
        k_range=(1, 20),
        margin=0.0,
        per_positive=3,
        exclude_duplicates=None,
        collection=col,
    )
    names = list(films)
    best = np.array([[(rows @ q).max() for rows in films.values()] for q in titles])
    assert mined.queries.tolist() == list(range(TEXTS))
    np.testing.assert_allclose(mined.scores, best[range(TEXTS), range(TEXTS)], atol=1e-6)
    (stage,) = mined.stages
    assert list(mined.ids or ()) == names
    for query in range(TEXTS):
        drawn = stage.negatives[query]
        drawn = drawn[drawn >= 0]
        assert query not in drawn
        np.testing.assert_allclose(stage.scores[query, : len(drawn)], best[query, drawn], atol=1e-6)
        order = np.argsort(-best[query])
        places = np.argsort(order)[drawn] + 1
        ranks = stage.ranks[query, : len(drawn)]
        assert (ranks[ranks > 0] == places[ranks > 0]).all()
    assert (stage.ranks > 0).sum() > 30


def test_the_share_of_items_in_several_fields_counts_items(col: Collection) -> None:
    indexes = col._storage.indexes
    assert len(indexes["frame"]) < COHORT
    wanted = TEXTS / FILMS
    assert Cohorts({}).multi_share(indexes) == pytest.approx(wanted)


def test_the_share_is_estimated_from_rows_that_count_by_their_items() -> None:
    rng = np.random.default_rng(6)
    counts = np.where(np.arange(3_000) < 300, 40, 1)  # a tenth of the items has most of the rows
    frames, texts = gl.FlatIndex(2), gl.FlatIndex(2)
    rows = row_labels(np.arange(3_000), counts)
    frames.add(rng.normal(size=(len(rows), 2)), ids=rows)
    texts.add(rng.normal(size=(300, 2)), ids=np.arange(300))
    assert Cohorts({}).multi_share({"a": frames, "b": texts}) == pytest.approx(0.1, abs=0.03)


def test_samples_drop_the_rows_that_go(tmp_path: Path, films: dict[str, Rows]) -> None:
    with gl.open(tmp_path / "c", schema(True)) as col:
        col.upsert(list(films), {"frame": list(films.values())})
        index, cohorts = col._storage.indexes["frame"], col._storage.cohorts
        sample = cohorts.of("frame", index)
        assert sample.tolist() == index.ids().tolist()
        col.upsert(["film 8", "film 7"], {"frame": [films["film 8"][:2], np.empty((0, DIM))]})
        col.remove("film 5")
        kept = cohorts.of("frame", index)
        assert kept.tolist() == index.ids().tolist()
        assert len(kept) == len(sample) - 7 - 8 - 6
        index.vectors(kept)
        col._storage.release()
    with gl.open(tmp_path / "c") as col:
        index, cohorts = col._storage.indexes["frame"], col._storage.cohorts
        assert cohorts.of("frame", index).tolist() == draw(index)[1].tolist()


def test_candidates_under_another_alignment_are_whole_items(
    col: Collection, films: dict[str, Rows], titles: Rows
) -> None:
    indexes = col._storage.indexes
    query = np.float32(titles[17])
    copies = candidates_under(
        {}, {"frame": [(query, None)], "title": [(query, None)]}, indexes, 5, {}
    )
    names, key = list(films), dict(zip(films, col._storage.live().keys_of(films), strict=True))
    best = {name: float((rows @ titles[17]).max()) for name, rows in films.items()}
    first = sorted(names, key=lambda name: -best[name])[:5]
    near = np.argsort(-(titles @ titles[17]))[:5]
    wanted = {key[name] for name in first} | {key[names[i]] for i in near.tolist()}
    rows = np.asarray(copies["frame"].ids())
    assert set(item_keys(rows).tolist()) == wanted
    assert rows.tolist() == np.sort(all_rows(indexes["frame"], labels(sorted(wanted)))).tolist()  # type: ignore[arg-type]
    np.testing.assert_array_equal(copies["frame"].vectors(rows), indexes["frame"].vectors(rows))
    assert (np.asarray(copies["title"].ids()) <= KEYS).all()
