"""Re-ranking by stored vectors of another field: cosine, and MaxSim over several rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import gapless as gl
from gapless.collection import Collection
from gapless.errors import InvalidArgument, InvalidVector, UnknownField
from gapless.rerank.how import Rerank
from gapless.rerank.rerank import rerank
from gapless.rerank.scorers import VectorScorer
from gapless.rerank.stored import StoredVectors, max_sim

SCHEMA = gl.Schema(
    {"small": gl.Space(4), "large": gl.Space(16)},
    {
        "sketch": gl.Field("small", "image", index="flat"),
        "image": gl.Field("large", "image", index="flat"),
        "caption": gl.Field("large", "text"),
        "tokens": gl.Field("large", "text", index="flat", several=True),
    },
)
COUNT = 40
Rows = NDArray[np.float64]


@dataclass(frozen=True)
class Asked:
    """A query vector as a search has it."""

    space: str
    modality: str | None
    vector: NDArray[np.float32]
    weight: float = 1.0


def unit(rows: Rows) -> Rows:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True))


def filled(path: Path) -> tuple[Collection, dict[str, Any]]:
    rng = np.random.default_rng(1)
    rows: dict[str, Any] = {
        "sketch": unit(rng.normal(size=(COUNT, 4))),
        "image": unit(rng.normal(size=(COUNT, 16)) + np.eye(16)[0]),
        "caption": unit(rng.normal(size=(COUNT, 16))),
        "tokens": [unit(rng.normal(size=(1 + i % 4, 16))) for i in range(COUNT)],
    }
    col = gl.open(path, SCHEMA)
    col.upsert(range(COUNT), {name: rows[name] for name in ("sketch", "image", "caption")})
    col.upsert(range(COUNT - 1), {"tokens": rows["tokens"][:-1]})
    return col, rows


def keys_of(col: Collection, ids: list[Any]) -> NDArray[np.int64]:
    found = col._storage.live().keys_of(ids)
    return np.array(found, np.int64)


def test_max_sim_is_the_mean_of_each_query_rows_best(tmp_path: Path) -> None:
    col, rows = filled(tmp_path)
    query = unit(np.random.default_rng(5).normal(size=(3, 16)))
    with col:
        keys = keys_of(col, [7, 3, COUNT - 1, 3])
        found = max_sim(col._storage.indexes["tokens"], keys, query.astype(np.float32))
        for place, item in ((0, 7), (1, 3), (3, 3)):
            expected = (query @ rows["tokens"][item].T).max(axis=1).mean()
            assert found[place] == pytest.approx(expected, abs=1e-6)
        assert np.isnan(found[2])
        single = max_sim(col._storage.indexes["image"], keys, query[:1].astype(np.float32))
        assert single == pytest.approx(rows["image"][[7, 3, COUNT - 1, 3]] @ query[0], abs=1e-6)
        none = max_sim(col._storage.indexes["image"], keys[:0], query.astype(np.float32))
        assert none.tolist() == []


def test_a_better_space_ranks_what_a_smaller_one_found(tmp_path: Path) -> None:
    col, rows = filled(tmp_path)
    rng = np.random.default_rng(7)
    small, large = rng.normal(size=4), unit(rng.normal(size=16))
    with col:
        hits = col.search(vectors={"small": small}, fields=["sketch"], limit=12)
        keys = keys_of(col, hits.ids)
        stored = StoredVectors(SCHEMA, col._storage.indexes, keys, {})
        how = Rerank(VectorScorer("image", query=large))
        found = rerank(hits, {}, how, stored=stored.scores)
        cosine = rows["image"][[int(i) for i in hits.ids]] @ large
        assert found.order.tolist() == np.argsort(-cosine, kind="stable").tolist()
        assert found.scores == pytest.approx(np.sort(cosine)[::-1], abs=1e-6)
        assert found.parts[0] == {"image": pytest.approx(cosine.max(), abs=1e-6)}
        two = Rerank(VectorScorer("image", "caption", query=large), mode="max")
        both = np.maximum(cosine, rows["caption"][[int(i) for i in hits.ids]] @ large)
        again = rerank(hits, {}, two, stored=stored.scores)
        assert again.scores == pytest.approx(np.sort(both)[::-1], abs=1e-6)


def test_questions_come_from_the_search_or_are_encoded(tmp_path: Path) -> None:
    col, rows = filled(tmp_path)
    rng = np.random.default_rng(9)
    like, unlike = unit(rng.normal(size=(2, 16))).astype(np.float32)
    with col:
        indexes, keys = col._storage.indexes, keys_of(col, [0, 1, 2])
        asked = [
            Asked("large", "text", like[None, None], 1.0),
            Asked("large", "image", unlike[None, None], -0.5),
            Asked("small", "text", np.ones((1, 1, 4), np.float32)),
        ]
        stored = StoredVectors(SCHEMA, indexes, keys, {"text": "a dog"}, asked)
        mixed = (rows["image"][:3] @ like - 0.5 * (rows["image"][:3] @ unlike)) / 1.5
        assert stored.scores("image", VectorScorer("image")) == pytest.approx(mixed, abs=1e-6)

        def encode(modality: str, item: Any, space: str) -> NDArray[np.float32]:
            assert (modality, item, space) == ("text", "a dog", "large")
            return np.asarray(like[None], np.float32)

        own = StoredVectors(SCHEMA, indexes, keys, {"text": "a dog"}, asked[2:], encode)
        alone = rows["caption"][:3] @ like
        assert own.scores("caption", VectorScorer("caption")) == pytest.approx(alone, abs=1e-6)
        nothing = StoredVectors(SCHEMA, indexes, keys, {}, asked[2:], encode)
        with pytest.raises(InvalidArgument, match=r"no query in space 'large': give VectorScorer"):
            nothing.scores("image", VectorScorer("image"))
        with pytest.raises(UnknownField, match="names the field 'dino': the collection has"):
            stored.scores("dino", VectorScorer("dino"))
        with pytest.raises(InvalidVector, match=r"VectorScorer.query has shape \(1, 3\)"):
            stored.scores("image", VectorScorer("image", query=np.ones(3)))


def test_scores_are_those_of_the_alignment(tmp_path: Path) -> None:
    col, rows = filled(tmp_path)
    rng = np.random.default_rng(11)
    query = rng.normal(size=16)
    with col:
        col.align("center", tolerance=1.0)
        hits = col.search(vectors={"large": query}, modality="text", fields=["image"], limit=COUNT)
        stored = StoredVectors(SCHEMA, col._storage.indexes, keys_of(col, hits.ids), {})
        scores = stored.scores("image", VectorScorer("image", query=query, modality="text"))
        aligned = [hit.contributions[0].aligned for hit in hits]
        assert scores == pytest.approx(aligned, abs=1e-6)
        assert np.abs(scores - rows["image"][[int(i) for i in hits.ids]] @ unit(query)).max() > 0.01


class Spread:
    """An encoder of texts in the large space."""

    def encode(self, items: list[str]) -> Rows:
        return np.stack([np.cos(np.arange(1, 17) * len(item)) for item in items])


def test_searches_rerank_by_their_own_question(tmp_path: Path) -> None:
    col, rows = filled(tmp_path)
    col.close()
    small = np.random.default_rng(13).normal(size=4)
    with gl.open(tmp_path, encoders={"large": {"text": Spread()}}) as again:
        ask: dict[str, Any] = {"vectors": {"small": small}, "fields": ["sketch"], "limit": 9}
        first = [int(i) for i in again.search(**ask).ids]
        query = unit(Spread().encode(["a dog"]))[0]
        wanted = sorted(first, key=lambda i: -float(rows["image"][i] @ query))
        by_image = Rerank(VectorScorer("image", query=query), top_k=9)
        assert again.search(**ask, rerank=by_image).ids == wanted
        with pytest.raises(InvalidArgument, match="no query in space 'large'"):
            again.search(**ask, rerank=VectorScorer("image"))
        # A text that retrieves by captions is asked of the token vectors as well.
        texts = ["a dog", "a cat on a mat"]
        late = VectorScorer("tokens")
        many = again.search_many(texts, fields=["caption"], rerank=late, window=10, limit=10)
        for text, hits in zip(texts, many, strict=True):
            asked = unit(Spread().encode([text]))[0]
            best = {i: float((rows["tokens"][i] @ asked).max()) for i in range(COUNT - 1)}
            plain = again.search(text, fields=["caption"], limit=10)
            order = sorted(plain.ids, key=lambda i: -best.get(int(i), -np.inf))
            assert hits.ids[: len(order)] == order
            assert hits[0].score == pytest.approx(best[int(hits.ids[0])], abs=1e-6)
