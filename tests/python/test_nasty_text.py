"""Ids and metadata at the edges of what there is: stored faithfully, or refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gapless as gl
from collection_kit import DIM
from gapless.batch import SPLIT
from gapless.errors import InvalidArgument

IDS: list[str | int] = [
    *(-(2**63), -(2**63) + 1, -1, 0, 1, 2**53 + 1, 2**63 - 1),
    *("", " ", "0", "1", "-1", "1.0", "a", "A", "a\0", "a\0b", "\0", "\0\0", "\n", "'; DROP TABLE"),
    *("é", "e\u0301", "\u202eabc", "\ufeff", "\uffff", "😀", "👩‍👩‍👧", "ß", "ẞ", "İ", "ﬀ"),
    *(
        "x" * 10_000,
        "x" * 9_999 + "y",
        "é" * 10_000,
        "\U0010ffff" * 3_000,
        "../../etc/passwd",
        "%s",
    ),
]
METADATA: list[dict[str, Any]] = [
    {},
    {"": ""},
    {"\0": "\0", "a\0b": "a\0"},
    {"\ud800": "\udfff", "half": "😀\ud83d", "back": "\ude00\ud83d"},
    {"big": 10**400, "small": -(10**400), "edge": [2**63, -(2**63) - 1, 2**64]},
    {"floats": [0.1, -0.0, 5e-324, 1.7976931348623157e308, 1e16]},
    {"mixed": [None, True, False, 1, 1.0, "1", [], {}, [[]], {"": {"": {}}}]},
    {"huge": "z" * 3_000_000},
    {f"key {i}": i for i in range(20_000)},
    {"$eq": 1, "$id": 2, "a.b": 3, "a": {"b": 4}, "[0]": 5, '"': 6, "\\": 7},
]


def bits(value: Any) -> str:
    """What tells values apart that compare as equal: 1 and 1.0 and True, 0.0 and -0.0."""
    return repr(value)


def test_ids_come_back_as_they_were(tmp_path: Path, rng: np.random.Generator) -> None:
    schema = gl.Schema({"clip": gl.Space(DIM)}, {"image": gl.Field("clip", "image", index="flat")})
    rows = rng.normal(size=(len(IDS), DIM))
    path = tmp_path / "c"
    with gl.open(path, schema) as col:
        col.upsert(IDS, {"image": rows}, [{"n": i} for i in range(len(IDS))])
    for _ in range(2):  # from the segment, then with a change pending
        with gl.open(path) as col:
            assert list(map(bits, col.ids())) == list(map(bits, IDS))
            for i, name in enumerate(IDS):
                assert name in col
                assert col.get(name).metadata == {"n": i}
                hit = col.search(vectors={"clip": rows[i]}, limit=1)[0]
                assert bits(hit.id) == bits(name)
                assert col.search(vectors={"clip": rows[i]}, filter={"$id": name}).ids == [name]
            col.upsert(IDS[:1], {"image": rows[:1]})
    with gl.open(path) as col:
        col.remove(IDS[::2])
        assert list(map(bits, col.ids())) == list(map(bits, IDS[1::2]))


@pytest.mark.parametrize("name", ["\ud800", "a\udfff", "\ud83d\ude00"])
def test_ids_that_are_no_unicode_are_refused(col: gl.Collection, name: str) -> None:
    with pytest.raises(InvalidArgument, match="valid Unicode"):
        col.upsert([name], {"image": np.ones((1, DIM))})
    assert name not in col
    assert len(col) == 0


def test_metadata_comes_back_as_it_was(tmp_path: Path, rng: np.random.Generator) -> None:
    schema = gl.Schema({"clip": gl.Space(DIM)}, {"image": gl.Field("clip", "image", index="flat")})
    rows = rng.normal(size=(len(METADATA), DIM))
    ids = list(range(len(METADATA)))
    with gl.open(tmp_path / "c", schema) as col:
        col.upsert(ids, {"image": rows}, METADATA)
    with gl.open(tmp_path / "c") as col:
        for i, wanted in enumerate(METADATA):
            assert bits(col.get(i).metadata) == bits(wanted)
            assert bits(col.search(vectors={"clip": rows[i]}, limit=1)[0].metadata) == bits(wanted)


@pytest.mark.parametrize(
    "metadata",
    [{"x": "\ud83d\ude00"}, {"a": [{"b": ("c\ud83d\ude00",)}]}, {"\udbff\udfff": 1, "😀": "😀"}],
)
def test_a_character_split_in_surrogates_is_refused(
    col: gl.Collection, metadata: dict[str, Any]
) -> None:
    with pytest.raises(InvalidArgument, match="split in two surrogates"):
        col.upsert(["a"], {"image": np.ones((1, DIM))}, [metadata])
    assert len(col) == 0


@pytest.mark.parametrize("depth", [10, 300, 900, 970, 985, 995, 5_000, 100_000])
@pytest.mark.parametrize("kind", ["lists", "dicts"])
def test_deep_metadata_is_stored_or_refused(col: gl.Collection, depth: int, kind: str) -> None:
    value: Any = 1
    for _ in range(depth):
        value = [value] if kind == "lists" else {"a": value}
    try:
        col.upsert(["deep"], {"image": np.ones((1, DIM))}, [{"v": value}])
    except InvalidArgument as error:
        assert depth > 100
        assert "is not JSON" in str(error)
        assert len(col) == 0
        return
    found = col.get("deep").metadata
    assert found is not None
    inner, levels = found["v"], 0
    while inner != 1:
        inner, levels = inner[0] if kind == "lists" else inner["a"], levels + 1
        if levels > depth:
            break
    assert levels == depth


# With lone surrogates, but none that make a pair.
TEXT = st.text(st.characters(), max_size=6).filter(lambda text: not SPLIT.search(text))
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.integers(-(2**63), 2**63 - 1) | st.text(max_size=8),
        st.dictionaries(TEXT, JSON, max_size=3),
        min_size=1,
        max_size=5,
    )
)
def test_any_json_and_any_ids_come_back(
    tmp_path_factory: pytest.TempPathFactory, items: dict[str | int, dict[str, Any]]
) -> None:
    schema = gl.Schema({"clip": gl.Space(2)}, {"image": gl.Field("clip", "image", index="flat")})
    path = tmp_path_factory.mktemp("any") / "c"
    with gl.open(path, schema, durability="normal") as col:
        col.upsert(list(items), {"image": np.ones((len(items), 2))}, list(items.values()))
    with gl.open(path, durability="normal") as col:
        assert list(map(bits, col.ids())) == list(map(bits, items))
        for name, metadata in items.items():
            assert bits(col.get(name).metadata) == bits(metadata)
