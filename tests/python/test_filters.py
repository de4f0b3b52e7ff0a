"""Filters: what they mean, how they are written, and what a malformed one is told."""

from __future__ import annotations

import datetime
import enum
import json
from typing import Any

import numpy as np
import pytest

from gapless.errors import InvalidArgument, InvalidFilter
from gapless.filters.builder import F
from gapless.filters.dialects import as_expression
from gapless.filters.expression import And, Expression, Not, Or
from gapless.filters.matching import matches
from gapless.filters.place import ID, URI, Place, parse_place

ITEM: dict[str, Any] = dict(
    [
        *[("year", 2020), ("rating", 4.5), ("draft", False), ("title", "Sea at dawn")],
        *[("note", None), ("tags", ["sea", "sand"]), ("scores", [1, 9]), ("empty", [])],
        *[("size", {"w": 3, "h": 2}), ("camera", {"model": "X100"}), ("operator", "x")],
        *[("faces", [{"name": "Ann", "age": 30}, {"name": "Bob"}]), ("a.b", 1), ("$ref", 2)],
    ]
)

MONGO: list[tuple[dict[str, Any], bool]] = [
    ({}, True),
    ({"year": 2020}, True),
    ({"year": 2020.0}, True),
    ({"year": "2020"}, False),
    ({"year": {"$gte": 2020, "$lt": 2021}}, True),
    ({"year": {"$gt": 2020}}, False),
    ({"year": {"$gt": "1"}}, False),  # a string orders with strings only
    ({"title": {"$lt": "Sf"}}, True),
    ({"draft": False}, True),
    ({"draft": 0}, False),  # a bool is no number
    ({"year": {"$in": [1, 2020]}}, True),
    ({"year": {"$in": []}}, False),
    ({"year": {"$nin": [1, 2]}}, True),
    ({"absent": {"$nin": [1, 2]}}, True),
    ({"absent": {"$ne": 1}}, True),
    ({"absent": {"$gt": 1}}, False),
    ({"absent": {"$not": {"$gt": 1}}}, True),
    ({"absent": None}, True),
    ({"note": None}, True),
    ({"absent": {"$in": [None, 1]}}, True),
    ({"year": None}, False),
    ({"note": {"$exists": True}}, True),
    ({"absent": {"$exists": False}}, True),
    ({"tags": "sea"}, True),
    ({"tags": {"$ne": "sea"}}, False),
    ({"tags": ["sea", "sand"]}, True),
    ({"tags": ["sand", "sea"]}, False),
    ({"tags": {"$all": ["sand", "sea"]}}, True),
    ({"tags": {"$all": ["sand", "x"]}}, False),
    ({"tags": {"$all": []}}, False),
    ({"tags": {"$size": 2}}, True),
    ({"title": {"$size": 11}}, False),
    ({"tags": {"$contains": "sea"}}, True),
    ({"tags": {"$contains": "se"}}, False),
    ({"title": {"$contains": "at d"}}, True),
    ({"title": {"$startswith": "Sea"}}, True),
    ({"tags": {"$startswith": "sa"}}, True),
    ({"scores": {"$gt": 5, "$lt": 2}}, True),  # each by an element of its own
    ({"empty": {"$exists": True}}, True),
    ({"size": {"h": 2, "w": 3}}, True),
    ({"camera.model": "X100"}, True),
    ({"camera.model.x": {"$exists": True}}, False),
    ({"faces.name": "Bob"}, True),
    ({"faces.0.name": "Bob"}, False),
    ({"faces.1.name": "Bob"}, True),
    ({"tags.1": "sand"}, True),
    ({"faces.age": {"$gte": 30}}, True),
    ({r"a\.b": 1}, True),
    ({"a.b": 1}, False),
    ({r"\$ref": 2}, True),
    ({"operator": "x"}, True),
    ({"$id": "i1"}, True),
    ({"$uri": {"$startswith": "s3://"}}, True),
    ({"$or": [{"year": 1}, {"draft": False}]}, True),
    ({"$and": [{"year": 1}, {"draft": False}]}, False),
    ({"$nor": [{"year": 1}, {"draft": True}]}, True),
    ({"$not": {"year": 1}}, True),
    ({"year": 2020, "draft": True}, False),
]


@pytest.mark.parametrize(("written", "wanted"), MONGO, ids=[json.dumps(m[0]) for m in MONGO])
def test_what_a_mongo_filter_means(written: dict[str, Any], wanted: bool) -> None:
    expression = as_expression(written)
    assert expression is not None
    assert matches(expression, ITEM, "i1", "s3://a") is wanted
    again = as_expression(json.loads(expression.to_json()))
    assert again == expression
    assert eval(repr(expression), {"F": F}) == expression


