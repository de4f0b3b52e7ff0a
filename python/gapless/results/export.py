"""Hits as plain data, as a pandas table and as an Arrow table."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..errors import MissingExtra
from .explain import number, part_data

if TYPE_CHECKING:
    from .hits import Hit, Hits

__all__ = ["to_arrow", "to_list", "to_pandas"]

Row = dict[str, Any]


def to_list(hits: Hits) -> list[Row]:
    """One dict per hit, ready for JSON; see `Hits.to_list`."""
    found = []
    for rank, hit in enumerate(hits, 1):
        row = {"rank": rank, **_head(hit)}
        row["score"] = number(hit.score)
        row["span"] = None if hit.span is None else list(hit.span)
        row["metadata"], row["uri"] = hit.metadata, hit.uri
        row["contributions"] = [part_data(part) for part in hit.contributions]
        if hits.groups is not None:
            row["group"], row["others"] = hit.group, to_list(hit.others)
        found.append(row)
    return found


def to_pandas(hits: Hits) -> Any:
    """One row per hit in a DataFrame; see `Hits.to_pandas`."""
    pandas = _extra("pandas", "to_pandas")
    rows = list(_rows(hits))
    names = _columns(hits)
    table = pandas.DataFrame({name: [row[name] for row in rows] for name in names})
    mixed = len({type(row["id"]) for row in rows}) > 1
    for name in ("id", "metadata", "contributions", "group"):
        if name in names and (name != "id" or mixed):  # as they are: 1 stays an int beside "a"
            table[name] = pandas.Series([row[name] for row in rows], dtype=object)
    kinds = {"rank": "int64", "score": "float64", "confidence": "float64", "row": "int64"}
    kinds |= {"span_start": "float64", "span_end": "float64"}
    return table.astype(kinds)


def to_arrow(hits: Hits) -> Any:
    """One row per hit in an Arrow table; see `Hits.to_arrow`."""
    pyarrow = _extra("pyarrow", "to_arrow")
    rows = list(_rows(hits))
    for row in rows:
        row["metadata"] = (
            None if row["metadata"] is None else json.dumps(row["metadata"], ensure_ascii=False)
        )
        if "group" in row:
            row["group"] = (
                None if row["group"] is None else json.dumps(row["group"], ensure_ascii=False)
            )
    kinds = {type(row["id"]) for row in rows}
    if len(kinds) > 1:
        for row in rows:
            row["id"] = json.dumps(row["id"], ensure_ascii=False)
    return pyarrow.Table.from_pylist(rows, _arrow_schema(pyarrow, hits, kinds))


def _arrow_schema(pyarrow: Any, hits: Hits, kinds: set[type]) -> Any:
    text, whole, real = pyarrow.string(), pyarrow.int64(), pyarrow.float64()
    part = {
        "query_modality": text, "field": text, "rank": whole, "raw": real, "aligned": real,
        "normalised": real, "weight": real, "calibrated": real, "row": whole,
        "span_start": real, "span_end": real,
    }  # fmt: skip
    types = {
        "rank": whole, "id": whole if kinds == {int} else text, "score": real,
        "score_kind": text, "confidence": real, "field": text, "row": whole,
        "span_start": real, "span_end": real, "metadata": text, "uri": text,
        "contributions": pyarrow.list_(pyarrow.struct(list(part.items()))), "group": text,
    }  # fmt: skip
    ids = b"json" if len(kinds) > 1 else b"plain"
    return pyarrow.schema(
        [(name, types[name]) for name in _columns(hits)],
        metadata={b"fusion": hits.fusion.encode(), b"reason": hits.reason.encode(), b"ids": ids},
    )


def _columns(hits: Hits) -> list[str]:
    names = ["rank", "id", "score", "score_kind", "confidence", "field", "row"]
    names += ["span_start", "span_end", "metadata", "uri", "contributions"]
    return names if hits.groups is None else [*names, "group"]


def _rows(hits: Hits) -> Iterator[Row]:
    """Flat rows; the others of a group follow its best hit under the same rank."""
    for rank, best in enumerate(hits, 1):
        for hit in (best, *best.others):
            yield {
                "rank": rank,
                **_head(hit),
                **_span(hit.span),
                "metadata": hit.metadata,
                "uri": hit.uri,
                "contributions": [
                    {**part_data(part), **_span(part.span)} for part in hit.contributions
                ],
                "group": best.group,
            }


def _head(hit: Hit) -> Row:
    names = ("id", "score", "score_kind", "confidence", "field", "row")
    return {name: getattr(hit, name) for name in names}


def _span(span: tuple[float, float] | None) -> Row:
    start, end = (None, None) if span is None else span
    return {"span_start": start, "span_end": end}


def _extra(name: str, method: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtra(
            f"{method}() needs {name}, which is not installed: pip install {name} "
            "(to_list() needs nothing)"
        ) from error
