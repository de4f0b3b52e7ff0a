"""Near-duplicates within and across modalities, found by search instead of by all pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .._core import FlatIndex, HnswIndex
from ..batch import ItemId, as_array, as_matrix, whole
from ..collection import Collection
from ..errors import InvalidArgument, SpaceMismatch
from .quarry import field_rows

__all__ = ["NearDuplicates", "near_duplicates"]

EXACT_ROWS = 50_000  # 1.3e12 multiply-adds at 512 dims; beyond, a graph is searched
SLACK = 2e-3  # codes score within 1e-3 of exact; candidates are scored again from the rows
ROUNDING = 1e-9  # what float32 rows may lose of the cosine of a row with its multiple
CHUNK = 1_024  # rows that ask at once
FIRST_DEPTH = 16

Keys: TypeAlias = "npt.NDArray[np.int64]"
Rows: TypeAlias = "npt.NDArray[np.float32]"
Index: TypeAlias = "FlatIndex | HnswIndex"


@dataclass(frozen=True)
class NearDuplicates:
    """Pairs of rows that are alike, and the groups they form.

    Rows are numbered through all modalities in the order given: row i of a modality has the number
    ``starts[modality] + i``.

    Attributes
    ----------
    pairs : ndarray (n, 2) int64
        Row numbers, the lower one first; ascending.
    scores : ndarray (n,) float64
        Cosine of each pair.
    rows : int
        How many rows were looked through.
    starts : mapping of str to int
        Number of the first row of each modality, or field.
    groups : tuple of ndarray int64
        Connected components of two rows or more, each ascending, the one with the lowest row
        first. Chains count: a group may hold rows that are no pair.
    conflicts : ndarray (n,) bool
        Pairs whose two labels differ; all False without labels.
    truncated : int
        Rows that have more near-duplicates than `max_neighbours`; some of their pairs are missing.
    exact : bool
        Whether every row was compared; else a graph was searched, which may miss a few pairs.
    ids : tuple of str or int, or None
        The item behind each row number, for a collection; None for arrays.
    """

    pairs: Keys
    scores: npt.NDArray[np.float64]
    rows: int
    starts: Mapping[str, int]
    groups: tuple[Keys, ...]
    conflicts: npt.NDArray[np.bool_]
    truncated: int
    exact: bool
    ids: tuple[ItemId, ...] | None = None

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.pairs)

    def __repr__(self) -> str:
        return (
            f"<NearDuplicates: {len(self)} pairs in {len(self.groups)} groups, "
            f"{int(self.conflicts.sum())} label conflicts>"
        )

    @property
    def across(self) -> npt.NDArray[np.bool_]:
        """Which pairs join two modalities: bool (n,)."""
        side = np.searchsorted(self._firsts(), self.pairs, side="right")
        return np.not_equal(side[:, 0], side[:, 1])

    def locate(self, row: int) -> tuple[str, int]:
        """Give the modality of a row number, and its place among that modality's rows.

        Raises
        ------
        InvalidArgument
            For a number that no row has.
        """
        row = whole("row", row, 0)
        if row >= self.rows:
            raise InvalidArgument(f"row is {row}: give one of the {self.rows} row numbers, from 0")
        at = int(np.searchsorted(self._firsts(), row, side="right")) - 1
        modality = list(self.starts)[at]
        return modality, row - self.starts[modality]

    def redundant(self) -> Keys:
        """Row numbers to drop so that one row of each group is left, the first: (m,) int64."""
        rest = [group[1:] for group in self.groups]
        return np.sort(np.concatenate([np.empty(0, np.int64), *rest]))

    def _firsts(self) -> Keys:
        return np.array(list(self.starts.values()), np.int64)


def near_duplicates(
    rows: npt.ArrayLike | Mapping[str, npt.ArrayLike] | Sequence[str],
    threshold: float = 0.95,
    *,
    across: float | None = None,
    labels: Sequence[Any] | Mapping[str, Sequence[Any]] | str | None = None,
    items: Mapping[str, Sequence[Any]] | None = None,
    exact: bool | None = None,
    max_neighbours: int = 1_000,
    collection: Collection | None = None,
) -> NearDuplicates:
    """Find pairs of rows whose cosine reaches a threshold.

    Copies that carry different labels or captions are the false negatives that make a contrastive
    model worse the more data it sees; drop them (`NearDuplicates.redundant`) or merge them.

    Every row asks an index of the rows, deeper and deeper until the answers fall below the
    threshold, and what is found is scored again in float64 from the rows.

    Parameters
    ----------
    rows : array-like (n, dim), mapping of modality to array-like (n, dim), or names of fields
        Non-zero rows of any length. Rows of several modalities are to be aligned first: raw
        cosines across modalities are of another scale. With `collection`, the fields to look
        through, which are of one space; their rows are seen through the active alignment.
    threshold : float
        Lowest cosine of a near-duplicate, above 0 and at most 1.
    across : float, optional
        The same for pairs of two modalities; None takes `threshold`. Images and their captions
        seldom reach .5 even when aligned, so give a lower one to find those.
    labels : sequence, mapping of modality to sequence, or str, optional
        A label per row; pairs of different labels are conflicts, and None or NaN is no label.
        With `collection` the metadata key that holds it.
    items : mapping of modality to sequence, optional
        The item that each row belongs to; two rows of one item are no duplicates. A collection
        knows by itself.
    exact : bool, optional
        Compare all rows; else search a graph. None compares all up to 50,000 rows.
    max_neighbours : int
        A row with more near-duplicates than this is counted as truncated.
    collection : Collection, optional
        Look through its fields instead of arrays, all rows of an item where it has several. No
        other thread may remove items meanwhile.

    Raises
    ------
    InvalidArgument
        For a threshold out of range, no rows, or labels or items of another length.
    InvalidVector
        For zero, NaN and infinite rows.
    UnknownField
        For names that are no field of the collection.
    SpaceMismatch
        When dims differ, or fields are of several spaces.

    Examples
    --------
    >>> found = near_duplicates([[1, 0], [0, 1], [2, 0.01]], labels=["a", "b", "c"])
    >>> found.pairs.tolist(), found.conflicts.tolist()
    ([[0, 2]], [True])
    """
    bounds = {False: _bound("threshold", threshold)}
    bounds[True] = bounds[False] if across is None else _bound("across", across)
    limit = whole("max_neighbours", max_neighbours)
    ids: tuple[ItemId, ...] | None = None
    if collection is not None:
        if items is not None:
            raise InvalidArgument(
                "items is given beside collection, which knows them: leave it out"
            )
        rows, items, labels = field_rows(collection, rows, labels)
        ids = tuple(item for name in rows for item in items[name])
    given: Any = rows if isinstance(rows, Mapping) else {"rows": rows}
    unit = _unit(given)
    lengths = {name: len(block) for name, block in unit.items()}
    label_of = _per_row("labels", labels, lengths, isinstance(rows, Mapping))
    item_of = _per_row("items", items, lengths, True)
    count = sum(lengths.values())
    if exact is None:
        exact = count <= EXACT_ROWS
    starts = dict(zip(unit, np.cumsum([0, *lengths.values()]).tolist(), strict=False))
    indexes = {name: _index(block, bool(exact)) for name, block in unit.items()}
    parts, full = [], np.zeros(count, np.bool_)
    for one, other in combinations_with_replacement(unit, 2):
        bound = bounds[one != other]
        found, cut = _ask(unit[one], indexes[other], bound - SLACK, limit + (one == other))
        found += [starts[one], starts[other]]
        full[starts[one] : starts[one] + lengths[one]] |= cut
        parts.append(_score(unit, starts, one, other, found, bound))
    pairs = np.concatenate([pair for pair, _ in parts])
    scores = np.concatenate([score for _, score in parts])
    keep = np.ones(len(pairs), np.bool_)
    if item_of is not None:
        one_item = item_of[pairs[:, 0]]
        keep = (one_item < 0) | (one_item != item_of[pairs[:, 1]])
    order = np.lexsort((pairs[keep, 1], pairs[keep, 0]))
    pairs, scores = pairs[keep][order], scores[keep][order]
    conflicts = np.zeros(len(pairs), np.bool_)
    if label_of is not None:
        left, right = label_of[pairs[:, 0]], label_of[pairs[:, 1]]
        conflicts = (left != right) & (left >= 0) & (right >= 0)
    return NearDuplicates(
        pairs,
        scores,
        count,
        starts,
        _groups(pairs, count),
        conflicts,
        int(full.sum()),
        bool(exact),
        ids,
    )


def _unit(given: Mapping[str, npt.ArrayLike]) -> dict[str, Rows]:
    unit: dict[str, Rows] = {}
    for name, block in given.items():
        shape = as_array(repr(name), block).shape
        if len(shape) != 2 or not shape[0]:
            raise InvalidArgument(f"{name!r} has shape {shape}: give rows (n, dim), n at least 1")
        unit[name] = as_matrix(repr(name), block, shape[1])
    if not unit:
        raise InvalidArgument("rows is empty: give the rows of at least one modality")
    dims = {name: block.shape[1] for name, block in unit.items()}
    if len(set(dims.values())) > 1:
        raise SpaceMismatch(f"the rows have dims {dims}: give rows of one space")
    return unit


def _bound(what: str, value: object) -> float:
    if (
        isinstance(value, (int, float, np.integer, np.floating))
        and not isinstance(value, bool)
        and 0 < value <= 1
    ):
        return float(value)
    raise InvalidArgument(f"{what} is {value!r}: give a cosine above 0 and at most 1")


def _per_row(
    what: str, given: Any, lengths: Mapping[str, int], mapped: bool
) -> npt.NDArray[np.int64] | None:
    """Codes of the labels or items, one per row; equal for equal values, -1 for None and NaN."""
    if given is None:
        return None
    if mapped != isinstance(given, Mapping) or isinstance(given, str):
        wanted = "a dict of modality to one per row" if mapped else "a sequence, one per row"
        raise InvalidArgument(f"{what} is a {type(given).__name__}: give {wanted}")
    by_name = given if mapped else dict.fromkeys(lengths, given)
    code: dict[Any, int] = {None: -1}
    codes = []
    for name, length in lengths.items():
        values = list(by_name.get(name, ()))
        if len(values) != length:
            raise InvalidArgument(
                f"{what} has {len(values)} entries for the {length} rows of {name!r}: "
                "give one per row"
            )
        try:
            # NaN, which tables hold for a value that is missing, is unlike itself.
            known = [None if value != value else value for value in values]
            codes += [code.setdefault(value, len(code)) for value in known]
        except (TypeError, ValueError) as error:
            raise InvalidArgument(
                f"{what} of {name!r} cannot be compared ({error}): give strings or numbers"
            ) from error
    return np.array(codes, np.int64)


def _index(rows: Rows, exact: bool) -> Index:
    index: Index = FlatIndex(rows.shape[1]) if exact else HnswIndex(rows.shape[1])
    index.add(rows)
    return index


def _ask(rows: Rows, index: Index, bound: float, limit: int) -> tuple[Keys, npt.NDArray[np.bool_]]:
    """Give pairs (asking row, found row) that reach `bound`, and which rows have over `limit`."""
    pairs = [np.empty((0, 2), np.int64)]
    cut = np.zeros(len(rows), np.bool_)
    deepest = min(limit + 1, len(index))
    for start in range(0, len(rows), CHUNK):
        open_rows = np.arange(start, min(start + CHUNK, len(rows)))
        depth = min(FIRST_DEPTH, deepest)
        while len(open_rows):
            scores, labels = index.search(rows[open_rows], depth)
            reached = scores >= bound
            more = reached[:, -1] & (depth < deepest)
            done = reached & ~more[:, None]
            asking, place = np.nonzero(done)
            pairs.append(np.stack([open_rows[asking], labels[asking, place]], axis=1))
            cut[open_rows[reached.sum(axis=1) > limit]] = True
            open_rows = open_rows[more]
            depth = min(4 * depth, deepest)
    return np.concatenate(pairs), cut


def _score(
    unit: Mapping[str, Rows],
    starts: Mapping[str, int],
    one: str,
    other: str,
    found: Keys,
    bound: float,
) -> tuple[Keys, npt.NDArray[np.float64]]:
    """Keep each unordered pair once, where its cosine in float64 reaches the bound."""
    found = np.sort(found, axis=1) if one == other else found
    found = np.unique(found[found[:, 0] != found[:, 1]], axis=0)
    scores = np.empty(len(found))
    for start in range(0, len(found), CHUNK):
        part = found[start : start + CHUNK]
        left = unit[one][part[:, 0] - starts[one]].astype(np.float64)
        right = unit[other][part[:, 1] - starts[other]].astype(np.float64)
        lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
        scores[start : start + CHUNK] = np.einsum("ij,ij->i", left, right) / lengths
    keep = scores >= bound - ROUNDING
    return found[keep], np.minimum(scores[keep], 1.0)


def _groups(pairs: Keys, count: int) -> tuple[Keys, ...]:
    """Find connected components by union-find; the lowest row names its component."""
    parent = list(range(count))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    for a, b in pairs.tolist():
        one, other = sorted((root(a), root(b)))
        parent[other] = one
    members: dict[int, list[int]] = {}
    for row in np.unique(pairs).tolist():
        members.setdefault(root(row), []).append(row)
    return tuple(np.array(members[first], np.int64) for first in sorted(members))