HAYSTACK: list[tuple[dict[str, Any], Expression]] = [
    ({"field": "meta.year", "operator": ">=", "value": 2020}, F("year") >= 2020),
    ({"field": "year", "operator": "!=", "value": 1}, F("year") != 1),
    ({"field": "id", "operator": "in", "value": ["a"]}, F.id().isin(["a"])),
    ({"field": "meta.a.b", "operator": "not in", "value": [1]}, ~F("a.b").isin([1])),
    ({"field": "meta.year", "operator": ">", "value": None}, ~F.anything()),
    ({"field": "meta.x", "operator": "==", "value": None}, F("x") == None),  # noqa: E711
    (
        {
            "operator": "AND",
            "conditions": [
                {"field": "meta.a", "operator": "<", "value": 1},
                {
                    "operator": "OR",
                    "conditions": [
                        {"field": "meta.b", "operator": "<=", "value": "x"},
                        {"field": "meta.c", "operator": "==", "value": True},
                    ],
                },
            ],
        },
        (F("a") < 1) & ((F("b") <= "x") | (F("c") == True)),  # noqa: E712
    ),
    (
        {
            "operator": "NOT",
            "conditions": [
                {"field": "meta.a", "operator": "==", "value": 1},
                {"field": "meta.b", "operator": "==", "value": 2},
            ],
        },
        ~((F("a") == 1) & (F("b") == 2)),
    ),
]


@pytest.mark.parametrize(("written", "wanted"), HAYSTACK)
def test_haystack_filters_become_the_same_tree(written: dict[str, Any], wanted: Expression) -> None:
    assert as_expression(written) == wanted


def test_the_builder_writes_what_mongo_writes() -> None:
    pairs: list[tuple[Expression, dict[str, Any]]] = [
        (F("a") == 1, {"a": 1}),
        (F("a") != 1, {"a": {"$ne": 1}}),
        (F("a").between(1, 2), {"a": {"$gte": 1, "$lte": 2}}),
        (2 < F("a"), {"a": {"$gt": 2}}),  # noqa: SIM300
        (F("a").isin([1, "x"]), {"a": {"$in": [1, "x"]}}),
        (~F("a").isin([1]), {"a": {"$nin": [1]}}),
        (~F("a").exists(), {"a": {"$exists": False}}),
        ((F("a") == 1) & (F("b") == 2) & (F("c") == 3), {"a": 1, "b": 2, "c": 3}),
        ((F("a") == 1) | (F("b") == 2), {"$or": [{"a": 1}, {"b": 2}]}),
        (F("a").contains("x"), {"a": {"$contains": "x"}}),
        (F("a").size(2), {"a": {"$size": 2}}),
        (F.key("a.b", "$c") == 1, {r"a\.b.$c": 1}),
        (F.uri().startswith("s3:"), {"$uri": {"$startswith": "s3:"}}),
        (F.anything(), {}),
    ]
    for built, written in pairs:
        assert built == as_expression(written), built
        assert eval(repr(built), {"F": F}) == built
    assert len({F("a") == 1, F("a") == 1.0, F("a") == True, F("a") == 1}) == 3  # noqa: E712


def test_joining_stays_flat_and_negations_cancel() -> None:
    a, b, c = F("a") == 1, F("b") == 2, F("c") == 3
    assert isinstance(a & b & c, And)
    assert len((a & (b & c)).parts) == 3
    assert len(((a | b) | c).parts) == 3
    assert ~~a == a
    assert ~F.anything() == Not(And(()))
    assert ~Or(()) == F.anything()
    assert as_expression(None) is None
    assert as_expression(a) is a
    assert repr((a & b) | ~c) == "((F('a') == 1) & (F('b') == 2)) | (F('c') != 3)"


def test_numpy_and_enum_values_are_plain() -> None:
    class Colour(str, enum.Enum):
        RED = "red"

    assert (F("a") == np.int64(3)) == (F("a") == 3)
    assert (F("a") >= np.float32(0.5)) == (F("a") >= 0.5)
    assert (F("a") == np.bool_(True)) == (F("a") == True)  # noqa: E712
    assert F("a").isin(np.arange(3)) == F("a").isin([0, 1, 2])
    assert (F("a") == Colour.RED).to_json() == '{"a":{"$eq":"red"}}'
    assert (F("a") == ("x", 1)).to_dict() == {"a": {"$eq": ["x", 1]}}


@pytest.mark.parametrize(
    "keys",
    [("a",), ("a", "b"), ("a.b",), ("$id",), ("\\",), ("",), ("", ""), ("a\\.b", "$"), (".",)],
)
def test_places_round_trip(keys: tuple[str, ...]) -> None:
    assert parse_place(str(Place(keys))) == Place(keys)
    assert parse_place("$id") == ID
    assert parse_place("$uri") == URI


