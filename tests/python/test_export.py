from __future__ import annotations

import json
import math
import sys
from typing import Any

import numpy as np
import pytest

from gapless.catalog import ItemRow
from gapless.errors import MissingExtra
from gapless.results.groups import group, grouped, values_at
from gapless.results.hits import Hits
from gapless.results.ranking import Ranking
from hits_kit import NONE, hits, ranked

SPANS = {("caption", 2 << 40 | 11): (4.0, 6.5)}
PLAIN = np.array([[0.25, 0.5], [0.0625, NONE], [NONE, NONE]], np.float32)
COLUMNS = [
    "rank", "id", "score", "score_kind", "confidence", "field", "row", "span_start", "span_end",
    "metadata", "uri", "contributions",
]  # fmt: skip
EMPTY = Hits(Ranking.empty(), [], "rrf", "asked for")


def simple(*ids: str | int, docs: str = "xxyzz") -> Hits:
    items = [
        ItemRow(i, id_, json.dumps({"d": doc, "ü": i}), None)
        for i, (id_, doc) in enumerate(zip(ids, docs, strict=False))
    ]
    return Hits(ranked([1.0 - i / 8 for i in range(len(ids))]), items, "rrf", "asked for")


def by_document(found: Hits) -> Hits:
    return grouped(found, group(values_at(found.items, "d"), 10, 10))


def test_a_list_is_json() -> None:
    told = hits(spans=SPANS, plain=PLAIN).to_list()
    assert json.loads(json.dumps(told, allow_nan=False)) == told
    first = {name: value for name, value in told[0].items() if name != "contributions"}
    assert first == {
        "rank": 1, "id": "a", "score": 5.5, "score_kind": "cohort", "confidence": None,
        "field": "caption", "row": 2, "span": [4.0, 6.5], "metadata": {"year": 2020},
        "uri": "a.jpg",
    }  # fmt: skip
    assert told[0]["contributions"][1]["span"] == [4.0, 6.5]
    assert [part["raw"] for part in told[0]["contributions"]] == [0.25, 0.5]
    assert [hit["id"] for hit in told] == ["a", 7, "c"]
    assert EMPTY.to_list() == []


def test_a_list_of_groups_holds_the_others() -> None:
    told = by_document(simple("a", "b", "c", "d", "e")).to_list()
    assert [(hit["group"], [other["id"] for other in hit["others"]]) for hit in told] == [
        ("x", ["b"]), ("y", []), ("z", ["e"]),
    ]  # fmt: skip


@pytest.mark.parametrize(("name", "method"), [("pandas", "to_pandas"), ("pyarrow", "to_arrow")])
def test_what_is_not_installed_is_named(
    name: str, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtra, match=rf"{method}\(\) needs {name}.*pip install {name}"):
        getattr(hits(), method)()


def test_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    table = hits(spans=SPANS, plain=PLAIN).to_pandas()
    assert isinstance(table, pandas.DataFrame)
    assert list(table.columns) == COLUMNS
    assert table["id"].tolist() == ["a", 7, "c"]
    assert [type(each) for each in table["id"]] == [str, int, str]
    assert table["score"].tolist() == [5.5, 1.25, 0.0]
    assert table["metadata"].tolist() == [{"year": 2020}, None, {}]
    assert table["span_end"].iloc[0] == 6.5
    assert math.isnan(table["span_end"].iloc[1])
    assert table["confidence"].isna().all()
    assert table["contributions"].iloc[0][1]["aligned"] == 0.75
    assert [len(each) for each in table["contributions"]] == [2, 1, 0]
    assert simple(1, 2).to_pandas()["id"].dtype == np.int64


def test_pandas_of_nothing_has_the_same_columns() -> None:
    pytest.importorskip("pandas")
    empty, full = EMPTY.to_pandas(), simple("a").to_pandas()
    assert len(empty) == 0
    assert list(empty.columns) == COLUMNS
    for name in ("rank", "score", "row", "span_start", "confidence"):
        assert empty[name].dtype == full[name].dtype


def test_pandas_of_groups_has_a_row_for_every_hit() -> None:
    pytest.importorskip("pandas")
    table = by_document(simple("a", "b", "c", "d", "e")).to_pandas()
    assert list(table.columns) == [*COLUMNS, "group"]
    assert table["rank"].tolist() == [1, 1, 2, 3, 3]
    assert table["group"].tolist() == ["x", "x", "y", "z", "z"]
    assert table["id"].tolist() == ["a", "b", "c", "d", "e"]


def test_arrow() -> None:
    pyarrow = pytest.importorskip("pyarrow")
    table = hits(spans=SPANS, plain=PLAIN).to_arrow()
    assert isinstance(table, pyarrow.Table)
    assert table.column_names == COLUMNS
    assert table.schema.metadata[b"fusion"] == b"cohort"
    assert table.schema.metadata[b"ids"] == b"json"
    assert table["id"].to_pylist() == ['"a"', "7", '"c"']
    assert [None if m is None else json.loads(m) for m in table["metadata"].to_pylist()] == [
        {"year": 2020}, None, {},
    ]  # fmt: skip
    parts = table["contributions"].to_pylist()
    assert [len(each) for each in parts] == [2, 1, 0]
    second = parts[0][1]
    assert (second["raw"], second["aligned"], second["span_start"], second["row"]) == (
        0.5, 0.75, 4.0, 2,
    )  # fmt: skip
    assert parts[1][0]["rank"] is None
    assert table["span_start"].to_pylist() == [4.0, None, None]


@pytest.mark.parametrize(
    ("ids", "kind", "told"),
    [((1, 2), "int64", b"plain"), (("1", "b"), "string", b"plain"), ((1, "1"), "string", b"json")],
)
def test_arrow_ids(ids: tuple[Any, ...], kind: str, told: bytes) -> None:
    pytest.importorskip("pyarrow")
    table = simple(*ids).to_arrow()
    assert str(table.schema.field("id").type) == kind
    assert table.schema.metadata[b"ids"] == told
    found = table["id"].to_pylist()
    assert len(set(found)) == 2
    assert ([json.loads(each) for each in found] if told == b"json" else found) == list(ids)


def test_arrow_of_groups_and_of_nothing() -> None:
    pytest.importorskip("pyarrow")
    table = by_document(simple("a", "b", "c", "d", "e")).to_arrow()
    assert table["group"].to_pylist() == ['"x"', '"x"', '"y"', '"z"', '"z"']
    assert table["rank"].to_pylist() == [1, 1, 2, 3, 3]
    empty, full = EMPTY.to_arrow(), simple("a").to_arrow()
    assert empty.num_rows == 0
    assert empty.schema.equals(full.schema)


def test_arrow_can_be_written_and_read(tmp_path: Any) -> None:
    pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = hits(spans=SPANS, plain=PLAIN).to_arrow()
    parquet.write_table(table, tmp_path / "hits.parquet")
    assert parquet.read_table(tmp_path / "hits.parquet").equals(table)
