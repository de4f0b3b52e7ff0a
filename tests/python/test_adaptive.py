"""Searching in steps: routers, calibrated confidence, the fallback, the merge and the trace."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import gapless as gl
from gapless.adaptive.retriever import AdaptiveRetriever
from gapless.adaptive.router import (
    AUDIO_WORDS,
    VISUAL_WORDS,
    KeywordRouter,
    Route,
    mentions_audio,
    mentions_visual,
    read_routes,
)
from gapless.collection import Collection
from gapless.errors import InvalidArgument, SpaceMismatch
from gapless.query.fusion import Fuse
from gapless.results.hits import Hits
from gapless.stages.stages import VectorSearch

SIZE = 24
BOTH = 80  # items with image and caption
ALONE = 60  # then as many with an image alone, then as many with a caption alone
Rows = NDArray[np.float64]


def world() -> dict[str, Rows]:
    """Images and captions of the same meanings in two cones, and other words for each."""
    rng = np.random.default_rng(0)
    meaning = rng.normal(size=(BOTH + 2 * ALONE, SIZE))
    cone = {"image": 5 * np.eye(SIZE)[0], "text": 5 * np.eye(SIZE)[1]}
    return {
        name: meaning + noise * rng.normal(size=meaning.shape) + cone[side]
        for name, side, noise in (
            ("image", "image", 0.3), ("caption", "text", 0.3), ("wording", "text", 0.2),
        )
    }  # fmt: skip


ROWS = world()
SCHEMA = gl.Schema(
    {"clip": gl.Space(SIZE), "sound": gl.Space(4)},
    {
        "image": gl.Field("clip", "image", index="flat"),
        "caption": gl.Field("clip", "text", index="flat"),
        "audio": gl.Field("sound", "audio", index="flat"),
    },
)


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collection]:
    """A collection whose scores of text queries are calibrated for images and captions."""
    with gl.open(tmp_path_factory.mktemp("media"), SCHEMA) as col:
        for name, start in (("image", 0), ("caption", 0), ("image", BOTH), ("caption", BOTH)):
            count = BOTH if start == 0 else ALONE
            first = start + (ALONE if (name, start) == ("caption", BOTH) else 0)
            col.upsert(range(first, first + count), {name: ROWS[name][first : first + count]})
        col.upsert(["rain", "wind"], {"audio": np.eye(2, 4)})
        pairs = (ROWS["wording"][:BOTH], list(range(BOTH)))
        col.calibrate(positives={("text", "caption"): pairs})
        yield col


def asking(item: int) -> dict[str, Any]:
    return {"vectors": {"clip": ROWS["wording"][item]}, "modality": "text"}


PICTURE, WORDS = BOTH + 10, BOTH + ALONE + 5  # an item with an image alone, and one with a caption


def test_asearch_is_search_in_a_thread(media: Collection) -> None:
    retriever = AdaptiveRetriever(media)
    found = asyncio.run(retriever.asearch("a photo of it", **asking(PICTURE)))
    assert found.ids == retriever.search("a photo of it", **asking(PICTURE)).ids


def test_a_sure_first_step_is_the_answer(media: Collection) -> None:
    retriever = AdaptiveRetriever(media)
    found = retriever.search("a photo of it", **asking(PICTURE))
    (step,) = found.steps
    assert step.accepted
    assert found.accepted
    assert found.merged == "one step"
    assert step.confidence == step.hits[0].confidence >= 0.5  # type: ignore[index, operator]
    assert step.reason == "mentions what is seen: 'photo'"
    assert dict(step.arguments)["fields"] == ["image"]
    alone = media.search(**asking(PICTURE), fields=["image"])
    assert found.ids == alone.ids
    assert found[0].id == PICTURE
    assert [hit.score for hit in found] == alone.scores


def test_an_unsure_first_step_falls_back(media: Collection) -> None:
    """The question speaks of a photo, and what it means is a caption."""
    found = AdaptiveRetriever(media).search("a photo of it", **asking(WORDS))
    first, second = found.steps
    assert not first.accepted
    assert first.confidence < 0.5 <= second.confidence  # type: ignore[operator]
    assert second.accepted
    assert second.reason == "fallback: no search before was sure enough"
    assert "fields" not in second.arguments
    assert found[0].id == WORDS
    assert found.merged == "confidence"
    assert len(set(found.ids)) == len(found) == 10
    by_id: dict[Any, float] = {}
    steps: dict[Any, list[int]] = {}
    for number, step in enumerate(found.steps, 1):
        assert step.hits is not None
        for hit in step.hits:
            assert hit.confidence is not None
            by_id[hit.id] = max(by_id.get(hit.id, 0.0), hit.confidence)
            steps.setdefault(hit.id, []).append(number)
    best = sorted(by_id, key=lambda item: -by_id[item])[:10]
    assert found.ids == best
    assert [hit.score for hit in found] == [by_id[item] for item in best]
    assert [hit.confidence for hit in found] == [by_id[item] for item in best]
    assert [list(hit.steps) for hit in found] == [steps[item] for item in best]
    assert any(len(hit.steps) == 2 for hit in found)


def test_the_trace_reads_as_text_and_as_data(media: Collection) -> None:
    found = AdaptiveRetriever(media).search("a photo of it", **asking(WORDS), limit=4)
    text = repr(found)
    assert text.startswith("4 hits, 2 steps, accepted, merged by confidence")
    assert "not accepted, confidence" in text
    assert "mentions what is seen: 'photo'" in found.explain()
    assert "array (24,)" in text
    data = json.loads(json.dumps(found.to_dict()))
    assert [hit["id"] for hit in data["hits"]] == found.ids
    assert [step["accepted"] for step in data["steps"]] == [False, True]
    assert data["steps"][0]["arguments"]["vectors"] == {"clip": "array (24,)"}
    assert data["question"] == "a photo of it"
    assert all(step["seconds"] > 0 for step in data["steps"])


def test_lists_of_searches_are_tried_in_order(media: Collection) -> None:
    tried: list[str] = []

    def router(question: str) -> list[Any]:
        tried.append(question)
        return [{"fields": ["image"]}, Route({"fields": ["caption"], "limit": 3}, "then captions")]

    retriever = AdaptiveRetriever(media, router)
    found = retriever("where?", **asking(WORDS), limit=7)
    assert tried == ["where?"]
    assert [step.reason for step in found.steps] == ["choice 1 of the router", "then captions"]
    assert [len(step.hits or ()) for step in found.steps] == [7, 3]
    assert len(found) == 7
    never = AdaptiveRetriever(media, router, min_confidence=1.0)
    unsure = never.search("where?", **asking(WORDS))
    assert [step.accepted for step in unsure.steps] == [False] * 3
    assert not unsure.accepted
    assert len(unsure) == 10


def test_lists_that_rank_by_something_else_merge_by_rank(media: Collection) -> None:
    ranks = AdaptiveRetriever(
        media, lambda question: {"fusion": "convex", "fields": ["image"]}, confidence=lambda h: 0.0
    )
    found = ranks.search("x", **asking(WORDS))
    assert [step.hits.fusion for step in found.steps if step.hits] == ["convex", "calibrated"]
    assert found.merged == "rrf"
    assert {hit.score_kind for hit in found} == {"rrf"}
    first, second = (step.hits.ids for step in found.steps if step.hits)
    for hit in found:
        expected = sum(1 / (61 + ids.index(hit.id)) for ids in (first, second) if hit.id in ids)
        assert hit.score == pytest.approx(expected)


@pytest.mark.parametrize("most", [1, 2, 3, 9])
def test_there_are_never_more_steps(media: Collection, most: int) -> None:
    def router(question: str) -> list[dict[str, Any]]:
        return [{"fields": ["image"], "limit": n} for n in (1, 2, 3, 4)]

    retriever = AdaptiveRetriever(media, router, min_confidence=1.0, max_steps=most)
    found = retriever.search("x", **asking(WORDS))
    assert len(found.steps) == min(most, 5)
    if most > 1:  # the last one is kept for the fallback
        assert found.steps[-1].reason.startswith("fallback")
    bare = AdaptiveRetriever(media, router, min_confidence=1.0, max_steps=most, fallback=None)
    assert len(bare.search("x", **asking(WORDS)).steps) == min(most, 4)


def test_a_router_without_a_search_leaves_it_to_the_fallback(media: Collection) -> None:
    found = AdaptiveRetriever(media, lambda question: []).search("x", **asking(WORDS))
    assert [step.reason for step in found.steps] == ["fallback: the router gave no search"]
    assert found[0].id == WORDS


def test_no_search_is_done_twice(media: Collection) -> None:
    found = AdaptiveRetriever(media, lambda question: {}, min_confidence=1.0).search(
        "x", **asking(WORDS)
    )
    assert len(found.steps) == 1


def test_without_a_calibration_the_remedy_is_named(tmp_path: Path) -> None:
    with gl.open(tmp_path, SCHEMA) as col:
        col.upsert(range(30), {"image": ROWS["image"][:30], "caption": ROWS["caption"][:30]})
        retriever = AdaptiveRetriever(col)
        with pytest.raises(InvalidArgument, match=r"fused by .*: call calibrate\(\) with pairs .*"):
            retriever.search("a photo", **asking(3))

        def gap(hits: Hits) -> float:
            return hits.scores[0] - hits.scores[1]

        own = AdaptiveRetriever(col, confidence=gap, min_confidence=1e9)
        found = own.search("a photo", **asking(3))
        assert found.merged == "rrf"
        expected: dict[Any, float] = {}
        for step in found.steps:
            assert step.hits is not None
            assert step.confidence == gap(step.hits)
            for rank, item in enumerate(step.hits.ids, 1):
                expected[item] = expected.get(item, 0.0) + 1 / (60 + rank)
        order = sorted(expected, key=lambda item: -expected[item])[:10]
        assert found.ids == order
        assert [hit.score for hit in found] == pytest.approx([expected[item] for item in order])
        assert {hit.score_kind for hit in found} == {"rrf"}
        odd = AdaptiveRetriever(col, confidence=lambda hits: "sure")  # type: ignore[arg-type, return-value]
        with pytest.raises(InvalidArgument, match="confidence= gave 'sure'"):
            odd.search("a photo", **asking(3))
        # Where nothing hangs on it, no confidence is needed.
        one = AdaptiveRetriever(col, max_steps=1).search("a photo", **asking(3))
        assert one.steps[0].confidence is None
        assert not one.accepted
        assert "confidence unknown" in one.explain()


def test_a_step_that_fails_is_recorded(media: Collection) -> None:
    def router(question: str) -> list[dict[str, Any]]:
        return [{"fields": ["audio"]}, {"fields": ["caption"]}]

    found = AdaptiveRetriever(media, router).search("x", **asking(WORDS))
    first, second = found.steps
    assert first.hits is None
    assert first.error is not None
    assert first.error.startswith("SpaceMismatch: ")
    assert "failed: SpaceMismatch" in found.explain()
    assert second.accepted
    assert found.merged == "one step"
    json.dumps(found.to_dict())
    only = AdaptiveRetriever(media, lambda question: {"fields": ["audio"]}, fallback=None)
    with pytest.raises(SpaceMismatch):
        only.search("x", **asking(WORDS))
    # A bug is none of the errors that another search can make good.
    broken = AdaptiveRetriever(media, confidence=lambda hits: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        broken.search("x", **asking(WORDS))


def test_vectors_go_where_their_space_is_searched(media: Collection) -> None:
    vectors = {"clip": ROWS["wording"][PICTURE], "sound": np.eye(4)[0]}
    retriever = AdaptiveRetriever(media, max_steps=1)
    heard = retriever.search("the sound of rain", vectors=vectors, modality="text", limit=1)
    assert heard.ids == ["rain"]
    assert heard.steps[0].reason == "mentions what is heard: 'sound'"
    seen = retriever.search("a photo", vectors=vectors, modality="text", limit=1)
    assert seen.ids == [PICTURE]
    either = AdaptiveRetriever(media, confidence=lambda hits: 0.0).search(
        "a photo of what that sound is", vectors=vectors, modality="text"
    )
    assert [dict(step.arguments).get("fields") for step in either.steps] == [
        ["image"], ["audio"], None
    ]  # fmt: skip


def test_empty_answers_are_never_accepted(tmp_path: Path) -> None:
    with gl.open(tmp_path, SCHEMA) as col:
        found = AdaptiveRetriever(col, confidence=lambda hits: 1.0).search("a photo", **asking(1))
        assert [step.outcome for step in found.steps] == ["no hits"] * 2
        assert list(found) == []
        assert not found.accepted
    with pytest.raises(InvalidArgument, match="closed"):
        AdaptiveRetriever(col).search("a photo", **asking(1))


def test_words_are_whole_and_in_any_case() -> None:
    assert mentions_visual("Show me a PHOTO, please") == "photo"
    assert mentions_visual("photosynthesis and telephotos") is None
    assert mentions_audio("a barking-dog sound") == "barking"
    assert mentions_audio("a soundless room") is None
    assert mentions_visual("what does it look like", ["look like", "what"]) == "what"
    assert mentions_visual("does it look  like", ["look like"]) == "look like"
    assert not VISUAL_WORDS & AUDIO_WORDS
    for words in (VISUAL_WORDS, AUDIO_WORDS):
        assert all(mentions_visual(f"the {word}?", words) == word for word in words)
    with pytest.raises(InvalidArgument, match="give a list of words"):
        mentions_visual("a photo", "photo")


def test_keyword_routers_follow_the_schema() -> None:
    router = KeywordRouter.of(SCHEMA)
    fields = {
        question: [dict(route.arguments) for route in router(question)]
        for question in ("a photo", "the sound", "a photo of a sound", "the law of gravity")
    }
    assert fields == {
        "a photo": [{"fields": ["image"]}],
        "the sound": [{"fields": ["audio"]}],
        "a photo of a sound": [{"fields": ["image"]}, {"fields": ["audio"]}],
        "the law of gravity": [{"fields": ["caption"]}],
    }
    texts = gl.Schema({"t": gl.Space(2)}, {"body": gl.Field("t", "text")})
    assert dict(KeywordRouter.of(texts)("a photo")[0].arguments) == {}
    own = KeywordRouter(visual={"fields": ["x"]}, visual_words=["blueprint"])
    assert dict(own("a Blueprint")[0].arguments) == {"fields": ["x"]}
    assert own("a photo")[0].reason == "mentions neither what is seen nor heard"
    with pytest.raises(InvalidArgument, match="reads texts"):
        router(3)  # type: ignore[arg-type]


def test_routes_are_read() -> None:
    route = Route({"limit": 3}, "few")
    assert read_routes("r", route) == [route]
    assert read_routes("r", [route, {"limit": 3}, [route]]) == [route, Route({"limit": 3}), route]
    stage, other = VectorSearch("image"), Fuse("rrf")
    assert read_routes("r", [stage, other]) == [Route({"stages": (stage, other)})]
    assert read_routes("r", [[stage], {"limit": 3}]) == [
        Route({"stages": (stage,)}), Route({"limit": 3})
    ]  # fmt: skip
    assert read_routes("r", []) == []
    refused: list[Any] = ["image", 3, None, [stage, {"limit": 3}], [object()]]
    for wrong in refused:
        with pytest.raises(InvalidArgument, match="r gave"):
            read_routes("r", wrong)


def test_bad_arguments_are_refused(media: Collection) -> None:
    refused: list[tuple[dict[str, Any], str]] = [
        ({"router": "image"}, "router is 'image'"),
        ({"confidence": 0.5}, "confidence is 0.5: give a function"),
        ({"min_confidence": 1.5}, "min_confidence is 1.5: give a probability"),
        ({"min_confidence": "high"}, "min_confidence is 'high'"),
        ({"min_confidence": float("nan")}, "min_confidence is nan"),
        ({"min_confidence": True}, "min_confidence is True"),
        ({"max_steps": 0}, "max_steps is 0"),
        ({"fallback": "all"}, "fallback gave 'all'"),
    ]
    for arguments, message in refused:
        with pytest.raises(InvalidArgument, match=message):
            AdaptiveRetriever(media, **arguments)
    AdaptiveRetriever(media, min_confidence=40.0, confidence=lambda hits: 1.0)
    with pytest.raises(InvalidArgument, match="no argument 'feilds': it takes text, image"):
        AdaptiveRetriever(media, lambda question: {"feilds": []}).search("x")
    with pytest.raises(InvalidArgument, match="the router gave 'image'"):
        AdaptiveRetriever(media, lambda question: "image").search("x")
    with pytest.raises(InvalidArgument, match="no search, and there is no fallback"):
        AdaptiveRetriever(media, lambda question: [], fallback=None).search("x")
    with pytest.raises(InvalidArgument, match=r"Route.arguments is \['image'\]"):
        Route(["image"])  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="limit is 0"):
        AdaptiveRetriever(media).search("x", **asking(1), limit=0)
