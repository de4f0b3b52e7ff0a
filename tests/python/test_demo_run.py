"""The demo's parts: which answers are right, what is compared, when a collection is reused."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import gapless as gl
from gapless.demo import concepts
from gapless.demo.corpus import MARKER, Corpus, check_folder, collect, load_corpus
from gapless.demo.evaluation import Comparison, _Bench, compare, make_task
from gapless.demo.icons import HELD_OUT, Icon, draw_all, load_icons
from gapless.demo.queries import ask_all
from gapless.demo.words import headline, interval
from gapless.errors import CollectionLocked, InvalidArgument

DIM = 16


class Silent:
    """Stages without a bar."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(
        self, key: str, title: str, total: int | None = None
    ) -> Iterator[Callable[[int], None]]:
        done = [0]
        yield lambda count: done.__setitem__(0, done[0] + count)
        assert total is None or done[0] == total, f"{title} ended at {done[0]} of {total}"
        self.seconds[key] = 0.0


@pytest.fixture(scope="module")
def held() -> tuple[list[Icon], list[str]]:
    icons = load_icons(HELD_OUT)
    return icons, list(dict.fromkeys(text for icon in icons for text in icon.texts))


def test_the_task_is_the_rule_of_the_concepts(held: tuple[list[Icon], list[str]]) -> None:
    icons, texts = held
    task = make_task(icons, texts)
    assert len(task.queries) == len(concepts.evaluation_queries(icons)) > 400
    for at in range(0, len(task.queries), 60):
        query = texts[task.queries[at]]
        icon_numbers = np.flatnonzero(concepts.relevant_icons(query, icons))
        name_numbers = np.flatnonzero(concepts.relevant_names(query, texts)) + len(icons)
        assert task.right[at] == {*icon_numbers.tolist(), *name_numbers.tolist()}
        own = np.flatnonzero(concepts.identical(query, texts)) + len(icons)
        assert task.hidden[at] == own.tolist()
        assert task.queries[at] + len(icons) in task.hidden[at]
        assert len(icon_numbers) and len(name_numbers)


def planted(icons: list[Icon], texts: list[str], gap: float) -> tuple[np.ndarray, np.ndarray]:
    """Make vectors that know each item's concept, with noise and a gap along the last axis."""
    rng = np.random.default_rng(5)
    of: dict[str, np.ndarray] = {}

    def rows(names: list[str], side: float) -> np.ndarray:
        found = np.stack(
            [of.setdefault(concepts.concept_of(n) or n, rng.normal(size=DIM)) for n in names]
        )
        found = found / np.linalg.norm(found, axis=1, keepdims=True)
        found = found + rng.normal(size=found.shape) * 0.1
        found[:, -1] += side
        return found.astype(np.float32)

    return rows([icon.text for icon in icons], gap), rows(texts, -gap)


def test_centring_mends_a_gap_that_hides_every_icon(held: tuple[list[Icon], list[str]]) -> None:
    icons, texts = held
    found = compare(icons, texts, *planted(icons, texts, 2.0))
    assert found is not None
    rows = {row.name: row for row in found.rows}
    raw = rows["raw mixed index"]
    assert raw.bias == 1.0 and raw.lift == 1.0 and raw.image_recall_at_10 == 0.0
    assert raw.recall_gain is None
    for name in ("centred", "fused"):
        assert rows[name].bias < 0.8
        assert rows[name].image_recall_at_10 > 0.2
        assert rows[name].recall_gain is not None and rows[name].recall_gain[1] > 0
        assert rows[name].ndcg_at_10 > raw.ndcg_at_10
    assert rows["centred, rrf"].bias == pytest.approx(0.5)
    assert found.image_only_centred > 0.5
    assert found.ceiling <= 1.0 and found.text_share == len(texts) / (len(icons) + len(texts))


@pytest.mark.parametrize(("aligned", "method"), [(False, "combmax"), (True, "cohort")])
def test_the_queries_own_words_are_never_answers(
    held: tuple[list[Icon], list[str]], aligned: bool, method: str
) -> None:
    # With vectors of the words alone, the identical string would always come first.
    icons, texts = held
    rng = np.random.default_rng(0)
    names = rng.normal(size=(len(texts), 64)).astype(np.float32)
    images = rng.normal(size=(len(icons), 64)).astype(np.float32)
    task = make_task(icons, texts)
    ranking = _Bench(images, names, task).rank(aligned, method, 10)
    assert ranking.shape == (len(task.queries), 10) and (ranking >= 0).all()
    for row, hidden in zip(ranking, task.hidden, strict=True):
        assert hidden and not set(row.tolist()) & set(hidden)


def test_a_comparison_without_queries_is_none_and_bad_shapes_are_refused(
    held: tuple[list[Icon], list[str]],
) -> None:
    icons, _ = held
    few, texts = icons[:1], [icons[0].text]
    row = np.ones((1, DIM), np.float32)
    assert compare(few, texts, row, row) is None
    with pytest.raises(InvalidArgument, match="1 icons with 2 vectors"):
        compare(few, texts, np.ones((2, DIM), np.float32), row)


