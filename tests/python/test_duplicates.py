"""Near-duplicates by search against all pairs by brute force."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gapless as gl
from collection_kit import DIM, two_space_schema
from gapless.alignment.align import align_rows, center
from gapless.collection import Collection
from gapless.errors import InvalidArgument, InvalidVector, SpaceMismatch, UnknownField
from gapless.mining import duplicates
from gapless.mining.duplicates import near_duplicates

Float64 = npt.NDArray[np.float64]


def cosines(rows: npt.NDArray[Any]) -> Float64:
    exact: Float64 = np.asarray(rows, np.float32).astype(np.float64)
    exact = exact / np.linalg.norm(exact, axis=1, keepdims=True)
    found: Float64 = exact @ exact.T
    return found


def brute(rows: npt.NDArray[Any], threshold: float) -> set[tuple[int, int]]:
    found = np.argwhere(np.triu(cosines(rows) >= threshold, k=1))
    return {(int(a), int(b)) for a, b in found}


def components(pairs: set[tuple[int, int]]) -> set[frozenset[int]]:
    groups: list[set[int]] = []
    for a, b in pairs:
        joined = {a, b}
        apart = []
        for group in groups:
            if group & joined:
                joined |= group
            else:
                apart.append(group)
        groups = [*apart, joined]
    return {frozenset(group) for group in groups}


def crowded(rng: np.random.Generator, rows: int, noise: float) -> Float64:
    """Rows around a few centres, so that some have very many near-duplicates."""
    centres = rng.normal(size=(6, 10))
    return centres[rng.integers(6, size=rows)] + noise * rng.normal(size=(rows, 10))


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(1, 160),
    noise=st.floats(0.05, 0.8),
    threshold=st.floats(0.6, 1.0),
)
def test_pairs_and_groups_are_those_of_brute_force(
    seed: int, rows: int, noise: float, threshold: float
) -> None:
    block = crowded(np.random.default_rng(seed), rows, noise)
    found = near_duplicates(block, threshold)
    near = cosines(block)
    sure = brute(block, threshold + 1e-6)
    pairs = {(int(a), int(b)) for a, b in found.pairs}
    assert sure <= pairs <= brute(block, threshold - 1e-6)
    assert len(pairs) == len(found)
    np.testing.assert_allclose(found.scores, near[tuple(found.pairs.T)], atol=1e-6)
    assert {frozenset(group.tolist()) for group in found.groups} == components(pairs)
    assert found.exact
    assert found.truncated == 0
    left = np.setdiff1d(np.arange(rows), found.redundant())
    assert len(left) == rows - sum(len(group) - 1 for group in found.groups)


def test_chunks_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    block = crowded(np.random.default_rng(1), 300, 0.3)
    whole = near_duplicates(block, 0.9)
    monkeypatch.setattr(duplicates, "CHUNK", 17)
    monkeypatch.setattr(duplicates, "FIRST_DEPTH", 2)
    again = near_duplicates(block, 0.9)
    np.testing.assert_array_equal(whole.pairs, again.pairs)
    np.testing.assert_allclose(whole.scores, again.scores, rtol=1e-12)
    assert len(whole) > 1000


def test_across_modalities_with_its_own_threshold_and_items() -> None:
    rng = np.random.default_rng(2)
    image = crowded(rng, 60, 0.3)
    text = image[:40] + 0.3 * rng.normal(size=(40, 10))
    sound = crowded(rng, 30, 0.3)
    found = near_duplicates({"image": image, "text": text, "sound": sound}, 0.97, across=0.85)
    every = np.concatenate([image, text, sound])
    side = np.repeat([0, 1, 2], [60, 40, 30])
    wanted = {
        (a, b) for a, b in brute(every, 0.85) if side[a] != side[b] or cosines(every)[a, b] >= 0.97
    }
    assert {(int(a), int(b)) for a, b in found.pairs} == wanted
    np.testing.assert_array_equal(found.across, side[found.pairs[:, 0]] != side[found.pairs[:, 1]])
    assert found.across.any()
    assert not found.across.all()
    assert dict(found.starts) == {"image": 0, "text": 60, "sound": 100}
    assert found.locate(59) == ("image", 59)
    assert found.locate(60) == ("text", 0)
    assert found.locate(129) == ("sound", 29)
    items = {"image": range(60), "text": range(40), "sound": range(100, 130)}
    apart = near_duplicates(
        {"image": image, "text": text, "sound": sound}, 0.97, across=0.85, items=items
    )
    same = {(i, 60 + i) for i in range(40)}
    assert {(int(a), int(b)) for a, b in apart.pairs} == wanted - same
    assert wanted & same


def test_copies_with_different_labels_are_conflicts() -> None:
    rows = np.eye(4, 6)[[0, 1, 0, 2, 1, 3, 0]]
    found = near_duplicates(rows, 1.0, labels=["cat", "dog", "cat", "cow", "fox", "hen", "tiger"])
    assert found.pairs.tolist() == [[0, 2], [0, 6], [1, 4], [2, 6]]
    assert found.conflicts.tolist() == [False, True, True, True]
    assert [group.tolist() for group in found.groups] == [[0, 2, 6], [1, 4]]
    assert found.redundant().tolist() == [2, 4, 6]
    assert repr(found) == "<NearDuplicates: 4 pairs in 2 groups, 3 label conflicts>"
    by_name = near_duplicates(
        {"a": rows[:3], "b": rows[3:]}, 1.0, labels={"a": [1, 2, 1], "b": [3, 2, 4, 1]}
    )
    assert by_name.pairs.tolist() == found.pairs.tolist()
    assert not by_name.conflicts.any()


def test_a_missing_label_contradicts_none() -> None:
    rows = np.eye(1, 6)[[0, 0, 0]]
    lists: list[Any] = [[None, None, "cat"], [np.nan, float("nan"), "cat"], np.full(3, np.nan)]
    for labels in lists:
        found = near_duplicates(rows, labels=labels)
        assert len(found) == 3
        assert not found.conflicts.any()
    assert near_duplicates(rows, labels=[1.0, np.nan, 2.0]).conflicts.tolist() == [
        *(False, True, False),
    ]


def test_one_crowd_is_truncated_and_told() -> None:
    found = near_duplicates(np.ones((50, 3)), max_neighbours=5)
    assert found.truncated == 50
    assert len(found) < 50 * 49 / 2
    whole = near_duplicates(np.ones((50, 3)), max_neighbours=49)
    assert whole.truncated == 0
    assert len(whole) == 50 * 49 / 2


def test_a_graph_finds_nearly_all_and_nothing_else() -> None:
    rng = np.random.default_rng(4)
    rows = rng.normal(size=(1500, 24))
    rows[1000:] = rows[:500] + 0.05 * rng.normal(size=(500, 24))
    found = near_duplicates(rows, 0.95, exact=False)
    wanted = brute(rows, 0.95)
    pairs = {(int(a), int(b)) for a, b in found.pairs}
    assert not found.exact
    assert pairs <= wanted
    assert len(pairs) >= 0.98 * len(wanted)
    assert len(wanted) >= 450


def test_real_images_and_captions(clip_pairs: npt.NDArray[np.float32]) -> None:
    image, caption = clip_pairs
    maps = center({"image": image, "text": caption}, {"image": "image", "text": "text"})
    rows = {
        "image": align_rows(image, maps["image"]),
        "text": align_rows(caption, maps["text"]),
    }
    rows["image"][7] = rows["image"][3]
    found = near_duplicates(rows, 0.9, across=0.45)
    every = np.concatenate([rows["image"], rows["text"]])
    near = cosines(every)
    wanted = {(a, b) for a, b in brute(every, 0.45) if a < 500 <= b or near[a, b] >= 0.9}
    assert {(int(a), int(b)) for a, b in found.pairs} == wanted
    assert (3, 7) in wanted


def test_multiples_of_a_row_are_duplicates_at_the_highest_threshold() -> None:
    rng = np.random.default_rng(5)
    rows = rng.normal(size=(400, 37))
    rows[200:] = rows[:200] * rng.uniform(0.01, 90.0, size=(200, 1))
    found = near_duplicates(rows, 1.0)
    assert found.pairs.tolist() == [[i, 200 + i] for i in range(200)]
    assert found.scores.max() <= 1.0


def test_a_collection_is_looked_through_as_it_is_aligned(col: Collection) -> None:
    rng = np.random.default_rng(6)
    image = rng.normal(size=(90, DIM)) + 2.0 * np.eye(DIM)[0]
    caption = image + 0.5 * rng.normal(size=(90, DIM)) + 3.0 * np.eye(DIM)[1]
    image[11] = image[4]
    col.upsert(
        [f"i{i}" for i in range(60)],
        {"image": image[:60], "caption": caption[:60]},
        [{"kind": i % 3} if i != 5 else {} for i in range(60)],
    )
    col.upsert([f"p{i}" for i in range(30)], {"image": image[60:]})
    raw = near_duplicates(["image", "caption"], 0.9, collection=col, labels="kind")
    col.align("center")
    seen = near_duplicates(["image", "caption"], 0.9, collection=col, labels="kind")
    for found, shift in ((raw, False), (seen, True)):
        rows = []
        for block in (image, caption[:60]):
            one = (block / np.linalg.norm(block, axis=1, keepdims=True)).astype(np.float64)
            rows.append(one - one.mean(axis=0) if shift else one)
        every = np.concatenate(rows)
        owner = np.concatenate([np.arange(90), np.arange(60)])
        kind = np.where((owner < 60) & (owner != 5), owner % 3, -1)
        wanted = {(a, b) for a, b in brute(every, 0.9) if owner[a] != owner[b]}
        pairs = [(int(a), int(b)) for a, b in found.pairs]
        assert set(pairs) == wanted
        assert found.conflicts.tolist() == [
            kind[a] != kind[b] and kind[a] >= 0 and kind[b] >= 0 for a, b in pairs
        ]
        assert (4, 11) in wanted
        assert found.ids is not None
        assert [found.ids[i] for i in (4, 89, 90, 149)] == ["i4", "p29", "i0", "i59"]
        assert found.conflicts.any()
    assert len(raw) > len(seen) > 1


def test_unfit_fields_of_a_collection_are_refused(col: Collection, tmp_path: Path) -> None:
    col.upsert([1, 2], {"image": np.eye(2, DIM)}, [{"kind": [1]}, {}])
    cases: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
        (["image", "caption"], {}, InvalidArgument, r"the fields \['caption'\] are empty"),
        (["image", "sound"], {}, UnknownField, "rows names 'sound'"),
        (["image", "image"], {}, InvalidArgument, "each once"),
        ([], {}, InvalidArgument, r"rows is \[\]"),
        (np.eye(2), {}, InvalidArgument, "name the fields"),
        ("image", {"labels": ["a", "b"]}, InvalidArgument, "name a metadata key"),
        ("image", {"labels": "kind"}, InvalidArgument, r"item 1 has \[1\] under 'kind'"),
        ("image", {"items": {"image": [1, 2]}}, InvalidArgument, "items is given beside"),
    ]
    for fields, arguments, error, words in cases:
        with pytest.raises(error, match=words):
            near_duplicates(fields, collection=col, **arguments)
    assert len(near_duplicates("image", collection=col)) == 0
    with gl.open(tmp_path / "two", two_space_schema()) as two:
        two.upsert([1], {"image": np.eye(1, DIM), "body": np.eye(1, 4)})
        with pytest.raises(SpaceMismatch, match="spaces"):
            near_duplicates(["image", "body"], collection=two)


def test_bad_input_says_what_was_wanted() -> None:
    rows = np.eye(3)
    cases: list[tuple[Any, dict[str, Any], str]] = [
        (rows, {"threshold": 0.0}, "threshold is 0.0: give a cosine above 0"),
        (rows, {"threshold": float("nan")}, "threshold is nan"),
        (rows, {"across": 1.5}, "across is 1.5"),
        (rows, {"max_neighbours": 0}, "max_neighbours is 0"),
        (rows, {"labels": [1, 2]}, "labels has 2 entries for the 3 rows"),
        (rows, {"labels": [1, [2], 3]}, "labels of 'rows' cannot be compared"),
        (rows, {"labels": "abc"}, "labels is a str: give a sequence"),
        (rows, {"labels": {"a": [1]}}, "labels is a dict: give a sequence"),
        ({"a": rows}, {"labels": [1, 2, 3]}, "labels is a list: give a dict of modality"),
        ({"a": rows}, {"items": {"b": [1, 2, 3]}}, "items has 0 entries for the 3 rows of 'a'"),
        ({}, {}, "rows is empty"),
        (np.empty((0, 3)), {}, r"shape \(0, 3\)"),
        ([1.0, 2.0], {}, r"shape \(2,\)"),
        ([[1.0, 2.0], [3.0]], {}, "rows of unequal length"),
    ]
    for given_rows, arguments, words in cases:
        with pytest.raises(InvalidArgument, match=words):
            near_duplicates(given_rows, **arguments)
    with pytest.raises(InvalidVector, match="zero"):
        near_duplicates(np.zeros((2, 3)))
    with pytest.raises(SpaceMismatch, match="dims"):
        near_duplicates({"a": rows, "b": np.eye(4)})
    with pytest.raises(InvalidArgument, match="row is -1"):
        near_duplicates(rows).locate(-1)
    with pytest.raises(InvalidArgument, match="row is 3: give one of the 3"):
        near_duplicates(rows).locate(3)
