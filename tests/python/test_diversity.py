from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gapless as gl
from gapless.alignment.rows import align_rows
from gapless.collection import Collection
from gapless.errors import InvalidArgument
from gapless.results.diversity import check_trade_off, mmr, relevance
from gapless.results.ranking import Ranking, SearchedList
from gapless.results.similarity import ItemSimilarity, candidate_rows, normal_cdf
from hits_kit import ranking

DIM = 16
Rows = npt.NDArray[np.float32]


def one_space(dim: int = DIM) -> gl.Schema:
    return gl.Schema(
        {"clip": gl.Space(dim)},
        {
            "image": gl.Field("clip", "image", index="flat"),
            "caption": gl.Field("clip", "text", index="flat"),
        },
    )


def matrix(
    col: Collection, keys: Any, rows: Mapping[str, Any] | None = None, **more: Any
) -> npt.NDArray[np.float32]:
    storage = col._storage
    keys = np.asarray(keys, np.int64)
    return ItemSimilarity(storage.schema).matrix(
        keys,
        dict.fromkeys(storage.indexes, keys) if rows is None else rows,
        storage.indexes,
        {name: storage.cohorts.of(name, index) for name, index in storage.indexes.items()},
        storage.maps,
        storage.alignment,
        **more,
    )


def naive(value: list[float], alike: Any, limit: int, weight: float) -> list[int]:
    chosen: list[int] = []
    while len(chosen) < min(limit, len(value)):
        left = [i for i in range(len(value)) if i not in chosen]
        gain = {
            i: weight * value[i] - (1 - weight) * max([alike[i][j] for j in chosen], default=0.0)
            for i in left
        }
        chosen.append(max(left, key=lambda i: (gain[i], -i)))
    return chosen


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 12), st.integers(1, 14), st.floats(0, 1))
def test_mmr_is_what_its_formula_says(seed: int, n: int, limit: int, weight: float) -> None:
    rng = np.random.default_rng(seed)
    value = np.sort(rng.integers(0, 5, n) / 4)[::-1]
    alike = rng.integers(0, 5, (n, n)) / 4
    alike = np.maximum(alike, alike.T)
    assert mmr(value, alike, limit, weight).tolist() == naive(
        value.tolist(), alike.tolist(), limit, weight
    )


def test_relevance_alone_keeps_the_order_and_novelty_alone_takes_the_farthest() -> None:
    value, alike = [1.0, 0.9, 0.9, 0.1], np.eye(4)
    alike[0, 1] = alike[1, 0] = alike[0, 2] = alike[2, 0] = 0.9
    assert mmr(value, alike, 10, 1.0).tolist() == [0, 1, 2, 3]
    assert mmr(value, alike, 2, 0.0).tolist() == [0, 3]
    assert mmr(value, alike, 2, 0.7).tolist() == [0, 1]
    assert mmr([], np.zeros((0, 0)), 3).tolist() == []


def test_relevance_is_from_nought_to_one() -> None:
    assert relevance([4.0, 3.0, 2.0], "cohort").tolist() == [1.0, 0.5, 0.0]
    assert relevance([0.02, 0.01, 0.005], "calibrated").tolist() == [1.0, 0.5, 0.25]
    assert relevance([2.0, 2.0], "rrf").tolist() == [1.0, 1.0]
    assert relevance([], "rrf").tolist() == []
    assert relevance([3.0, 1.0, -math.inf], "rerank").tolist() == [1.0, 0.0, 0.0]
    assert relevance([-math.inf], "rerank").tolist() == [0.0]
    assert relevance([-1.0, -2.0], "cohort").tolist() == [1.0, 0.0]


@pytest.mark.parametrize("bad", [-0.1, 1.1, math.nan, True, "0.5", None, [0.5]])
def test_a_trade_off_out_of_range_is_refused(bad: Any) -> None:
    with pytest.raises(InvalidArgument, match="give a number from 0"):
        check_trade_off(bad)
    with pytest.raises(InvalidArgument, match="give a number from 0"):
        mmr([1.0], [[1.0]], 1, bad)
    assert check_trade_off(np.float32(0.5)) == 0.5


def test_senseless_candidates_are_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"relevance has shape \(2,\)"):
        mmr([1.0, 0.5], [[1.0]], 1)
    with pytest.raises(InvalidArgument, match="not finite"):
        mmr([1.0, np.nan], np.eye(2), 1)
    with pytest.raises(InvalidArgument, match="501 candidates: give at most 500"):
        mmr(np.ones(501), np.eye(501), 1)
    with pytest.raises(InvalidArgument, match="limit is 0"):
        mmr([1.0], [[1.0]], 0)


