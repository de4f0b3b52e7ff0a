"""Cards: measured ranges against brute force and against the models, and the choice of a model."""

from __future__ import annotations

from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gapless as gl
from collection_kit import DIM
from gapless.collection import Collection
from gapless.errors import InvalidArgument, InvalidVector, SpaceMismatch, UnknownField
from gapless.models.cards import TRAITS, ModelCard, ScoreRange, Spread, model_card
from gapless.models.choice import recommend_model
from gapless.models.known import CARDS
from gapless.models.scores import measure_card

Float64 = npt.NDArray[np.float64]
needs_onnx = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("onnxruntime", "tokenizers", "PIL", "qtawesome")),
    reason="the packaged model needs gapless[demo]",
)


def unit(rows: npt.ArrayLike) -> Float64:
    exact: Float64 = np.asarray(rows, np.float32).astype(np.float64)
    found: Float64 = exact / np.linalg.norm(exact, axis=1, keepdims=True)
    return found


def brute(
    left: Float64, right: Float64, of_left: list[int], of_right: list[int], alone: bool
) -> tuple[list[float], list[float]]:
    """Scores of all pairs of one item and of different items, by two loops."""
    matched, apart = [], []
    for i, a in enumerate(left):
        for j, b in enumerate(right):
            if of_left[i] != of_right[j]:
                apart.append(float(a @ b))
            elif not alone or i < j:
                matched.append(float(a @ b))
    return matched, apart


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    images=st.integers(25, 60),
    texts=st.integers(25, 60),
    things=st.integers(1, 25),
)
def test_ranges_are_those_of_brute_force(seed: int, images: int, texts: int, things: int) -> None:
    rng = np.random.default_rng(seed)
    meaning = rng.normal(size=(things, 7))
    owner = {
        name: rng.integers(things, size=count).tolist()
        for name, count in (("image", images), ("text", texts))
    }
    rows = {name: meaning[of] + rng.normal(size=(len(of), 7)) for name, of in owner.items()}
    card = measure_card("mine", rows, owner, source="noise", sample=20_000, seed=seed)
    assert card.modalities == ("image", "text")
    assert card.dim == 7
    assert [known.modalities for known in card.scores] == [
        ("image", "image"),
        ("image", "text"),
        ("text", "text"),
    ]
    for known in card.scores:
        one, other = known.modalities
        matched, apart = brute(
            unit(rows[one]), unit(rows[other]), owner[one], owner[other], one == other
        )
        if len(matched) < 20:
            assert known.matched is None
        else:
            assert known.matched is not None
            assert known.matched.count == len(matched)
            exact = Spread.of(matched)
            assert exact is not None
            for at in ("mean", "std", "low", "median", "high"):
                assert getattr(known.matched, at) == pytest.approx(getattr(exact, at), abs=1e-6)
        if not apart:
            assert known.random is None
            assert known.auc is None
        elif known.random is not None:
            # Drawn, so off by some standard errors; the same few pairs come often.
            assert known.random.mean == pytest.approx(np.mean(apart), abs=0.05)
            if known.auc is not None:
                truth = np.mean([[a > b for b in apart] for a in matched])
                assert known.auc == pytest.approx(truth, abs=0.05)


def test_more_pairs_than_the_sample_are_drawn_evenly() -> None:
    rng = np.random.default_rng(1)
    rows = {"text": rng.normal(size=(400, 6)), "image": rng.normal(size=(300, 6))}
    rows["text"] += 0.7
    items = {"text": [0] * 400, "image": [0] * 300}
    card = measure_card("one item", rows, items, source="noise", sample=5_000)
    for known in card.scores:
        assert known.random is None
        assert known.matched is not None
        assert known.matched.count == 5_000
        one, other = known.modalities
        scores = unit(rows[one]) @ unit(rows[other]).T
        if one == other:
            scores = scores[np.triu_indices(len(scores), 1)]
        assert known.matched.mean == pytest.approx(scores.mean(), abs=0.02)
        assert known.matched.median == pytest.approx(np.median(scores), abs=0.03)


