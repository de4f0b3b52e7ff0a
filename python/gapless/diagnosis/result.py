"""The readings of a diagnosis, as numbers; print it for tables and findings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from ..findings import Finding
from .sampling import Sample

__all__ = [
    "BiasReading",
    "Diagnosis",
    "ModalityReading",
    "OutlierReading",
    "PairReading",
    "RouteReading",
]

SORTED_LIFT = 0.5  # above it, half of what chance leaves to the other modalities is gone

EXPLANATION = (
    "A dual encoder starts with its two halves in two different narrow cones, as each network "
    "maps whatever it is given into one (Liang et al. 2022). Training compares a query with "
    "candidates of the other modality only; an offset that all candidates share cancels out, so "
    "nothing but the loss's temperature ever moves the cones together. And a caption says less "
    "than a picture shows: what only one side knows keeps them apart (Schrodi et al. 2025). "
    "Ranking within one modality is not harmed; a ranking that mixes modalities is."
)


@dataclass(frozen=True, slots=True)
class ModalityReading:
    """One modality of one space, under one alignment.

    Attributes
    ----------
    space, alignment, modality : str
    rows : int
        Rows looked at.
    spread : float
        `gapless.diagnosis.geometry.spread`: 0 when all rows are equal, 1 when they point
        everywhere.
    cosine_mean, cosine_std : float or None
        Over all pairs of different rows; None with a single row. A std below .01 is a collapse.
    uniformity, effective_rank, mean_distance : float
        As the functions of `gapless.diagnosis.geometry`.
    """

    space: str
    alignment: str
    modality: str
    rows: int
    spread: float
    cosine_mean: float | None
    cosine_std: float | None
    uniformity: float
    effective_rank: float
    mean_distance: float


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
    lisi : float
        Mean inverse Simpson index of the first k of both: 1 separated, 2 mixed.
    separability : float or None
        Held-out accuracy of a linear classifier; None with fewer than 4 rows on a side.
    constancy, offset_cosine_mean, offset_cosine_std, rmg, alignment_loss : float or None
        Of the matched pairs, see `gapless.diagnosis.geometry`; None without any.
    neighbour_agreement : float or None
        NAS@k of the matched items; None for fewer than 2, and k is cut to what there are.
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
    lisi: float
    separability: float | None
    constancy: float | None
    offset_cosine_mean: float | None
    offset_cosine_std: float | None
    rmg: float | None
    alignment_loss: float | None
    neighbour_agreement: float | None


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


@dataclass(frozen=True, slots=True)
class RouteReading:
    """Queries of one modality that search the sampled rows of one modality.

    Attributes
    ----------
    space, alignment, query_modality, target_modality : str
    source : {"items", "queries"}
        Whether the sampled rows asked, each leaving itself out, or the queries that were given.
    queries, documents, k : int
    mean_score : float
        Mean score of the first k, over all queries.
    recall : float or None
        Mean over the judged queries of the right rows among the first k, over the smaller of k
        and all right rows. None when nothing tells which rows are right.
    judged : int
        Queries that have a right row.
    hub_skew, antihub_share : float
        Of the k-occurrences, see `gapless.diagnosis.geometry`.
    """

    space: str
    alignment: str
    query_modality: str
    target_modality: str
    source: str
    queries: int
    documents: int
    k: int
    mean_score: float
    recall: float | None
    judged: int
    hub_skew: float
    antihub_share: float


@dataclass(frozen=True, slots=True)
class OutlierReading:
    """How many of the given queries are unlike anything of their modality in the collection.

    Attributes
    ----------
    space, modality : str
    queries, rows, k : int
    share : float
        `gapless.diagnosis.geometry.outlier_share`; about `expected` for queries like the rows.
    expected : float
    """

    space: str
    modality: str
    queries: int
    rows: int
    k: int
    share: float
    expected: float


@dataclass(frozen=True)
class Diagnosis:
    """All readings, for ``"raw"`` and for the active alignment; print it, or take `to_dict`.

    `whole` holds the bias over all rows of a collection, under the active alignment, where the
    other readings are of a sample. `findings` says in words what to mind and what to do. `samples`
    are the rows looked at, from which `gapless.report.diagnosis` draws; they are no part of
    comparison and `to_dict`.
    """

    modalities: tuple[ModalityReading, ...]
    pairs: tuple[PairReading, ...]
    bias: tuple[BiasReading, ...]
    notes: tuple[str, ...] = ()
    routes: tuple[RouteReading, ...] = ()
    outliers: tuple[OutlierReading, ...] = ()
    findings: tuple[Finding, ...] = ()
    whole: tuple[BiasReading, ...] = ()
    samples: tuple[Sample, ...] = field(default=(), compare=False, repr=False)

    @property
    def bias_in_use(self) -> tuple[BiasReading, ...]:
        """Bias of the scores that are in use, of each space.

        Over all rows where that was measured, else over the sample under the last alignment read.
        """
        used: list[BiasReading] = []
        for space in dict.fromkeys(r.space for r in self.bias):
            mine = [r for r in self.whole if r.space == space]
            if not mine:
                sampled = [r for r in self.bias if r.space == space]
                mine = [r for r in sampled if r.alignment == sampled[-1].alignment]
            used += mine
        return tuple(used)

    @property
    def explanation(self) -> str:
        """Why there is a gap at all."""
        return EXPLANATION

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and numbers, ready for JSON."""
        return {
            name: [value if isinstance(value, str) else asdict(value) for value in values]
            for name, values in vars(self).items()
            if name != "samples"
        }

    @classmethod
    def join(cls, parts: Iterable[Diagnosis]) -> Diagnosis:
        """One diagnosis of several spaces."""
        several = list(parts)
        names = cls.__dataclass_fields__
        return cls(
            **{name: tuple(v for part in several for v in getattr(part, name)) for name in names}
        )

    def __str__(self) -> str:
        from .text import diagnosis_text

        return diagnosis_text(self)
