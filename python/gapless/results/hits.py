"""What a search returns: hits, each with the reasons for its place."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

from ..table import columns

__all__ = ["Contribution", "Hit", "Hits", "Item"]


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one (query part, field) pair said about an item that has a row in that field.

    Attributes
    ----------
    query_modality : str or None
        Modality of the query part; None when the caller gave vectors without one.
    field : str
    rank : int or None
        1-based place in that field's own list; None when the item was not retrieved there and
        its score was computed afterwards.
    raw : float or None
        Cosine of the (aligned) vectors, -1 to 1.
    normalised : float or None
        What the pair added to the fused score before weighting; None when it added nothing.
    weight : float
        The field's weight.
    calibrated : float or None
        Probability that the item is relevant, by this pair alone; None unless the fusion is
        ``"calibrated"``.
    """

    query_modality: str | None
    field: str
    rank: int | None
    raw: float | None
    normalised: float | None
    weight: float
    calibrated: float | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """One found item.

    Attributes
    ----------
    id : str or int
    score : float
        Higher is better. Comparable within one result list; what it means is `score_kind`.
    score_kind : str
        The fusion method that made the score, such as ``"cohort"`` or ``"rrf"``.
    confidence : float or None
        Probability that the item is relevant, under the prior of the calibration; None unless the
        fusion is ``"calibrated"``.
    field : str or None
        The field that added most to the score.
    metadata : dict or None
    uri : str or None
    contributions : tuple of Contribution
        One for each searched (query part, field) in which the item has a row.
    """

    id: str | int
    score: float
    score_kind: str
    confidence: float | None
    field: str | None
    metadata: dict[str, Any] | None
    uri: str | None
    contributions: tuple[Contribution, ...]


@dataclass(frozen=True, slots=True)
class Item:
    """One stored item.

    Attributes
    ----------
    id : str or int
    metadata : dict or None
    uri : str or None
    fields : tuple of str
        The fields that the item fills, in schema order.
    vectors : mapping of str to ndarray
        Its unit vectors by field, when they were asked for; else empty: (dim,) float32, and
        (rows, dim) for a field that takes several rows per item.
    spans : mapping of str to list
        Of the fields with spans, one (start, end) or None for each of its rows.
    """

    id: str | int
    metadata: dict[str, Any] | None
    uri: str | None
    fields: tuple[str, ...]
    vectors: Mapping[str, Any]
    spans: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HitRow:
    """A hit before its metadata has been parsed; `metadata` is JSON text."""

    id: str | int
    score: float
    metadata: str | None
    uri: str | None
    contributions: tuple[Contribution, ...]


class Hits(Sequence[Hit]):
    """An immutable ranking, best first; `Hit` objects are made when they are looked at.

    Attributes
    ----------
    fusion : str
        The method used.
    reason : str
        Why that method, in words.
    """

    def __init__(self, rows: Sequence[HitRow], fusion: str, reason: str) -> None:
        self._rows = tuple(rows)
        self.fusion = fusion
        self.reason = reason

    @property
    def ids(self) -> list[str | int]:
        """Ids, best first."""
        return [row.id for row in self._rows]

    @property
    def scores(self) -> list[float]:
        """Scores, best first."""
        return [row.score for row in self._rows]

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Hit: ...
    @overload
    def __getitem__(self, index: slice) -> Hits: ...
    def __getitem__(self, index: int | slice) -> Hit | Hits:
        if isinstance(index, slice):
            return Hits(self._rows[index], self.fusion, self.reason)
        return self._hit(self._rows[index])

    def __iter__(self) -> Iterator[Hit]:
        return map(self._hit, self._rows)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Hits):
            return NotImplemented
        return self.fusion == other.fusion and self._rows == other._rows

    __hash__ = None  # type: ignore[assignment]

    def _hit(self, row: HitRow) -> Hit:
        return Hit(
            id=row.id,
            score=row.score,
            score_kind=self.fusion,
            confidence=row.score if self.fusion == "calibrated" else None,
            field=_leading_field(row.contributions),
            metadata=None if row.metadata is None else json.loads(row.metadata),
            uri=row.uri,
            contributions=row.contributions,
        )

    def __repr__(self) -> str:
        lines = [f"{len(self)} hits, fusion={self.fusion!r}"]
        lines += columns(
            ("rank", "score", "id", "field"),
            [
                (str(i), f"{row.score:.4f}", repr(row.id), _leading_field(row.contributions) or "")
                for i, row in enumerate(self._rows, 1)
            ],
        )
        return "\n".join(lines)

    def explain(self) -> str:
        """Say how each hit got its score, one line per (query part, field)."""
        lines = [f"fusion: {self.fusion} ({self.reason})"]
        said = "probability" if self.fusion == "calibrated" else "normalised"
        rows = []
        for i, row in enumerate(self._rows, 1):
            head = (str(i), repr(row.id), f"{row.score:.4f}")
            for part in row.contributions:
                rows.append(
                    (
                        *head,
                        f"{part.query_modality or 'vector'} → {part.field}",
                        "-" if part.rank is None else str(part.rank),
                        "-" if part.raw is None else f"{part.raw:.4f}",
                        "-" if part.normalised is None else f"{part.normalised:.4f}",
                        f"{part.weight:g}",
                    )
                )
                head = ("", "", "")
        lines += columns(
            ("rank", "id", "score", "query → field", "place", "raw", said, "weight"), rows
        )
        return "\n".join(lines)


def _leading_field(contributions: Sequence[Contribution]) -> str | None:
    said = [part for part in contributions if part.normalised is not None]
    if not said:
        return contributions[0].field if contributions else None
    return max(said, key=lambda part: part.weight * (part.normalised or 0.0)).field