def test_clip_on_coco_is_what_its_card_says(clip_pairs: npt.NDArray[np.float32]) -> None:
    image, caption = clip_pairs
    mine = measure_card("clip", {"text": caption, "image": image}, source="coco", seed=9)
    known = model_card("clip-vit-base-patch32")
    for pair in (("image", "image"), ("image", "text"), ("text", "text")):
        measured, stated = mine.scores_of(*pair), known.scores_of(*pair)
        assert measured is not None
        assert stated is not None
        for side in ("matched", "random"):
            found, told = getattr(measured, side), getattr(stated, side)
            assert (found is None) == (told is None)
            if found is not None:
                for at in ("mean", "std", "low", "median", "high"):
                    assert getattr(found, at) == pytest.approx(getattr(told, at), abs=3e-3)
        assert measured.auc == (None if stated.auc is None else pytest.approx(stated.auc, abs=3e-3))
    across = known.scores_of("text", "image")
    assert across is not None
    assert across.matched is not None
    assert (across.matched.mean, across.matched.std) == (0.310, 0.032)


@needs_onnx
def test_the_packaged_model_is_what_its_card_says() -> None:
    from gapless.demo.icons import HELD_OUT, draw_all, load_icons
    from gapless.demo.measure import Embedder

    every = load_icons(list(HELD_OUT))
    some = np.random.default_rng(3).choice(len(every), 500, replace=False)
    icons = [every[at] for at in some]
    embedder = Embedder()
    names = list(dict.fromkeys(icon.text for icon in icons))
    rows = {"image": embedder.pictures(draw_all(icons)), "text": embedder.texts(names)}
    owner = {"image": [icon.text for icon in icons], "text": names}
    mine = measure_card("demo", rows, owner, source="icons")
    known = model_card("gapless.demo")
    assert known.dim == mine.dim
    for pair in (("image", "image"), ("image", "text"), ("text", "text")):
        measured, stated = mine.scores_of(*pair), known.scores_of(*pair)
        assert measured is not None
        assert stated is not None
        # A sixth of the icons: means off by a few hundredths.
        for side in ("matched", "random"):
            found, told = getattr(measured, side), getattr(stated, side)
            if found is not None and found.count >= 400:
                assert found.mean == pytest.approx(told.mean, abs=0.04)
                assert found.std == pytest.approx(told.std, abs=0.03)
    across = mine.scores_of("image", "text")
    assert across is not None
    assert across.matched is not None
    assert across.matched.count == 500


def test_a_collection_is_measured_as_it_is_aligned(col: Collection) -> None:
    rng = np.random.default_rng(4)
    image = rng.normal(size=(60, DIM)) + 2.0 * np.eye(DIM)[0]
    caption = image + 0.5 * rng.normal(size=(60, DIM)) + 3.0 * np.eye(DIM)[1]
    col.upsert(range(60), {"image": image, "caption": caption})
    own = dict.fromkeys(("image", "caption"), range(60))
    raw = measure_card("mine", ["image", "caption"], source="here", collection=col)
    assert (
        raw.scores
        == measure_card(
            "mine", {"image": unit(image), "caption": unit(caption)}, own, source="here"
        ).scores
    )
    col.align("center")
    seen = measure_card("mine", ["image", "caption"], source="here", collection=col)
    shifted = {"image": unit(image), "caption": unit(caption)}
    shifted = {name: rows - rows.mean(axis=0) for name, rows in shifted.items()}
    wanted = measure_card("mine", shifted, own, source="here")
    for pair in (("image", "caption"), ("image", "image")):
        found, told = seen.scores_of(*pair), wanted.scores_of(*pair)
        assert found is not None
        assert told is not None
        assert found.random is not None
        assert told.random is not None
        assert found.random.mean == pytest.approx(told.random.mean, abs=1e-5)
    with pytest.raises(UnknownField):
        measure_card("mine", ["sound"], source="here", collection=col)


def test_every_fact_of_every_card_has_its_source() -> None:
    stated = {
        *("dim", "languages", "licence", "parameters", "max_tokens", "truncated_dims", "data"),
        *("pairs", "strengths", "weaknesses", "logistic"),
    }
    derived = {"name", "modalities", "commercial", "good_for", "bad_for", "scores", "onnx"}
    assert {one.name for one in fields(ModelCard)} == stated | derived | {"sources"}
    for card in CARDS:
        told = {name for name in stated if getattr(card, name) not in (None, ())}
        assert set(card.sources) == told, card.name
        assert card.licence is not None
        assert card.commercial is not None
        assert card.good_for
        assert not card.good_for & card.bad_for
        assert card.good_for | card.bad_for <= TRAITS.keys()
        for known in card.scores:
            assert known.source
            assert set(known.modalities) <= set(card.modalities)
            for spread in (known.matched, known.random):
                if spread is not None:
                    assert spread.low <= spread.median <= spread.high
                    assert spread.low < spread.mean < spread.high
    assert len({card.name for card in CARDS}) == len(CARDS)


