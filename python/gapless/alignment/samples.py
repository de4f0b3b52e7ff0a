"""What an alignment is estimated from: sums of the fields' rows, query means, and pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ..batch import whole
from ..errors import InvalidArgument, SpaceMismatch
from .rows import Float64, Rows, RowSums

__all__ = ["MapOptions", "PairSet", "Sample", "sum_up"]

Int64: TypeAlias = "npt.NDArray[np.int64]"


@dataclass(frozen=True, slots=True)
class MapOptions:
    """What the methods may be told beyond the rows.

    Attributes
    ----------
    source, target : str or None
        Modalities: the one that is moved and the one it is moved to, for ``shift``,
        ``procrustes`` and ``ridge``. By default image and text, where there are both.
    components : int or None
        Directions that ``pca_remove`` removes (1 by default); those that ``whiten`` keeps (all).
    penalty : float
        λ of ``ridge``, at least 0; rows have unit length.
    shrinkage : float
        Share of the mean variance in each direction's, for ``whiten``, in [0, 1].
    """

    source: str | None = None
    target: str | None = None
    components: int | None = None
    penalty: float = 1.0
    shrinkage: float = 0.1

    def __post_init__(self) -> None:
        for name, value, high in (
            ("penalty", self.penalty, np.inf),
            ("shrinkage", self.shrinkage, 1.0),
        ):
            number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
            if not number or not 0.0 <= value <= high or not np.isfinite(value):
                raise InvalidArgument(
                    f"{name} is {value!r}: give a finite number of at least 0"
                    + (" and at most 1" if high == 1.0 else "")
                )
        if self.components is not None:
            whole("components", self.components)


@dataclass(frozen=True, slots=True)
class PairSet:
    """Rows of two fields; row i of the one and of the other are the same item.

    Attributes
    ----------
    fields : pair of str
    rows : pair of (n, dim) float64
        Unit rows.
    names : pair of (n,) int64
        Which row it is: a row that is in several pairs (an image with five captions) has the same
        number in each.
    inside : pair of (n,) int64
        How often the row is among the documents that the sums were taken of.
    across : bool
        Whether the fields live in two spaces, so that raw cosines between them mean nothing.
    """

    fields: tuple[str, str]
    rows: tuple[Float64, Float64]
    names: tuple[Int64, Int64]
    inside: tuple[Int64, Int64]
    across: bool

    def __len__(self) -> int:
        return len(self.rows[0])

    def take(self, chosen: Int64 | npt.NDArray[np.bool_]) -> PairSet:
        """Only the chosen pairs."""
        return PairSet(
            self.fields,
            (self.rows[0][chosen], self.rows[1][chosen]),
            (self.names[0][chosen], self.names[1][chosen]),
            (self.inside[0][chosen], self.inside[1][chosen]),
            self.across,
        )

    def groups(self) -> Int64:
        """Give each pair the number (n,), from 0, of those that common rows link it with."""
        sides = [np.unique(side, return_inverse=True)[1] for side in self.names]
        group = np.arange(len(self))
        while True:
            before = group
            for side in sides:
                least = np.full(len(group), len(group))
                np.minimum.at(least, side, group)
                group = least[side]
            if np.array_equal(before, group):
                return np.asarray(np.unique(group, return_inverse=True)[1], np.int64)

    def sums(self, side: int, *, moments: bool) -> RowSums:
        """Sum what the documents hold of one side's rows, each as often as it is there."""
        _, first = np.unique(self.names[side], return_index=True)
        rows = np.repeat(self.rows[side][first], self.inside[side][first], axis=0)
        return RowSums(f"field {self.fields[side]!r}", rows, moments=moments)


