"""The retrievers of the articles that this product answers, as lists of stages."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import gapless as gl
from gapless.adaptive.retriever import AdaptiveRetriever
from gapless.collection import Collection
from gapless.errors import InvalidArgument
from gapless.query.fusion import Fuse
from gapless.rerank.how import Rerank
from gapless.rerank.scorers import VectorScorer
from gapless.stages.stages import Filter, GroupBy, Limit, VectorSearch
from gapless.stages.text import stages_from_json, stages_to_json

DIMS = {"clip": 16, "siglip": 24, "bge": 12}
ITEMS = 400
SCHEMA = gl.Schema(
    {name: gl.Space(dim) for name, dim in DIMS.items()},
    {
        "clip": gl.Field("clip", "image", index="flat"),
        "siglip": gl.Field("siglip", "image", index="flat"),
        "bge": gl.Field("bge", "text", index="flat"),
    },
)
Rows = NDArray[np.float64]


def encoded(seed: int) -> dict[str, Rows]:
    """What three models make of the same items: of 400 images, of which 300 have a caption."""
    rng = np.random.default_rng(seed)
    meaning = rng.normal(size=(ITEMS, 8))
    found = {}
    for name, dim in DIMS.items():
        model = np.random.default_rng(dim).normal(size=(8, dim))
        rows = meaning @ model + 0.4 * rng.normal(size=(ITEMS, dim))
        found[name] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return found


ROWS, ASKED = encoded(1), encoded(2)


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collection]:
    with gl.open(tmp_path_factory.mktemp("media"), SCHEMA) as col:
        col.upsert(
            range(ITEMS),
            {name: ROWS[name] for name in ("clip", "siglip")},
            [{"year": 2000 + i % 30, "text": f"caption {i}"} for i in range(ITEMS)],
        )
        col.upsert(range(300), {"bge": ROWS["bge"][:300]})
        yield col


def question(number: int) -> dict[str, Rows]:
    return {name: rows[number] for name, rows in ASKED.items()}


def fused_by_hand(number: int, depths: Mapping[str, int], limit: int) -> list[int]:
    """RRF with k = 60 over exact lists, ties in order of insertion."""
    scores = np.zeros(ITEMS)
    for name, depth in depths.items():
        rows = ROWS[name] if name != "bge" else ROWS[name][:300]
        order = np.argsort(-(rows @ ASKED[name][number]), kind="stable")[:depth]
        scores[order] += 1 / (60 + 1 + np.arange(len(order)))
    best: list[int] = np.argsort(-scores, kind="stable")[:limit].tolist()
    return best


def seed_000(col: Collection, vectors: Mapping[str, Rows]) -> Any:
    retriever = [
        # within-modality: the text query scores against caption text
        VectorSearch("bge", top_k=200),
        # the same query, embedded for the visual space
        VectorSearch("clip", top_k=200),
        # merge by rank so the modality gap never enters the comparison
        Fuse("rrf"),
        Limit(20),
    ]
    return col.search(vectors=vectors, stages=retriever)


def seed_001(folder: str, vectors: Mapping[str, Rows], query: Mapping[str, Rows]) -> Any:
    with gl.open(folder, SCHEMA) as col:
        col.upsert(range(ITEMS), vectors)
        pipeline = [
            VectorSearch("clip", top_k=100),
            VectorSearch("siglip", top_k=100),
            VectorSearch("bge", top_k=100),
            Fuse("rrf"),
        ]
        return col.search(vectors=query, stages=pipeline)


def lines_of(function: Callable[..., Any]) -> int:
    """Lines of code, the def and comments apart."""
    source = inspect.getsource(function).splitlines()[1:]
    return len([line for line in source if line.strip() and not line.strip().startswith("#")])


def test_seed_000s_retriever(media: Collection) -> None:
    """`vector_search` twice, `rank_fusion`, top_k=20."""
    for number in range(5):
        vectors = {name: question(number)[name] for name in ("bge", "clip")}
        hits = seed_000(media, vectors)
        assert hits.ids == fused_by_hand(number, {"bge": 200, "clip": 200}, 20)
        assert hits.fusion == "rrf"
    assert lines_of(seed_000) <= 15


def test_seed_000s_own_json(media: Collection) -> None:
    article = """[
        {"stage_type": "vector_search", "field": "bge", "top_k": 200},
        {"stage_type": "vector_search", "field": "clip", "top_k": 200},
        {"stage_type": "rank_fusion", "method": "rrf"}
    ]"""
    stages = stages_from_json(article)
    assert stages == [VectorSearch("bge", 200), VectorSearch("clip", 200), Fuse("rrf")]
    assert json.loads(stages_to_json(stages)) == json.loads(article)
    vectors = {name: question(7)[name] for name in ("bge", "clip")}
    hits = media.search(vectors=vectors, stages=stages, limit=20)
    assert hits == seed_000(media, vectors)


def test_seed_001s_pipeline_of_three_models(tmp_path_factory: pytest.TempPathFactory) -> None:
    hits = seed_001(str(tmp_path_factory.mktemp("seed")), ROWS, question(3))
    scores = np.zeros(ITEMS)
    for name in DIMS:
        order = np.argsort(-(ROWS[name] @ ASKED[name][3]), kind="stable")[:100]
        scores[order] += 1 / (61 + np.arange(100))
    assert hits.ids == np.argsort(-scores, kind="stable")[:10].tolist()
    assert hits.scores == pytest.approx(np.sort(scores)[::-1][:10].tolist(), abs=1e-12)
    assert lines_of(seed_001) <= 15


def test_what_stages_say_may_not_be_said_beside_them(media: Collection) -> None:
    vectors = {"clip": question(0)["clip"]}
    stages = [VectorSearch("clip"), Fuse("rrf"), Limit(3)]
    assert len(media.search(vectors=vectors, stages=stages)) == 3
    with pytest.raises(InvalidArgument, match=r"limit= is given beside stages\[2\] \(Limit\)"):
        media.search(vectors=vectors, stages=stages, limit=5)
    with pytest.raises(InvalidArgument, match=r"stages\[1\] \(VectorSearch\) .* 'dino'"):
        media.search(vectors=vectors, stages=[VectorSearch("clip"), VectorSearch("dino")])


def test_a_small_space_finds_and_a_better_one_ranks(media: Collection) -> None:
    """Filter, retrieve by one model, rank by another, and one hit for each year."""
    query = question(5)
    stages = [
        VectorSearch("clip", top_k=50),
        Filter({"year": {"$gte": 2010}}),
        Rerank(VectorScorer("siglip", query=query["siglip"])),
        GroupBy("year"),
        Limit(8),
    ]
    years = 2000 + np.arange(ITEMS) % 30
    allowed = np.flatnonzero(years >= 2010)
    first = allowed[np.argsort(-(ROWS["clip"][allowed] @ query["clip"]), kind="stable")[:50]]
    second = first[np.argsort(-(ROWS["siglip"][first] @ query["siglip"]), kind="stable")]
    _, places = np.unique(years[second], return_index=True)
    again = stages_from_json(stages_to_json(stages))
    for given in (stages, again):
        hits = media.search(vectors={"clip": query["clip"]}, stages=given)
        assert hits.ids == second[np.sort(places)][:8].tolist()
        assert hits.fusion == "rerank"


def test_routers_may_give_stages(media: Collection) -> None:
    """The first step looks at images, and the fallback at all three models."""
    retriever = AdaptiveRetriever(
        media,
        lambda asked: [VectorSearch("clip", top_k=20), Limit(4)],
        confidence=lambda hits: 0.0,
        fallback=[VectorSearch(name) for name in DIMS],
    )
    found = retriever.search("a photo", vectors=question(3))
    assert [len(step.hits or ()) for step in found.steps] == [4, 10]
    assert list(found.steps[0].arguments["vectors"]) == ["clip"]
    assert list(found.steps[1].arguments["vectors"]) == list(DIMS)
    assert "VectorSearch(field='clip'" in found.explain()
    json.dumps(found.to_dict())
