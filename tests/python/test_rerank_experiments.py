"""The two-stage pipeline for articles with a text and an image, and its four experiments.

Stage 1 retrieves 32 articles: by their texts, by their images, or 16 by either. Stage 2 scores
each with the question again, by a model whose scores of texts and images are on one scale.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import gapless as gl
from gapless.collection import Collection
from gapless.rerank.how import Rerank

ARTICLES, QUESTIONS, DIM = 400, 60, 16
Rows = NDArray[np.float64]
SCHEMA = gl.Schema(
    {"clip": gl.Space(DIM)},
    {
        "text": gl.Field("clip", "text", index="flat"),
        "image": gl.Field("clip", "image", index="flat"),
    },
)


def unit(rows: Rows) -> Rows:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


class News:
    """Articles of which text and image each tell a part, and questions about the first ones."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        meaning = rng.normal(size=(ARTICLES, DIM))
        told = {  # now the text tells more of the article, now the image
            "text": rng.choice([0.3, 2.2], size=(ARTICLES, 1)),
            "image": rng.choice([0.3, 1.6], size=(ARTICLES, 1)),
        }
        gap = 2.0 * np.eye(DIM)[0]
        parts = {name: meaning + told[name] * rng.normal(size=meaning.shape) for name in told}
        self.rows = {
            "text": unit(parts["text"] + rng.normal(size=meaning.shape) + gap),
            "image": unit(parts["image"] + rng.normal(size=meaning.shape) - gap),
        }
        asked = meaning[:QUESTIONS] + 0.4 * rng.normal(size=(QUESTIONS, DIM))
        self.questions = unit(asked + gap)
        # The reranker reads question and part without the noise of an embedding, and without gap.
        self.second = {name: unit(asked) @ unit(parts[name]).T for name in parts}

    def score(self, query: Any, documents: Sequence[Mapping[str, Any]]) -> list[float]:
        number = int(str(query).removeprefix("question "))
        scores = []
        for document in documents:
            ((part, value),) = document.items()
            article = int(value.removesuffix(".jpg").split()[-1])
            scores.append(float(self.second[part][number, article]))
        return scores

    def retrieved(self, number: int, by: str, depth: int) -> list[int]:
        scores = self.rows[by] @ self.questions[number]
        best: list[int] = np.argsort(-scores, kind="stable")[:depth].tolist()
        return best


@pytest.fixture(scope="module")
def news() -> News:
    return News()


@pytest.fixture(scope="module")
def articles(tmp_path_factory: pytest.TempPathFactory, news: News) -> Iterator[Collection]:
    with gl.open(tmp_path_factory.mktemp("news"), SCHEMA) as col:
        col.upsert(
            range(ARTICLES),
            news.rows,
            [{"text": f"text {i}"} for i in range(ARTICLES)],
            [f"image {i}.jpg" for i in range(ARTICLES)],
        )
        yield col


def asking(news: News, number: int) -> dict[str, Any]:
    return {"vectors": {"clip": news.questions[number]}, "modality": "text", "fusion": "rrf"}


EXPERIMENTS: list[tuple[dict[str, int], str]] = [
    ({"text": 32}, "text"),
    ({"image": 32}, "image"),
    ({"text": 16, "image": 16}, "route"),
    ({"text": 16, "image": 16}, "mean"),
]


def test_quotas_are_exact_before_the_lists_meet(articles: Collection, news: News) -> None:
    for number in range(10):
        hits = articles.search(
            **asking(news, number), quotas={"text": 16, "image": 16}, limit=ARTICLES
        )
        for field in ("text", "image"):
            ranks = {
                part.rank: hit.id
                for hit in hits
                for part in hit.contributions
                if part.field == field and part.rank is not None
            }
            assert [ranks[rank] for rank in sorted(ranks)] == news.retrieved(number, field, 16)
            assert sorted(ranks) == list(range(1, 17))
        assert len(set(hits.ids)) == len(hits)


def test_hits_keep_the_ranks_of_both_routes(articles: Collection, news: News) -> None:
    both = 0
    for number in range(10):
        quotas = {"text": 16, "image": 16}
        how = Rerank(news.score, query=f"question {number}")
        plain = articles.search(**asking(news, number), quotas=quotas, limit=ARTICLES)
        again = articles.search(**asking(news, number), quotas=quotas, limit=ARTICLES, rerank=how)
        assert sorted(map(str, again.ids)) == sorted(map(str, plain.ids))
        known = {hit.id: hit.contributions for hit in plain}
        for hit in again:
            assert hit.contributions == known[hit.id]
            assert hit.score_kind == "rerank"
            both += all(part.rank is not None for part in hit.contributions)
    assert both > 0


def by_hand(news: News, number: int, quotas: Mapping[str, int], mode: str) -> list[int]:
    """The best ten of an experiment, computed from the protocol alone."""
    second = {name: news.second[name][number] for name in news.second}
    scores: dict[int, float] = {}
    for by, depth in quotas.items():
        for article in news.retrieved(number, by, depth):
            if mode == "mean":
                score = (second["text"][article] + second["image"][article]) / 2
            else:  # by the text, by the image, or by what retrieved it, if twice then the higher
                score = max(second[by][article], scores.get(article, -np.inf))
            scores[article] = score
    return sorted(scores, key=lambda article: -scores[article])[:10]


def test_four_experiments(articles: Collection, news: News) -> None:
    recalls = []
    for quotas, mode in EXPERIMENTS:
        found = 0
        for number in range(QUESTIONS):
            how = Rerank(news.score, mode=mode, query=f"question {number}")
            hits = articles.search(
                **asking(news, number), fields=list(quotas), quotas=quotas, rerank=how
            )
            assert hits.ids == by_hand(news, number, quotas, mode)
            found += number in hits.ids
        recalls.append(found / QUESTIONS)
    text, image, route, mean = recalls
    assert mean >= route > min(text, image)
    assert mean > max(text, image)


def test_the_question_of_a_search_is_what_the_reranker_is_asked(
    articles: Collection, news: News
) -> None:
    asked = []

    def score(query: Any, documents: Sequence[Mapping[str, Any]]) -> list[float]:
        asked.append((query, len(documents)))
        return [float(document["text"].split()[-1]) for document in documents]

    how = Rerank(score, mode="text", top_k=8, batch_size=100)
    with pytest.raises(gl.errors.InvalidArgument, match="nothing to be asked"):
        articles.search(**asking(news, 0), rerank=how)
    named = Rerank(score, mode="text", top_k=8, batch_size=100, query="which?")
    hits = articles.search(**asking(news, 0), rerank=named, limit=12)
    assert asked == [("which?", 8)]
    assert len(hits) == 12
    first = articles.search(**asking(news, 0), limit=12)
    assert hits.ids == sorted(first.ids[:8], reverse=True) + first.ids[8:]
    assert hits.scores[8:] == [-np.inf] * 4
