"""Re-ranking by the scores of a function, encoders, or stored vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gapless.errors import InvalidArgument, RerankError
from gapless.rerank.how import Rerank, as_rerank
from gapless.rerank.rerank import rerank
from gapless.rerank.scorers import EncoderScorer, VectorScorer, register_reranker, rerankers

MODALITIES = {"photo": "image", "caption": "text", "sound": "audio"}
Documents = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Said:
    """What is read of a contribution."""

    field: str
    rank: int | None


@dataclass(frozen=True)
class Found:
    """What re-ranking reads of a hit."""

    id: str | int
    metadata: Mapping[str, Any] | None = None
    uri: str | None = None
    contributions: tuple[Said, ...] = ()


def article(name: str, photo: int | None = 1, caption: int | None = 1) -> Found:
    """An article with a text and an image, found at these ranks."""
    return Found(
        name,
        {"text": f"{name} text"},
        f"{name} photo.jpg",
        (Said("photo", photo), Said("caption", caption)),
    )


class Table:
    """Scores by a table of value to score, and notes what it was asked."""

    def __init__(self, scores: Mapping[Any, float]) -> None:
        self.scores = scores
        self.calls: list[tuple[Any, list[dict[str, Any]]]] = []

    def __call__(self, query: Any, documents: Documents) -> list[float]:
        self.calls.append((query, [dict(document) for document in documents]))
        return [float(np.mean([self.scores[v] for v in d.values()])) for d in documents]

    @property
    def asked(self) -> list[Any]:
        return [value for _, shown in self.calls for each in shown for value in each.values()]


# Seed 002's table of scores: which article is more relevant?
JINA = {"A text": 0.72, "A photo.jpg": 0.31, "B text": 0.23, "B photo.jpg": 0.54}


@pytest.mark.parametrize(
    ("mode", "order", "scores"),
    [
        ("text", ["A", "B"], [0.72, 0.23]),
        ("image", ["B", "A"], [0.54, 0.31]),
        ("mean", ["A", "B"], [(0.72 + 0.31) / 2, (0.23 + 0.54) / 2]),
        ("max", ["A", "B"], [0.72, 0.54]),
        ("joint", ["A", "B"], [(0.72 + 0.31) / 2, (0.23 + 0.54) / 2]),
    ],
)
def test_table_of_two_articles(mode: str, order: list[str], scores: list[float]) -> None:
    hits = [article("B"), article("A")]
    table = Table(JINA)
    found = rerank(hits, "tennis", Rerank(table, mode=mode), modalities=MODALITIES)
    assert [hits[i].id for i in found.order] == order
    assert found.scores == pytest.approx(scores)
    assert found.scored == 2
    assert {query for query, _ in table.calls} == {"tennis"}
    if mode == "joint":
        assert found.parts[0] == {"joint": pytest.approx(scores[0])}
        assert table.calls[0][1][0] == {"text": "B text", "image": "B photo.jpg"}
    elif mode in ("mean", "max"):
        assert found.parts[0] == {"text": 0.72, "image": 0.31}


def test_route_scores_by_the_field_that_retrieved() -> None:
    hits = [article("A", photo=None), article("B", caption=None), article("both", 3, 2)]
    table = Table(JINA | {"both text": 0.6, "both photo.jpg": 0.1})
    found = rerank(hits, "tennis", Rerank(table, mode="route"), modalities=MODALITIES)
    assert [hits[i].id for i in found.order] == ["A", "both", "B"]
    assert found.scores == pytest.approx([0.72, 0.6, 0.54])
    assert found.parts == ({"text": 0.72}, {"text": 0.6, "image": 0.1}, {"image": 0.54})
    # What no route retrieved is not asked for.
    assert set(table.asked) == {"A text", "B photo.jpg", "both text", "both photo.jpg"}


def test_what_is_missing_is_left_out_of_the_mean() -> None:
    hits = [
        Found("none", {"title": "x"}),
        Found("sound", {}, "a.wav", (Said("sound", 1),)),
        Found("text", {"text": "good"}),
        Found("nothing"),
        Found("both", {"caption": "fine"}, "bad.png"),
    ]
    table = Table({"good": 3.0, "fine": 2.0, "bad.png": -9.0})
    found = rerank(hits, "q", Rerank(table), modalities=MODALITIES)
    assert [hits[i].id for i in found.order] == ["text", "both", "none", "sound", "nothing"]
    assert found.scores[:2] == pytest.approx([3.0, -3.5])
    assert found.scores[2:].tolist() == [-np.inf] * 3
    assert found.scored == 2
    assert found.parts[2:] == ({}, {}, {})


def test_hits_beyond_top_k_keep_their_places() -> None:
    hits = [Found(i, {"text": str(i)}) for i in range(6)]
    table = Table({str(i): float(i) for i in range(6)})
    found = rerank(hits, "q", Rerank(table, top_k=3))
    assert found.order.tolist() == [2, 1, 0, 3, 4, 5]
    assert len(table.asked) == 3
    assert rerank([], "q", Rerank(table)).order.tolist() == []


def test_where_texts_and_images_come_from() -> None:
    nested = Found("a", {"page": {"title": "deep"}, "page.title": "flat", "shot": "s"}, "a.jpg")
    table = Table(dict.fromkeys(["flat", "deep", "s", "a.jpg", "x.bin", "loud"], 1.0))
    rerank([nested], "q", Rerank(table, text=r"page\.title", fields="text"))
    assert table.asked == ["flat"]
    inner = Found("b", {"page": {"title": "deep"}})
    rerank([inner], "q", Rerank(table, text=("absent", "page.title"), image="shot"))
    assert table.asked[1:] == ["deep"]
    rerank([nested], "q", Rerank(table, image="shot", mode="image"))
    assert table.asked[2:] == ["s"]
    # A uri without a known suffix is an image where a field of images has the item.
    plain = Found("c", None, "x.bin", (Said("photo", None),))
    rerank([plain, replace(plain, contributions=())], "q", Rerank(table), modalities=MODALITIES)
    assert table.asked[3:] == ["x.bin"]
    how = Rerank(table, document=lambda hit: {"audio": "loud", "text": None}, mode="audio")
    rerank([plain], "q", how)
    assert table.asked[4:] == ["loud"]


def test_scorers_are_asked_in_batches_and_once_for_each() -> None:
    hits = [Found(i, {"text": f"t{i % 7}"}) for i in range(20)]
    table = Table({f"t{i}": float(i) for i in range(7)})
    how = Rerank(table, batch_size=3)
    found = rerank(hits, "q", how)
    assert [len(shown) for _, shown in table.calls] == [3, 3, 1]
    assert found.scores.tolist() == sorted((float(i % 7) for i in range(20)), reverse=True)
    assert rerank(hits, "q", how).order.tolist() == found.order.tolist()
    assert len(table.calls) == 3
    rerank(hits, "another", how)
    assert len(table.calls) == 6
    fresh = replace(how, cache_size=2)
    for _ in range(2):
        rerank(hits, "q", fresh)
    assert len(fresh.cache) == 2
    assert len(table.calls) > 9
    # What cannot be told from others is asked for each time.
    odd = Rerank(lambda query, documents: [1.0] * len(documents), document=lambda hit: {"x": hit})
    rerank(hits, "q", odd)
    assert len(odd.cache) == 0


def test_activation_makes_probabilities_before_parts_are_combined() -> None:
    table = Table({"A text": 40.0, "A photo.jpg": -2.0, "B text": 1.0, "B photo.jpg": 1.0})
    hits = [article("A"), article("B")]
    plain = rerank(hits, "q", Rerank(table))
    sure = rerank(hits, "q", Rerank(table, activation="sigmoid"))
    assert plain.order.tolist() == [0, 1]
    assert sure.order.tolist() == [1, 0]
    expected = 1 / (1 + np.exp(-1.0))
    assert sure.scores[0] == pytest.approx(expected)
    assert sure.scores[1] == pytest.approx((1 / (1 + np.exp(-40.0)) + 1 / (1 + np.exp(2.0))) / 2)
    huge = Rerank(Table({"x": -1e300, "y": 1e300}), activation="sigmoid")
    assert rerank([Found(0, {"text": "x"}), Found(1, {"text": "y"})], "q", huge).order[0] == 1


def test_questions_of_other_parts() -> None:
    hits = [Found("a", {"text": "x"})]
    table = Table({"x": 1.0})
    rerank(hits, {"text": "words", "image": None}, Rerank(table))
    rerank(hits, {"image": "dog.jpg"}, Rerank(table))
    rerank(hits, {"image": "dog.jpg"}, Rerank(table, query="words instead"))
    both = {"text": "words", "image": "dog.jpg"}
    rerank(hits, both, Rerank(table))
    asked = [query for query, _ in table.calls]
    assert asked == ["words", {"image": "dog.jpg"}, "words instead", both]
    for nothing in ("", {}, {"text": None}):
        with pytest.raises(InvalidArgument, match=r"nothing to be asked: .* VectorScorer\(field\)"):
            rerank(hits, nothing, Rerank(table))


class Letters:
    """An encoder that counts letters."""

    modality = "text"

    def encode(self, items: Sequence[str]) -> np.ndarray[Any, Any]:
        return np.array([[item.count(c) + 0.1 for c in "abcdefgh"] for item in items])


def test_encoders_score_by_cosine() -> None:
    hits = [Found(i, {"text": text}) for i, text in enumerate(["aab", "bbcc", "cab"])]
    found = rerank(hits, "abc", Rerank(Letters()))
    rows = Letters().encode(["abc", "aab", "bbcc", "cab"])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    cosines = rows[1:] @ rows[0]
    assert found.order.tolist() == np.argsort(-cosines).tolist()
    assert found.scores == pytest.approx(np.sort(cosines)[::-1], abs=1e-12)
    images = EncoderScorer({"text": Letters(), "image": Letters()})
    assert images({"text": "a", "image": "b"}, [{"image": "ab"}])[0] == pytest.approx(
        np.mean([images("a", [{"text": "ab"}])[0], images("b", [{"text": "ab"}])[0]])
    )
    with pytest.raises(RerankError, match="no encoder reads 'image'") as caught:
        rerank([Found("p", None, "p.jpg")], "abc", Rerank(Letters()))
    assert isinstance(caught.value.__cause__, InvalidArgument)
    with pytest.raises(InvalidArgument, match=r"encoders\['text'\] is a int"):
        Rerank({"text": 3})


def test_stored_scores_are_parts_by_field() -> None:
    hits = [article("A", photo=None), article("B", caption=None), article("C", None, None)]
    columns = {"photo": np.array([0.9, 0.2, np.nan]), "caption": np.array([0.5, 0.7, np.nan])}
    asked: list[str] = []

    def stored(field: str, scorer: VectorScorer) -> np.ndarray[Any, np.dtype[np.float64]]:
        asked.append(field)
        return columns[field]

    both = VectorScorer("photo", "caption")
    for mode, order, scores in (
        ("mean", [0, 1, 2], [0.7, 0.45]),
        ("max", [0, 1, 2], [0.9, 0.7]),
        ("route", [0, 1, 2], [0.5, 0.2]),
        ("caption", [1, 0, 2], [0.7, 0.5]),
    ):
        how = Rerank(both, mode=mode)
        found = rerank(hits, {}, how, modalities=MODALITIES, stored=stored)
        assert found.order.tolist() == order, mode
        assert found.scores[:2] == pytest.approx(scores)
        assert found.scores[2] == -np.inf
    assert asked[-1:] == ["caption"]
    assert asked.count("photo") == 3
    with pytest.raises(InvalidArgument, match="needs stored vectors"):
        rerank(hits, {}, Rerank(both))
    with pytest.raises(InvalidArgument, match=r"shape \(2,\) for 3 hits"):
        rerank(hits, {}, Rerank(both), stored=lambda field, scorer: np.zeros(2))


def test_rerankers_have_names() -> None:
    table = Table({"x": 1.0})
    hits = [Found("a", {"text": "x"})]
    how = Rerank("by table")
    with pytest.raises(InvalidArgument, match=r"no reranker 'by table': there are none; register"):
        rerank(hits, "q", how)
    register_reranker("by table", table)
    try:
        assert rerankers() == ("by table",)
        assert rerank(hits, "q", how).scores.tolist() == [1.0]
        other = Table({"x": 2.0})
        register_reranker("by table", other)
        assert rerank(hits, "q", how).scores.tolist() == [2.0]  # what another said is not kept
        register_reranker("by table", VectorScorer("photo"))
        with pytest.raises(InvalidArgument, match="mode is 'joint' and the scorer looks at photo"):
            rerank(hits, "q", replace(how, mode="joint"), stored=lambda field, scorer: np.zeros(1))
    finally:
        register_reranker("by table", None)
    assert rerankers() == ()
    for name, scorer in (("", table), ("alias", "by table"), ("number", 3)):
        with pytest.raises(InvalidArgument):
            register_reranker(name, scorer)


def test_what_a_scorer_does_wrong_names_the_hits() -> None:
    hits = [Found(f"i{n}", {"text": str(n)}) for n in range(8)]

    def fails(query: Any, documents: Documents) -> list[float]:
        if any(document["text"] == "6" for document in documents):
            raise TimeoutError("no answer")
        return [0.0] * len(documents)

    with pytest.raises(RerankError, match=r"TimeoutError at the 'text' of hits .* no answer") as e:
        rerank(hits, "q", Rerank(fails, batch_size=4))
    assert isinstance(e.value.__cause__, TimeoutError)
    assert "'i4', 'i5', 'i6', 'i7': no answer (Rerank(batch_size=1)" in str(e.value)
    with pytest.raises(RerankError, match=r"of hit 'i6': no answer$"):
        rerank(hits, "q", Rerank(fails, batch_size=1))
    with pytest.raises(RerankError, match="'i4' and 3 more: "):
        rerank(hits, "q", Rerank(fails))
    wrong: list[tuple[Any, str]] = [
        (lambda q, d: [1.0], r"shape \(1,\) for the 'text' of 8 documents"),
        (lambda q, d: [[1.0, 2.0]] * 8, r"shape \(8, 2\)"),
        (lambda q, d: [1.0, np.nan] * 4, "gave nan for the 'text' of hit 'i1'"),
        (lambda q, d: [np.inf] * 8, "gave inf for the 'text' of hit 'i0'"),
        (lambda q, d: ["high"] * 8, "ValueError"),
        (lambda q, d: None, "of 8 documents|TypeError"),
    ]
    for scorer, message in wrong:
        how = Rerank(scorer)
        with pytest.raises(RerankError, match=message):
            rerank(hits, "q", how)
        assert len(how.cache) == 0
    column = Rerank(lambda q, d: np.arange(8.0)[:, None])  # (n, 1), as cross-encoders give
    assert rerank(hits, "q", column).order[0] == 7
    with pytest.raises(InvalidArgument, match="document= gave a str for hit 'i0'"):
        rerank(hits, "q", Rerank(column.scorer, document=lambda hit: "text"))
    with pytest.raises(InvalidArgument, match="give modalities="):
        rerank(hits, "q", Rerank(fails, mode="route"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scorer": 3}, "the scorer is 3: give a function"),
        ({"scorer": " "}, "the scorer is ' '"),
        ({"mode": "median"}, "mode is 'median': choose one of mean, max, route, joint, text, im"),
        ({"mode": None}, "mode is None"),
        ({"fields": ["text"], "mode": "image"}, "choose one of mean, max, route, joint, text"),
        ({"fields": ["txt"]}, "fields names 'txt': there are text, image; give document="),
        ({"fields": []}, r"fields is \[\]"),
        ({"fields": ["text", "text"]}, "fields names one twice"),
        ({"top_k": 0}, "top_k is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"cache_size": -1}, "cache_size is -1"),
        ({"query": "  "}, "query is empty"),
        ({"text": 3}, "text is 3"),
        ({"image": ""}, "image is ''"),
        ({"image": "$uri"}, r"'\$uri' is no path in the metadata"),
        ({"text": "$title"}, r"names '\$title'"),
        ({"document": "text"}, "document is 'text'"),
        ({"activation": "softmax"}, "activation is 'softmax': choose one of none, sigmoid"),
        ({"scorer": VectorScorer("a"), "mode": "joint"}, "a VectorScorer looks at rows"),
        ({"scorer": VectorScorer("a"), "mode": "text"}, "mode is 'text'"),
    ],
)
def test_bad_settings_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        Rerank(**{"scorer": Table({}), **arguments})


def test_vector_scorers_are_checked() -> None:
    wrong: list[tuple[Any, ...]] = [(), ("",), ("a", "a"), (3,)]
    for fields in wrong:
        with pytest.raises(InvalidArgument, match="VectorScorer"):
            VectorScorer(*fields)
    with pytest.raises(InvalidArgument, match="give the modality of query="):
        VectorScorer("a", modality="text")
    query = np.ones(3)
    one = VectorScorer("a", query=query)
    query[:] = 2.0  # what the caller does to it later changes nothing
    assert one == VectorScorer("a", query=[1.0, 1.0, 1.0])
    assert hash(one) == hash(VectorScorer("a", query=np.ones(3)))
    assert one != VectorScorer("a")
    assert as_rerank(one).scorer is one


@given(st.lists(st.one_of(st.none(), st.integers(-5, 5)), max_size=30), st.integers(1, 40))
def test_order_is_that_of_scores_then_of_the_search(scores: list[int | None], top_k: int) -> None:
    hits = [Found(i, None if s is None else {"text": str(s)}) for i, s in enumerate(scores)]
    how = Rerank(lambda q, d: [float(x["text"]) for x in d], top_k=top_k, batch_size=4)
    found = rerank(hits, "q", how)
    value = [s if s is not None and i < top_k else -np.inf for i, s in enumerate(scores)]
    assert found.order.tolist() == sorted(range(len(scores)), key=lambda i: (-value[i], i))
    assert found.scores.tolist() == [value[i] for i in found.order]
