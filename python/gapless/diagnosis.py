"""The readings of a diagnosis, as numbers and as tables."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from .table import columns

__all__ = ["BiasReading", "Diagnosis", "ModalityReading", "PairReading"]

SORTED_LIFT = 0.5  # above it, half of what chance leaves to the other modalities is gone


@dataclass(frozen=True, slots=True)
class ModalityReading:
    """One modality of one space, under one alignment.

    Attributes
    ----------
    space, alignment, modality : str
    rows : int
        Rows looked at.
    spread : float
        Root mean square distance of the unit rows from their centroid c, which is
        sqrt(1 - ‖c‖²): 0 when all rows are equal, 1 when they point everywhere.
    cosine_mean, cosine_std : float or None
        Over all pairs of different rows; None with a single row.
    """

    space: str
    alignment: str
    modality: str
    rows: int
    spread: float
    cosine_mean: float | None
    cosine_std: float | None


@dataclass(frozen=True, slots=True)
class PairReading:
    """Two modalities of one space, under one alignment.

    Attributes
    ----------
    space, alignment : str
    modalities : (str, str)
    gap : float
        Distance of the two centroids, ‖c_a - c_b‖ (L2M), 0 to 2.
    gap_cosine : float
        1 - cos(c_a, c_b), 0 to 2.
    gap_over_spread : float or None
        `gap` over the mean of the two spreads; above 1 the cones lie apart. None without spread.
    random_mean, random_std : float or None
        Cosine of pairs from different items; None when there is no such pair.
    matched_mean, matched_std : float or None
        Cosine of pairs from the same item; None when no item has both modalities.
    matched : int
        Number of such pairs.
    """

    space: str
    alignment: str
    modalities: tuple[str, str]
    gap: float
    gap_cosine: float
    gap_over_spread: float | None
    random_mean: float | None
    random_std: float | None
    matched_mean: float | None
    matched_std: float | None
    matched: int


@dataclass(frozen=True, slots=True)
class BiasReading:
    """How far a query finds its own modality, whatever it means.

    Every sampled row asks the mixed index of all sampled rows, itself left out.

    Attributes
    ----------
    space, alignment, query_modality : str
    k : int
    rate : float
        Mean share of the first k that has the query's modality.
    share : float
        Share of that modality among the rows that could be found: what a blind draw would give.
    lift : float
        (rate - share) / (1 - share): 0 is unbiased, 1 is a mere sort by modality.
    queries : int
    """

    space: str
    alignment: str
    query_modality: str
    k: int
    rate: float
    share: float
    lift: float
    queries: int

    @property
    def sorts_by_modality(self) -> bool:
        """Whether the modality decides more of the ranking than the meaning can."""
        return self.lift > SORTED_LIFT


@dataclass(frozen=True)
class Diagnosis:
    """All readings, for ``"raw"`` and for the active alignment; print it, or take `to_dict`."""

    modalities: tuple[ModalityReading, ...]
    pairs: tuple[PairReading, ...]
    bias: tuple[BiasReading, ...]
    notes: tuple[str, ...] = field(default=())

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and numbers, ready for JSON."""
        data = asdict(self)
        return {name: [*values] for name, values in data.items()}

    @classmethod
    def join(cls, parts: Iterable[Diagnosis]) -> Diagnosis:
        """One diagnosis of several spaces."""
        several = list(parts)
        return cls(
            tuple(reading for part in several for reading in part.modalities),
            tuple(reading for part in several for reading in part.pairs),
            tuple(reading for part in several for reading in part.bias),
            tuple(note for part in several for note in part.notes),
        )

    def __str__(self) -> str:
        lines = ["Modalities"]
        lines += columns(
            ("space", "alignment", "modality", "rows", "spread", "cosine within"),
            [
                (
                    r.space,
                    r.alignment,
                    r.modality,
                    str(r.rows),
                    f"{r.spread:.3f}",
                    _spread(r.cosine_mean, r.cosine_std),
                )
                for r in self.modalities
            ],
        )
        if self.pairs:
            lines += ["", "Gap between modalities"]
            lines += columns(
                (
                    "space",
                    "alignment",
                    "pair",
                    "gap",
                    "gap/spread",
                    "random pairs",
                    "matched pairs",
                ),
                [
                    (
                        r.space,
                        r.alignment,
                        " - ".join(r.modalities),
                        f"{r.gap:.3f}",
                        "-" if r.gap_over_spread is None else f"{r.gap_over_spread:.2f}",
                        _spread(r.random_mean, r.random_std),
                        _spread(r.matched_mean, r.matched_std),
                    )
                    for r in self.pairs
                ],
            )
        if self.bias:
            lines += ["", "Intra-modal bias: share of the first k with the query's own modality"]
            lines += columns(
                ("space", "alignment", "query", "k", "rate", "expected", "lift", ""),
                [
                    (
                        r.space,
                        r.alignment,
                        r.query_modality,
                        str(r.k),
                        f"{r.rate:.3f}",
                        f"{r.share:.3f}",
                        f"{r.lift:+.3f}",
                        "sorts by modality" if r.sorts_by_modality else "",
                    )
                    for r in self.bias
                ],
            )
        if self.notes:
            lines += ["", *self.notes]
        return "\n".join(lines)


def _spread(mean: float | None, std: float | None) -> str:
    return "-" if mean is None or std is None else f"{mean:+.3f} ± {std:.3f}"
