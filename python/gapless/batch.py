"""Check everything a caller hands to a collection before anything of it is written."""

from __future__ import annotations

import json
import operator
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from .arrays import as_array, as_matrix
from .errors import DuplicateId, InvalidArgument, UnknownField
from .field_rows import FieldRows, FieldVectors, read_rows
from .schema import Schema
from .spans import FieldSpans, read_spans

__all__ = [
    "Batch",
    "ItemId",
    "as_array",
    "as_matrix",
    "known_fields",
    "read_batch",
    "read_id",
    "read_ids",
    "whole",
]

ItemId: TypeAlias = "str | int"
Metadata: TypeAlias = "Mapping[str, Any]"

INT64 = range(-(2**63), 2**63)
SPLIT = re.compile("[\ud800-\udbff][\udc00-\udfff]")


@dataclass(frozen=True, slots=True)
class Batch:
    """One checked upsert. `metadata` (JSON text) and `uris` hold None where the old value stays."""

    ids: list[ItemId]
    vectors: dict[str, FieldRows]
    metadata: list[str | None]
    uris: list[str | None]


def read_batch(
    schema: Schema,
    ids: Iterable[ItemId],
    vectors: Mapping[str, FieldVectors] | None,
    metadata: Sequence[Metadata | None] | None,
    uris: Sequence[str | os.PathLike[str] | None] | None,
    spans: Mapping[str, FieldSpans] | None = None,
) -> Batch:
    """Check an upsert and bring it into one form: unit float32 rows, JSON text, plain ids.

    Raises
    ------
    InvalidArgument
        For ids, metadata, uris or spans of the wrong type or length.
    DuplicateId
        For an id given twice.
    UnknownField
        For a field that the schema lacks.
    InvalidVector
        For vectors of the wrong shape, and for zero, NaN and infinite rows.
    """
    checked = read_ids(ids)
    n = len(checked)
    if vectors is not None and not isinstance(vectors, Mapping):
        raise InvalidArgument(
            f"vectors is a {type(vectors).__name__}: give a dict of field name to (n, dim) array"
        )
    rows = {
        field: read_rows(
            field, (vectors or {})[field], schema.dim(field), n, schema.fields[field].several
        )
        for field in known_fields(schema, vectors or {})
    }
    _read_spans(schema, rows, spans)
    texts: list[str | None] = [None] * n
    if metadata is not None:
        _check_length("metadata", metadata, n)
        texts = [
            None if value is None else _json(value, checked[i], i)
            for i, value in enumerate(metadata)
        ]
    places: list[str | None] = [None] * n
    if uris is not None:
        _check_length("uris", uris, n)
        places = [None if value is None else _uri(value, i) for i, value in enumerate(uris)]
    return Batch(checked, rows, texts, places)


def _read_spans(
    schema: Schema, rows: dict[str, FieldRows], spans: Mapping[str, FieldSpans] | None
) -> None:
    if spans is not None and not isinstance(spans, Mapping):
        raise InvalidArgument(
            f"spans is a {type(spans).__name__}: give a dict of field name to one list of "
            "(start, end) per id"
        )
    for field in known_fields(schema, spans or {}):
        if field not in rows:
            raise InvalidArgument(
                f"spans[{field!r}] comes without vectors[{field!r}]: spans are replaced together "
                "with the rows they belong to, so give both"
            )
        found = read_spans(f"spans[{field!r}]", (spans or {})[field], rows[field].counts)
        rows[field] = replace(rows[field], spans=found)


def read_ids(ids: Iterable[ItemId]) -> list[ItemId]:
    """Plain ids from a list or array of them.

    Raises
    ------
    InvalidArgument
        For a lone id, and for one that is neither string nor 64-bit integer.
    DuplicateId
        For an id given twice.
    """
    if isinstance(ids, (str, bytes, int, np.generic)) or not isinstance(ids, Iterable):
        raise InvalidArgument(f"ids is {ids!r}: give a list of ids, such as [{ids!r}]")
    checked = [read_id(item, i) for i, item in enumerate(ids)]
    if len(set(checked)) != len(checked):
        first: dict[ItemId, int] = {}
        for i, item in enumerate(checked):
            if item in first:
                raise DuplicateId(
                    f"id {item!r} is at positions {first[item]} and {i}: give each id once per call"
                )
            first[item] = i
    return checked


