"""What each list of a search said about one hit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..row_labels import SHIFT

if TYPE_CHECKING:
    from .hits import Hits

__all__ = ["Contribution", "contributions_of", "span_of"]


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
        Cosine of the vectors as they are stored, -1 to 1: the same as `aligned` where no alignment
        is active. None where it was not computed: search with ``explain=True``.
    aligned : float or None
        Cosine that the field was ranked by, of the vectors as the alignment leaves them.
    normalised : float or None
        What the pair added to the fused score before weighting; None when it added nothing.
    weight : float
        The list's weight; below 0 for a part that items are not to be like.
    calibrated : float or None
        Probability that the item is relevant, by this pair alone. None unless the fusion is
        ``"calibrated"``, or the pair type is calibrated and the search was told to explain.
    row : int
        Which of the item's rows in the field scored best, counted from 0.
    span : (float, float) or None
        Start and end of that row, where the item was stored with spans.
    """

    query_modality: str | None
    field: str
    rank: int | None
    raw: float | None
    aligned: float | None
    normalised: float | None
    weight: float
    calibrated: float | None = None
    row: int = 0
    span: tuple[float, float] | None = None

    @property
    def route(self) -> str:
        """The pair in words, such as ``"text → image"`` or ``"not like image → image"``."""
        prefix = "not like " if self.weight < 0 else ""
        return f"{prefix}{self.query_modality or 'vector'} → {self.field}"


def contributions_of(hits: Hits, place: int) -> tuple[Contribution, ...]:
    """One contribution for each list in which the item at `place` has a row."""
    found = hits.ranking
    ranks, aligned = found.ranks[place].tolist(), found.raw[place].tolist()
    normalised = found.normalised[place].tolist()
    rows = found.rows[place].tolist()
    nothing = [math.nan] * len(rows)
    plain = nothing if hits.plain is None else hits.plain[place].tolist()
    told = nothing if hits.calibrated is None else hits.calibrated[place].tolist()
    if hits.fusion == "calibrated":
        told = normalised
    return tuple(
        Contribution(
            query_modality=asked.query_modality,
            field=asked.field,
            rank=ranks[j] or None,
            raw=_known(plain[j]),
            aligned=aligned[j],
            normalised=_known(normalised[j]),
            weight=asked.weight,
            calibrated=_known(told[j]),
            row=max(rows[j], 0),
            span=span_of(hits, place, j),
        )
        for j, asked in enumerate(found.lists)
        if not math.isnan(aligned[j])
    )


def span_of(hits: Hits, place: int, j: int) -> tuple[float, float] | None:
    """Span of the best row of the item at `place` in the field of list `j`."""
    if not hits.spans:
        return None
    row = int(hits.ranking.rows[place, j])
    if row < 0:
        return None
    label = row << SHIFT | int(hits.ranking.keys[place])
    return hits.spans.get((hits.ranking.lists[j].field, label))


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