def test_normal_cdf_is_within_what_it_says() -> None:
    z = np.linspace(-9, 9, 1801)
    wanted = [0.5 * (1 + math.erf(each / math.sqrt(2))) for each in z]
    assert np.abs(normal_cdf(z.astype(np.float32)) - wanted).max() < 2e-4


def gapped(rng: np.random.Generator, n: int) -> tuple[Rows, Rows]:
    """Images and captions of n things, in two cones: what differs is who they are."""
    things = rng.normal(size=(n, DIM))
    cones = rng.normal(size=(2, DIM))
    noise = 0.15 * rng.normal(size=(2, n, DIM))
    images, captions = (things + cones[m] + noise[m] for m in (0, 1))
    return images.astype(np.float32), captions.astype(np.float32)


@pytest.mark.parametrize("aligned", [True, False])
def test_an_image_and_its_own_caption_are_alike_though_two_items(
    tmp_path: Path, rng: np.random.Generator, aligned: bool
) -> None:
    n = 60
    images, captions = gapped(rng, n)
    with gl.open(tmp_path / "c", one_space()) as col:
        col.upsert([f"i{i}" for i in range(n)], {"image": images})
        col.upsert([f"c{i}" for i in range(n)], {"caption": captions})
        if aligned:
            col.align("center", pairs={"image": images, "caption": captions})
        found = matrix(col, np.arange(1, 2 * n + 1))
        assert found.shape == (2 * n, 2 * n)
        np.testing.assert_array_equal(found, found.T)
        np.testing.assert_array_equal(np.diag(found), 1.0)
        assert found.min() >= 0.0
        assert found.max() <= 1.0
        cross = found[:n, n:]
        own = np.diag(cross)
        # Some things are near each other by chance; ordinary ones are far from each other.
        assert np.median(cross) < 0.02
        assert np.median(own) > 0.3
        assert np.mean(own[:, None] >= cross) > 0.95
        # Of three equally good hits, an image, its caption and another image, the caption goes.
        chosen = mmr(np.ones(3), found[np.ix_([0, n, 1], [0, n, 1])], 2, 0.5)
        assert chosen.tolist() == [0, 2]


def test_the_likest_rows_of_two_items_decide(tmp_path: Path, rng: np.random.Generator) -> None:
    images, captions = gapped(rng, 60)
    with gl.open(tmp_path / "c", one_space()) as col:
        col.upsert(list(range(60)), {"image": images, "caption": captions})
        images[1] = images[0]
        col.upsert([1], {"image": images[1:2]})
        both = matrix(col, [1, 2, 3])
        keys = np.array([1, 2, 3], np.int64)
        alone = {name: matrix(col, keys, {name: keys}) for name in ("image", "caption")}
        assert alone["image"][0, 1] > 0.9
        assert alone["caption"][0, 1] < 0.5
        assert both[0, 1] == alone["image"][0, 1]
        assert np.all(both >= np.maximum(alone["image"], alone["caption"]))