def known_fields(schema: Schema, names: Iterable[str]) -> list[str]:
    """`names` as a list, all of them fields of the schema.

    Raises
    ------
    UnknownField
        Naming the first that is not, and those that are.
    """
    found = list(names)
    for name in found:
        if not isinstance(name, str) or name not in schema.fields:
            known = ", ".join(repr(f) for f in schema.fields)
            raise UnknownField(f"there is no field {name!r}: the collection has {known}")
    return found


def whole(what: str, value: object, low: int = 1) -> int:
    """`value` as an int of at least `low`.

    Raises
    ------
    InvalidArgument
        When it is none.
    """
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = low - 1
    if number < low or isinstance(value, bool):
        raise InvalidArgument(f"{what} is {value!r}: give an integer of at least {low}")
    return number


def read_id(item: object, position: int = 0) -> ItemId:
    """One plain id.

    Raises
    ------
    InvalidArgument
        When `item` is neither valid Unicode nor a 64-bit integer.
    """
    if isinstance(item, (bool, np.bool_)):
        pass
    elif isinstance(item, (int, np.integer)):
        if int(item) in INT64:
            return int(item)
    elif isinstance(item, str) and _is_unicode(item):
        return str(item)
    raise InvalidArgument(
        f"id {item!r} at position {position} is a {type(item).__name__}: "
        "give a valid Unicode string or a 64-bit integer"
    )


def _check_length(what: str, given: object, n: int) -> None:
    if isinstance(given, (str, bytes, Mapping)) or not hasattr(given, "__len__"):
        raise InvalidArgument(f"{what} is a {type(given).__name__}: give a list, one entry per id")
    if len(given) != n:
        raise InvalidArgument(
            f"{what} has {len(given)} entries for {n} ids: give one per id (None keeps the old one)"
        )


def _uri(value: object, position: int) -> str:
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, str) or not _is_unicode(value):
        raise InvalidArgument(
            f"uris[{position}] is {value!r}: give a valid Unicode string, a path, or None"
        )
    return str(value)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _json(value: object, item: ItemId, position: int) -> str:
    if not isinstance(value, Mapping):
        raise InvalidArgument(
            f"metadata[{position}] of id {item!r} is a {type(value).__name__}: give a dict or None"
        )
    try:
        _check_keys(value)
        text = json.dumps(value, allow_nan=False, ensure_ascii=True, default=_refuse)
        if "\\ud" in text:
            _check_surrogates(value)
        return text
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidArgument(
            f"metadata[{position}] of id {item!r} is not JSON: {error}. Use strings, finite "
            "numbers, booleans, None, lists, and dicts with string keys"
        ) from error


def _check_keys(value: object) -> None:
    # json would turn the key 1 into "1" in silence, and what comes back would differ.
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise TypeError(f"the key {key!r} is a {type(key).__name__}")
            if isinstance(inner, (Mapping, list, tuple)):
                _check_keys(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            if isinstance(inner, (Mapping, list, tuple)):
                _check_keys(inner)


def _check_surrogates(value: object) -> None:
    # JSON writes a character beyond the BMP like two lone surrogates, and they come back as one.
    if isinstance(value, str):
        if SPLIT.search(value):
            raise ValueError(f"{value!r} holds a character that is split in two surrogates")
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            _check_surrogates(key)
            _check_surrogates(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            _check_surrogates(inner)


def _refuse(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    hint = " (convert it with .item() or .tolist())" if isinstance(value, np.generic) else ""
    raise TypeError(f"{value!r} is a {type(value).__name__}{hint}")
