"""Filters as SQL say exactly what plain Python says of the same items."""

from __future__ import annotations

import contextlib
import json
import random
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gapless.catalog import Catalog, ItemRow
from gapless.filters import slots, sql
from gapless.filters.builder import F
from gapless.filters.dialects import as_expression
from gapless.filters.expression import (
    And,
    Compare,
    Contains,
    Exists,
    Expression,
    In,
    Not,
    Or,
    Size,
    StartsWith,
)
from gapless.filters.matching import matches
from gapless.filters.place import ID, URI, Place
from gapless.filters.sql import compile_filter, keys_where
from gapless.schema import Field, Schema, Space

TABLE = "CREATE TABLE items (key INTEGER PRIMARY KEY, id NOT NULL UNIQUE, metadata TEXT, uri TEXT)"
SCHEMA = Schema({"s": Space(dim=2)}, {"f": Field("s", modality="text")})

HOSTILE = ['a"b', "a\\b", "é", "a.b", "0", "", "$id", "a\nb", "[0]", "😀", "'", '"', "$", "a'); --"]
NUMBERS = [
    *(0, 1, -1, 2020, 1.0, 0.0, -0.0, 1.5, 0.1, 0.3, 0.1 + 0.2, 1e30, 10**30, 1e300, 5e-324),
    *(2**53, 2**53 + 1, float(2**53), 2**62 + 1, 2**63 - 1, 2**63, 2**63 + 1, float(2**63)),
    *(-(2**63), -(2**63) - 1, 2**64, 2**70, float(2**70), np.nextafter(1.5, 2).item()),
]
TEXTS = [
    "",
    "a",
    "b",
    "ab",
    "A",
    "é",
    "e\u0301",
    "😀",
    "x😀",
    "a\0b",
    "a\0",
    "\0",
    "\uffff",
    "1",
    "\\u0000",
]
keys = st.one_of(st.sampled_from(["a", "b"]), st.sampled_from([*HOSTILE, "a", "b", "c"]))
numbers = st.one_of(
    st.sampled_from(NUMBERS), st.floats(allow_nan=False, allow_infinity=False), st.integers()
)
scalars = st.one_of(
    *(st.none(), st.booleans(), st.sampled_from(NUMBERS), st.sampled_from(TEXTS)),
    *(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=3)),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3)),
    max_leaves=6,
)
places = st.one_of(
    st.lists(keys, min_size=1, max_size=3).map(lambda found: Place(tuple(found))),
    st.sampled_from([ID, URI, Place(("a",)), Place(("a", "b")), Place(("a", "0"))]),
)
ordered = scalars.filter(lambda value: value is not None)
leaves = st.one_of(
    st.builds(Compare, places, st.just("=="), values),
    st.builds(Compare, places, st.sampled_from(["<", "<=", ">", ">="]), ordered),
    st.builds(In, places, st.lists(values, max_size=4).map(tuple)),
    st.builds(Contains, places, values),
    st.builds(StartsWith, places, st.sampled_from(TEXTS)),
    st.builds(Exists, places),
    st.builds(Size, places, st.integers(0, 3)),
)
expressions = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda parts: And(tuple(parts))),
        st.lists(inner, max_size=3).map(lambda parts: Or(tuple(parts))),
        inner.map(Not),
    ),
    max_leaves=6,
)
metadata = st.one_of(st.none(), st.dictionaries(keys, values, max_size=4))
# lone surrogates may stand in metadata, though not in a filter
items = st.lists(
    st.tuples(metadata, st.one_of(st.none(), st.sampled_from([*TEXTS, "\ud800"]))), max_size=12
)


