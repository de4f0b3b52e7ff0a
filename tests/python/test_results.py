from __future__ import annotations

import copy
import json
import pickle
import time

import numpy as np
import pytest

from gapless.catalog import ItemRow
from gapless.errors import InvalidArgument
from gapless.results.hits import Contribution, Hits
from gapless.results.ranking import Ranking, SearchedList
from hits_kit import CAPTION, IMAGE, NONE, hits, ranked, ranking

FIRST = Contribution("text", "image", 1, None, 0.3125, 2.5, 1.0)
SECOND = Contribution("text", "caption", 4, None, 0.75, 1.5, 2.0, row=2)
COMPLETED = Contribution("text", "image", None, None, 0.125, None, 1.0)
SPANS = {("caption", 2 << 40 | 11): (4.0, 6.5)}


def test_hits_are_a_sequence_of_hit() -> None:
    found = hits()
    assert len(found) == 3
    assert [hit.id for hit in found] == ["a", 7, "c"] == found.ids
    assert found.scores == [5.5, 1.25, 0.0]
    assert found[-1].id == "c"
    first = found[0]
    assert (first.score, first.score_kind, first.confidence) == (5.5, "cohort", None)
    assert first.metadata == {"year": 2020}
    assert first.uri == "a.jpg"
    assert first.contributions == (FIRST, SECOND)
    assert found[1].metadata is None
    assert found[1].contributions == (COMPLETED,)
    assert found[2].metadata == {}
    assert found[2].contributions == ()
    with pytest.raises(IndexError):
        found[3]
    with pytest.raises(AttributeError):
        first.score = 1.0  # type: ignore[misc]


def test_calibrated_scores_are_confidences() -> None:
    found = hits(fusion="calibrated")
    assert found[0].confidence == 5.5
    assert [part.calibrated for part in found[0].contributions] == [2.5, 1.5]
    assert found[1].contributions[0].calibrated is None  # it said nothing


def test_a_slice_is_hits_again_and_equality_compares_everything() -> None:
    assert hits()[:2].ids == ["a", 7]
    assert hits()[::-1].ids == ["c", 7, "a"]
    assert hits()[1:][0] == hits()[1]
    assert hits()[:2].fusion == "cohort"
    assert hits() == hits()
    assert hits() != hits()[:2]
    assert hits() != hits(fusion="rrf")
    assert hits() != hits(spans=SPANS)
    assert hits() != hits(plain=np.zeros((3, 2)))
    assert hits() != ["a", 7, "c"]
    assert hits()[0] != hits()[1]
    assert hits()[0] != "a"
    other = hits()
    other.ranking.ranks[0, 1] = 5
    assert hits()[0] != other[0]
    assert hits()[1] == other[1]


def test_the_keys_of_another_collection_make_no_other_hits() -> None:
    first = Hits(ranked([0.5], [1]), [ItemRow(1, "a", None, None)], "rrf", "asked for")
    second = Hits(ranked([0.5], [9]), [ItemRow(9, "a", None, None)], "rrf", "asked for")
    assert first == second


def test_copies_and_pickles_are_the_same_and_stand_alone() -> None:
    found = hits(spans=SPANS, plain=np.full((3, 2), 0.25), cursor="next")
    for again in (pickle.loads(pickle.dumps(found)), copy.copy(found), copy.deepcopy(found)):
        assert again == found
        assert again.cursor == "next"
        assert again[0].span == (4.0, 6.5)
    last = pickle.loads(pickle.dumps(found[2]))
    assert last == found[2]
    assert last.id == "c"
    many = Hits(
        ranked(np.linspace(1, 0, 1000).tolist()),
        [ItemRow(i, i, '{"text": "%s"}' % ("x" * 100), None) for i in range(1000)],
        "rrf",
        "asked for",
    )
    assert len(pickle.dumps(many[3])) < 4_000  # of one hit, not of all


def test_each_look_gives_fresh_metadata() -> None:
    found = hits()
    metadata = found[0].metadata
    assert metadata is not None
    metadata["year"] = 1
    assert found[0].metadata == {"year": 2020}


def test_the_leading_field_is_the_one_that_added_most() -> None:
    found = hits()
    assert found[0].field == "caption"  # 2 * 1.5 beats 1 * 2.5
    assert found[1].field == "image"  # nothing was added: the field it has
    assert found[2].field is None
    against = ranking(
        [SearchedList("text", "image", 1.0), SearchedList("text", "caption", -2.0)],
        [1], [0.0], [[3, 1]], [[0.25, 0.75]], [[0.1, 5.0]],
    )  # fmt: skip
    assert Hits(against, [ItemRow(1, "a", None, None)], "zscore", "")[0].field == "image"