def test_without_a_common_space_there_is_nothing_in_common(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    schema = gl.Schema(
        {"a": gl.Space(DIM), "b": gl.Space(DIM)},
        {"image": gl.Field("a", "image"), "body": gl.Field("b", "text")},
    )
    images, captions = gapped(rng, 40)
    with gl.open(tmp_path / "c", schema) as col:
        col.upsert(list(range(40)), {"image": images})
        col.upsert(list(range(40, 80)), {"body": captions})
        found = matrix(col, np.arange(1, 81))
        assert not found[:40, 40:].any()
        assert found[:40, :40].any()


def test_a_calibrated_pair_type_gives_its_probability(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    n = 120
    images, captions = gapped(rng, n)
    with gl.open(tmp_path / "c", one_space()) as col:
        col.upsert([f"i{i}" for i in range(n)], {"image": images})
        col.upsert([f"c{i}" for i in range(n)], {"caption": captions})
        pairs = {"image": images, "caption": captions}
        col.align("center", pairs=pairs)
        calibration = col.calibrate(pairs=pairs, background=False)
        found = matrix(col, np.arange(1, 2 * n + 1), calibration=calibration)
        maps = col._storage.maps
        asked = {}
        for query, rows, field, others in (
            ("text", captions, "image", images), ("image", images, "caption", captions)
        ):  # fmt: skip
            cosines = align_rows(rows, maps[field], query) @ align_rows(others, maps[field]).T
            known = calibration[query, field]
            asked[field] = known.probability(cosines.ravel()).reshape(n, n)
        wanted = np.maximum(asked["image"].T, asked["caption"])
        np.testing.assert_allclose(found[:n, n:], wanted, atol=1e-4)
        uncalibrated = matrix(col, np.arange(1, 2 * n + 1))
        np.testing.assert_array_equal(found[:n, :n], uncalibrated[:n, :n])


def test_samples_are_kept_until_their_rows_or_the_alignment_change(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, captions = gapped(rng, 60)
    counted = []
    import gapless.results.similarity as module

    real = module._best_matches
    monkeypatch.setattr(module, "_best_matches", lambda a, b: counted.append(1) or real(a, b))
    with gl.open(tmp_path / "c", one_space()) as col:
        col.upsert(list(range(60)), {"image": images, "caption": captions})
        storage = col._storage
        similarity, keys = ItemSimilarity(storage.schema), np.arange(1, 31)

        def ask() -> int:
            similarity.matrix(
                keys,
                dict.fromkeys(storage.indexes, keys),
                storage.indexes,
                {name: storage.cohorts.of(name, index) for name, index in storage.indexes.items()},
                storage.maps,
                storage.alignment,
            )
            return len(counted)

        assert ask() == ask() == 3
        col.align("center")
        assert ask() == ask() == 6
        col.remove([59])
        assert ask() == ask() == 9


def test_few_rows_and_removed_ones_are_no_error(tmp_path: Path, rng: np.random.Generator) -> None:
    images, _ = gapped(rng, 4)
    images[1] = images[0]
    with gl.open(tmp_path / "c", one_space()) as col:
        col.upsert(["a", "b", "c", "d"], {"image": images})
        col.remove(["d"])
        found = matrix(col, [1, 2, 3, 4, 99])
        assert found[0, 1] > 0.9
        assert not found[3, :3].any()
        assert not found[4, :4].any()
        col.remove(["a", "b", "c"])
        assert np.array_equal(matrix(col, [1, 2]), np.eye(2))


def test_copies_throughout_are_alike(tmp_path: Path, rng: np.random.Generator) -> None:
    """Every row has a copy, so a copy is what a best match ordinarily is."""
    images, _ = gapped(rng, 30)
    with gl.open(tmp_path / "c", one_space()) as col:
        col.upsert(list(range(60)), {"image": np.concatenate([images, images])})
        found = matrix(col, np.arange(1, 61))
        own = np.diagonal(found, 30)
        assert own == pytest.approx(0.5, abs=0.01)
        assert np.median(found) < 0.01


def test_the_row_that_was_found_stands_for_its_item() -> None:
    lists = [
        SearchedList("text", "frames", 1.0),
        SearchedList("image", "frames", 1.0),
        SearchedList("text", "other", -1.0),
    ]
    nothing = np.zeros((2, 3))
    found = ranking(lists, [5, 6], [1.0, 0.5], nothing, nothing, nothing, [[3, 1, 4], [-1, 2, 4]])
    rows = candidate_rows(found, {"frames": None, "other": None, "third": None})  # type: ignore[dict-item]
    assert rows["frames"].tolist() == [3 << 40 | 5, 2 << 40 | 6]
    assert rows["other"].tolist() == rows["third"].tolist() == [5, 6]
    assert candidate_rows(Ranking.empty(), {"x": None})["x"].tolist() == []  # type: ignore[dict-item]


def test_clip_hits_repeat_each_other_less(
    tmp_path: Path, clip_pairs: npt.NDArray[np.float32]
) -> None:
    """An image and its caption are rarely both shown, and what is asked for stays."""
    images, captions = clip_pairs
    n = len(images)
    with gl.open(tmp_path / "c", one_space(images.shape[1])) as col:
        col.upsert([f"i{i}" for i in range(n)], {"image": images})
        col.upsert([f"c{i}" for i in range(n)], {"caption": captions})
        col.align("center", pairs={"image": images, "caption": captions})
        repeated: dict[float, list[int]] = {1.0: [], 0.7: [], 0.5: []}
        shown: dict[float, list[bool]] = {weight: [] for weight in repeated}
        for q in range(0, n, 10):
            hits = col.search(vectors={"clip": captions[q]}, modality="text", limit=51)
            places = [place for place, id_ in enumerate(hits.ids) if id_ != f"c{q}"]
            others = hits.take(places)
            alike = matrix(col, others.ranking.keys)
            for weight in repeated:
                chosen = mmr(relevance(others.scores, others.fusion), alike, 10, weight)
                things = [int(str(others.ids[i])[1:]) for i in chosen]
                repeated[weight].append(len(things) - len(set(things)))
                shown[weight].append(q in things)
                if weight == 1.0:
                    assert chosen.tolist() == list(range(10))
        mean = {weight: float(np.mean(each)) for weight, each in repeated.items()}
        kept = {weight: float(np.mean(each)) for weight, each in shown.items()}
        assert mean[0.7] < 0.75 * mean[1.0]
        assert mean[0.5] < 0.35 * mean[1.0]
        assert kept[0.7] >= kept[1.0] - 0.02
        assert kept[0.5] >= kept[1.0] - 0.1
