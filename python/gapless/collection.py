"""The collection: open a folder, put in vectors of any modality, ask one question."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, overload

import numpy as np

from .batch import ItemId, read_batch, read_id, whole
from .calibration.samples import type_name
from .collection_gap import GapMethods
from .collection_search import SearchMethods
from .collection_tuning import TuneMethods
from .errors import InvalidArgument
from .field_rows import FieldVectors
from .folder import folder_path
from .item_keys import keys_of, listed_ids
from .item_reads import field_stats, read_items, read_neighbours
from .query.encoders import Encoders, OwnEncoders
from .query.searcher import Searcher
from .results.hits import Hit, Item
from .results.row import Row
from .schema import Schema
from .spans import FieldSpans
from .storage import CheckpointPolicy, Storage

__all__ = ["Collection", "open"]


def open(
    path: str | os.PathLike[str],
    schema: Schema | None = None,
    *,
    durability: str = "full",
    encoders: OwnEncoders | None = None,
) -> Collection:
    """Open a collection, or make one when `schema` is given and the folder is new or empty.

    Parameters
    ----------
    path : str or path
        The collection's folder.
    schema : Schema, optional
        Needed for a new collection; compared with the one on disk otherwise.
    durability : {"full", "normal"}
        ``"full"``: a write that has returned survives a power cut. ``"normal"``: it survives the
        death of the process, and writes are faster.
    encoders : mapping of space to mapping of modality to encoder, optional
        Encoders of your own, in place of those that the schema names:
        ``{"clip": {"text": encoder}}``, with ``encoder.encode(items) -> (n, dim)``.

    Raises
    ------
    NotACollection
        When the folder holds something else, or nothing and no schema is given.
    SchemaMismatch
        When the schema differs from the one on disk; the message names each difference.
    CollectionLocked
        When the collection is open already, here or in another process.
    CorruptFile
        When a file of the collection is missing or damaged.
    StorageError
        When the disk is full or refuses to be read, written or locked.
    InvalidArgument
        When path, schema or durability is of another kind.

    Examples
    --------
    >>> import numpy as np, gapless as gl, tempfile
    >>> schema = gl.Schema({"clip": gl.Space(dim=4)}, {"image": gl.Field("clip", "image")})
    >>> with gl.open(tempfile.mkdtemp(), schema) as col:
    ...     col.upsert(["a", "b"], {"image": np.eye(2, 4)})
    ...     col.search(vectors={"clip": [1, 0.1, 0, 0]}, limit=1).ids
    ['a']
    """
    return Collection(path, schema, durability=durability, encoders=encoders)


class Collection(SearchMethods, TuneMethods, GapMethods):
    """An open collection; make one with `gapless.open` and close it, or use ``with``.

    Any number of threads may search beside one that writes; writers take turns. A search sees
    each item that was there when it began and still is when it ends, with old or new vectors where
    a write is under way.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        schema: Schema | None = None,
        *,
        durability: str = "full",
        encoders: OwnEncoders | None = None,
        policy: CheckpointPolicy | None = None,
    ) -> None:
        self._storage = Storage(folder_path(path), schema, durability, policy or CheckpointPolicy())
        try:
            self._encoders = Encoders(self._storage.schema, encoders)
            self._searcher = Searcher(self._storage, self._encoders)
        except BaseException:
            self._storage.release()
            raise

    def close(self) -> None:
        """Close the collection; a second call does nothing.

        Pending writes are folded into segments when they are more than a twentieth of the
        collection; fewer stay in the catalogue, where they are as safe, for the next open. Folding
        that fails is a RuntimeWarning: nothing is lost.
        """
        self._storage.close()

    def __enter__(self) -> Collection:
        self._storage.live()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        # What was acknowledged is on disk; only the lock and the connections are to be given back.
        if hasattr(self, "_storage"):
            self._storage.release()

    # -- writing ------------------------------------------------------------------------------

    def upsert(
        self,
        ids: Iterable[ItemId],
        vectors: Mapping[str, FieldVectors] | None = None,
        metadata: Sequence[Mapping[str, Any] | None] | None = None,
        uris: Sequence[str | os.PathLike[str] | None] | None = None,
        *,
        spans: Mapping[str, FieldSpans] | None = None,
    ) -> None:
        """Add items, or replace parts of present ones; all of the call happens, or nothing.

        Parameters
        ----------
        ids : sequence of str or int, length n
            ``1`` and ``"1"`` are two ids.
        vectors : mapping of field to array-like (n, dim)
            Real numbers, stored as unit float32 rows. A present item keeps its vectors in the
            fields not given; a new item needs at least one. For a field that takes several rows
            per item also a list with an array (rows, dim) per id: those rows replace all that the
            item has there. None keeps them, and an empty array leaves the item without any.
        metadata : sequence of dict or None, length n
            JSON-able. A dict replaces the old one, None keeps it.
        uris : sequence of str, path or None, length n
            Where the original lies. None keeps the old one.
        spans : mapping of field to list, length n
            Where the rows given in `vectors` lie in the original: for each id one (start, end) per
            row, finite numbers with 0 <= start <= end (units are yours: seconds of a video,
            characters of a text), or None. Spans are replaced together with the rows.

        Raises
        ------
        InvalidArgument
            For wrong types or lengths, metadata that is not JSON, new items without a vector.
        DuplicateId, UnknownField, InvalidVector
            For an id given twice, a field that the schema lacks, and vectors of the wrong shape or
            with zero, NaN or infinite rows.
        StorageError
            When the disk is full. Nothing is written in any of these cases.

        Warns
        -----
        RuntimeWarning
            When the write is safe, and folding it into segments has failed.
        """
        self._storage.live()
        batch = read_batch(self.schema, ids, vectors, metadata, uris, spans)
        if batch.ids:
            self._storage.upsert(batch)

    def remove(self, ids: ItemId | np.integer[Any] | Iterable[ItemId]) -> None:
        """Remove items with all their vectors; all of them, or none.

        Raises
        ------
        UnknownId
            When one is not in the collection.
        DuplicateId, InvalidArgument
            For an id given twice or of the wrong type.
        StorageError
            When the disk is full.
        """
        self._storage.live()
        names, _ = listed_ids(ids)
        with self._storage.writing:
            keys = keys_of(self._storage.live(), names)
            if keys:
                self._storage.remove(keys)

    def checkpoint(self) -> None:
        """Write what is pending into segment files, so that the next open is quick.

        It changes no answer and no guarantee: a write is safe when it returns. Large collections
        do it by themselves. Searches go on meanwhile; other writes wait.

        Raises
        ------
        StorageError
            When a segment cannot be written. Nothing is lost by that.
        """
        self._storage.checkpoint()

    # -- reading ------------------------------------------------------------------------------

    @property
    def path(self) -> Path:
        """The collection's folder."""
        return self._storage.path

    @property
    def schema(self) -> Schema:
        """The spaces and fields."""
        return self._storage.schema

    def __len__(self) -> int:
        self._storage.live()
        return self._storage.count

    def __contains__(self, item: object) -> bool:
        catalog = self._storage.live()
        try:
            return catalog.keys_of([read_id(item)])[0] is not None
        except InvalidArgument:
            return False

    def __repr__(self) -> str:
        if self._storage.closed:
            return f"<closed gapless.Collection {str(self.path)!r}>"
        fields = ", ".join(f"{name}: {len(index)}" for name, index in self._storage.indexes.items())
        return f"<gapless.Collection {str(self.path)!r}, {self._storage.count} items ({fields})>"

    def ids(self) -> list[ItemId]:
        """Every id, in order of first insertion."""
        return self._storage.live().ids()

    @overload  # a str is an iterable of str as well, and yet one id
    def get(  # type: ignore[overload-overlap]
        self, ids: str | int | np.integer[Any], *, vectors: bool = False
    ) -> Item: ...
    @overload
    def get(self, ids: Iterable[ItemId], *, vectors: bool = False) -> list[Item]: ...
    def get(
        self, ids: ItemId | np.integer[Any] | Iterable[ItemId], *, vectors: bool = False
    ) -> Item | list[Item]:
        """Fetch stored items: one for a single id, a list in the order asked for several.

        Parameters
        ----------
        ids : str, int, or an iterable of them
        vectors : bool
            Fetch the vectors as well.

        Raises
        ------
        UnknownId
            When one is not in the collection, or leaves it during the call.
        DuplicateId, InvalidArgument
            For an id given twice or of the wrong type.
        """
        self._storage.live()
        names, alone = listed_ids(ids)
        items = read_items(self._storage, names, vectors)
        return items[0] if alone else items

    def neighbours(
        self,
        item: ItemId | Hit,
        field: str | None = None,
        row: int | None = None,
        before: int | None = None,
        after: int | None = None,
        *,
        n: int = 1,
        vectors: bool = False,
    ) -> list[Row]:
        """Fetch the rows around one row of an item: the frames about a clip that was found.

        Parameters
        ----------
        item : str, int or Hit
            A hit says field and row itself: those that it was found by.
        field : str
        row : int
            Ordinal of the row in the middle, from 0.
        before, after : int, optional
            How many rows to go back and forth; `n` by default. The item's ends cut them short.
        n : int
        vectors : bool
            Fetch the vectors as well.

        Returns
        -------
        list of Row
            In order, the row in the middle included.

        Raises
        ------
        UnknownId, UnknownField
        InvalidArgument
            When the item has no such row, when a hit was found by no field, when a number is
            negative, and for field or row beside a hit or missing beside an id.

        Examples
        --------
        >>> import numpy as np, gapless as gl, tempfile
        >>> frame = gl.Field("clip", "image", several=True)
        >>> schema = gl.Schema({"clip": gl.Space(4)}, {"frame": frame})
        >>> with gl.open(tempfile.mkdtemp(), schema) as col:
        ...     spans = [[(0, 2), (2, 4), (4, 6), (6, 8)]]
        ...     col.upsert(["film"], {"frame": [np.eye(4)]}, spans={"frame": spans})
        ...     [(row.ordinal, row.span) for row in col.neighbours("film", "frame", 2)]
        [(1, (2.0, 4.0)), (2, (4.0, 6.0)), (3, (6.0, 8.0))]
        """
        self._storage.live()
        if isinstance(item, Hit):
            if field is not None or row is not None:
                raise InvalidArgument("a hit says its field and row itself: leave them out")
            field, row, item = item.field, item.row, item.id
            if field is None:
                raise InvalidArgument(f"the hit {item!r} was found by no field: name one of them")
        elif field is None or row is None:
            raise InvalidArgument("give field and row beside an id, or a hit of a search")
        return read_neighbours(
            self._storage,
            read_id(item),
            field,
            whole("row", row, 0),
            whole("before", n if before is None else before, 0),
            whole("after", n if after is None else after, 0),
            vectors,
        )

    def stats(self) -> dict[str, Any]:
        """Count items, rows, bytes and pending writes, as a dict ready for JSON.

        Of a field that takes several rows per item it says also how many items fill it, and how
        many rows they have each.
        """
        catalog = self._storage.live()
        segments = catalog.segments()
        active, calibration = self._storage.alignment, self.calibration
        return {
            "path": str(self.path),
            "items": self._storage.count,
            "fields": {
                name: field_stats(self.schema.fields[name], index, segments.get(name))
                for name, index in self._storage.indexes.items()
            },
            "pending_rows": catalog.pending_rows,
            "pending_bytes": catalog.pending_bytes,
            "alignment": None
            if active is None
            else {"version": active.version, "method": active.method},
            "calibration": None
            if calibration is None
            else {
                "method": calibration.method,
                "prior": calibration.prior,
                "pairs": {type_name(kind): t.matches for kind, t in calibration.types.items()},
            },
        }
