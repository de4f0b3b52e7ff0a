"""Estimate the affine maps that take the modality gap out of the scores, and judge them.

An alignment never touches the stored vectors: the index applies it while scoring, so it can be
changed or taken back at any time.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from .. import _core
from ..batch import whole
from ..errors import InvalidArgument
from ..findings import Finding
from .maps import CENTRED, FITTED, METHODS, MOMENTS, center, fit
from .mix import alpha_mix
from .rows import CHUNK, Float64, Rows, align_rows, mean_direction, unit_rows
from .samples import MapOptions, PairSet, Sample, sum_up
from .validation import (
    FOLDS,
    RESAMPLES,
    ValidationReport,
    check_tolerance,
    cross_validate,
)

__all__ = [
    "METHODS",
    "AlignmentResult",
    "Pairs",
    "align",
    "align_rows",
    "alpha_mix",
    "center",
    "judge",
    "mean_direction",
]

Pairs: TypeAlias = "Mapping[str, npt.ArrayLike]"


@dataclass(frozen=True, slots=True)
class AlignmentResult:
    """An alignment of every field, and what is known of it.

    Attributes
    ----------
    method : str
    maps : mapping of field to Alignment
        For ``index.set_alignment``.
    validation : ValidationReport or None
        None where there were no pairs to judge by.
    findings : tuple of Finding
        ``QUERY_MEAN_ASSUMED`` for a query modality without a sample, ``UNVALIDATED``.
    """

    method: str
    maps: Mapping[str, _core.Alignment]
    validation: ValidationReport | None
    findings: tuple[Finding, ...]


def align(
    documents: Mapping[str, Rows],
    modality_of: Mapping[str, str],
    method: str = "center",
    *,
    pairs: Pairs | Sequence[Pairs] | None = None,
    queries: Mapping[str, Rows] | None = None,
    tolerance: float = 0.01,
    source: str | None = None,
    target: str | None = None,
    components: int | None = None,
    penalty: float = 1.0,
    shrinkage: float = 0.1,
    folds: int = FOLDS,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> AlignmentResult:
    """Estimate an alignment of the fields of one space; refuse it where it loses quality.

    =============== ==============================================================================
    ``center``      subtract the mean of each field, and of the queries of each modality (GR-CLIP)
    ``shift``       move the source modality by the difference of the means; one-sided
    ``project``     remove the direction in which the means differ
    ``pca_remove``  centre, then remove the leading principal directions of the union
    ``procrustes``  rotate the source onto the target, by pairs
    ``ridge``       map the source onto the target linearly, by pairs; dims may differ
    ``whiten``      centre, then whiten by the pooled covariance
    =============== ==============================================================================

    Parameters
    ----------
    documents : mapping of field to array-like (n, dim)
        Rows of any length but zero; or an iterable of such arrays.
    modality_of : mapping of field to modality
    method : str
    pairs : mapping of field to array-like (n, dim), or a sequence of them, optional
        Rows of two or more fields; row i of each is the same item. With at least 10 of them the
        alignment is cross-validated (`cross_validate`): fitted on four fifths (of these pairs, or
        of the documents without the held-out rows), judged on the last fifth, in turn.
    queries : mapping of query modality to array-like (n, dim), optional
        Sample queries, for the query-side means of ``center``, ``pca_remove`` and ``whiten``.
    tolerance : float
        Loss of held-out MRR that is accepted, at least 0.
    source, target : str, optional
        Modalities, for ``shift``, ``procrustes`` and ``ridge``; image to text by default.
    components : int, optional
        Directions that ``pca_remove`` removes (default 1) or ``whiten`` keeps (default all).
    penalty : float
        λ of ``ridge``.
    shrinkage : float
        Of the covariance of ``whiten``, in [0, 1].
    folds, resamples, seed : int
        Of the validation.

    Returns
    -------
    AlignmentResult

    Raises
    ------
    AlignmentRefused
        When in some direction the 95 % upper bound of the change lies below ``-tolerance``.
    InvalidArgument
        For an unknown method, too few rows, rows without spread, bad options, and for
        ``procrustes`` and ``ridge`` without pairs.
    InvalidVector, SpaceMismatch
        For bad rows, and for dims that differ.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> image, text = rng.normal(size=(2, 100, 8)) + np.eye(8)[:2, None] * 3
    >>> modality_of = {"photo": "image", "caption": "text"}
    >>> found = align({"photo": image, "caption": text}, modality_of)
    >>> [finding.code for finding in found.findings]
    ['QUERY_MEAN_ASSUMED', 'QUERY_MEAN_ASSUMED', 'UNVALIDATED']
    """
    options = MapOptions(source, target, components, penalty, shrinkage)
    check_method(method)
    folds, resamples = whole("folds", folds, 2), whole("resamples", resamples)
    seed = whole("seed", seed, 0)
    given = read_pairs(pairs, modality_of)
    sample = sum_up(
        documents,
        modality_of,
        queries,
        [_counted(pairs_, documents) for pairs_ in given],
        options,
        moments=method in MOMENTS,
        several_dims=method in FITTED,
    )
    return judge(method, sample, tolerance=tolerance, folds=folds, resamples=resamples, seed=seed)


def judge(
    method: str,
    sample: Sample,
    *,
    tolerance: float,
    folds: int = FOLDS,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> AlignmentResult:
    """Fit `method` on a sample and cross-validate it on the sample's pairs; see `align`.

    Rows of the pairs that are documents too are taken out of the sums while they are held out.
    """
    check_tolerance(tolerance)
    maps = fit(method, sample)
    findings = _query_findings(method, sample)
    counts = [int(pairs.groups().max(initial=-1)) + 1 for pairs in sample.pairs]
    enough = [p for p, n in zip(sample.pairs, counts, strict=True) if n >= 2 * folds]
    if not enough:
        findings.append(_unvalidated(method, sample, max(counts, default=0), folds))
        return AlignmentResult(method, maps, None, tuple(findings))

    def refit(train: PairSet, held: PairSet) -> Mapping[str, _core.Alignment]:
        return fit(method, _without(method, sample, train, held))

    report = ValidationReport.join(
        [
            cross_validate(
                method,
                refit,
                sample.modality_of,
                pairs,
                tolerance=tolerance,
                folds=folds,
                resamples=resamples,
                seed=seed,
            )
            for pairs in enough
        ]
    )
    report.require()
    return AlignmentResult(method, maps, report, tuple(findings))


def check_method(method: object) -> None:
    """Refuse anything but the name of a method, with InvalidArgument."""
    if not isinstance(method, str) or method not in METHODS:
        raise InvalidArgument(f"method is {method!r}: choose one of {', '.join(METHODS)}")


def read_pairs(
    pairs: Pairs | Sequence[Pairs] | None, modality_of: Mapping[str, str]
) -> list[PairSet]:
    """Bring pairs into one form: unit rows of every two fields of different modalities."""
    if pairs is None:
        return []
    if isinstance(pairs, str) or not isinstance(pairs, Iterable):
        raise InvalidArgument(
            f"pairs is a {type(pairs).__name__}: give a dict of field to (n, dim) rows, or a list "
            "of such"
        )
    several = [pairs] if isinstance(pairs, Mapping) else list(pairs)
    found = []
    for given in several:
        if not isinstance(given, Mapping):
            raise InvalidArgument(
                f"pairs holds a {type(given).__name__}: give a dict of field to (n, dim) rows, "
                "row i of each being the same item"
            )
        rows = {}
        for name, value in given.items():
            if name not in modality_of:
                raise InvalidArgument(
                    f"pairs names the field {name!r}: there are {', '.join(map(repr, modality_of))}"
                )
            rows[name] = unit_rows(f"pairs[{name!r}]", value)
        counts = {name: len(value) for name, value in rows.items()}
        if len(set(counts.values())) > 1:
            raise InvalidArgument(
                f"pairs has {counts} rows: give as many of each field, row i being the same item"
            )
        crossing = [
            (a, b) for a, b in itertools.combinations(rows, 2) if modality_of[a] != modality_of[b]
        ]
        if not crossing:
            raise InvalidArgument(
                f"pairs has the fields {list(rows)}: give rows of two fields of two modalities"
            )
        names = {name: _numbered(value) for name, value in rows.items()}
        none = np.zeros(max(counts.values()), np.int64)
        found += [
            PairSet(
                (a, b),
                (rows[a], rows[b]),
                (names[a], names[b]),
                (none, none),
                rows[a].shape[1] != rows[b].shape[1],
            )
            for a, b in crossing
        ]
    return found


def _numbered(rows: Float64) -> npt.NDArray[np.int64]:
    """Give each row a number, equal rows the same."""
    seen: dict[bytes, int] = {}
    return np.array([seen.setdefault(row.tobytes(), len(seen)) for row in rows], np.int64)


def _counted(pairs: PairSet, documents: Mapping[str, Rows]) -> PairSet:
    """Count how often each row of the pairs is among the documents."""
    first, second = (
        _occurrences(rows, documents.get(name))
        for name, rows in zip(pairs.fields, pairs.rows, strict=True)
    )
    return replace(pairs, inside=(first, second))


def _occurrences(rows: Float64, documents: Rows | None) -> npt.NDArray[np.int64]:
    """How often each of `rows` is among the documents, bit by bit once of unit length."""
    streamed = not hasattr(documents, "__array__") and not isinstance(documents, (list, tuple))
    if streamed:  # and run out by now
        return np.zeros(len(rows), np.int64)
    array = np.asarray(documents)
    counts = {row.tobytes(): 0 for row in rows}
    for start in range(0, len(array), CHUNK):
        for row in unit_rows("documents", array[start : start + CHUNK]):
            key = row.tobytes()
            if key in counts:
                counts[key] += 1
    return np.array([counts[row.tobytes()] for row in rows], np.int64)


def _without(method: str, sample: Sample, train: PairSet, held: PairSet) -> Sample:
    """Take the rows of the held-out pairs out of a sample, and leave it `train` as its pairs."""
    if method in FITTED:
        return replace(sample, pairs=(train,))
    sums = dict(sample.sums)
    for side, name in enumerate(held.fields):
        moments = sums[name].square is not None
        sums[name] = sums[name].add(held.sums(side, moments=moments), -1)
    return replace(sample, sums=sums, pairs=(train,))


def _query_findings(method: str, sample: Sample) -> list[Finding]:
    if method not in CENTRED:
        return []
    return [
        Finding(
            "QUERY_MEAN_ASSUMED",
            f"No sample of {modality} queries was given, so the mean of the {modality} documents "
            "stands for theirs.",
            f"Give queries={{{modality!r}: rows}} with some hundreds of real queries.",
        )
        for modality in sample.modalities()
        if modality not in sample.queries
    ]


def _unvalidated(method: str, sample: Sample, count: int, folds: int) -> Finding:
    return Finding(
        "UNVALIDATED",
        f"There are {count} pairs of the fields {', '.join(map(repr, sample.sums))} and "
        f"{folds}-fold cross-validation needs {2 * folds}, so nothing tells whether {method!r} "
        "keeps the cross-modal ranking.",
        "Give pairs (some hundreds), or items that fill two fields.",
    )