class Items:
    """A table as the catalogue's, of items (id, metadata, uri)."""

    def __init__(self, rows: Sequence[tuple[Any, Mapping[str, Any] | None, str | None]]) -> None:
        self.db = sqlite3.connect(":memory:")
        self.db.execute(TABLE)
        self.rows = [(i, m if m is None else json.loads(json.dumps(m)), u) for i, m, u in rows]
        self.db.executemany(
            "INSERT INTO items VALUES (?,?,?,?)",
            (
                (key, i, None if m is None else json.dumps(m), u)
                for key, (i, m, u) in enumerate(self.rows)
            ),
        )

    def __del__(self) -> None:
        self.db.close()  # Python 3.13 warns of a connection left open

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        yield self.db

    def found(self, expression: Expression) -> list[int]:
        return [int(key) for key in keys_where(self.reading, expression)]

    def expected(self, expression: Expression) -> list[int]:
        return [k for k, (i, m, u) in enumerate(self.rows) if matches(expression, m, i, u)]

    def unsure(self, expression: Expression) -> int:
        rows = self.db.execute(*compile_filter(expression)).fetchall()
        return sum(row[1] is None for row in rows)


IDS: list[str | int] = [
    0,
    1,
    "1",
    "a",
    "a\0b",
    "é",
    -(2**63),
    2**63 - 1,
    2**53 + 1,
    "",
    "ab",
    "x😀",
]


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=items, expression=expressions)
def test_sql_says_what_python_says(rows: list[Any], expression: Expression) -> None:
    table = Items(
        [
            (i, m, u if u is None or u.isprintable() else u.replace("\ud800", "?"))
            for i, (m, u) in zip(IDS, rows, strict=False)
        ]
    )
    assert table.found(expression) == table.expected(expression)
    again = as_expression(json.loads(expression.to_json()))
    assert again is not None
    assert table.expected(again) == table.expected(expression)


class Drawn:
    """Random metadata and expressions on three keys, drawn faster than hypothesis draws."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)

    def value(self, depth: int) -> Any:
        kind = self.rng.random()
        if depth and kind < 0.25:
            return [self.value(depth - 1) for _ in range(self.rng.randint(0, 3))]
        if depth and kind < 0.4:
            return {self.key(): self.value(depth - 1) for _ in range(self.rng.randint(0, 3))}
        return self.rng.choice([None, True, False, *NUMBERS, *TEXTS])

    def key(self) -> str:
        return self.rng.choice(["a", "b", "é", "0"])

    def leaf(self) -> Expression:
        place = Place(tuple(self.key() for _ in range(self.rng.choice([1, 1, 2, 3]))))
        literal = self.value(self.rng.choice([0, 0, 0, 2]))
        return self.rng.choice(
            [
                Compare(place, "==", literal),
                Compare(place, self.rng.choice(["<", "<=", ">", ">="]), self.rng.choice(NUMBERS)),
                Compare(place, self.rng.choice(["<", "<=", ">", ">="]), self.rng.choice(TEXTS)),
                In(place, tuple(self.value(0) for _ in range(3))),
                Contains(place, literal),
                StartsWith(place, self.rng.choice(TEXTS)),
                Exists(place),
                Size(place, self.rng.randint(0, 3)),
            ]
        )

    def expression(self) -> Expression:
        parts = (self.leaf(), self.leaf())
        return self.rng.choice([parts[0], Not(parts[0]), And(parts), Or(parts), Not(Or(parts))])


@pytest.mark.parametrize("seed", range(4))
def test_random_filters_on_random_metadata(seed: int) -> None:
    """4 x 250 filters on 80 items: 80,000 decisions."""
    drawn = Drawn(seed)
    table = Items([(k, {drawn.key(): drawn.value(3) for _ in range(3)}, None) for k in range(80)])
    found = 0
    for _ in range(250):
        expression = drawn.expression()
        keys = table.found(expression)
        assert keys == table.expected(expression), expression
        found += len(keys)
    assert 1_000 < found < 19_000


@settings(max_examples=100, deadline=None)
@given(a=numbers)
def test_numbers_compare_exactly(a: float) -> None:
    near = [float(np.nextafter(a, way)) for way in (-np.inf, np.inf)] if abs(a) < 1e300 else []
    table = Items([(k, {"x": v, "l": [v]}, None) for k, v in enumerate([a, *near, *NUMBERS])])
    for name in ("x", "l"):
        for expression in (F(name) == a, F(name) < a, F(name) <= a, F(name) > a, F(name) >= a):
            assert table.found(expression) == table.expected(expression)


def test_lone_surrogates_in_metadata_match_nothing_by_mistake() -> None:
    table = Items(
        [(k, {"x": v}, None) for k, v in enumerate(["\ud800", "\ud800a", "a\udfff", "😀"])]
    )
    for text in ("😀", "a", "\ufffd", "\ue000", "\ud7ff"):
        for expression in (F("x") == text, F("x") < text, F("x") >= text, F("x").contains(text)):
            assert table.found(expression) == table.expected(expression)


@pytest.mark.parametrize("key", HOSTILE)
def test_hostile_keys_and_values_are_data(key: str) -> None:
    rows = [(k, {name: {name: name}}, None) for k, name in enumerate(HOSTILE)]
    table = Items(rows)
    here = [HOSTILE.index(key)]
    assert table.found(F.key(key, key) == key) == here
    assert table.found(F.key(key).exists()) == here
    assert table.found(F.key(key, key).isin([key, "'; DROP TABLE items; --"])) == here
    assert table.db.execute("SELECT COUNT(*) FROM items").fetchone() == (len(HOSTILE),)


def test_everyday_filters_are_decided_by_sqlite_alone() -> None:
    rng = np.random.default_rng(0)
    table = Items(
        [
            (
                k,
                {
                    "year": int(rng.integers(1990, 2030)),
                    "rating": float(rng.integers(0, 50)) / 10,
                    "tags": ["sea", "sand"] if k % 3 else [],
                    "camera": {"model": f"m{k % 5}"},
                    "année": k % 4,
                },
                None,
            )
            for k in range(200)
        ]
    )
    everyday = (
        F("year").between(2000, 2010) & (F("tags") == "sea") & (F("camera.model") == "m3"),
        F("year").isin([2001, 2002, 2003]) | ~F("tags").contains("sand"),
        (F("rating") >= 2.5) & (F("camera.model") != "m1") & F.id().isin(range(0, 100, 3)),
        (F("rating") == 2.5) | F("camera.make").exists() | F("année").isin([1, 2]),
    )
    for expression in everyday:
        assert table.found(expression) == table.expected(expression)
        assert 0 < len(table.found(expression)) < 200
        if slots.HAS_ARROW:
            assert table.unsure(expression) == 0


def test_every_version_of_sqlite_answers_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the text of a number, or with few parameters, Python decides what is left."""
    table = Items([(k, {"x": v, "y": str(v)}, None) for k, v in enumerate(NUMBERS)])
    expressions = [F("x") == 1.5, F("x") <= 0.1, F("x").isin([0.3, 2**63]), F("x") > 2**63]
    expected = [table.expected(expression) for expression in expressions]
    monkeypatch.setattr(slots, "HAS_ARROW", False)
    assert [table.found(expression) for expression in expressions] == expected
    monkeypatch.setattr(sql, "MOST_PARAMETERS", 1)
    assert compile_filter(expressions[0]).parameters == []
    assert [table.found(expression) for expression in expressions] == expected


