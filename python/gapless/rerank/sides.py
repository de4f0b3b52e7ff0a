"""Read one side of the pairs that are to be scored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..arrays import as_matrix
from ..batch import known_fields, read_id
from ..errors import InvalidArgument, UnknownField
from ..given import is_listed
from ..index_rows import count_rows
from ..item_keys import keys_of
from ..row_labels import row_labels
from ..segments import Index
from ..storage import Storage

__all__ = ["Side", "read_side", "stored_means"]

Float32: TypeAlias = "npt.NDArray[np.float32]"
Int64: TypeAlias = "npt.NDArray[np.int64]"
ENCODED = ("text", "image", "audio")
FORMS = "a list of ids, {'text': [...]}, {'image': [...]}, {'audio': [...]} or {'vectors': {...}}"


@dataclass(frozen=True, slots=True)
class Side:
    """One side: `keys` of stored items, `items` to encode, or `vectors` by space or field."""

    count: int
    fields: tuple[str, ...]
    modality: str | None = None
    keys: Int64 | None = None
    items: Sequence[Any] | None = None
    vectors: Mapping[str, Float32] = field(default_factory=dict)


def read_side(what: str, given: Any, storage: Storage, fields: Iterable[str] | None) -> Side:
    """Read a side; see `score_pairs`. `what` is "a", whose vectors are of spaces, or "b".

    Raises
    ------
    InvalidArgument, UnknownField, UnknownId, InvalidVector
        See `score_pairs`.
    """
    if fields is not None and not is_listed(fields):
        raise InvalidArgument(f"fields is {fields!r:.60}: give a list of names, such as ['image']")
    schema = storage.schema
    chosen = tuple(schema.fields if fields is None else known_fields(schema, fields))
    if not isinstance(given, Mapping):
        return _stored(what, given, storage, chosen)
    if "ids" in given and len(given) == 1:
        return _stored(what, given["ids"], storage, chosen)
    kinds = [name for name in given if name in (*ENCODED, "vectors")]
    others = set(given) - set(kinds) - ({"modality"} if "vectors" in kinds else set())
    if len(kinds) != 1 or others:
        raise InvalidArgument(f"{what} has the keys {list(given)}: give {FORMS}")
    if kinds[0] == "vectors":
        return _vectors(what, given, storage, chosen)
    items = given[kinds[0]]
    if not is_listed(items):
        items = [items]
    listed = list(items)
    if not listed or (kinds[0] == "text" and not all(isinstance(t, str) and t for t in listed)):
        raise InvalidArgument(f"{what}[{kinds[0]!r}] is {given[kinds[0]]!r:.60}: give a list")
    return Side(len(listed), chosen, kinds[0], items=listed)


def _stored(what: str, given: Any, storage: Storage, fields: tuple[str, ...]) -> Side:
    if isinstance(given, (str, int, np.integer)):
        given = [given]
    if not is_listed(given):
        raise InvalidArgument(f"{what} is {given!r:.60}: give {FORMS}")
    names = [read_id(item, i) for i, item in enumerate(given)]
    if not names:
        raise InvalidArgument(f"{what} is empty: give {FORMS}")
    keys = np.array(keys_of(storage.live(), names), np.int64)
    return Side(len(names), fields, keys=keys)


def _vectors(
    what: str, given: Mapping[str, Any], storage: Storage, fields: tuple[str, ...]
) -> Side:
    schema, vectors, modality = storage.schema, given["vectors"], given.get("modality")
    named = "space" if what == "a" else "field"
    dims = (
        {name: space.dim for name, space in schema.spaces.items()}
        if what == "a"
        else {name: schema.dim(name) for name in schema.fields}
    )
    if not isinstance(vectors, Mapping) or not vectors:
        raise InvalidArgument(f"{what}['vectors'] is no dict: give {{{named}: rows (n, dim)}}")
    if modality is not None and (not isinstance(modality, str) or what == "b"):
        raise InvalidArgument(f"{what}['modality'] is {modality!r}: give that of the vectors of a")
    found = {}
    for name, rows in vectors.items():
        if name not in dims:
            raise UnknownField(
                f"{what}['vectors'] names the {named} {name!r}: there are "
                f"{', '.join(map(repr, dims))}"
            )
        found[name] = as_matrix(f"{what}['vectors'][{name!r}]", rows, dims[name])
    counts = {name: len(rows) for name, rows in found.items()}
    if len(set(counts.values())) > 1 or 0 in counts.values():
        raise InvalidArgument(f"{what}['vectors'] has {counts} rows: give as many of each")
    count = next(iter(counts.values()))
    own = fields if what == "a" else tuple(name for name in fields if name in found)
    return Side(count, own, modality, vectors=found)


def stored_means(index: Index, keys: Int64) -> Float32:
    """Give the mean direction of each item's rows: (n, dim) float32, NaN where it has none."""
    counts = count_rows(index, keys)
    names, places = np.unique(row_labels(keys, counts), return_inverse=True)
    sums = np.zeros((len(keys), index.dim))
    if len(names):
        owners = np.repeat(np.arange(len(keys)), counts)
        np.add.at(sums, owners, np.asarray(index.vectors(names), np.float64)[places])
    sums[counts == 0] = np.nan
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    return (sums / np.where(lengths < 1e-12, np.nan, lengths)).astype(np.float32)