def test_row_and_span_are_those_of_the_leading_fields_best_row() -> None:
    found = hits(spans=SPANS)
    assert (found[0].row, found[0].span) == (2, (4.0, 6.5))
    assert [part.span for part in found[0].contributions] == [None, (4.0, 6.5)]
    assert [part.row for part in found[0].contributions] == [0, 2]
    assert [(hit.row, hit.span) for hit in found[1:]] == [(0, None), (0, None)]
    assert hits()[0].span is None


def test_plain_cosines_are_told_beside_the_aligned_ones() -> None:
    plain = np.array([[0.25, 0.5], [0.0625, NONE], [NONE, NONE]], np.float32)
    parts = hits(plain=plain)[0].contributions
    assert [(part.raw, part.aligned) for part in parts] == [(0.25, 0.3125), (0.5, 0.75)]
    assert hits(plain=plain)[1:][0].contributions[0].raw == 0.0625
    assert hits()[0].contributions[0].raw is None


def test_an_item_too_many_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="1 items and a ranking of 2"):
        Hits(ranked([0.5, 0.25]), [ItemRow(1, "a", None, None)], "rrf", "asked for")


def test_repr_is_a_table() -> None:
    lines = repr(hits(spans=SPANS)).splitlines()
    assert lines[0] == "3 hits, fusion='cohort'"
    assert lines[1].split() == ["rank", "score", "id", "field", "span", "about"]
    about = 'a.jpg {"year": 2020}'
    assert " ".join(lines[2].split()) == f"1 5.5000 'a' caption 4 to 6.5 {about}"
    assert lines[3].split() == ["2", "1.2500", "7", "image", "-"]
    assert repr(hits()[1:]).splitlines()[1].split() == ["rank", "score", "id", "field"]
    assert repr(Hits(Ranking.empty(), [], "rrf", "asked for")) == "0 hits, fusion='rrf'"
    assert repr(hits()[0]) == (
        "Hit(id='a', score=5.5, score_kind='cohort', field='caption', "
        "metadata={'year': 2020}, uri='a.jpg')"
    )


def test_what_is_stored_cannot_break_out_of_the_tables() -> None:
    bad = "<script>alert(1)</script>&\n\x1b[31m" + "x" * 200
    found = Hits(ranked([0.5]), [ItemRow(0, bad, json.dumps({"t": bad}), bad)], "rrf", "asked for")
    page = found._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&amp;" in page
    assert page.count("<tr>") == 2
    assert page.startswith("<table>")
    lines = repr(found).splitlines()
    assert len(lines) == 3
    assert "\x1b" not in repr(found)
    assert lines[2].endswith("…")


def test_looking_at_ten_hits_makes_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Metadata are parsed and contributions made only when they are asked for."""

    def refuse(*_: object) -> None:
        raise AssertionError("not asked for")

    monkeypatch.setattr("gapless.results.hits.json.loads", refuse)
    monkeypatch.setattr("gapless.results.hits.contributions_of", refuse)
    found = hits(spans=SPANS)
    assert [(hit.id, hit.score, hit.field) for hit in found][1] == (7, 1.25, "image")
    assert found[0].span == (4.0, 6.5)
    with pytest.raises(AssertionError):
        _ = found[0].metadata
    with pytest.raises(AssertionError):
        _ = found[0].contributions


def test_looking_at_ten_hits_costs_microseconds() -> None:
    found = ranking(
        [IMAGE, CAPTION], range(10), np.linspace(1, 0, 10).tolist(), np.ones((10, 2)),
        np.full((10, 2), 0.5), np.full((10, 2), 0.5),
    )  # fmt: skip
    items = [ItemRow(i, f"id{i}", '{"n": 1}', None) for i in range(10)]
    best = min(_once(found, items) for _ in range(2_000))
    assert best < 100e-6  # some 10 on a quiet machine; what is guarded against takes hundreds


def _once(found: Ranking, items: list[ItemRow]) -> float:
    start = time.perf_counter()
    for hit in Hits(found, items, "rrf", "asked for"):
        _ = hit.id, hit.score, hit.field
    return time.perf_counter() - start