def test_the_packaged_models_facts_are_those_of_its_files() -> None:
    import json

    folder = Path(gl.__file__).parent / "demo" / "model"
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    card = model_card("gapless.demo")
    assert card.dim == metrics["model"]["dim"]
    assert card.parameters == round(metrics["model"]["parameters"] * 1e6)
    assert card.pairs == metrics["training"]["training_icons"]
    assert f"{metrics['gap']['held_out']['centroid_distance']:.3f}"[1:] in card.strengths[1]
    across = card.scores_of("text", "image")
    assert across is not None
    assert across.matched is not None
    matched = metrics["gap"]["held_out"]["matched_cosine"]
    assert across.matched.mean == pytest.approx(matched, abs=5e-4)


def test_cards_are_found_by_name() -> None:
    card = model_card("openai/clip-vit-base-patch32")
    for name in ("clip-vit-base-patch32", "Xenova/CLIP-vit-base-patch32", card.name.upper()):
        assert model_card(name) is card
    with pytest.raises(InvalidArgument, match=r"nearest are .*BAAI/bge-small-en-v1\.5"):
        model_card("bge-smal-en")
    with pytest.raises(InvalidArgument, match="there is no card of 3"):
        model_card(3)  # type: ignore[arg-type]
    text = str(card)
    assert "image-text: matched 0.310 +- 0.032 (0.257 to 0.363)" in text
    assert "text-text: matched not measured" in text
    assert "scores: not measured" in str(model_card("jina-clip-v2"))
    assert "licence: not known" in str(ModelCard("mine", ("text",), 3))


def test_the_choice_of_a_model_row_by_row() -> None:
    cases: list[tuple[dict[str, Any], str | None]] = [
        ({}, "openai/clip-vit-base-patch16"),
        ({"languages": ()}, "apple/MobileCLIP-S0"),
        ({"commercial": True}, "openai/clip-vit-base-patch16"),
        ({"needs": ["icons"]}, "gapless.demo"),
        ({"modalities": "text"}, "sentence-transformers/all-MiniLM-L6-v2"),
        ({"modalities": ["audio", "text"]}, "laion/clap-htsat-unfused"),
        ({"modalities": ["audio", "image"]}, None),
        ({"languages": ["de", "ja"]}, "google/siglip2-base-patch16-224"),
        ({"languages": ["de"], "needs": ["long_text"]}, "jinaai/jina-clip-v2"),
        (
            {"languages": ["de"], "needs": ["long_text"], "commercial": True},
            "google/siglip2-base-patch16-224",
        ),
        ({"needs": ["documents", "text_to_text", "long_text"]}, "jinaai/jina-clip-v2"),
        ({"needs": ["text_to_text"], "commercial": True}, "jinaai/jina-clip-v1"),
        ({"max_dim": 64}, "jinaai/jina-clip-v2"),
        ({"max_parameters": 6_000_000}, "gapless.demo"),
        ({"min_tokens": 1000, "commercial": True, "max_parameters": 225_000_000},
         "jinaai/jina-clip-v1"),
        ({"modalities": "audio", "max_parameters": 10**12}, None),
    ]  # fmt: skip
    for wanted, name in cases:
        advice = recommend_model(**wanted)
        best = None if advice.best is None else advice.best.name
        assert best == name, (wanted, str(advice))
        assert {choice.card.name for choice in advice.choices} | advice.rejected.keys() == {
            card.name for card in CARDS
        }


