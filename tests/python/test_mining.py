"""Mined negatives: every promise of the rules, checked against numpy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gapless as gl
from collection_kit import DIM
from gapless.alignment.align import align_rows
from gapless.errors import (
    InvalidArgument,
    InvalidVector,
    SpaceMismatch,
    UnknownField,
    UnknownId,
)
from gapless.mining import mine as mining
from gapless.mining.mine import mine_hard_negatives
from gapless.mining.negatives import HardNegatives

Float64 = npt.NDArray[np.float64]


def unit(x: npt.NDArray[Any]) -> Float64:
    rows: Float64 = np.array(x, np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def clustered(rng: np.random.Generator, documents: int, queries: int) -> tuple[Float64, Float64]:
    """Documents in twenty clusters, and queries near the first of them."""
    centres = rng.normal(size=(20, 12))
    rows = centres[rng.integers(20, size=documents)] + 0.4 * rng.normal(size=(documents, 12))
    return rows[:queries] + 0.2 * rng.normal(size=(queries, 12)), rows


def check(
    mined: HardNegatives,
    scores: Float64,
    positives: list[set[int]],
    documents: Float64,
    k_range: tuple[int, int],
    margin: float,
    duplicates: float,
) -> None:
    """Hold every negative against the rules, by brute force."""
    ranking = np.argsort(-scores, axis=1, kind="stable")
    place = np.argsort(ranking, axis=1) + 1
    near = documents @ documents.T
    for stage in mined.stages:
        for pair in range(len(mined)):
            q, p = int(mined.queries[pair]), int(mined.positives[pair])
            assert p in positives[q]
            assert mined.scores[pair] == pytest.approx(scores[q, p], abs=1e-5)
            negatives = stage.negatives[pair][stage.filled[pair]].tolist()
            assert len(set(negatives)) == len(negatives)
            for slot, n in enumerate(negatives):
                assert n not in positives[q]
                assert scores[q, n] < scores[q, p] - margin + 1e-5
                assert max(near[n, one] for one in positives[q]) < duplicates + 1e-5
                assert stage.scores[pair, slot] == pytest.approx(scores[q, n], abs=1e-5)
                assert place[q, n] >= k_range[0]
                if stage.ranks[pair, slot]:
                    assert stage.ranks[pair, slot] == place[q, n] <= k_range[1]
            assert np.isnan(stage.scores[pair][~stage.filled[pair]]).all()
            assert (stage.ranks[pair][~stage.filled[pair]] == 0).all()


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    first=st.integers(1, 20),
    width=st.integers(0, 60),
    margin=st.floats(0, 0.4),
    per_positive=st.integers(1, 9),
    duplicates=st.floats(0.7, 1.0),
)
def test_every_negative_keeps_the_rules(
    seed: int, first: int, width: int, margin: float, per_positive: int, duplicates: float
) -> None:
    rng = np.random.default_rng(seed)
    queries, documents = clustered(rng, 150, 15)
    positives = [{i, *rng.integers(150, size=int(rng.integers(3))).tolist()} for i in range(15)]
    k_range = (first, first + width)
    mined = mine_hard_negatives(
        queries,
        documents,
        [sorted(one) for one in positives],
        k_range=k_range,
        margin=margin,
        per_positive=per_positive,
        exclude_duplicates=duplicates,
        schedule="random-first",
        seed=seed,
    )
    assert len(mined) == sum(map(len, positives))
    q, d = unit(queries), unit(documents)
    check(mined, q @ d.T, positives, d, k_range, margin, duplicates)


def test_slots_are_left_empty_only_where_nothing_is_left() -> None:
    rng = np.random.default_rng(3)
    queries, documents = clustered(rng, 60, 10)
    mined = mine_hard_negatives(
        queries, documents, range(10), k_range=(5, 20), margin=0.3, per_positive=60
    )
    q, d = unit(queries), unit(documents)
    scores, near = q @ d.T, d @ d.T
    place = np.argsort(np.argsort(-scores, axis=1), axis=1) + 1
    (stage,) = mined.stages
    for i in range(10):
        left = (scores[i] < scores[i, i] - 0.3) & (near[i] < 0.95) & (place[i] >= 5)
        left[i] = False
        assert set(stage.negatives[i][stage.filled[i]]) == set(np.flatnonzero(left))
        hard = stage.ranks[i] > 0
        assert set(stage.negatives[i][hard]) == set(np.flatnonzero(left & (place[i] <= 20)))
        assert (stage.filled[i] == hard | stage.random[i]).all()


def test_ranks_beyond_the_last_document_are_none() -> None:
    queries, documents = clustered(np.random.default_rng(5), 60, 10)
    found = [
        mine_hard_negatives(queries, documents, range(10), k_range=(5, last))
        for last in (60, 10**12)
    ]
    for one, other in zip(found[0].stages, found[1].stages, strict=True):
        np.testing.assert_array_equal(one.negatives, other.negatives)
        np.testing.assert_array_equal(one.ranks, other.ranks)


def test_ratio_of_hard_to_random_is_honoured() -> None:
    rng = np.random.default_rng(4)
    queries, documents = clustered(rng, 800, 40)
    mined = mine_hard_negatives(
        queries,
        documents,
        range(40),
        k_range=(5, 200),
        margin=0.0,
        per_positive=8,
        hard_per_positive=1,
    )
    (stage,) = mined.stages
    assert stage.filled.all()
    assert ((stage.ranks > 0).sum(axis=1) == 1).all()
    assert (stage.random.sum(axis=1) == 7).all()
    # Blind draws know nothing of the ranking: their mean score is that of the corpus.
    scores = unit(queries) @ unit(documents).T
    assert stage.scores[stage.random].mean() < scores.mean() + 0.1
    assert stage.scores[:, 0].mean() > stage.scores[stage.random].mean() + 0.2


def test_random_first_gives_a_blind_stage_and_then_the_hard_one() -> None:
    rng = np.random.default_rng(5)
    queries, documents = clustered(rng, 500, 30)
    arguments: dict[str, Any] = {"k_range": (2, 80), "margin": 0.0, "seed": 9}
    mined = mine_hard_negatives(queries, documents, range(30), schedule="random-first", **arguments)
    assert [stage.name for stage in mined.stages] == ["random", "hard"]
    assert mined.stages[0].random.all()
    assert not mined.stages[1].random.any()
    assert mined.stages[1].scores.mean() > mined.stages[0].scores.mean() + 0.2
    again = mine_hard_negatives(queries, documents, range(30), schedule="random-first", **arguments)
    for one, other in zip(mined.stages, again.stages, strict=True):
        np.testing.assert_array_equal(one.negatives, other.negatives)
    other_seed = mine_hard_negatives(queries, documents, range(30), **{**arguments, "seed": 10})
    assert not np.array_equal(mined.stages[1].negatives, other_seed.stages[0].negatives)


def test_copies_of_a_positive_are_no_negatives() -> None:
    rng = np.random.default_rng(6)
    queries, documents = clustered(rng, 200, 20)
    documents[100:120] = documents[:20] * 3.0  # the same directions
    arguments: dict[str, Any] = {"k_range": (1, 100), "margin": 0.0, "per_positive": 250}
    kept = mine_hard_negatives(queries, documents, range(20), exclude_duplicates=0.999, **arguments)
    assert not any(100 + i in kept.stages[0].negatives[i] for i in range(20))
    # A copy scores as the positive does, so any margin keeps it out as well.
    arguments["margin"] = 1e-4
    free = mine_hard_negatives(queries, documents, range(20), exclude_duplicates=None, **arguments)
    assert not any(100 + i in free.stages[0].negatives[i] for i in range(20))
    strict = mine_hard_negatives(queries, documents, range(20), exclude_duplicates=0.5, **arguments)
    assert strict.stages[0].filled.sum() < kept.stages[0].filled.sum()


def test_chunks_and_the_pool_of_random_ones_join_without_a_seam(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mining, "CHUNK", 7)
    monkeypatch.setattr(mining, "POOL", 50)
    rng = np.random.default_rng(7)
    queries, documents = clustered(rng, 300, 30)
    mined = mine_hard_negatives(
        queries, documents, range(30), k_range=(3, 20), margin=0.1, per_positive=12
    )
    q, d = unit(queries), unit(documents)
    check(mined, q @ d.T, [{i} for i in range(30)], d, (3, 20), 0.1, 0.95)
    assert mined.stages[0].random.any()
    assert mined.queries.tolist() == list(range(30))


def test_a_graph_with_an_alignment_is_searched_and_scores_as_it_does() -> None:
    rng = np.random.default_rng(8)
    queries, documents = clustered(rng, 400, 25)
    index = gl.HnswIndex(12, m=8, ef_construction=80)
    labels = rng.permutation(1000)[:400]
    index.add(documents, labels)
    centre = -unit(documents).mean(axis=0)
    index.set_alignment(gl.Alignment(offset=centre, query={"text": (centre, None)}))
    mined = mine_hard_negatives(
        queries,
        None,
        labels[:25],
        index=index,
        query_modality="text",
        k_range=(3, 50),
        margin=0.02,
    )
    scores = align_rows(queries, index.alignment, "text") @ align_rows(documents, index.alignment).T
    number = {int(label): i for i, label in enumerate(labels)}
    for i in range(25):
        assert mined.scores[i] == pytest.approx(scores[i, i], abs=1e-5)
        for label, score in zip(
            mined.stages[0].negatives[i], mined.stages[0].scores[i], strict=True
        ):
            assert score == pytest.approx(scores[i, number[int(label)]], abs=1e-5)
            assert score < mined.scores[i] - 0.02


@pytest.fixture
def paired(col: gl.Collection, rng: np.random.Generator) -> gl.Collection:
    """60 items with image and caption, 20 with an image and 10 with a caption only."""
    image = rng.normal(size=(80, DIM))
    caption = image[:60] + 0.3 * rng.normal(size=(60, DIM))
    col.upsert([f"i{i}" for i in range(60)], {"image": image[:60], "caption": caption})
    col.upsert(list(range(20)), {"image": image[60:]})
    col.upsert([f"c{i}" for i in range(10)], {"caption": rng.normal(size=(10, DIM))})
    return col


def test_a_collection_is_mined_between_its_fields(paired: gl.Collection, tmp_path: Path) -> None:
    paired.align("center")
    mined = mine_hard_negatives(
        "caption", "image", collection=paired, k_range=(2, 30), margin=0.1, per_positive=5
    )
    assert len(mined) == 60
    path = tmp_path / "triples.jsonl"
    path.write_text("old")
    count = mined.export_triples(path)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert count == len(lines) == int(mined.stages[0].filled.sum()) > 250
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["triples.jsonl"]
    for line, triple in zip(lines, mined.triples(), strict=True):
        assert line["query"] == line["positive"] == triple.query
        assert line["negative"] != line["query"]
        asking = paired.get(line["query"], vectors=True).vectors
        wrong = paired.get(line["negative"], vectors=True).vectors["image"]
        assert line["positive_score"] == pytest.approx(
            float(asking["caption"] @ asking["image"]), abs=1e-5
        )
        assert line["negative_score"] == pytest.approx(float(asking["caption"] @ wrong), abs=1e-5)
        assert line["negative_score"] < line["positive_score"] - 0.1
        assert line["random"] == triple.random == (line["rank"] is None)
        assert line["stage"] == "hard"
    assert {type(line["negative"]) for line in lines} == {int, str}


def test_given_positives_of_a_collection(paired: gl.Collection) -> None:
    mined = mine_hard_negatives(
        "caption",
        "image",
        {"c0": [3, "i5"], "i1": "i1"},
        collection=paired,
        k_range=(1, 60),
        margin=0.0,
        exclude_duplicates=None,
    )
    pairs = {(triple.query, triple.positive) for triple in mined.triples()}
    assert pairs <= {("c0", 3), ("c0", "i5"), ("i1", "i1")}
    assert len(mined) == 3
    for triple in mined.triples():
        assert triple.negative not in ((3, "i5") if triple.query == "c0" else ("i1",))
        assert triple.negative_score < triple.positive_score


def test_real_captions_find_hard_images(clip_pairs: npt.NDArray[np.float32]) -> None:
    image, caption = clip_pairs
    mined = mine_hard_negatives(caption, image, range(500))
    (stage,) = mined.stages
    scores = unit(caption) @ unit(image).T
    off = scores[~np.eye(500, dtype=bool)]
    hard = stage.scores[stage.ranks > 0]
    assert hard.mean() > off.mean() + off.std()
    np.testing.assert_allclose(mined.scores, np.diag(scores), atol=1e-5)
    bound = np.broadcast_to(mined.scores[:, None] - 0.05, stage.scores.shape)
    assert (stage.scores < bound + 1e-6)[stage.filled].all()


def test_bad_arguments_say_what_was_wanted(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    queries, documents = clustered(rng, 40, 5)

    def mine(**given: Any) -> HardNegatives:
        arguments: dict[str, Any] = {"queries": queries, "documents": documents}
        return mine_hard_negatives(**{**arguments, "positives": range(5), **given})

    for wrong, words in (
        ({"k_range": (0, 5)}, r"k_range\[0\] is 0: give an integer of at least 1"),
        ({"k_range": (9, 5)}, "must not exceed the last"),
        ({"k_range": 7}, r"give \(first, last\)"),
        ({"margin": -0.1}, "margin is -0.1"),
        ({"margin": float("nan")}, "margin is nan"),
        ({"per_positive": 0}, "per_positive is 0"),
        ({"hard_per_positive": 8}, "hard_per_positive is 8 of per_positive 7"),
        ({"exclude_duplicates": "x"}, "exclude_duplicates is 'x'"),
        ({"schedule": "soft"}, "schedule is 'soft': choose one of hard, random-first"),
        ({"seed": -1}, "seed is -1"),
        ({"positives": None}, "positives is None"),
        ({"positives": range(4)}, "positives has 4 entries for 5 queries"),
        ({"positives": dict.fromkeys(range(5), 9)}, "positives is a dict: give a sequence"),
        ({"positives": 5}, "positives is a int"),
        ({"positives": [0, 1, 2, 3, []]}, r"positives\[4\] is \[\]"),
        ({"positives": [0, 1, 2, 3, "a"]}, r"positives\[4\] is 'a'"),
        ({"documents": None}, "documents is None"),
        ({"documents": np.empty((0, 12))}, r"shape \(0, 12\)"),
        ({"documents": [[1.0], [1.0, 2.0]]}, "documents is no array: rows of unequal length"),
        ({"index": 5}, "index is a int"),
        ({"queries": "text"}, "give collection as well"),
    ):
        with pytest.raises(InvalidArgument, match=words):
            mine(**wrong)
    with pytest.raises(UnknownId, match=r"positives\[3\] has 40, which is no document"):
        mine(positives=[0, 1, 2, [4, 40], 4])
    with pytest.raises(InvalidVector, match="queries"):
        mine(queries=np.zeros((5, 12)))
    with pytest.raises(InvalidVector, match=r"queries has shape \(5, 3\)"):
        mine(queries=np.ones((5, 3)))
    index = gl.FlatIndex(12)
    index.add(documents, np.arange(40) + 1)
    with pytest.raises(InvalidArgument, match="40 labels that are not 0 to 39"):
        mine(index=index)
    mined = mine()
    for path in (tmp_path / "no" / "file", tmp_path, None):
        with pytest.raises(InvalidArgument, match="path is"):
            mined.export_triples(path)  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_bad_fields_and_ids_of_a_collection(paired: gl.Collection, tmp_path: Path) -> None:
    with pytest.raises(UnknownField, match="queries is 'sound'"):
        mine_hard_negatives("sound", "image", collection=paired)
    with pytest.raises(InvalidArgument, match="would be itself"):
        mine_hard_negatives("image", "image", collection=paired)
    with pytest.raises(InvalidArgument, match="beside collection"):
        mine_hard_negatives("caption", "image", collection=paired, query_modality="text")
    for absent, words in (
        ({"c0": "c1"}, "'c1'.*fills 'image'"),
        ({7: 7}, "names 7: no item of that id fills 'caption'"),
        ({"c0": "nobody"}, "nobody"),
    ):
        with pytest.raises(UnknownId, match=words):
            mine_hard_negatives("caption", "image", absent, collection=paired)
    unfit: list[Any] = [{}, ["c0"], {"c0": []}]
    for positives in unfit:
        with pytest.raises(InvalidArgument, match="positives"):
            mine_hard_negatives("caption", "image", positives, collection=paired)
    schema = gl.Schema(
        {"a": gl.Space(4), "b": gl.Space(4)},
        {"x": gl.Field("a", "text", index="flat"), "y": gl.Field("b", "image", index="flat")},
    )
    with (
        gl.open(tmp_path / "two", schema) as other,
        pytest.raises(SpaceMismatch, match="'x' is of the space 'a'"),
    ):
        mine_hard_negatives("x", "y", collection=other)
