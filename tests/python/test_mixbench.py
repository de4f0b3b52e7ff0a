"""The MixBench protocol: corpora of any proportion, rankings checked against plain numpy."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gapless as gl
from gapless.errors import InvalidArgument, InvalidVector, SpaceMismatch
from gapless.evaluation.mixbench import measure_corpora
from gapless.evaluation.mixed_corpus import FORMS, MixedCorpus, draw_corpus, embed
from gapless.evaluation.mixed_ranking import METHODS, rank

Rows = npt.NDArray[np.float64]
DIM = 24


def unit(rows: Rows) -> Rows:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True))


def cones(count: int, seed: int = 0, gap: float = 1.5) -> tuple[Rows, Rows, Rows]:
    """Draw queries, images and texts that share a meaning, the images in a cone of their own."""
    rng = np.random.default_rng(seed)
    meaning = rng.normal(size=(count, DIM))
    apart = gap * np.eye(DIM)[0] * np.sqrt(DIM)

    def side(offset: Rows, noise: float) -> Rows:
        return unit(meaning + offset + noise * rng.normal(size=(count, DIM)))

    return side(-apart, 0.6), side(apart, 0.6), side(-apart, 0.6)


@pytest.fixture(scope="module")
def corpus() -> MixedCorpus:
    queries, images, texts = cones(200)
    return draw_corpus(embed(queries, images, texts), None, (3, 2, 1), train=0.25, seed=3)


@given(
    st.lists(st.floats(0, 10), min_size=3, max_size=3).filter(lambda r: sum(r) > 0.1),
    st.integers(0, 3),
)
def test_forms_come_in_the_ratio_asked_for(ratios: list[float], seed: int) -> None:
    data = embed(*cones(40))
    drawn = draw_corpus(data, None, ratios, train=0.25, seed=seed)
    assert len(drawn.forms) == len(drawn.data.texts) == 30
    for form, share in zip(FORMS, np.array(ratios) / sum(ratios), strict=True):
        assert abs((drawn.forms == form).sum() - 30 * share) <= 1


def test_seventy_twenty_ten_of_a_hundred() -> None:
    drawn = draw_corpus(embed(*cones(100)), None, (70, 20, 10), train=0)
    assert [int((drawn.forms == form).sum()) for form in FORMS] == [70, 20, 10]
    assert len(drawn.train.queries) == 0


def test_what_is_held_out_is_no_part_of_the_corpus(corpus: MixedCorpus) -> None:
    queries, images, texts = embed(*cones(200)).queries, *cones(200)[1:]
    assert len(corpus.train.queries) == 50
    assert len(corpus.data.queries) == len(corpus.data.texts) == 150
    held = {row.tobytes() for row in corpus.train.texts}
    assert held.isdisjoint(row.tobytes() for row in corpus.data.texts)
    place = {row.tobytes(): number for number, row in enumerate(queries)}
    for part, row in ((corpus.train, 0), (corpus.data, 7)):
        # Row i of the held-out arrays is one pair; of the corpus, what qrels says.
        number = place[part.queries[row].tobytes()]
        document = row if part is corpus.train else next(iter(corpus.qrels[row]))
        np.testing.assert_allclose(part.images[document], images[number], atol=1e-6)
        np.testing.assert_allclose(part.texts[document], texts[number], atol=1e-6)


def test_graded_judgements_keep_their_documents() -> None:
    queries, images, texts = cones(30)
    qrels = {q: {q: 2.0, (q + 1) % 30: 1.0, (q + 2) % 30: 0.0} for q in range(20)}
    drawn = draw_corpus(embed(queries, images, texts), qrels, train=0.1, seed=5)
    assert len(drawn.train.queries) == 2
    held = [q for q in range(20) if _is_held(drawn, queries, q)]
    assert len(drawn.data.texts) == 30 - len({d for q in held for d in (q, q + 1)})
    place = {row.tobytes(): i for i, row in enumerate(embed(queries, images, texts).texts)}
    asked = {row.tobytes(): i for i, row in enumerate(embed(queries, images, texts).queries)}
    for number, gains in enumerate(drawn.qrels):
        query = asked[drawn.data.queries[number].tobytes()]
        for document, gain in gains.items():
            assert qrels[query][place[drawn.data.texts[document].tobytes()]] == gain > 0


def _is_held(drawn: MixedCorpus, queries: Rows, number: int) -> bool:
    row = queries[number].astype(np.float32)
    return bool((np.abs(drawn.train.queries - row).max(axis=1) < 1e-6).any())


def test_corpora_of_one_seed_are_nested() -> None:
    data = embed(*cones(80))
    images: set[int] = set()
    for share in (0.0, 0.3, 0.6, 1.0):
        drawn = draw_corpus(data, None, (1 - share, share, 0), seed=2)
        now = set(drawn.held_as("image").tolist())
        assert len(now) == round(share * 64)
        assert images <= now
        images = now


def by_numpy(corpus: MixedCorpus, method: str, alpha: float) -> Rows:
    """Score every document for every query in float64: (queries, documents)."""
    data, train = corpus.data, corpus.train
    q, t, i = (rows.astype(np.float64) for rows in (data.queries, data.texts, data.images))
    documents = {"text": t, "image": i, "both": alpha * t + (1 - alpha) * i}
    if method.startswith("center"):
        mean = {
            name: rows.astype(np.float64).mean(axis=0)
            for name, rows in (
                ("query", train.queries), ("text", train.texts), ("image", train.images)
            )
        }  # fmt: skip
        mean["both"] = alpha * mean["text"] + (1 - alpha) * mean["image"]
        q = q - mean["query"]
        documents = {form: rows - mean[form] for form, rows in documents.items()}
    scores = np.zeros((len(q), len(t)))
    for form in FORMS:
        held = corpus.forms == form
        own = unit(q) @ unit(documents[form][held]).T
        if method.endswith("cohort"):
            own = (own - own.mean(axis=1, keepdims=True)) / own.std(axis=1, keepdims=True)
        scores[:, held] = own
    return scores


@pytest.mark.parametrize("alpha", [0.5, 0.2])
@pytest.mark.parametrize("method", ["raw", "center", "cohort", "center+cohort"])
def test_rankings_are_those_of_plain_numpy(corpus: MixedCorpus, method: str, alpha: float) -> None:
    want = by_numpy(corpus, method, alpha)
    scores, ids = rank(corpus, method, 10, alpha=alpha)
    np.testing.assert_allclose(scores, -np.sort(-want, axis=1)[:, :10], atol=2e-5)
    np.testing.assert_allclose(np.take_along_axis(want, ids, axis=1), scores, atol=2e-5)


def test_fusions_of_lists_are_those_of_plain_numpy(corpus: MixedCorpus) -> None:
    raw, depth = by_numpy(corpus, "raw", 0.5), 20
    for method in ("rrf", "minmax", "dbsf"):
        scores, ids = rank(corpus, method, 10, depth=depth)
        for query in range(len(raw)):
            want: dict[int, float] = {}
            for form in FORMS:
                held = corpus.held_as(form)
                found = held[np.argsort(-raw[query, held])][:depth]
                s = raw[query, found]
                mapped = {
                    "rrf": 1 / (60 + np.arange(1, len(s) + 1)),
                    "minmax": (s - s.min()) / (s.max() - s.min()),
                    "dbsf": (s - (s.mean() - 3 * s.std(ddof=1))) / (6 * s.std(ddof=1)),
                }[method]
                want.update(zip(found.tolist(), mapped, strict=True))
            best = sorted(want.values(), reverse=True)[:10]
            np.testing.assert_allclose(scores[query], best, atol=1e-4)
            np.testing.assert_allclose([want[int(i)] for i in ids[query]], best, atol=1e-4)


@pytest.mark.parametrize("method", ["calibrated", "center+calibrated"])
def test_calibrated_scores_are_probabilities_of_the_ranked_scores(
    corpus: MixedCorpus, method: str
) -> None:
    scores, ids = rank(corpus, method, 100)
    assert ((scores >= 0) & (scores <= 1)).all()
    # Within one form the probability rises with the score, as a calibration is monotone.
    raw = by_numpy(corpus, "raw" if method == "calibrated" else "center", 0.5)
    for query, (own, found) in enumerate(zip(scores, ids, strict=True)):
        for form in FORMS:
            these = corpus.forms[found] == form
            assert (np.diff(raw[query, found[these]]) <= 1e-6).all()
            assert (np.diff(own[these]) <= 0).all()
    found = measure_corpora([corpus], [method, "rrf"])
    assert found.mean(method) > found.mean("rrf") + 0.1


def test_the_oracle_looks_only_where_the_answer_is(corpus: MixedCorpus) -> None:
    _, ids = rank(corpus, "oracle", 10)
    for found, right in zip(ids, corpus.qrels, strict=True):
        assert set(corpus.forms[found]) == {corpus.forms[d] for d in right}


def test_a_gap_shows_and_centring_closes_it() -> None:
    found = gl.mixbench(*cones(300), ratios=(1, 1, 1), methods=list(METHODS), draws=2)
    assert found.bias["raw"].mean() > 0.9
    assert found.mean("raw", form="text->image") < 0.05
    assert found.mean("raw", form="text->text") > 0.8
    assert abs(found.bias["center"].mean() - found.share) < 0.1
    for method in ("center", "cohort", "center+cohort", "calibrated", "center+calibrated"):
        assert found.mean("raw") + 0.1 < found.mean(method) > found.mean("rrf") + 0.1
    assert found.share == pytest.approx(1 / 3, abs=0.01)
    assert found.values["raw"]["ndcg@10"].shape == (2,)
    assert found.metrics == ("ndcg@10", "ndcg@100", "recall@1")
    whole = sum(found.mean("center", "R@1", f"text->{form}") for form in FORMS) / 3
    assert found.mean("center", "R@1") == pytest.approx(whole, abs=0.01)
    json.dumps(found.to_dict(), allow_nan=False)
    lines = str(found).splitlines()
    assert len(lines) == len(METHODS) + 2
    assert lines[0].split()[:3] == ["ndcg@10", "ndcg@100", "recall@1"]
    assert "text->image ndcg@10" in lines[0]


def test_the_u_curve_dips_for_raw_scores_alone() -> None:
    found = gl.u_curve(*cones(300), methods=("raw", "center", "rrf"), metric="R@1")
    assert found.metric == "recall@1"
    assert found.dip("raw") > 0.2
    assert found.dip("center") < 0.1
    # Where all documents are of one form there is nothing to mix.
    for end in (0, -1):
        assert found.values["raw"][end] == found.values["rrf"][end] > 0.3
    assert str(found).splitlines()[0].split()[-2:] == ["100%", "dip"]
    json.dumps(found.to_dict(), allow_nan=False)


def test_encoders_are_functions_of_a_sequence() -> None:
    queries, images, texts = cones(60)
    seen: list[str] = []

    def encoder(name: str, table: Rows) -> Any:
        def encode(items: Any) -> Rows:
            seen.append(name)
            return table[[int(item.split()[1]) for item in items]]

        return encode

    named = [[f"{kind} {i}" for i in range(60)] for kind in ("query", "image", "text")]
    encode = {
        "query": encoder("query", queries),
        "image": encoder("image", images),
        "text": encoder("text", texts),
    }
    found = gl.mixbench(*named, encode=encode, methods=["center"])
    assert sorted(seen) == ["image", "query", "text"]
    want = gl.mixbench(queries, images, texts, methods=["center"])
    assert found.to_dict() == want.to_dict()
    del encode["query"]
    gl.mixbench(*named, encode=encode, methods=["raw"], query_modality="image")
    assert sorted(seen[3:]) == ["image", "image", "text"]


def test_a_function_ranks_as_a_name_does(corpus: MixedCorpus) -> None:
    def ours(given: MixedCorpus, k: int) -> Any:
        return rank(given, "center", k)

    def blind(given: MixedCorpus, k: int) -> Any:
        ids = np.tile(np.arange(k), (len(given.qrels), 1))
        return np.tile(np.arange(k, 0.0, -1), (len(given.qrels), 1)), ids

    found = measure_corpora([corpus], {"ours": ours, "GR-CLIP": "center", "blind": blind})
    assert found.mean("ours") == found.mean("GR-CLIP")
    assert found.mean("blind") < 0.1


def test_real_vectors_make_a_u(clip_pairs: npt.NDArray[np.float32]) -> None:
    image, caption = clip_pairs
    # Row i of both is one document; the query is another view of it, the caption disturbed.
    rng = np.random.default_rng(0)
    queries = unit(caption + 0.02 * rng.normal(size=caption.shape))
    found = gl.u_curve(
        queries, image, caption, shares=(0, 0.5, 1), methods=("raw", "center"), train=0.3
    )
    assert found.dip("raw") > 0.2
    assert found.dip("center") < found.dip("raw")
    mixed = gl.mixbench(queries, image, caption, ratios=(70, 20, 10), train=0.3)
    assert mixed.mean("raw", form="text->image") < 0.01
    assert mixed.mean("center+cohort", form="text->image") > 0.3


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"ratios": (1, 1)}, InvalidArgument, r"ratios is \(1, 1\): give text : image : both"),
        ({"ratios": (0, 0, 0)}, InvalidArgument, "ratios is"),
        ({"ratios": (1, -1, 1)}, InvalidArgument, "ratios is"),
        ({"ratios": "abc"}, InvalidArgument, "ratios is 'abc'"),
        ({"methods": ["best"]}, InvalidArgument, "method 'best' is unknown: choose of raw"),
        ({"methods": "raw"}, InvalidArgument, "give a list of names"),
        ({"methods": []}, InvalidArgument, "give a list of names"),
        ({"metrics": "bpref"}, InvalidArgument, "metric 'bpref' is unknown"),
        ({"train": 1.0}, InvalidArgument, "train is 1.0"),
        ({"train": 0.01}, InvalidArgument, "too few to fit anything on"),
        ({"train": 0.0}, InvalidArgument, "no pairs are held out to fit on"),
        ({"draws": 0}, InvalidArgument, "no corpus to measure on"),
        ({"draws": 1.5}, InvalidArgument, "draws is 1.5"),
        ({"seed": -1}, InvalidArgument, "seed is -1"),
        ({"train": "half"}, InvalidArgument, "train is 'half'"),
        ({"methods": 5}, InvalidArgument, "methods is 5"),
        ({"methods": {"mine": 5}}, InvalidArgument, "method 'mine' is 5"),
        ({"alpha": None}, InvalidArgument, "alpha is None"),
        ({"alpha": 2.0}, InvalidArgument, "alpha is 2.0"),
        ({"query_modality": ""}, InvalidArgument, "query_modality is ''"),
        ({"qrels": {0: {99: 1}}}, InvalidArgument, "names the document 99: give its row"),
        ({"qrels": {"q": {1: 1}}}, InvalidArgument, "names the query 'q'"),
        ({"qrels": {0: {1: 0}}}, InvalidArgument, "no relevant document"),
        ({"encode": {"text": np.asarray}}, InvalidArgument, "lacks 'image'"),
        ({"encode": {"text": len, "image": len}}, InvalidVector, "the query rows have shape"),
    ],
)
def test_bad_input_is_refused(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        gl.mixbench(*cones(20), **options)


def test_bad_rows_are_refused() -> None:
    queries, images, texts = cones(20)
    with pytest.raises(InvalidArgument, match="there are 19 images and 20 texts"):
        gl.mixbench(queries, images[:19], texts)
    with pytest.raises(InvalidArgument, match="20 queries and 19 documents"):
        gl.mixbench(queries, images[:19], texts[:19])
    with pytest.raises(SpaceMismatch, match="encode all three into one space"):
        gl.mixbench(queries, images[:, :9], texts)
    broken = texts.copy()
    broken[3] = np.nan
    with pytest.raises(InvalidVector, match="3"):
        gl.mixbench(queries, images, broken)
    with pytest.raises(InvalidArgument, match="queries is a generator"):
        gl.mixbench((row for row in queries), images, texts)
    with pytest.raises(InvalidVector, match="complex128"):
        gl.mixbench(queries + 1j, images, texts)
    wrong: list[Any] = [5, "abc", (0.5,), (0.5, 0.2), (0.0, 1.5)]
    for shares in wrong:
        with pytest.raises(InvalidArgument, match="ascending shares"):
            gl.u_curve(queries, images, texts, shares=shares)