def test_the_largest_filters_allowed_run() -> None:
    table = Items([(k, {"x": k, "l": [k, k + 0.5]}, None) for k in range(30)])
    deep: Expression = F("l") == 3.5
    for level in range(60):
        joined = (Not(deep), And((F("x") >= 2, deep)), Or((F("x") == 1, deep)))
        deep = joined[level % 3]
    wide = Or((*(F("l") == k + 0.25 for k in range(498)), F("l") == 3.5))
    many = F("x").isin(range(5, 9_000)) | F.id().isin(range(3))
    nested: Expression = F("l") == 3.5
    for _ in range(sql.DEEPEST - 1):
        nested = And((F("x") >= 2, nested))
    for expression in (deep, wide, many, nested):
        checked = as_expression(expression)
        assert checked is not None
        assert table.found(checked) == table.expected(checked)
    assert compile_filter(nested).parameters != []


def test_the_catalogue_is_read(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path, SCHEMA)
    with catalog.writing():
        catalog.insert_items(
            ItemRow(key, f"i{key}", json.dumps({"year": 2000 + key}), None) for key in range(1, 9)
        )
    keys = keys_where(catalog.reading, F("year") >= 2005)
    assert keys.dtype == np.int64
    assert keys.tolist() == [5, 6, 7, 8]
    assert keys_where(catalog.reading, F.id() == "i3").tolist() == [3]
    catalog.close()