def test_the_headline_follows_the_numbers(held: tuple[list[Icon], list[str]]) -> None:
    found = compare(*held, *planted(*held, 2.0))
    assert found is not None
    assert "100% of the first ten" in headline(found) and "more right answers" in headline(found)
    raw, *others, fused = found.rows

    def told(recall: float) -> str:
        last = dataclasses.replace(fused, recall_at_10=recall)
        return headline(dataclasses.replace(found, rows=(raw, *others, last)))

    assert "as many right answers" in told(raw.recall_at_10)
    assert "fewer right answers" in told(raw.recall_at_10 / 2)
    best = dataclasses.replace(others[0], ndcg_at_10=1.0)
    rows = (raw, best, *others[1:], fused)
    worse: Comparison = dataclasses.replace(found, rows=rows)
    assert f"another row: {best.name}" in headline(worse)
    assert interval((0.1, 0.05, 0.15), short=True) == "+0.100 ±0.050"
    assert interval(None) == "-" and interval((0.1, 0.05, 0.15)) == "+0.100 (+0.050 to +0.150)"


@pytest.fixture(scope="module")
def small() -> Corpus:
    icons = load_icons(["elusive"])[:80]
    texts = list(dict.fromkeys(text for icon in icons for text in icon.texts))
    return Corpus(icons, draw_all(icons), texts)


def test_a_limit_takes_icons_of_all_families() -> None:
    corpus = load_corpus(120, Silent())
    assert len(corpus.icons) == len(corpus.pictures) == 120
    assert len({icon.family for icon in corpus.icons}) > 3
    assert len(set(corpus.text_ids)) == len(corpus.texts)
    with pytest.raises(InvalidArgument, match="limit is 0"):
        load_corpus(0, Silent())


def test_a_collection_is_reused_when_it_fits_and_made_afresh_when_not(
    tmp_path: Path, small: Corpus
) -> None:
    def again(corpus: Corpus) -> tuple[str, np.ndarray, set[str]]:
        stages = Silent()
        col, vectors, said = collect(tmp_path, corpus, "gapless.demo", stages)
        with col:
            assert len(col) == len(corpus.icons) + len(corpus.texts)
            assert col.alignment is not None and col.alignment.method == "center"
        return said, vectors.images, set(stages.seconds)

    said, first, stages = again(small)
    assert "made afresh" in said and "encode_images" in stages
    said, second, stages = again(small)
    assert "reused" in said and stages == {"reuse"}
    np.testing.assert_allclose(first, second, atol=1e-6)
    fewer = Corpus(small.icons[:50], small.pictures[:50], small.texts[:50])
    assert "of other icons" in again(fewer)[0]
    with gl.open(tmp_path / "collection") as col:
        col.remove(fewer.image_ids[:1])
    assert "was changed" in again(fewer)[0]
    segment = next((tmp_path / "collection" / "segments").iterdir())
    segment.write_bytes(segment.read_bytes()[:100])
    assert "does not open (CorruptFile)" in again(fewer)[0]
    (tmp_path / "demo.json").write_text("{", encoding="utf-8")  # as a killed run may leave it
    assert "made afresh" in again(fewer)[0]


def test_what_the_demo_did_not_make_is_left_alone(tmp_path: Path, small: Corpus) -> None:
    schema = gl.Schema({"own": gl.Space(dim=3)}, {"image": gl.Field("own", "image")})
    with gl.open(tmp_path / "collection", schema) as col:
        col.upsert(["mine"], {"image": [[1, 2, 3]]})
    with pytest.raises(InvalidArgument, match="did not make it"):
        collect(tmp_path, small, "gapless.demo", Silent())
    with gl.open(tmp_path / "collection") as col:
        assert col.ids() == ["mine"]
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(InvalidArgument, match="is a file"):
        collect(tmp_path / "file", small, "gapless.demo", Silent())


def test_the_folder_is_checked_before_any_work(tmp_path: Path) -> None:
    check_folder(tmp_path)
    check_folder(tmp_path / "new")
    assert not any(tmp_path.iterdir())
    (tmp_path / "collection").mkdir()
    with pytest.raises(InvalidArgument, match="collection is there and the demo did not make it"):
        check_folder(tmp_path)
    (tmp_path / MARKER).write_text("{}", encoding="utf-8")
    check_folder(tmp_path)
    with pytest.raises(InvalidArgument, match="is a file"):
        check_folder(tmp_path / MARKER)


def test_a_collection_in_use_is_not_torn_down(tmp_path: Path, small: Corpus) -> None:
    col, _, _ = collect(tmp_path, small, "gapless.demo", Silent())
    with col, pytest.raises(CollectionLocked):
        collect(tmp_path, small, "gapless.demo", Silent())


def test_answers_tell_what_was_found(tmp_path: Path, small: Corpus) -> None:
    col, _, _ = collect(tmp_path, small, "gapless.demo", Silent())
    with col:
        answers = ask_all(col, small, "gapless.demo")
    assert [answer.kind for answer in answers] == ["text"] * 3 + ["image", "composed"]
    known = set(small.image_ids + small.text_ids)
    for answer in answers:
        assert len(answer.hits) == 10 and {hit.id for hit in answer.hits} <= known
        assert [hit.rank for hit in answer.hits] == list(range(1, 11))
        assert answer.image not in {hit.id for hit in answer.hits}
        assert answer.encode_ms > 0
    left = answers[2]
    assert left.text == "arrow pointing left" and len(left.images) == 10
    assert all(hit.kind == "image" for hit in left.images)
    assert left.accepted == sum(
        concepts.accepted("arrow pointing left", icon)
        for hit in left.images
        for icon in small.icons
        if icon.id == hit.id
    )
    assert left.accepted and left.accepted >= 1
