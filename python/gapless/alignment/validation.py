"""Judge an alignment by pairs it has not seen: whether the cross-modal ranking is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core
from ..errors import AlignmentRefused, InvalidArgument
from ..resampling import RESAMPLES, draws
from ..table import columns
from .rows import Float64, align_rows
from .samples import PairSet

__all__ = ["FOLDS", "RESAMPLES", "DirectionReport", "ValidationReport", "cross_validate"]

FOLDS = 5
SURE = 95.0  # per cent, of either bound

Fitter = Callable[[PairSet, PairSet], Mapping[str, _core.Alignment]]


@dataclass(frozen=True, slots=True)
class DirectionReport:
    """Queries of one field asking for their partners in another, raw and aligned.

    Attributes
    ----------
    query, document : str
        Fields. The query's map is that of its modality.
    pairs : int
    raw_mrr, mrr : float
        Mean reciprocal rank of the partner among the documents of its fold, raw and aligned, in
        [0, 1]. Between two spaces there is no raw ranking: `raw_mrr` is then what chance gives.
    raw_recall, recall : float
        Share of partners that come first, likewise.
    change : float
        ``mrr - raw_mrr``.
    low, high : float
        One-sided 95 % bounds of the change, by a paired bootstrap.
    lost : float
        Share of the resamples in which the change is below ``-tolerance``.
    """

    query: str
    document: str
    pairs: int
    raw_mrr: float
    mrr: float
    raw_recall: float
    recall: float
    change: float
    low: float
    high: float
    lost: float


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """What five-fold cross-validation says of an alignment, in every direction; print it.

    Attributes
    ----------
    method : str
    tolerance : float
        Loss of MRR that is accepted.
    folds, resamples : int
    directions : tuple of DirectionReport
    """

    method: str
    tolerance: float
    folds: int
    resamples: int
    directions: tuple[DirectionReport, ...]

    @property
    def losing(self) -> tuple[DirectionReport, ...]:
        """Directions that lose more than the tolerance, as surely as the bound says."""
        return tuple(d for d in self.directions if d.high < -self.tolerance)

    def require(self) -> None:
        """Raise AlignmentRefused, with all figures, when a direction loses."""
        if not self.losing:
            return
        told = "; ".join(
            f"{d.query} -> {d.document} MRR {d.raw_mrr:.3f} -> {d.mrr:.3f} (change "
            f"{d.change:+.3f}, 95 % upper bound {d.high:+.3f}; {d.lost:.1%} of "
            f"{self.resamples:,} resamples of {d.pairs} pairs lose more than "
            f"{self.tolerance:g}), R@1 {d.raw_recall:.3f} -> {d.recall:.3f}"
            for d in self.losing
        )
        remedy = "Leave the scores raw" if self.method == "center" else "Use method='center'"
        raise AlignmentRefused(
            f"method {self.method!r} loses held-out cross-modal quality: {told}. "
            f"{remedy}, or accept the loss with a larger tolerance="
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and lists, ready for JSON."""
        return {**asdict(self), "directions": [asdict(d) for d in self.directions]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ValidationReport:
        """Read what `to_dict` gave."""
        directions = tuple(DirectionReport(**d) for d in data["directions"])
        return cls(**{**data, "directions": directions})

    @classmethod
    def join(cls, reports: Sequence[ValidationReport]) -> ValidationReport:
        """One report of several sets of pairs, validated alike."""
        directions = tuple(d for report in reports for d in report.directions)
        return replace(reports[0], directions=directions)

    def __str__(self) -> str:
        lines = [f"{self.method}: held-out MRR, {self.folds} folds, tolerance {self.tolerance:g}"]
        lines += columns(
            ("query", "document", "pairs", "raw", "aligned", "change", "95 % bounds", ""),
            [
                (
                    d.query,
                    d.document,
                    str(d.pairs),
                    f"{d.raw_mrr:.3f}",
                    f"{d.mrr:.3f}",
                    f"{d.change:+.3f}",
                    f"{d.low:+.3f} to {d.high:+.3f}",
                    "loses" if d in self.losing else "",
                )
                for d in self.directions
            ],
        )
        return "\n".join(lines)


def cross_validate(
    method: str,
    fitter: Fitter,
    modality_of: Mapping[str, str],
    given: PairSet,
    *,
    tolerance: float = 0.01,
    folds: int = FOLDS,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> ValidationReport:
    """Measure the change of the mean reciprocal rank on folds that the fit has not seen.

    The pairs are cut into folds at random, those linked by a common row (an image with five
    captions) staying together. For each fold, the alignment is fitted without it, and every row of
    the fold ranks the other side's rows of the fold; a row's other partners are left out, and ties
    count by half. The bounds of the change come from a paired bootstrap over the linked groups
    (Efron and Tibshirani 1993).

    Parameters
    ----------
    fitter : callable
        Takes the pairs to fit on and those held out, and returns the alignment of each field.
    modality_of : mapping of field to modality
    given : PairSet
        At least 2 pairs per fold that share no row.
    tolerance : float
        At least 0.

    Raises
    ------
    InvalidArgument
        For too few pairs, or a bad tolerance, folds or resamples.
    """
    check_tolerance(tolerance)
    if folds < 2 or resamples < 1:
        raise InvalidArgument(
            f"folds is {folds} and resamples {resamples}: give at least 2 folds and 1 resample"
        )
    rng = np.random.default_rng(seed)
    count, group = len(given), given.groups()
    groups = int(group.max(initial=-1)) + 1
    if groups < 2 * folds:
        raise InvalidArgument(
            f"there are {groups} pairs of {' and '.join(given.fields)} without a common row for "
            f"{folds} folds: give at least {2 * folds}"
        )
    fold = (rng.permutation(groups) % folds)[group]
    ranks = np.zeros((2, 2, count))  # (direction, raw or aligned, pair)
    for number in range(folds):
        held = fold == number
        out = given.take(held)
        maps = fitter(given.take(~held), out)
        for way in (0, 1):
            ranks[way, :, held] = np.stack(_ranks(out, way, maps, modality_of), axis=1)
    sizes = np.bincount(fold)[fold].astype(np.float64)
    directions: list[DirectionReport] = []
    resampled = draws(groups, resamples, rng)
    drawn = resampled @ np.bincount(group).astype(np.float32)
    for way in (0, 1):
        gains, firsts = 1.0 / ranks[way], (ranks[way] == 1.0).astype(np.float64)
        if given.across:
            gains[0] = [np.sum(1.0 / np.arange(1, n + 1)) / n for n in sizes]
            firsts[0] = 1.0 / sizes
        change = gains[1] - gains[0]
        means = resampled @ np.bincount(group, change) / drawn
        low, high = np.percentile(means, [100.0 - SURE, SURE])
        directions.append(
            DirectionReport(
                query=given.fields[way],
                document=given.fields[1 - way],
                pairs=count,
                raw_mrr=float(gains[0].mean()),
                mrr=float(gains[1].mean()),
                raw_recall=float(firsts[0].mean()),
                recall=float(firsts[1].mean()),
                change=float(change.mean()),
                low=float(low),
                high=float(high),
                lost=float((means < -tolerance).mean()),
            )
        )
    return ValidationReport(method, float(tolerance), folds, resamples, tuple(directions))


def check_tolerance(tolerance: float) -> None:
    """Refuse a tolerance that is no number of at least 0, with InvalidArgument."""
    if isinstance(tolerance, bool) or not isinstance(tolerance, (int, float, np.number)):
        raise InvalidArgument(f"tolerance is {tolerance!r}: give a number of at least 0")
    if not 0 <= tolerance < np.inf:
        raise InvalidArgument(f"tolerance is {tolerance!r}: give a number of at least 0")


def _ranks(
    out: PairSet,
    way: int,
    maps: Mapping[str, _core.Alignment],
    modality_of: Mapping[str, str],
) -> tuple[Float64, Float64]:
    """Raw and aligned ranks, from 1, of each query's partner."""
    asking, asked = out.fields[way], out.fields[1 - way]
    queries, documents = out.rows[way], out.rows[1 - way]
    right = out.names[way][:, None] == out.names[way]
    right |= out.names[1 - way][:, None] == out.names[1 - way]
    aligned = _partner_ranks(
        align_rows(queries, maps[asked], modality_of[asking]),
        align_rows(documents, maps[asked]),
        right,
    )
    if out.across:
        return np.ones_like(aligned), aligned
    return _partner_ranks(queries, documents, right), aligned


def _partner_ranks(queries: Float64, documents: Float64, right: npt.NDArray[np.bool_]) -> Float64:
    """Rank of each query's own document among it and those that are not `right` for the query."""
    scores = queries @ documents.T
    own = np.diagonal(scores)[:, None]
    tied = np.isclose(scores, own, rtol=0.0, atol=1e-12) & ~right
    better = (scores > own) & ~tied & ~right
    return np.asarray(1.0 + better.sum(axis=1) + tied.sum(axis=1) / 2.0)
