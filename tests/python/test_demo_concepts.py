"""The synonym table and the accepted names hold together and mean what they say."""

from __future__ import annotations

from importlib import resources

import numpy as np
import pytest

from gapless.demo import concepts as C
from gapless.demo.icons import HELD_OUT, load_icons
from gapless.errors import InvalidArgument


def test_table_is_large_and_each_spelling_belongs_to_one_concept() -> None:
    table = C.concepts()
    assert len(table) >= 250
    owner: dict[tuple[str, ...], str] = {}
    for concept, spellings in table.items():
        assert len(set(spellings)) == len(spellings), concept
        for spelling in spellings:
            bag = tuple(sorted(spelling.split()))
            assert owner.setdefault(bag, concept) == concept, spelling
            assert C.concept_of(spelling) == concept


def test_line_reader_for_python_without_tomllib_agrees_with_toml() -> None:
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has no tomllib to compare with")
    for name in ("synonyms.toml", "accepted.toml"):
        text = resources.files("gapless.demo").joinpath(name).read_text(encoding="utf-8")
        assert C._parse(text) == tomllib.loads(text)


def test_line_reader_refuses_what_is_no_key() -> None:
    with pytest.raises(InvalidArgument, match="line 2 is no table and no key: 'oops'"):
        C._parse("[a]\noops\n")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("airplane", "plane"),
        ("car", "automobile"),
        ("Trash-Can", "waste basket"),
        ("arrow pointing left", "chevron left"),
        ("gear", "settings"),
        ("magnifying glass", "search"),
        ("mail", "envelope"),
        ("house", "home"),
    ],
)
def test_spellings_of_one_thing_share_a_concept(one: str, other: str) -> None:
    assert C.concept_of(one) is not None
    assert C.concept_of(one) == C.concept_of(other)


def test_different_or_unknown_things_do_not() -> None:
    assert C.concept_of("arrow left") != C.concept_of("arrow right")
    assert C.concept_of("paper plane") != C.concept_of("plane")
    assert C.concept_of("stroopwafel") is None
    assert C.concept_of("") is None


def test_identical_words_leave_and_other_spellings_count() -> None:
    texts = ["arrow left", "left-arrow", "chevron left", "arrow right", "plane"]
    np.testing.assert_array_equal(
        C.identical("arrow left", texts), [True, True, False, False, False]
    )
    np.testing.assert_array_equal(
        C.relevant_names("arrow left", texts), [False, False, True, False, False]
    )
    assert not C.relevant_names("stroopwafel", ["stroopwafel", "waffle"]).any()


def test_relevant_icons_are_those_of_the_concept() -> None:
    icons = load_icons(HELD_OUT)
    found = {
        icon.id for icon, hit in zip(icons, C.relevant_icons("bin", icons), strict=True) if hit
    }
    assert found == {
        "fa6s.trash",
        "fa6s.trash-can",
        "fa6r.trash-can",
        "msc.trash",
        "ei.trash",
        "ei.trash-alt",
    }
    alone = C.relevant_icons("stroopwafel", icons)
    assert [icons[row].id for row in np.flatnonzero(alone)] == ["fa6s.stroopwafel"]


def test_evaluation_queries_have_answers_in_both_modalities() -> None:
    icons = load_icons(HELD_OUT)
    queries = C.evaluation_queries(icons)
    assert len(queries) >= 300
    assert len(set(queries)) == len(queries)
    texts = [icon.text for icon in icons] + [text for icon in icons for text in icon.texts]
    for query in queries[::10]:
        assert C.relevant_icons(query, icons).any(), query
        assert C.relevant_names(query, texts).any(), query


def test_accepted_names() -> None:
    icons = {icon.id: icon for icon in load_icons()}
    assert C.accepted_queries() == ["airplane", "trash can", "arrow pointing left"]
    assert C.accepted("airplane", icons["mdi6.airplane-takeoff"])
    assert C.accepted("airplane", icons["fa6s.plane-up"])
    assert not C.accepted("airplane", icons["fa6s.paper-plane"])
    assert C.accepted("trash can", icons["mdi6.delete"])
    assert not C.accepted("trash can", icons["fa6s.delete-left"])
    assert C.accepted("arrow pointing left", icons["ph.caret-left-bold"])
    assert not C.accepted("arrow pointing left", icons["fa6s.arrow-right"])
    assert not C.accepted("arrow pointing left", icons["mdi6.arrow-left-right"])
    for query in C.accepted_queries():
        held_out = sum(C.accepted(query, icon) for icon in icons.values() if icon.held_out)
        # Wide enough to be found, narrow enough that three hits in ten are no accident.
        assert 3 <= held_out <= 60, (query, held_out)
        assert sum(C.accepted(query, icon) for icon in icons.values()) <= 400, query
    with pytest.raises(
        InvalidArgument, match=r"no accepted icon names for the query 'cat'.*'airplane'"
    ):
        C.accepted("cat", icons["fa6s.cat"])