MALFORMED: list[tuple[Any, str]] = [
    ({"year": {"$gtee": 1}}, r"\$gtee of the field 'year'.*did you mean \$gte.*\$in"),
    ({"year": {"$regex": "x"}}, r"\$regex.*\$startswith or \$contains"),
    ({"year": {"$gte": 1, "x": 2}}, "x of the field 'year'"),
    ({"year": {"$gte": None}}, r"\$gte of the field 'year'.*number or a string"),
    ({"year": {"$gte": [1]}}, "number or a string"),
    ({"year": {"$in": 3}}, r"\$in of the field 'year' is given 3.*list of values"),
    ({"year": {"$in": "abc"}}, "list of values"),
    ({"year": {"$exists": 1}}, "True or False"),
    ({"year": {"$size": -1}}, "at least 0"),
    ({"year": {"$size": True}}, "at least 0"),
    ({"year": {"$startswith": 1}}, "give a string"),
    ({"year": {"$not": 1}}, r"\$not of the field 'year'.*\$ne"),
    ({"year": {"$not": {}}}, "dict of operators"),
    ({"year": float("nan")}, "'year' compares with nan"),
    ({"year": float("inf")}, "range of float64"),
    ({"year": 10**400}, "range of float64"),
    ({"year": {1: 2}}, "keys of a dict are strings"),
    ({"day": datetime.date(2020, 1, 2)}, "isoformat"),
    ({"year": {1, 2}}, "what JSON holds"),
    ({"year": "\ud800"}, "valid Unicode"),
    ({"\ud800": 1}, "valid Unicode"),
    ({3: 1}, "names the field 3"),
    ({"a\\": 1}, "stray backslash"),
    ({"a\\x": 1}, "stray backslash"),
    ({"$orr": []}, r"did you mean \$or"),
    ({"$gte": 3}, r"\$gte stands without a field"),
    ({"$or": []}, "at least one"),
    ({"$or": {"a": 1}}, "at least one"),
    ({"$and": [3]}, "holds 3"),
    ({"$not": [3]}, "one dict"),
    ({"operator": "AND"}, "'operator' and 'conditions'"),
    ({"operator": "and", "conditions": []}, r"'and' \(did you mean AND"),
    ({"operator": "AND", "conditions": {}}, "give a list"),
    ({"operator": "AND", "conditions": [1]}, "give a dict"),
    ({"operator": "=>", "field": "a", "value": 1}, "'=>'.*one of =="),
    ({"operator": "==", "field": "a"}, "'value'"),
    ({"operator": "in", "field": "a", "value": "x"}, "list of values"),
    ({"operator": ">", "field": "a", "value": [1]}, "number or a string"),
    ("year >= 2020", "give a dict"),
    ([{"a": 1}], "give a dict"),
    (F("year"), "alone is no filter"),
    ({"year": {"$in": list(range(10_001))}}, "10001 values, and 10000 are allowed"),
    ({"$or": [{"a": 1}] * 501}, "502 conditions, and 500 are allowed"),
]


@pytest.mark.parametrize(("written", "message"), MALFORMED)
def test_a_malformed_filter_is_told_what_is_wrong(written: Any, message: str) -> None:
    with pytest.raises(InvalidFilter, match=message):
        as_expression(written)
    assert issubclass(InvalidFilter, InvalidArgument)


def test_depth_is_limited_in_every_dialect() -> None:
    mongo: dict[str, Any] = {"a": 1}
    haystack: dict[str, Any] = {"field": "a", "operator": "==", "value": 1}
    built, value, operators = F("a") == 1, [1], {"$eq": 1}
    for _ in range(5000):
        mongo = {"$nor": [mongo]}
        haystack = {"operator": "NOT", "conditions": [haystack]}
        built = Not(built)
        value = [value]  # type: ignore[list-item]
        operators = {"$not": operators}  # type: ignore[dict-item]
    for given in (mongo, haystack, built, {"a": value}, {"a": operators}):
        with pytest.raises(InvalidFilter, match="nested deeper than 64"):
            as_expression(given)


def test_mistakes_of_the_builder_are_explained() -> None:
    with pytest.raises(InvalidFilter, match=r"join filters by & and \|"):
        (F("a") == 1) and (F("b") == 2)
    with pytest.raises(InvalidFilter, match="between"):
        1 < F("a") < 3  # noqa: B015
    with pytest.raises(InvalidFilter, match="in parentheses"):
        F("a") == 1 & F("b") == 2  # noqa: B015
    with pytest.raises(InvalidFilter, match="compare it"):
        bool(F("a"))
    with pytest.raises(InvalidFilter, match="one string or more"):
        F.key()
    with pytest.raises(InvalidFilter, match=r"\$id and \$uri"):
        F("$key")
    with pytest.raises(TypeError):
        (F("a") == 1) & 3  # type: ignore[operator]
    with pytest.raises(TypeError):
        hash(F("a"))
