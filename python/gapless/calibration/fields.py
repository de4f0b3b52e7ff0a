"""Gather what a collection can be calibrated on: items of two fields, and matches as given."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..alignment.versions import AlignmentVersion, home_of
from ..batch import as_array, as_matrix, known_fields, read_id
from ..catalog import Catalog
from ..errors import InvalidArgument, UnknownField
from ..findings import Finding
from ..index_rows import filling, labels, present
from ..item_keys import keys_of
from ..schema import Schema
from ..segments import Index
from .samples import LEAST, MOST, PairType, type_name

__all__ = ["Gathered", "gather", "labelled", "uncalibrated"]

Keys: TypeAlias = "npt.NDArray[np.int64]"
Rows: TypeAlias = "npt.NDArray[np.float32]"
Gathered: TypeAlias = "dict[PairType, tuple[Rows, Rows]]"


def gather(
    schema: Schema,
    indexes: Mapping[str, Index],
    catalog: Catalog,
    pairs: Any,
    key_pairs: Keys | None,
    positives: Any,
    alignment: AlignmentVersion | None = None,
) -> Gathered:
    """Collect matching rows by pair type.

    Parameters
    ----------
    pairs : mapping of field to array-like (n, dim), or a sequence of them, or None
    key_pairs : (n, 2) int64 or None
        As `item_keys.read_key_pairs` gives them. Without either, items that fill two fields are
        pairs: either row stands for a query to the other's field, where queries of its space meet
        that field. Of an item with several rows in a field, the first one counts.
    positives : mapping of (query modality, field) to (queries, documents or ids), or None
    alignment : AlignmentVersion, optional
        The one in use, which says where it takes queries from one space into another.

    Raises
    ------
    InvalidArgument, InvalidVector, UnknownField, UnknownId
        See `Collection.calibrate`.
    """
    found: dict[PairType, list[tuple[Rows, Rows]]] = {}
    if pairs is not None:
        several = [pairs] if isinstance(pairs, Mapping) else list(pairs)
        sets = [s for given in several for s in _given_sets(schema, given, alignment)]
    else:
        sets = _stored_sets(schema, indexes, key_pairs, alignment)
    for (a, b), (first, second) in sets:
        for one, other, queries, documents in ((a, b, first, second), (b, a, second, first)):
            if _asks(schema, alignment, one, other):
                kind = schema.fields[one].modality, other
                found.setdefault(kind, []).append((queries, documents))
    gathered = {
        kind: (np.concatenate([q for q, _ in each]), np.concatenate([d for _, d in each]))
        for kind, each in found.items()
        if sum(len(q) for q, _ in each) >= LEAST
    }
    return gathered | _positives(schema, indexes, catalog, positives, alignment)


def labelled(
    schema: Schema,
    indexes: Mapping[str, Index],
    catalog: Catalog,
    labels_of: Any,
    known: Iterable[PairType],
    alignment: AlignmentVersion | None = None,
) -> dict[PairType, tuple[Rows, list[Hashable]]]:
    """Rows of labelled items, by the pair types within a modality that have no pairs yet.

    Raises
    ------
    InvalidArgument, UnknownId
        For labels that are no mapping of id to label, and ids that are not there.
    """
    if labels_of is None:
        return {}
    if not isinstance(labels_of, Mapping):
        raise InvalidArgument(f"labels is a {type(labels_of).__name__}: give a dict of id to label")
    ids = [read_id(item, i) for i, item in enumerate(labels_of)]
    keys, named = labels(keys_of(catalog, ids)), list(labels_of.values())
    try:
        set(named)
    except TypeError as error:
        raise InvalidArgument(f"labels holds one that is no word or number: {error}") from error
    found: dict[PairType, tuple[Rows, list[Hashable]]] = {}
    taken = set(known)
    for name, field in schema.fields.items():
        there = np.flatnonzero(present(indexes[name], keys))
        asks_itself = _asks(schema, alignment, name, name)
        if (field.modality, name) in taken or not len(there) or not asks_itself:
            continue
        told = [named[i] for i in there.tolist()]
        alike = sum(count for count in Counter(told).values() if count > 1)
        if alike >= LEAST and len(set(told)) > 1:
            found[field.modality, name] = np.asarray(indexes[name].vectors(keys[there])), told
    return found


def uncalibrated(
    schema: Schema, known: Iterable[PairType], alignment: AlignmentVersion | None = None
) -> list[Finding]:
    """Name the pair types that a search can meet and that have no calibration."""
    calibrated, told = set(known), []
    for (name, field), asked in itertools.product(schema.fields.items(), _modalities(schema)):
        home = home_of(alignment, schema, name, asked)
        if asked not in _modalities(schema, home) or (asked, name) in calibrated:
            continue
        told.append(
            Finding(
                "UNCALIBRATED",
                f"{type_name((asked, name))} has no pairs; searches of that pair type use "
                "'cohort'.",
                "Fill both fields of some items."
                if asked != field.modality
                else f"Give positives={{({asked!r}, {name!r}): (queries, ids)}}, such as other "
                f"{asked} of the same items.",
            )
        )
    return told


def _modalities(schema: Schema, space: str | None = None) -> list[str]:
    fields = schema.fields.values()
    return list(dict.fromkeys(f.modality for f in fields if space in (None, f.space)))


def _asks(schema: Schema, alignment: AlignmentVersion | None, one: str, other: str) -> bool:
    """Whether rows of field `one` stand for queries that meet field `other`."""
    asking = schema.fields[one]
    return home_of(alignment, schema, other, asking.modality) == asking.space


def _meet(schema: Schema, alignment: AlignmentVersion | None, a: str, b: str) -> bool:
    return _asks(schema, alignment, a, b) or _asks(schema, alignment, b, a)


def _given_sets(
    schema: Schema, given: Any, alignment: AlignmentVersion | None
) -> list[tuple[tuple[str, str], tuple[Rows, Rows]]]:
    if not isinstance(given, Mapping):
        raise InvalidArgument(
            f"pairs holds a {type(given).__name__}: give a dict of field to (n, dim) rows, row i "
            "of each being the same item"
        )
    rows = {
        name: as_matrix(f"pairs[{name!r}]", given[name], schema.dim(name))
        for name in known_fields(schema, given)
    }
    counts = {name: len(value) for name, value in rows.items()}
    if len(set(counts.values())) > 1:
        raise InvalidArgument(
            f"pairs has {counts} rows: give as many of each field, row i being the same item"
        )
    return [
        ((a, b), (rows[a], rows[b]))
        for a, b in itertools.combinations(rows, 2)
        if _meet(schema, alignment, a, b)
    ]


def _stored_sets(
    schema: Schema,
    indexes: Mapping[str, Index],
    key_pairs: Keys | None,
    alignment: AlignmentVersion | None,
) -> list[tuple[tuple[str, str], tuple[Rows, Rows]]]:
    sets = []
    for a, b in itertools.combinations_with_replacement(schema.fields, 2):
        if not _meet(schema, alignment, a, b):
            continue
        keys = _paired_keys(indexes[a], indexes[b], key_pairs, same=a == b)
        if len(keys):
            first, second = (
                np.asarray(indexes[name].vectors(np.ascontiguousarray(side)))
                for name, side in zip((a, b), keys.T, strict=True)
            )
            sets.append(((a, b), (first, second)))
    return sets


def _paired_keys(first: Index, second: Index, given: Keys | None, *, same: bool) -> Keys:
    """Labels (n, 2) of matching rows of two fields, which may be one, at most 5,000.

    They are the first rows of their items, as the background is of single rows: the best of many
    would be compared with what one row reaches.
    """
    if given is None:
        both = np.zeros(0, np.int64)
        if not same:
            both = np.intersect1d(filling(first), filling(second))
        found = np.stack([both, both], axis=1)
    else:
        # Either item of a pair may be the one that fills the first field; one that is paired with
        # itself is its own match in another field, and says nothing in the same.
        ways = [given] if same else [given, given[given[:, 0] != given[:, 1]][:, ::-1]]
        either = np.concatenate(ways)
        if same:
            either = either[either[:, 0] != either[:, 1]]
        there = present(first, np.ascontiguousarray(either[:, 0]))
        there &= present(second, np.ascontiguousarray(either[:, 1]))
        found = np.unique(either[there], axis=0)
    if len(found) > MOST:
        drawn = np.random.default_rng(0).choice(len(found), MOST, replace=False)
        found = found[np.sort(drawn)]
    return np.ascontiguousarray(found, dtype=np.int64)


def _positives(
    schema: Schema,
    indexes: Mapping[str, Index],
    catalog: Catalog,
    positives: Any,
    alignment: AlignmentVersion | None,
) -> Gathered:
    if positives is None:
        return {}
    if not isinstance(positives, Mapping):
        raise InvalidArgument(
            f"positives is a {type(positives).__name__}: give {{(query modality, field): "
            "(queries, documents or ids)}"
        )
    found: Gathered = {}
    for kind, given in positives.items():
        what = f"positives[{kind!r}]"
        if not isinstance(kind, tuple) or len(kind) != 2 or not isinstance(kind[0], str):
            raise InvalidArgument(
                f"positives has the key {kind!r}: give (query modality, field), such as "
                "('text', 'caption')"
            )
        if kind[1] not in schema.fields:
            raise UnknownField(
                f"{what} names the field {kind[1]!r}: there are "
                f"{', '.join(map(repr, schema.fields))}"
            )
        if not isinstance(given, (tuple, list)) or len(given) != 2:
            raise InvalidArgument(f"{what} is a {type(given).__name__}: give (queries, ids)")
        asking = schema.spaces[home_of(alignment, schema, kind[1], kind[0])].dim
        queries, dim = as_matrix(f"the queries of {what}", given[0], asking), schema.dim(kind[1])
        found[kind] = queries, _documents(what, indexes[kind[1]], catalog, given[1], dim)
    return found


def _documents(what: str, index: Index, catalog: Catalog, given: Any, dim: int) -> Rows:
    """Rows as given, or those of the items whose ids are given."""
    if _are_rows(given):
        return as_matrix(what, as_array(what, given), dim)
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise InvalidArgument(f"{what} is {given!r}: give rows (n, {dim}) or a list of ids")
    ids = [read_id(item, i) for i, item in enumerate(given)]
    keys = labels(keys_of(catalog, ids))
    there = present(index, keys)
    if not there.all():
        raise InvalidArgument(
            f"{what} names the item {ids[int(np.argmin(there))]!r}, which has no row in that "
            "field: leave it out"
        )
    return np.asarray(index.vectors(keys))


def _are_rows(given: Any) -> bool:
    if isinstance(given, np.ndarray):
        return given.ndim == 2
    first = next(iter(given), None) if isinstance(given, (list, tuple)) else given
    return isinstance(first, (list, tuple, np.ndarray))
