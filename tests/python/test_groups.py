from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gapless.catalog import ItemRow
from gapless.errors import InvalidArgument
from gapless.results.groups import group, grouped, values_at
from gapless.results.hits import Hits
from hits_kit import ranked

VALUES = st.sampled_from(["a", "b", "c", 1, 2, None])


def items(*metadata: Any) -> list[ItemRow]:
    return [
        ItemRow(i, f"i{i}", None if each is None else json.dumps(each), f"u{i % 2}")
        for i, each in enumerate(metadata)
    ]


def hits_of(*metadata: Any) -> Hits:
    rows = items(*metadata)
    scores = [1.0 - i / 8 for i in range(len(rows))]
    spans = {("image", i): (float(i), i + 0.5) for i in range(len(rows))}
    return Hits(ranked(scores), rows, "rrf", "asked for", spans=spans)


def test_values_are_found_along_the_path() -> None:
    found = items(
        {"a": {"b": 1}}, {"a": 2}, None, {"a": {"b": None}}, {"a.b": 3}, {"a": [{"b": 1}]}
    )
    assert values_at(found, "a.b") == [1, None, None, None, None, None]
    assert values_at(found, "a") == [{"b": 1}, 2, None, {"b": None}, None, [{"b": 1}]]
    assert values_at(found, r"a\.b") == [None, None, None, None, 3, None]
    assert values_at(found, "$id") == [f"i{i}" for i in range(6)]
    assert values_at(found, "$uri") == values_at(found, "uri")
    assert values_at(found, "uri") == ["u0", "u1"] * 3
    assert values_at([ItemRow(1, 1, '{"a": NaN}', None)], "a") == [None]


@pytest.mark.parametrize("path", ["", 7, None, ["a"]])
def test_a_path_that_is_none_is_refused(path: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"group_by is .* give a key of the metadata"):
        values_at(items({"a": 1}), path)


@pytest.mark.parametrize("path", ["a\\", "$score"])
def test_a_path_that_filters_cannot_read_is_refused(path: str) -> None:
    with pytest.raises(InvalidArgument, match=r"stray backslash|the names with \$ are"):
        values_at(items({"a": 1}), path)


@pytest.mark.parametrize(
    "bad", [{"limit": 0}, {"limit": 1, "size": 0}, {"limit": 1, "offset": -1}, {"limit": 1.5}]
)
def test_senseless_numbers_are_refused(bad: Any) -> None:
    with pytest.raises(InvalidArgument, match="give an integer of at least"):
        group(["a"], **bad)


def test_equal_values_of_json_are_one_group() -> None:
    values = [1, 1.0, True, "1", [1, 2], {"x": 1, "y": 2}, {"y": 2, "x": 1}, [1, 2], False, 0]
    found = group(values, 10, 10)
    assert found.members == ((0, 1), (2,), (3,), (4, 7), (5, 6), (8,), (9,))


def test_a_group_is_shown_by_its_best_hit_with_its_span() -> None:
    found = hits_of({"d": "x"}, {"d": "y"}, {"d": "x"}, None, {"d": "x"}, {"d": "y"})
    values = values_at(found.items, "d")
    shown = grouped(found, group(values, limit=3, size=2))
    assert [(hit.id, hit.group) for hit in shown] == [("i0", "x"), ("i1", "y"), ("i3", None)]
    assert [hit.others.ids for hit in shown] == [["i2"], ["i5"], []]
    assert [hit.span for hit in shown] == [(0.0, 0.5), (1.0, 1.5), (3.0, 3.5)]
    assert shown[0].others[0].span == (2.0, 2.5)
    assert shown[1:][0].group == "y"
    assert shown.take([2, 0])[1].others.ids == ["i2"]
    assert repr(shown).splitlines()[0] == "3 groups, fusion='rrf'"
    assert shown == grouped(found, group(values, limit=3, size=2))
    assert shown != grouped(found, group(values, limit=3, size=1))


def test_it_says_whether_the_ranking_was_long_enough() -> None:
    values = ["a", "b", "a", None]
    assert group(values, 3).enough
    assert not group(values, 4).enough
    assert group(values, 3).filled
    assert not group(values, 3, 2).filled
    assert group(values, 1, 2).filled
    assert not group([], 1).enough


@settings(deadline=None)
@given(st.lists(VALUES, max_size=40), st.integers(1, 6), st.integers(1, 4))
def test_pages_of_groups_are_the_whole_list_cut_up(
    values: list[Any], limit: int, size: int
) -> None:
    whole = group(values, 100, size)
    pages = [group(values, limit, size, offset) for offset in range(0, 48, limit)]
    assert [m for page in pages for m in page.members] == list(whole.members)
    assert all(page.enough == (len(page.members) == limit) for page in pages)


@settings(deadline=None)
@given(st.lists(VALUES, max_size=40), st.integers(1, 6), st.integers(1, 4), st.integers(0, 40))
def test_a_longer_ranking_only_adds(values: list[Any], limit: int, size: int, cut: int) -> None:
    short, long = group(values[:cut], limit, size), group(values, limit, size)
    for a, b in zip(short.members, long.members, strict=False):
        assert b[: len(a)] == a
    assert short.values == long.values[: len(short.values)]
    if short.enough:
        assert short.values == long.values
    if short.enough and short.filled:
        assert short.members == long.members


@settings(deadline=None)
@given(st.lists(VALUES, max_size=40), st.integers(1, 4))
def test_groups_are_as_a_plain_reading_says(values: list[Any], size: int) -> None:
    found = group(values, 100, size)
    seen: list[int] = sorted(place for places in found.members for place in places)
    assert len(seen) == len(set(seen))
    heads = [places[0] for places in found.members]
    assert heads == sorted(heads)
    for value, places in zip(found.values, found.members, strict=True):
        everyone = [i for i, each in enumerate(values) if each == value]
        wanted = [places[0]] if value is None else everyone[:size]
        assert list(places) == wanted
    assert len(found.members) == len(set(values) - {None}) + values.count(None)
