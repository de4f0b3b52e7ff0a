"""What a search refuses: every argument of a wrong kind, and those that contradict each other."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import gapless as gl
from collection_kit import DIM
from gapless.collection import Collection
from gapless.errors import GaplessError, InvalidArgument
from gapless.given import as_number

N = 20
Q = np.arange(1.0, DIM + 1)


@pytest.fixture(scope="module")
def col(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collection]:
    schema = gl.Schema(
        {"clip": gl.Space(DIM)},
        {
            "image": gl.Field("clip", "image", index="flat"),
            "caption": gl.Field("clip", "text", index="flat"),
            "frame": gl.Field("clip", "video", index="flat", several=True),
        },
    )
    rng = np.random.default_rng(0)
    rows: Callable[[], npt.NDArray[np.float64]] = lambda: rng.normal(size=(N, DIM))  # noqa: E731
    with gl.open(tmp_path_factory.mktemp("input") / "c", schema) as made:
        frames = [rng.normal(size=(2, DIM)) for _ in range(N)]
        metadata = [{"doc": i % 4} for i in range(N)]
        made.upsert(range(N), {"image": rows(), "caption": rows(), "frame": frames}, metadata)
        yield made


NO_NAMES = [0, 1.5, np.array(5), np.array("image"), object(), [None], [["image"]], "\ud800"]
NO_NUMBERS = ["1", b"1", np.nan, 1j, np.complex64(1), 10**400, -(10**400), [], {}, True, object()]
WRONG: dict[str, list[Any]] = {
    "fields": [*NO_NAMES, "image", [], {}],
    "filter_modality": [*NO_NAMES, [], True],
    "routes": [5, "image", {1: ["image"]}, {"image": "image"}, {"image": np.array(5)}, []],
    "weights": [5, [("image", 1)], {"x": 1}, *({"image": value} for value in NO_NUMBERS)],
    "quotas": [5, [], {"x": 1}, {"image": 0}, {"image": 1.0}, {"image": None}],
    "modality": [5, "", "\ud800", np.array("text"), ["text"]],
    "like": [np.array(5), 1.5, None.__class__, [None], b"x", {"a": 1}],
    "parts": [0, "", np.array(5), {}, [None], [Q], "text"],
    "negatives": [0, np.array(5), {}, [None], [5], Q],
    "timeout": [0, -1, np.inf, *NO_NUMBERS],
    "diversity": [-0.1, 1.1, np.inf, *NO_NUMBERS],
    "min_score": [np.inf, {"image": "1"}, *(v for v in NO_NUMBERS if v != {})],
    "min_confidence": [-0.1, 1.1, *NO_NUMBERS],
    "limit": [0, -1, 1.0, None, "1", True],
    "offset": [-1, 1.0, None, "1", True],
    "window": [0, 1.0, "1", True],
    "ef": [0, 1.0, "1", True],
    "group_size": [0, 1.0, None, True, 2],
    "group_by": [5, "", [], True],
    "freeze": [0, 1, None, "yes", Q, np.array(True)],
    "explain": [0, 1, None, "yes", Q],
    "fusion": [None, 5, "", "RRF", ["rrf"], {"method": "rrf"}],
    "combine": [5, "", "mean", ["max"]],
    "rows": [None, 5, "median", ["max"], {"image": None}, {1: "max"}],
    "alignment": [True, 1.0, 7, "x", [], 2**70],
    "rerank": [5, "", "nobody", {}, {"text": "a model"}, object()],
    "cursor": [5, b"x", "x", "", Q],
    "stages": [5, "[]", {}, np.array(5), [], gl.VectorSearch("image"), [gl.VectorSearch]],
    "vectors": [5, "x", [Q], {"x": Q}, {1: Q}, {"clip": None}, {"clip": "x"}, {"clip": Q[:3]}],
}


@pytest.mark.parametrize("name", WRONG)
def test_a_value_of_a_wrong_kind_is_refused_by_its_name(col: Collection, name: str) -> None:
    for value in WRONG[name]:
        given = {"vectors": {"clip": Q}, name: value}
        with pytest.raises(GaplessError) as caught:
            col.search(**given)
        told = str(caught.value)
        word = "scorer|encoders|reranker" if name == "rerank" else name.rstrip("s")
        assert re.search(f"{word}|space|field|id ", told), (name, value, told)
        assert re.search("[:;] ", told), told


def test_a_message_stays_short_whatever_was_given(col: Collection) -> None:
    for name in ("fields", "filter_modality", "fusion", "combine", "rows", "timeout", "diversity"):
        given: dict[str, Any] = {"vectors": {"clip": Q}, name: "x" * 10_000}
        with pytest.raises(InvalidArgument) as caught:
            col.search(**given)
        assert len(str(caught.value)) < 500


def test_arguments_that_contradict_each_other_are_refused(col: Collection) -> None:
    asked: dict[str, Any] = {"vectors": {"clip": Q}}
    page = col.search(**asked, freeze=True, limit=3)
    for beside in (asked, {"text": "a dog"}, {"offset": 3}, {"explain": True}, {"fields": ["x"]}):
        with pytest.raises(InvalidArgument, match=f"{next(iter(beside))}= is given beside cursor="):
            col.search(cursor=page.cursor, **beside)
    assert len(col.search(cursor=page.cursor, limit=4)) == 4
    for wrong, message in (
        ({"group_size": 2}, "group_size is 2 and nothing is grouped"),
        ({"freeze": True, "group_by": "doc"}, "freeze pages through hits"),
        ({"combine": "max", "fusion": gl.Fuse("auto", combine="noisy_or")}, "give one of them"),
        ({"fields": ["image"], "quotas": {"caption": 3}}, "no field searched"),
        ({"fields": ["image"], "weights": {"caption": 3}}, "not searched"),
    ):
        with pytest.raises(InvalidArgument, match=message):
            col.search(**asked, **wrong)


def test_more_lists_or_pages_than_can_be_kept_are_refused(col: Collection) -> None:
    with pytest.raises(InvalidArgument, match=r"make 360 lists.* 256 at most"):
        col.search(like=list(range(N)) * 2)
    queries = np.ones((65, DIM))
    with pytest.raises(InvalidArgument, match="65 questions and 64 rankings are kept"):
        col.search_many(vectors={"clip": queries}, freeze=True)
    pages = col.search_many(vectors={"clip": queries[:64]}, freeze=True, limit=3)
    assert len(col.search(cursor=pages[0].cursor, limit=3)) == 3


def test_one_part_alone_is_a_list_of_one(col: Collection) -> None:
    part = gl.Part(vector=Q, space="clip")
    assert col.search(parts=part) == col.search(parts=[part])  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="space is 5"):
        gl.Part(vector=Q, space=5)  # type: ignore[arg-type]


def test_an_encoder_is_no_text(col: Collection) -> None:
    """A str has a method `encode`, which makes bytes."""
    with pytest.raises(InvalidArgument, match=r"encoders\['text'\] is a str"):
        gl.Rerank({"text": "a model"})
    with pytest.raises(InvalidArgument, match="is a str"):
        gl.open(col.path / "other", col.schema, encoders={"clip": {"text": "a model"}})


def test_numbers_that_floats_cannot_hold_have_a_sign() -> None:
    assert as_number(10**400) == np.inf
    assert as_number(-(10**400)) == -np.inf
    assert as_number(np.float16(0.5)) == 0.5
    assert as_number(True) is as_number(np.bool_(True)) is as_number("1") is None


def test_parameters_of_a_fusion_are_checked_when_they_are_given() -> None:
    no_numbers: list[Any] = ["x", np.nan, np.inf, 10**400, [1], True, 1j, {}]
    for name in ("rrf_k", "phi", "gamma", "sigma", "lower"):
        for value in no_numbers:
            with pytest.raises(InvalidArgument, match=f"{name} is .*: give a finite number"):
                gl.Fuse("rrf", **{name: value})
    wrong: dict[str, Any] = {"rank_base": 1.0, "norm": 5, "complete_ranks": 1, "combine": "mean"}
    for name, value in wrong.items():
        with pytest.raises(InvalidArgument, match=f"{name} is {value!r}"):
            gl.Fuse("rrf", **{name: value})
    with pytest.raises(InvalidArgument, match="Fuse is 5: give a dict"):
        gl.Fuse.from_dict(5)  # type: ignore[arg-type]
    read = gl.Fuse("rrf", rrf_k=np.float32(20), rank_base=np.int64(0))
    assert read.to_dict() == {"method": "rrf", "rrf_k": 20.0, "rank_base": 0}
    assert {type(value) for value in read.parameters.values()} == {float, int}


def test_stages_and_retrievers_take_any_number_and_refuse_what_is_none(col: Collection) -> None:
    assert gl.VectorSearch("image", weight=np.float32(0.5)).weight == 0.5
    for made in (
        lambda: gl.VectorSearch("image", weight=10**400),
        lambda: gl.stages_to_json(5),  # type: ignore[arg-type]
        lambda: gl.AdaptiveRetriever(col, min_confidence=10**400),
        lambda: gl.AdaptiveRetriever(5),  # type: ignore[arg-type]
        lambda: gl.KeywordRouter(visual_words=5)("a photo"),  # type: ignore[arg-type]
    ):
        with pytest.raises(InvalidArgument, match=r"is .*: give"):
            made()