@dataclass(frozen=True, slots=True)
class Sample:
    """What a method is fitted on: sums of every field, modalities, query means, pairs."""

    sums: Mapping[str, RowSums]
    modality_of: Mapping[str, str]
    queries: Mapping[str, Float64] = field(default_factory=dict)
    pairs: Sequence[PairSet] = ()
    options: MapOptions = field(default_factory=MapOptions)

    def modalities(self) -> list[str]:
        """Of the documents, in order of the fields."""
        return list(dict.fromkeys(self.modality_of[name] for name in self.sums))

    def document_mean(self, modality: str) -> Float64:
        """Mean direction over all fields of a modality."""
        same = [sums for name, sums in self.sums.items() if self.modality_of[name] == modality]
        for sums in same:
            _ = sums.mean  # refuses too few rows by the field's name
        total: Float64 = np.stack([sums.total for sums in same]).sum(axis=0)
        return np.asarray(total / sum(sums.count for sums in same))

    def query_means(self) -> dict[str, Float64]:
        """Mean direction of the queries of each modality; of its documents where none are given."""
        means = {name: self.document_mean(name) for name in self.modalities()}
        return {**means, **self.queries}

    def direction(self) -> tuple[str, str]:
        """Source and target modality.

        Raises
        ------
        InvalidArgument
            When they are not among the documents' modalities, or cannot be guessed.
        """
        known = self.modalities()
        source, target = self.options.source, self.options.target
        if source is None and target is None and {"image", "text"} <= set(known):
            return "image", "text"
        others = [name for name in known if name not in (source, target)]
        if len(known) == 2 and len(others) == 1:
            source, target = source or others[0], target or others[0]
        if source is None or target is None or source == target:
            raise InvalidArgument(
                f"source is {source!r} and target is {target!r}: name two of the modalities {known}"
            )
        for what, value in (("source", source), ("target", target)):
            if value not in known:
                raise InvalidArgument(f"{what} is {value!r}: there are documents of {known}")
        return source, target

    def paired(self, source: str, target: str) -> tuple[Float64, Float64]:
        """All pairs of these modalities, source rows first."""
        found: list[tuple[Float64, Float64]] = []
        for pairs in self.pairs:
            sides = tuple(self.modality_of[name] for name in pairs.fields)
            if sides == (source, target):
                found.append(pairs.rows)
            elif sides == (target, source):
                found.append((pairs.rows[1], pairs.rows[0]))
        count = sum(len(rows) for rows, _ in found)
        if count < 2:
            raise InvalidArgument(
                f"there are {count} pairs of {source} and {target}, and a fitted map needs at "
                "least 2 (some hundreds, better thousands): give pairs, or use method 'center'"
            )
        return np.concatenate([x for x, _ in found]), np.concatenate([y for _, y in found])


def sum_up(
    documents: Mapping[str, Rows | RowSums],
    modality_of: Mapping[str, str],
    queries: Mapping[str, Rows] | None = None,
    pairs: Sequence[PairSet] = (),
    options: MapOptions | None = None,
    *,
    moments: bool = False,
    several_dims: bool = False,
) -> Sample:
    """Sum up documents and queries in one pass; `moments` and `several_dims` as the method needs.

    Documents may have been summed already, with moments where those are needed.

    Raises
    ------
    InvalidArgument, InvalidVector, SpaceMismatch
        For missing rows or modalities, bad rows, and dims that differ.
    """
    for what, given in (
        ("documents", documents),
        ("modality_of", modality_of),
        ("queries", queries or {}),
    ):
        if not isinstance(given, Mapping):
            raise InvalidArgument(f"{what} is a {type(given).__name__}: give a dict")
    if not documents:
        raise InvalidArgument("documents is empty: give the rows of at least one field")
    sums = {}
    for name, rows in documents.items():
        if name not in modality_of:
            raise InvalidArgument(f"modality_of lacks the field {name!r}: name its modality")
        sums[name] = (
            rows if isinstance(rows, RowSums) else RowSums(f"field {name!r}", rows, moments=moments)
        )
    asked = {name: RowSums(f"the {name!r} queries", rows) for name, rows in (queries or {}).items()}
    if not several_dims:
        dims = {s.dim for s in (*sums.values(), *asked.values()) if s.count}
        if len(dims) > 1:
            raise SpaceMismatch(
                f"the rows have dims {sorted(dims)}: center the fields of one space at a time"
            )
    for paired in pairs:
        for name, side in zip(paired.fields, paired.rows, strict=True):
            if name not in sums:
                raise InvalidArgument(
                    f"pairs names the field {name!r}: give documents of it, or leave it out"
                )
            if sums[name].count and sums[name].dim != side.shape[1]:
                raise SpaceMismatch(
                    f"pairs[{name!r}] has dim {side.shape[1]} and its documents {sums[name].dim}: "
                    "give rows of one space"
                )
    means = {name: sums.mean for name, sums in asked.items()}
    return Sample(sums, dict(modality_of), means, tuple(pairs), options or MapOptions())
