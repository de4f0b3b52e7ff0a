"""The methods that estimate an alignment: from rows to affine maps of documents and queries.

Every method returns, for each field, the map x' = N(Wx + o) of its documents and one such map for
the queries of each modality, N being normalisation; the index applies both while scoring.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np

from .. import _core
from ..errors import InvalidArgument, SpaceMismatch
from .rows import Float32, Float64, Rows, RowSums
from .samples import Sample, sum_up

__all__ = ["CENTRED", "FITTED", "METHODS", "MOMENTS", "center", "fit"]

MIN_SPREAD = 1e-6  # of unit rows about their mean; below it they are one row, repeated

Maps: TypeAlias = "dict[str, _core.Alignment]"
Affine: TypeAlias = "tuple[Float32 | None, Float32 | None]"


def center(
    documents: Mapping[str, Rows],
    modality_of: Mapping[str, str],
    queries: Mapping[str, Rows] | None = None,
) -> Maps:
    """Two-sided centring: subtract each side's own mean from query and document.

    With N(x) = x / ‖x‖, a query q of modality m and a document d of field f become

        q' = N(N(q) - mu_m),    d' = N(N(d) - mu_f),    score = <q', d'>

    which is GR-CLIP (Li et al., "Closing the Modality Gap for Mixed Modality Search", 2025,
    arXiv 2507.19054). Its three means are those of the queries of a modality, and of the
    documents of each field; queries are short and documents long, so give real `queries` when
    there are any.

    Parameters
    ----------
    documents : mapping of field to array-like (n, dim)
        The rows of every field of one space, or an iterable of such arrays for rows that do not
        fit in memory at once. At least 2 rows each; some hundreds make a steady mean.
    modality_of : mapping of field to modality
    queries : mapping of query modality to array-like (n, dim), optional
        Sample queries. A modality left out uses the mean of its documents.

    Returns
    -------
    dict of field to Alignment
        Document offset ``-mu_f`` and one query offset ``-mu_m`` per known query modality.
        Means are taken in float64.

    Raises
    ------
    InvalidArgument
        For a field or query sample with fewer than 2 rows, a field whose rows are all the same,
        or a field without a modality.
    InvalidVector
        For a zero, NaN or infinite row, naming it.
    SpaceMismatch
        When dims differ: these fields cannot share a space.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> image, text = rng.normal(size=(2, 100, 8)) + np.eye(8)[:2, None] * 3
    >>> maps = center({"photo": image, "caption": text}, {"photo": "image", "caption": "text"})
    >>> maps["photo"].offset.shape
    (8,)
    """
    return fit("center", sum_up(documents, modality_of, queries))


def fit(method: str, sample: Sample) -> Maps:
    """Estimate the alignment of every field by one of `METHODS`.

    Raises
    ------
    InvalidArgument
        For an unknown method, too few rows or pairs, and rows without any spread.
    """
    if method not in METHODS:
        raise InvalidArgument(f"method is {method!r}: choose one of {', '.join(METHODS)}")
    return METHODS[method](sample)


def _center(sample: Sample) -> Maps:
    query: dict[str, Affine] = {
        name: (_f32(-mean), None) for name, mean in sample.query_means().items()
    }
    return {
        name: _core.Alignment(offset=_f32(-_spread_mean(sums)), query=query)
        for name, sums in sample.sums.items()
    }


def _shift(sample: Sample) -> Maps:
    """D' = N(d + gap) for the source's documents, gap = mean(target) - mean(source); one-sided.

    The recipe of "The Modality Gap" and the shift of Mind the Gap (Liang et al. 2022) with λ = 1.
    Queries of the source move as its documents do; those of the target stay.
    """
    source, target = sample.direction()
    gap = _f32(sample.document_mean(target) - sample.document_mean(source))
    return _one_sided(sample, source, (gap, None))


def _project(sample: Sample) -> Maps:
    """Z' = N(z - G Gᵀ z), G spanning what the means of the modalities differ by.

    With two modalities G is one column, the direction of the gap; both sides are projected.
    """
    names = sample.modalities()
    if len(names) < 2:
        raise InvalidArgument(
            f"there are documents of {names} alone, so there is no gap to project out: "
            "give fields of two modalities"
        )
    means = np.stack([sample.document_mean(name) for name in names])
    _, sizes, basis = np.linalg.svd(means - means.mean(axis=0), full_matrices=False)
    kept = basis[: len(names) - 1][sizes[: len(names) - 1] > MIN_SPREAD]
    if not len(kept):
        raise InvalidArgument(
            f"the means of {', '.join(names)} are the same, so there is no gap to project out: "
            "leave the scores raw"
        )
    linear = _f32(np.eye(means.shape[1]) - kept.T @ kept)
    asked = dict.fromkeys((*names, *sample.queries))
    query: dict[str, Affine] = dict.fromkeys(asked, (None, linear))
    return {name: _core.Alignment(linear=linear, query=query) for name in sample.sums}


def _pca_remove(sample: Sample) -> Maps:
    """Z' = N((I - U Uᵀ)(z - mean)), U the leading principal directions of the centred union.

    "All but the top" (Mu and Viswanath 2018) with the mean of each side.
    """
    count = sample.options.components or 1
    values, vectors = np.linalg.eigh(_pooled(sample))
    rank = int((values > MIN_SPREAD**2).sum())
    if count >= rank:
        raise InvalidArgument(
            f"components is {count} and the centred rows span {rank} dims: "
            f"give at most {max(rank - 1, 0)}, or more rows"
        )
    top = vectors[:, -count:]
    return _two_sided(sample, np.eye(len(values)) - top @ top.T)


def _whiten(sample: Sample) -> Maps:
    """Z' = N(C^-½ (z - mean)), C the covariance of the centred union, shrunk to its mean variance.

    ZCA; with `components` PCA whitening, which keeps that many leading directions. C is
    (1 - s) S + s tr(S)/dim I (Ledoit and Wolf 2004 with a given s).
    """
    covariance = _pooled(sample)
    dim = len(covariance)
    variance = float(np.trace(covariance)) / dim
    share = sample.options.shrinkage
    values, vectors = np.linalg.eigh((1 - share) * covariance + share * variance * np.eye(dim))
    kept = sample.options.components or dim
    if kept > dim:
        raise InvalidArgument(
            f"components is {kept} and the rows have {dim} dims: give at most that"
        )
    if values[dim - kept] <= MIN_SPREAD**2:
        raise InvalidArgument(
            f"the centred rows span fewer than {kept} dims: raise shrinkage above {share}, give "
            "fewer components, or more rows"
        )
    # The mean variance is taken out, which no cosine sees, to stay well within float32.
    half = vectors[:, dim - kept :] * np.sqrt(variance / values[dim - kept :])
    linear = half.T if sample.options.components else half @ vectors.T
    return _two_sided(sample, linear)


def _procrustes(sample: Sample) -> Maps:
    """X' = N(R(x - mean_x) + mean_y), R = V Uᵀ of the SVD of Xᵀ Y (Schönemann 1966), on pairs."""
    source, target = sample.direction()
    x, y = sample.paired(source, target)
    if x.shape[1] != y.shape[1]:
        raise SpaceMismatch(
            f"{source} has dim {x.shape[1]} and {target} {y.shape[1]}: a rotation keeps the dim; "
            "use method 'ridge'"
        )
    _check_spread(source, x)
    _check_spread(target, y)
    mean_x, mean_y = x.mean(axis=0), y.mean(axis=0)
    left, _, right = np.linalg.svd((x - mean_x).T @ (y - mean_y))
    return _one_sided(sample, source, _moved(right.T @ left.T, mean_x, mean_y))


