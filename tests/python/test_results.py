from __future__ import annotations

import pytest

from gapless.results.hits import Contribution, HitRow, Hits

TEXT_TO_IMAGE = Contribution("text", "image", 1, 0.31, 2.5, 1.0)
TEXT_TO_CAPTION = Contribution("text", "caption", 4, 0.8, 1.5, 2.0)
COMPLETED = Contribution(None, "image", None, 0.1, None, 1.0)


def hits() -> Hits:
    return Hits(
        [
            HitRow("a", 5.5, '{"year": 2020}', "a.jpg", (TEXT_TO_IMAGE, TEXT_TO_CAPTION)),
            HitRow(7, 1.25, None, None, (COMPLETED,)),
            HitRow("c", 0.0, "{}", None, ()),
        ],
        "cohort",
        "auto: because",
    )


def test_hits_are_a_sequence_of_hit() -> None:
    found = hits()
    assert len(found) == 3
    assert [hit.id for hit in found] == ["a", 7, "c"] == found.ids
    assert found.scores == [5.5, 1.25, 0.0]
    assert found[-1].id == "c"
    first = found[0]
    assert (first.score, first.score_kind) == (5.5, "cohort")
    assert first.metadata == {"year": 2020}
    assert first.uri == "a.jpg"
    assert first.contributions == (TEXT_TO_IMAGE, TEXT_TO_CAPTION)
    assert found[1].metadata is None
    assert found[2].metadata == {}
    with pytest.raises(IndexError):
        found[3]


def test_a_slice_is_hits_again_and_equality_compares_everything() -> None:
    assert hits()[:2].ids == ["a", 7]
    assert hits()[:2].fusion == "cohort"
    assert hits() == hits()
    assert hits() != hits()[:2]
    assert hits() != Hits(hits()._rows, "rrf", "auto: because")
    assert hits() != ["a", 7, "c"]


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


def test_repr_is_a_table() -> None:
    lines = repr(hits()).splitlines()
    assert lines[0] == "3 hits, fusion='cohort'"
    assert lines[1].split() == ["rank", "score", "id", "field"]
    assert lines[2].split() == ["1", "5.5000", "'a'", "caption"]
    assert lines[3].split() == ["2", "1.2500", "7", "image"]
    assert repr(Hits([], "rrf", "asked for")) == "0 hits, fusion='rrf'"


def test_explain_names_method_reason_and_every_contribution() -> None:
    lines = hits().explain().splitlines()
    assert lines[0] == "fusion: cohort (auto: because)"
    cells = [" ".join(line.split()) for line in lines]
    assert cells[2] == "1 'a' 5.5000 text → image 1 0.3100 2.5000 1"
    assert cells[3] == "text → caption 4 0.8000 1.5000 2"
    assert cells[4] == "2 7 1.2500 vector → image - 0.1000 - 1"
