"""Where negatives and duplicates are sought: arrays behind an index, or a collection's fields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from .._core import FlatIndex, HnswIndex
from ..alignment.align import align_rows
from ..batch import ItemId, as_array, as_matrix, read_id
from ..collection import Collection
from ..errors import InvalidArgument, SpaceMismatch, UnknownField, UnknownId
from ..index_rows import count_rows
from ..item_keys import keys_of
from ..row_labels import row_labels

__all__ = ["ArrayQuarry", "CollectionQuarry", "Quarry", "field_rows"]

Keys: TypeAlias = "npt.NDArray[np.int64]"
Rows: TypeAlias = "npt.NDArray[np.float32]"
FETCH = 1_000  # items of a collection fetched at once
FEW = 64  # the same, of items with any number of rows


class Quarry(Protocol):
    """Documents under int64 keys, and the queries with the positives of each."""

    @property
    def documents(self) -> Keys:
        """Every key that may be drawn at random."""

    @property
    def positives(self) -> Sequence[Keys]:
        """Keys of the positives, one non-empty array per query."""

    @property
    def ids(self) -> Sequence[ItemId] | None:
        """The item behind each key; None where keys are ids."""

    @property
    def query_keys(self) -> Keys:
        """Key of each query."""

    def search(self, first: int, last: int, k: int) -> Keys:
        """Answer the queries ``first:last``: keys (n, k), best first, -1 past the end."""

    def rows(self, keys: Keys) -> Rows:
        """Fetch the unit rows (n, dim) of keys."""

    def score(self, query: int, keys: Keys, rows: Rows) -> Rows:
        """Score a query with keys whose rows are given: (n,)."""


class ArrayQuarry:
    """Queries (n, dim) against an index, whose labels are the keys."""

    ids: Sequence[ItemId] | None = None

    def __init__(
        self,
        queries: npt.ArrayLike,
        documents: npt.ArrayLike | None,
        positives: Iterable[Any],
        index: FlatIndex | HnswIndex | None,
        query_modality: str | None,
    ) -> None:
        if index is None:
            if documents is None:
                raise InvalidArgument("documents is None: give rows (n, dim), or an index of them")
            shape = as_array("documents", documents).shape
            if len(shape) != 2 or not shape[0]:
                raise InvalidArgument(f"documents has shape {shape}: give (n, dim), n at least 1")
            rows = as_matrix("documents", documents, shape[1])
            index = FlatIndex(rows.shape[1])
            index.add(rows)
        elif not isinstance(index, (FlatIndex, HnswIndex)):
            raise InvalidArgument(
                f"index is a {type(index).__name__}: give a FlatIndex, a HnswIndex or None"
            )
        elif documents is not None:
            _check_labels(index, len(np.asarray(documents)))
        self._index = index
        self._modality = query_modality
        self._queries = as_matrix("queries", queries, index.dim)
        self.documents: Keys = np.asarray(index.ids())
        if isinstance(positives, Mapping) or not isinstance(positives, Iterable):
            raise InvalidArgument(
                f"positives is a {type(positives).__name__}: give a sequence, the positive "
                "documents of query 0, 1, ... in turn"
            )
        self.positives: Sequence[Keys] = [_keys(i, given) for i, given in enumerate(positives)]
        if len(self.positives) != len(self._queries):
            raise InvalidArgument(
                f"positives has {len(self.positives)} entries for {len(self._queries)} queries: "
                "give the positive documents of each query"
            )
        self._check_present()

    def _check_present(self) -> None:
        lengths = [len(keys) for keys in self.positives]
        every = np.concatenate(self.positives) if lengths else np.empty(0, np.int64)
        there = self._index.contains(every)
        if not there.all():
            at = int(np.argmin(there))
            query = int(np.searchsorted(np.cumsum(lengths), at, side="right"))
            raise UnknownId(
                f"positives[{query}] has {int(every[at])}, which is no document: give row numbers "
                "of documents, or labels of the index"
            )

    @property
    def query_keys(self) -> Keys:
        """Row numbers."""
        return np.arange(len(self._queries))

    def search(self, first: int, last: int, k: int) -> Keys:
        """Ask the index."""
        block = self._queries[first:last]
        return self._index.search(block, k, query_modality=self._modality)[1]

    def rows(self, keys: Keys) -> Rows:
        """Fetch from the index."""
        return self._index.vectors(keys)

    def score(self, query: int, keys: Keys, rows: Rows) -> Rows:
        """Score as the index does, alignment included."""
        return self._index.score(self._queries[query], keys, query_modality=self._modality)


class CollectionQuarry:
    """One field's vectors against another field, through the collection's public methods.

    Keys are positions in ``col.ids()``. Rankings are those of the active alignment; scores are
    raw cosines. Of an item with several rows in a field, the first one asks, and is compared with
    positives to find copies; as a document it scores by the best.
    """

    def __init__(
        self,
        col: Collection,
        query_field: object,
        document_field: object,
        positives: object,
    ) -> None:
        fields = col.schema.fields
        for what, name in (("queries", query_field), ("documents", document_field)):
            if not isinstance(name, str) or name not in fields:
                raise UnknownField(
                    f"{what} is {name!r}: name a field of the collection, one of {list(fields)}"
                )
        asking, asked = fields[str(query_field)], fields[str(document_field)]
        if asking.space != asked.space:
            raise SpaceMismatch(
                f"{query_field!r} is of the space {asking.space!r} and {document_field!r} of "
                f"{asked.space!r}: mine between fields of one space"
            )
        self._col, self._space, self._modality = col, asking.space, asking.modality
        self._from, self._to = str(query_field), str(document_field)
        self._names = col.ids()
        self._key = {item: key for key, item in enumerate(self._names)}
        asks = np.zeros(len(self._names), np.bool_)
        holds = np.zeros(len(self._names), np.bool_)
        for start in range(0, len(self._names), FETCH):
            for i, item in enumerate(col.get(self._names[start : start + FETCH]), start):
                asks[i], holds[i] = self._from in item.fields, self._to in item.fields
        self.documents: Keys = np.flatnonzero(holds)
        self._chunk: tuple[int, dict[int, Rows]] = (-1, {})
        self._questions: Keys
        self.positives: Sequence[Keys]
        self._questions, self.positives = self._pairs(asks, holds, positives)

    def _pairs(
        self,
        asks: npt.NDArray[np.bool_],
        holds: npt.NDArray[np.bool_],
        positives: object,
    ) -> tuple[Keys, list[Keys]]:
        if positives is None:
            if self._from == self._to:
                raise InvalidArgument(
                    f"queries and documents are both {self._from!r}, where each item's positive "
                    "would be itself: give positives as {id: ids}"
                )
            both = np.flatnonzero(asks & holds)
            if not len(both):
                raise InvalidArgument(
                    f"no item fills both {self._from!r} and {self._to!r}: give positives"
                )
            return both, [both[i : i + 1] for i in range(len(both))]
        if not isinstance(positives, Mapping) or not positives:
            raise InvalidArgument(
                f"positives is {type(positives).__name__}: give a non-empty dict of id to ids"
            )
        questions = []
        wanted = []
        for item, given in positives.items():
            questions.append(self._known("positives", item, asks, self._from))
            listed = [given] if isinstance(given, (str, int, np.integer)) else list(given)
            if not listed:
                raise InvalidArgument(f"positives[{item!r}] is empty: leave that query out")
            keys = [self._known(f"positives[{item!r}]", one, holds, self._to) for one in listed]
            wanted.append(np.unique(np.array(keys, np.int64)))
        return np.array(questions, np.int64), wanted

    def _known(self, what: str, item: Any, fills: npt.NDArray[np.bool_], field: str) -> int:
        key = self._key.get(read_id(item))
        if key is None or not fills[key]:
            raise UnknownId(f"{what} names {item!r}: no item of that id fills {field!r}")
        return key

    @property
    def ids(self) -> Sequence[ItemId] | None:
        """Ids of the collection, in order of first insertion."""
        return self._names

    @property
    def query_keys(self) -> Keys:
        """Positions in ``ids``."""
        return self._questions

    def search(self, first: int, last: int, k: int) -> Keys:
        """Ask the collection, in the document field alone."""
        block = self._questions[first:last]
        rows = self._index(self._from).vectors(self._labels(block))
        # The scores of these very queries are asked for next.
        vectors = {first + i: row for i, row in enumerate(rows)}
        self._chunk = (first, vectors)
        found = np.full((len(block), k), -1, np.int64)
        for i in range(len(block)):
            hits = self._col.search(
                vectors={self._space: vectors[first + i]},
                modality=self._modality,
                fields=[self._to],
                limit=k,
                fusion="rrf",
            )
            found[i, : len(hits)] = [self._key.get(item, -1) for item in hits.ids]
        return found

    def rows(self, keys: Keys) -> Rows:
        """Fetch the first row of each document."""
        return self._index(self._to).vectors(self._labels(keys))

    def score(self, query: int, keys: Keys, rows: Rows) -> Rows:
        """Cosines, in float64 before rounding."""
        asked = self._chunk[1][query].astype(np.float64)
        if not self._col.schema.fields[self._to].several:
            return (rows.astype(np.float64) @ asked).astype(np.float32)
        found = np.empty(len(keys), np.float32)
        index = self._index(self._to)
        for start in range(0, len(keys), FEW):
            labels = self._labels(keys[start : start + FEW])
            counts = count_rows(index, labels)
            cosines = index.vectors(row_labels(labels, counts)).astype(np.float64) @ asked
            best = np.maximum.reduceat(cosines, np.cumsum(counts) - counts)
            found[start : start + FEW] = best
        return found

    def _index(self, field: str) -> FlatIndex | HnswIndex:
        return self._col._storage.indexes[field]

    def _labels(self, keys: Keys) -> Keys:
        names = [self._names[key] for key in keys]
        return np.array(keys_of(self._col._storage.live(), names), np.int64)


def field_rows(
    col: Collection, fields: object, label_key: object = None
) -> tuple[dict[str, npt.ArrayLike], dict[str, list[ItemId]], dict[str, list[Any]] | None]:
    """Read whole fields of one space, as the documents that searches score.

    Parameters
    ----------
    col : Collection
    fields : sequence of str
    label_key : str, optional
        Metadata key whose value is an item's label.

    Returns
    -------
    dict, dict, dict or None
        By field: rows (n, dim) after the active alignment, the item of each row, and its label
        (None where it has none). An item may have several rows in a field.

    Raises
    ------
    InvalidArgument, UnknownField, SpaceMismatch
        When `fields` are no fields of one space, one is given twice, or a label is no plain value.
    """
    names = [fields] if isinstance(fields, str) else fields
    if not isinstance(names, (list, tuple)) or not names or len(set(map(str, names))) < len(names):
        raise InvalidArgument(f"rows is {fields!r}: name the fields of the collection, each once")
    for name in names:
        if name not in col.schema.fields:
            raise UnknownField(
                f"rows names {name!r}: name fields of the collection, of {list(col.schema.fields)}"
            )
    spaces = {name: col.schema.fields[name].space for name in names}
    if len(set(spaces.values())) > 1:
        raise SpaceMismatch(f"the fields are of the spaces {spaces}: give fields of one space")
    if label_key is not None and not isinstance(label_key, str):
        raise InvalidArgument(f"labels is {label_key!r}: name a metadata key, or leave it out")
    rows: dict[str, list[Rows]] = {name: [] for name in names}
    items: dict[str, list[ItemId]] = {name: [] for name in names}
    labels: dict[str, list[Any]] = {name: [] for name in names}
    every = col.ids()
    for start in range(0, len(every), FETCH):
        for item in col.get(every[start : start + FETCH], vectors=True):
            label = (item.metadata or {}).get(label_key) if label_key is not None else None
            if isinstance(label, (dict, list)):
                raise InvalidArgument(
                    f"item {item.id!r} has {label!r} under {label_key!r}: "
                    "labels are strings, numbers or booleans"
                )
            for name in item.vectors.keys() & rows.keys():
                block = np.atleast_2d(item.vectors[name])
                rows[name].append(block)
                items[name] += [item.id] * len(block)
                labels[name] += [label] * len(block)
    empty = [name for name in names if not rows[name]]
    if empty:
        raise InvalidArgument(f"the fields {empty} are empty: leave them out")
    aligned: dict[str, npt.ArrayLike] = {
        name: align_rows(np.concatenate(rows[name]), col._storage.indexes[name].alignment)
        for name in names
    }
    return aligned, items, None if label_key is None else labels


def _check_labels(index: FlatIndex | HnswIndex, count: int) -> None:
    labels = np.asarray(index.ids())
    if not np.array_equal(labels, np.arange(count)):
        raise InvalidArgument(
            f"index has {len(labels)} labels that are not 0 to {count - 1}, the rows of documents: "
            "add the documents without ids, or give documents=None and labels as positives"
        )


def _keys(query: int, given: Any) -> Keys:
    try:
        found = np.unique(np.atleast_1d(np.asarray(given)))
        if not found.size or not np.issubdtype(found.dtype, np.integer):
            raise TypeError
    except (TypeError, ValueError):
        raise InvalidArgument(
            f"positives[{query}] is {given!r}: give one document number or several; leave out "
            "queries that have none"
        ) from None
    return found.astype(np.int64)