def test_advice_says_what_rules_a_model_out_and_what_speaks_for_it() -> None:
    advice = recommend_model(
        languages=["en"],
        commercial=True,
        max_parameters=300_000_000,
        max_dim=768,
        min_tokens=70,
        needs=["photos", "long_text", "icons"],
    )
    assert [choice.card.name for choice in advice.choices[:2]] == [
        "jinaai/jina-clip-v1",
        "nomic-ai/nomic-embed-vision-v1.5",
    ]
    first = advice.choices[0]
    assert (first.meets, first.fails, first.unknown) == (("photos", "long_text"), (), ("icons",))
    assert advice.rejected["jinaai/jina-clip-v2"] == (
        "its licence CC-BY-NC-4.0 forbids commercial use; it has 865 M parameters"
    )
    assert advice.rejected["google/siglip-so400m-patch14-384"] == (
        "it has 878 M parameters; its vectors have 1152 dims at least; it reads 64 tokens"
    )
    assert advice.rejected["gapless.demo"] == "how long its texts may be is not known"
    assert "its languages are not known" in advice.rejected["apple/MobileCLIP-S0"]
    assert "it has no image encoder" in advice.rejected["laion/clap-htsat-unfused"]
    assert "good for photos, long_text; nothing known of icons" in str(advice)
    nothing = recommend_model(["smell"])
    assert nothing.best is None
    assert str(nothing).startswith("no model meets every requirement")


def test_own_cards_take_part() -> None:
    own = ModelCard(
        "ours", ("image", "text"), 64, languages=("en",), good_for=frozenset({"documents"})
    )
    advice = recommend_model(needs=["documents"], cards=[own, *CARDS])
    assert advice.best is not own  # its size is not known, so it stands behind equals
    assert [choice.card for choice in advice.choices].index(own) == sum(
        "documents" in card.good_for for card in CARDS
    )
    assert recommend_model(needs=["documents"], max_dim=64, cards=[own]).best is own
    assert recommend_model(commercial=True, cards=[own]).rejected == {
        "ours": "its licence is not known"
    }


def test_bad_input_says_what_was_wanted() -> None:
    rows = np.eye(3)
    pair = {"image": rows, "text": rows}
    bad: Any = rows
    bad_words: Any = [3]
    cases: list[tuple[Any, type[Exception], str]] = [
        (lambda: measure_card("a", pair, source=""), InvalidArgument, "source is ''"),
        (lambda: measure_card("a", {}, source="b"), InvalidArgument, "vectors is a dict"),
        (lambda: measure_card("a", bad, source="b"), InvalidArgument, "vectors is a ndarray"),
        (
            lambda: measure_card("a", {"image": rows, "text": rows[:2]}, source="b"),
            InvalidArgument,
            "give items",
        ),
        (
            lambda: measure_card("a", pair, {"image": [1, 2, 3]}, source="b"),
            InvalidArgument,
            "items has 0 entries for the 3 rows of 'text'",
        ),
        (
            lambda: measure_card("a", {"image": rows}, {"image": [[1], [2], [3]]}, source="b"),
            InvalidArgument,
            "cannot be compared",
        ),
        (
            lambda: measure_card("a", {"image": rows, "text": np.eye(4)}, source="b"),
            SpaceMismatch,
            "dims",
        ),
        (lambda: measure_card("a", {"image": 0 * rows}, source="b"), InvalidVector, "zero"),
        (lambda: measure_card("a", {"image": rows[0]}, source="b"), InvalidArgument, "has shape"),
        (lambda: measure_card("a", pair, source="b", sample=3), InvalidArgument, "sample is 3"),
        (lambda: measure_card("a", pair, source="b", colour=1), InvalidArgument, "colour"),
        (lambda: measure_card("a", pair, source="b", dim=3), InvalidArgument, "dim"),
        (lambda: recommend_model([]), InvalidArgument, "modalities is empty"),
        (lambda: recommend_model(bad_words), InvalidArgument, "give words"),
        (lambda: recommend_model(needs=["taste"]), InvalidArgument, "needs has .'taste'."),
        (lambda: recommend_model(max_dim=0), InvalidArgument, "max_dim is 0"),
    ]
    for call, error, words in cases:
        with pytest.raises(error, match=words):
            call()
    few = measure_card("a", pair, source="b")
    assert all(known.matched is None and known.auc is None for known in few.scores)
    assert isinstance(few.scores[0], ScoreRange)
    assert gl.model_card is model_card
    assert gl.recommend_model is recommend_model
    assert gl.measure_card is measure_card
