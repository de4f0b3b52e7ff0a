"""Every refused call: its exception, its message, and that nothing has changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import gapless as gl
from collection_kit import DIM, eye
from gapless.collection import Collection
from gapless.errors import (
    DuplicateId,
    InvalidArgument,
    InvalidVector,
    SpaceMismatch,
    UnknownField,
    UnknownId,
)


def state(col: Collection) -> tuple[Any, ...]:
    """Everything a caller can see, to compare before and after a refused call."""
    items = col.get(col.ids(), vectors=True)
    rows = [(i.id, i.metadata, i.uri, {f: v.tolist() for f, v in i.vectors.items()}) for i in items]
    stats = col.stats()
    return rows, len(col), stats["pending_rows"], stats["alignment"]


Call = Callable[[Collection], Any]


def nan_row(value: float) -> npt.NDArray[np.float32]:
    rows = eye(0, 1, 2)
    rows[1, 3] = value
    return rows


BAD_WRITES: list[tuple[str, Call, type[Exception], str]] = [
    (
        "wrong dim",
        lambda c: c.upsert(["x"], {"image": np.ones((1, 7))}),
        InvalidVector,
        r"vectors\['image'\] has shape \(1, 7\): give \(n, 8\)",
    ),
    (
        "one-dimensional",
        lambda c: c.upsert(["x"], {"image": np.ones(8)}),
        InvalidVector,
        r"shape \(8,\)",
    ),
    (
        "NaN",
        lambda c: c.upsert(["x", "y", "z"], {"image": nan_row(np.nan)}),
        InvalidVector,
        r"vectors\['image'\].*row 1",
    ),
    (
        "infinite",
        lambda c: c.upsert(["x", "y", "z"], {"image": nan_row(np.inf)}),
        InvalidVector,
        r"vectors\['image'\].*row 1",
    ),
    (
        "beyond float32",
        lambda c: c.upsert(["x"], {"image": np.full((1, 8), 1e300)}),
        InvalidVector,
        "row 0",
    ),
    (
        "zero",
        lambda c: c.upsert(["x", "y"], {"caption": eye(0, 1), "image": eye(0, 1) * [[1], [0]]}),
        InvalidVector,
        r"vectors\['image'\].*row 1",
    ),
    (
        "words",
        lambda c: c.upsert(["x"], {"image": [["a"] * 8]}),
        InvalidVector,
        "real numbers",
    ),
    (
        "complex",
        lambda c: c.upsert(["x"], {"image": np.ones((1, 8), complex)}),
        InvalidVector,
        "dtype complex128",
    ),
    (
        "ragged",
        lambda c: c.upsert(["x", "y"], {"image": [[1.0] * 8, [1.0] * 7]}),
        InvalidVector,
        r"vectors\['image'\]",
    ),
    (
        "no dict",
        lambda c: c.upsert(["x"], eye(0)),  # type: ignore[arg-type]
        InvalidArgument,
        "vectors is a ndarray: give a dict",
    ),
    (
        "unknown field",
        lambda c: c.upsert(["x"], {"image": eye(0), "sound": eye(0)}),
        UnknownField,
        "no field 'sound': the collection has 'image', 'caption'",
    ),
    (
        "too few rows",
        lambda c: c.upsert(["x", "y"], {"image": eye(0)}),
        InvalidArgument,
        r"vectors\['image'\] has 1 rows for 2 ids",
    ),
    (
        "duplicate ids",
        lambda c: c.upsert(["x", "y", "x"], {"image": eye(0, 1, 2)}),
        DuplicateId,
        "id 'x' is at positions 0 and 2",
    ),
    (
        "equal ids of two integer types",
        lambda c: c.upsert([1, np.int8(1)], {"image": eye(0, 1)}),
        DuplicateId,
        "id 1 is at positions 0 and 1",
    ),
    (
        "new without a vector",
        lambda c: c.upsert(["a", "x"], metadata=[{}, {}]),
        InvalidArgument,
        "id 'x' is new and has no vector",
    ),
    ("lone id", lambda c: c.upsert("x", {"image": eye(0)}), InvalidArgument, r"such as \['x'\]"),
    ("no ids", lambda c: c.upsert(None, {"image": eye(0)}), InvalidArgument, "ids is None"),  # type: ignore[arg-type]
    ("float id", lambda c: c.upsert([1.5], {"image": eye(0)}), InvalidArgument, "id 1.5"),  # type: ignore[list-item]
    ("bool id", lambda c: c.upsert([True], {"image": eye(0)}), InvalidArgument, "id True"),
    ("huge id", lambda c: c.upsert([2**63], {"image": eye(0)}), InvalidArgument, "64-bit integer"),
    (
        "broken text id",
        lambda c: c.upsert(["\ud800"], {"image": eye(0)}),
        InvalidArgument,
        "valid Unicode",
    ),
    (
        "metadata length",
        lambda c: c.upsert(["x", "y"], {"image": eye(0, 1)}, metadata=[{}]),
        InvalidArgument,
        "metadata has 1 entries for 2 ids",
    ),
    (
        "metadata as one dict",
        lambda c: c.upsert(["x"], {"image": eye(0)}, metadata={"n": 1}),  # type: ignore[arg-type]
        InvalidArgument,
        "metadata is a dict: give a list",
    ),
    (
        "metadata of text",
        lambda c: c.upsert(["x"], {"image": eye(0)}, metadata=["n"]),  # type: ignore[list-item]
        InvalidArgument,
        r"metadata\[0\] of id 'x' is a str: give a dict",
    ),
    (
        "metadata NaN",
        lambda c: c.upsert(["x"], {"image": eye(0)}, metadata=[{"n": float("nan")}]),
        InvalidArgument,
        r"metadata\[0\] of id 'x' is not JSON",
    ),
    (
        "metadata set",
        lambda c: c.upsert(["x"], {"image": eye(0)}, metadata=[{"n": {1}}]),
        InvalidArgument,
        "is a set",
    ),
    (
        "metadata numpy",
        lambda c: c.upsert(["x"], {"image": eye(0)}, metadata=[{"n": np.float32(1)}]),
        InvalidArgument,
        r"convert it with \.item\(\)",
    ),
    (
        "metadata keys",
        lambda c: c.upsert(["x"], {"image": eye(0)}, metadata=[{"n": [{1: 2}]}]),
        InvalidArgument,
        "the key 1 is a int",
    ),
    (
        "uris length",
        lambda c: c.upsert(["x"], {"image": eye(0)}, uris=["a", "b"]),
        InvalidArgument,
        "uris has 2 entries for 1 ids",
    ),
    (
        "uris as text",
        lambda c: c.upsert(["x"], {"image": eye(0)}, uris="a"),
        InvalidArgument,
        "uris is a str: give a list",
    ),
    (
        "uri of number",
        lambda c: c.upsert(["x"], {"image": eye(0)}, uris=[3]),  # type: ignore[list-item]
        InvalidArgument,
        r"uris\[0\] is 3",
    ),
    (
        "uri of broken text",
        lambda c: c.upsert(["x"], {"image": eye(0)}, uris=["\ud800"]),
        InvalidArgument,
        r"uris\[0\] is .*valid Unicode",
    ),
    ("remove unknown", lambda c: c.remove(["a", "x"]), UnknownId, "there is no item 'x'"),
    ("remove twice", lambda c: c.remove(["a", "a"]), DuplicateId, "positions 0 and 1"),
    ("remove text of int", lambda c: c.remove("7"), UnknownId, r"no item '7' \(but 7 is there\)"),
    ("remove int of text", lambda c: c.remove([5]), UnknownId, r"no item 5 \(but '5' is there\)"),
    ("get unknown", lambda c: c.get("zz"), UnknownId, "there is no item 'zz': upsert it first"),
    ("get float", lambda c: c.get([0.5]), InvalidArgument, "id 0.5"),  # type: ignore[list-item]
]


@pytest.mark.parametrize(
    ("call", "error", "message"), [case[1:] for case in BAD_WRITES], ids=[c[0] for c in BAD_WRITES]
)
def test_a_refused_call_changes_nothing(
    col: Collection, call: Call, error: type[Exception], message: str
) -> None:
    col.upsert(["a", 7, "5"], {"image": eye(0, 1, 2)}, [{"n": 1}, None, None], ["u", None, None])
    before = state(col)
    with pytest.raises(error, match=message) as caught:
        call(col)
    assert type(caught.value) is error
    assert isinstance(caught.value, gl.errors.GaplessError)
    assert state(col) == before


Q = eye(0)[0]
BAD_SEARCHES: list[tuple[str, dict[str, Any], type[Exception], str]] = [
    ("nothing", {}, InvalidArgument, "nothing to search for"),
    ("empty vectors", {"vectors": {}}, InvalidArgument, "nothing to search for"),
    ("limit 0", {"vectors": {"clip": Q}, "limit": 0}, InvalidArgument, "limit is 0: .* at least 1"),
    ("limit -1", {"vectors": {"clip": Q}, "limit": -1}, InvalidArgument, "limit is -1"),
    ("limit 2.5", {"vectors": {"clip": Q}, "limit": 2.5}, InvalidArgument, "limit is 2.5"),
    ("limit True", {"vectors": {"clip": Q}, "limit": True}, InvalidArgument, "limit is True"),
    ("ef", {"vectors": {"clip": Q}, "ef": 0}, InvalidArgument, "ef is 0"),
    (
        "fusion",
        {"vectors": {"clip": Q}, "fusion": "best"},
        InvalidArgument,
        "fusion is 'best': choose one of auto, rrf",
    ),
    ("space", {"vectors": {"clap": Q}}, UnknownField, "no space 'clap': the collection has 'clip'"),
    ("field for space", {"vectors": {"image": Q}}, UnknownField, r"chosen with fields=\[\.\.\.\]"),
    (
        "query dim",
        {"vectors": {"clip": Q[:5]}},
        InvalidVector,
        r"vectors\['clip'\] has shape \(1, 5\)",
    ),
    ("query NaN", {"vectors": {"clip": Q * np.nan}}, InvalidVector, r"vectors\['clip'\].*row 0"),
    ("query zero", {"vectors": {"clip": Q * 0}}, InvalidVector, r"vectors\['clip'\].*row 0"),
    (
        "several queries",
        {"vectors": {"clip": eye(0, 1)}},
        InvalidVector,
        r"give one vector of shape \(8,\)",
    ),
    (
        "fields",
        {"vectors": {"clip": Q}, "fields": ["sound"]},
        UnknownField,
        "no field 'sound'",
    ),
    (
        "vectors as list",
        {"vectors": [1, 0, 0, 0]},
        InvalidArgument,
        "vectors is a list: give a dict of space to query vector",
    ),
    ("vectors as array", {"vectors": Q}, InvalidArgument, "vectors is a ndarray: give a dict"),
    (
        "query ragged",
        {"vectors": {"clip": [[1, 2], [3]]}},
        InvalidVector,
        r"vectors\['clip'\] is no array: rows of unequal length",
    ),
    (
        "query masked",
        {"vectors": {"clip": np.ma.masked_array(Q, Q > 0)}},
        InvalidVector,
        r"vectors\['clip'\] has masked entries",
    ),
    ("query words", {"vectors": {"clip": ["a"] * 8}}, InvalidVector, "give real numbers"),
    ("weights number", {"vectors": {"clip": Q}, "weights": 0.5}, InvalidArgument, "is a float"),
    (
        "weights list",
        {"vectors": {"clip": Q}, "weights": ["image"]},
        InvalidArgument,
        "weights is a list: give a dict of field to number",
    ),
    (
        "fields number",
        {"vectors": {"clip": Q}, "fields": 5},
        InvalidArgument,
        "fields is 5: give a list of names",
    ),
    ("no fields", {"vectors": {"clip": Q}, "fields": []}, InvalidArgument, "fields is empty"),
    (
        "fields as text",
        {"vectors": {"clip": Q}, "fields": "image"},
        InvalidArgument,
        r"such as \['image'\]",
    ),
    (
        "weight name",
        {"vectors": {"clip": Q}, "weights": {"sound": 1}},
        UnknownField,
        "no field 'sound'",
    ),
    (
        "weight unsearched",
        {"vectors": {"clip": Q}, "fields": ["image"], "weights": {"caption": 1}},
        InvalidArgument,
        "weights names 'caption', which is not searched",
    ),
    (
        "weight negative",
        {"vectors": {"clip": Q}, "weights": {"image": -1}},
        InvalidArgument,
        r"weights\['image'\] is -1",
    ),
    (
        "weight NaN",
        {"vectors": {"clip": Q}, "weights": {"image": float("nan")}},
        InvalidArgument,
        r"weights\['image'\] is nan",
    ),
    (
        "weights zero",
        {"vectors": {"clip": Q}, "weights": {"image": 0, "caption": 0}},
        InvalidArgument,
        "every weight is 0",
    ),
    ("modality alone", {"modality": "text", "text": "x"}, InvalidArgument, "modality is 'text'"),
    ("modality empty", {"vectors": {"clip": Q}, "modality": ""}, InvalidArgument, "modality is ''"),
    ("text blank", {"text": "  "}, InvalidArgument, "text is '  '"),
    ("text no str", {"text": 3}, InvalidArgument, "text is 3"),
    ("text, no encoder", {"text": "x"}, InvalidArgument, "no encoder for a text query"),
    ("image, no encoder", {"image": "x.png"}, InvalidArgument, "no encoder for a image query"),
]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [case[1:] for case in BAD_SEARCHES],
    ids=[case[0] for case in BAD_SEARCHES],
)
def test_a_bad_search_is_refused(
    col: Collection, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    col.upsert(["a"], {"image": eye(0)})
    with pytest.raises(error, match=message) as caught:
        col.search(**arguments)
    assert type(caught.value) is error


def test_vectors_cannot_meet_fields_of_another_space(tmp_path: Path) -> None:
    schema = gl.Schema(
        {"clip": gl.Space(DIM), "other": gl.Space(DIM)},
        {"image": gl.Field("clip", "image", index="flat"), "body": gl.Field("other", "text")},
    )
    with gl.open(tmp_path / "c", schema) as col:
        col.upsert(["a"], {"image": eye(0), "body": eye(0)})
        with pytest.raises(SpaceMismatch, match=r"space 'clip' cannot meet the fields \['body'\]"):
            col.search(vectors={"clip": Q}, fields=["body"])
        with pytest.raises(SpaceMismatch, match="field 'body' lives in space 'other'"):
            col.search(vectors={"clip": Q}, fields=["image", "body"])
        assert [p.field for p in col.search(vectors={"clip": Q})[0].contributions] == ["image"]


def test_an_alignment_wants_to_know_the_querys_modality(
    col: Collection, rng: np.random.Generator
) -> None:
    image, caption = rng.normal(size=(2, 40, DIM))
    col.upsert(list(range(40)), {"image": image, "caption": caption})
    col.search(vectors={"clip": Q}, modality="sketch")  # any word will do while scores are raw
    col.align("center")
    for modality in (None, "sketch"):
        with pytest.raises(InvalidArgument, match=f"modality is {modality!r}: .*'image', 'text'"):
            col.search(vectors={"clip": Q}, modality=modality)
    assert len(col.search(vectors={"clip": Q}, modality="text")) == 10


def test_a_closed_collection_says_so(tmp_path: Path, schema: gl.Schema) -> None:
    col = gl.open(tmp_path / "c", schema)
    assert repr(col).startswith("<gapless.Collection ")
    assert "0 items (image: 0, caption: 0)" in repr(col)
    col.close()
    col.close()
    assert repr(col).startswith("<closed gapless.Collection ")
    calls: list[Call] = [
        len,
        lambda c: c.upsert(["a"], {"image": eye(0)}),
        lambda c: c.remove("a"),
        lambda c: c.get("a"),
        lambda c: c.ids(),
        lambda c: "a" in c,
        lambda c: c.search(vectors={"clip": Q}),
        lambda c: c.align("center"),
        lambda c: c.align("raw"),
        lambda c: c.diagnose(),
        lambda c: c.checkpoint(),
        lambda c: c.stats(),
        lambda c: c.__enter__(),
    ]
    for call in calls:
        with pytest.raises(InvalidArgument, match="is closed: open it again"):
            call(col)