def _ridge(sample: Sample) -> Maps:
    """X' = N(W(x - mean_x) + mean_y), Wᵀ = (Xᵀ X + λI)⁻¹ Xᵀ Y on centred pairs.

    The two sides may have different dims: x is then taken into the target's space.
    """
    source, target = sample.direction()
    x, y = sample.paired(source, target)
    _check_spread(source, x)
    _check_spread(target, y)
    mean_x, mean_y = x.mean(axis=0), y.mean(axis=0)
    x, y = x - mean_x, y - mean_y
    square = x.T @ x + sample.options.penalty * np.eye(x.shape[1])
    if np.linalg.matrix_rank(square, hermitian=True) < len(square):
        raise InvalidArgument(
            f"penalty is {sample.options.penalty} and {len(x)} pairs do not fix a map of "
            f"{x.shape[1]} dims: give a penalty above 0, or more pairs"
        )
    linear = np.linalg.solve(square, x.T @ y).T
    return _one_sided(sample, source, _moved(linear, mean_x, mean_y))


def _check_spread(modality: str, rows: Float64) -> None:
    if np.linalg.norm(rows - rows.mean(axis=0), axis=1).max() < MIN_SPREAD:
        raise InvalidArgument(
            f"all {len(rows)} paired rows of {modality} are the same, so that nothing can be "
            "fitted on them: give other pairs, or leave the scores raw"
        )


def _moved(linear: Float64, source: Float64, target: Float64) -> Affine:
    return _f32(target - linear @ source), _f32(linear)


def _one_sided(sample: Sample, source: str, moved: Affine) -> Maps:
    """Move documents and queries of the source; leave the others where they are."""
    asked = dict.fromkeys((*sample.modalities(), *sample.queries))
    query: dict[str, Affine] = {name: moved if name == source else (None, None) for name in asked}
    offset, linear = moved
    return {
        name: _core.Alignment(offset=offset, linear=linear, query=query)
        if sample.modality_of[name] == source
        else _core.Alignment(query=query)
        for name in sample.sums
    }


def _two_sided(sample: Sample, linear: Float64) -> Maps:
    """Subtract each side's mean, then apply `linear` to both."""
    query: dict[str, Affine] = {
        name: (_f32(-linear @ mean), _f32(linear)) for name, mean in sample.query_means().items()
    }
    return {
        name: _core.Alignment(
            offset=_f32(-linear @ _spread_mean(sums)), linear=_f32(linear), query=query
        )
        for name, sums in sample.sums.items()
    }


def _pooled(sample: Sample) -> Float64:
    """Covariance of all rows, each centred by the mean of its field."""
    total: Float64 = np.sum([sums.scatter() for sums in sample.sums.values()], axis=0)
    return np.asarray(total / sum(sums.count for sums in sample.sums.values()))


def _spread_mean(sums: RowSums) -> Float64:
    mean = sums.mean
    if 1.0 - mean @ mean < MIN_SPREAD**2:
        raise InvalidArgument(
            f"all {sums.count} rows of {sums.what} are the same, and centring would leave nothing "
            "of them: add other vectors, or leave the scores raw"
        )
    return mean


def _f32(values: Float64) -> Float32:
    return np.ascontiguousarray(values, dtype=np.float32)


METHODS: dict[str, Callable[[Sample], Maps]] = {
    "center": _center,
    "shift": _shift,
    "project": _project,
    "pca_remove": _pca_remove,
    "procrustes": _procrustes,
    "ridge": _ridge,
    "whiten": _whiten,
}
CENTRED = ("center", "pca_remove", "whiten")  # by the means of queries as well as documents
FITTED = ("procrustes", "ridge")  # on pairs
MOMENTS = ("pca_remove", "whiten")  # need second moments
