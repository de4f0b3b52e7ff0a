"""Measures of how the vectors of two modalities lie in their common space, in numpy.

Rows are arrays (n, dim), taken in float64 and meant to be of unit norm; `paired` measures want
row i of both arrays to mean the same thing. No measure is ever NaN: where a value has no meaning
(one row, no spread) the docstring says what comes instead. They look at all rows given, so give
a sample; `gapless.diagnose` does.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from ..batch import as_array, whole
from ..errors import InvalidArgument, InvalidVector

__all__ = [
    "Moments",
    "alignment_loss",
    "antihub_share",
    "centroid_cosine_distance",
    "centroid_distance",
    "effective_rank",
    "hub_skew",
    "k_occurrence",
    "lisi",
    "mean_distance",
    "neighbour_agreement",
    "offset_constancy",
    "offset_cosine",
    "outlier_share",
    "random_cosine",
    "relative_gap",
    "separability",
    "spread",
    "uniformity_loss",
]

TINY = 1e-12
RIDGE = 1e-3  # of the mean eigenvalue: keeps the discriminant defined when dim > rows

Rows: TypeAlias = npt.ArrayLike
Float64: TypeAlias = "npt.NDArray[np.float64]"


class Moments(NamedTuple):
    """Mean and population standard deviation."""

    mean: float
    std: float


def _rows(rows: Rows, least: int = 1) -> Float64:
    array: Float64 = as_array("the array of rows", rows).astype(np.float64, copy=False)
    if array.ndim != 2 or len(array) < least or not array.shape[1]:
        raise InvalidArgument(
            f"the rows have shape {array.shape}: give (n, dim) with n of at least {least}"
        )
    if not np.isfinite(array).all():
        raise InvalidVector("the rows hold NaN or infinity: leave such rows out")
    return array


def _two(x: Rows, y: Rows, *, paired: bool = False, least: int = 1) -> tuple[Float64, Float64]:
    a, b = _rows(x, least), _rows(y, least)
    if a.shape[1] != b.shape[1] or (paired and len(a) != len(b)):
        wanted = "one shape, row i of one belonging to row i of the other" if paired else "one dim"
        raise InvalidArgument(f"the rows have shapes {a.shape} and {b.shape}: give {wanted}")
    return a, b


def _depth(scores: npt.ArrayLike, k: int, least: int = 1) -> Float64:
    array: Float64 = as_array("the array of scores", scores).astype(np.float64, copy=False)
    whole("k", k)
    if np.isnan(array).any():
        raise InvalidArgument("the scores hold NaN: give -inf where a document must not be found")
    if array.ndim != 2 or not len(array) or not least <= k <= array.shape[1]:
        raise InvalidArgument(
            f"k is {k} and the scores have shape {array.shape}: give (queries, documents) scores "
            f"and a k from {least} to the number of documents"
        )
    return array


def _first(scores: Float64, k: int) -> npt.NDArray[np.int64]:
    """Columns of the k highest of every row, best first; ties go to the lower column."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


# -- cones and the gap --------------------------------------------------------------------------


def centroid_distance(x: Rows, y: Rows) -> float:
    """Distance of the centroids, ``‖E x - E y‖`` (L2M; Liang et al. 2022, arXiv 2203.02053)."""
    a, b = _two(x, y)
    return float(np.linalg.norm(a.mean(axis=0) - b.mean(axis=0)))


def centroid_cosine_distance(x: Rows, y: Rows) -> float:
    """``1 - cos(E x, E y)``, from 0 to 2; 1 when a centroid is at the origin."""
    a, b = (rows.mean(axis=0) for rows in _two(x, y))
    norms = float(np.linalg.norm(a) * np.linalg.norm(b))
    return 1.0 - float(a @ b) / norms if norms > TINY else 1.0


def spread(rows: Rows) -> float:
    """Root mean square distance from the centroid, ``sqrt(E‖x‖² - ‖E x‖²)``: 0 to 1."""
    array = _rows(rows)
    centre = array.mean(axis=0)
    return float(np.sqrt(max(0.0, np.square(array).sum(axis=1).mean() - centre @ centre)))


def offset_constancy(x: Rows, y: Rows) -> float:
    """Share of the distance of matched rows that one constant offset explains.

    ``‖E[x - y]‖² / E‖x - y‖²`` over paired rows, from 0 to 1; 1 minus it is the residual that
    depends on the item and no shift removes. 0 when all pairs coincide.
    """
    a, b = _two(x, y, paired=True)
    offset = a - b
    power = float(np.square(offset).sum(axis=1).mean())
    mean = offset.mean(axis=0)
    return float(mean @ mean) / power if power > TINY else 0.0


def offset_cosine(x: Rows, y: Rows) -> Moments:
    """Mean and std of ``cos(x_i - y_i, E[x - y])`` over paired rows: how alike the offsets point.

    A pair that coincides, or pairs without a mean offset, count as cosine 0.
    """
    a, b = _two(x, y, paired=True)
    offset = a - b
    gap = offset.mean(axis=0)
    norms = np.linalg.norm(offset, axis=1) * np.linalg.norm(gap)
    cosine = np.where(norms > TINY, offset @ gap / np.maximum(norms, TINY), 0.0)
    return Moments(float(cosine.mean()), float(cosine.std()))


def relative_gap(x: Rows, y: Rows) -> float:
    """Relative modality gap, RMG (Schrodi et al. 2025, arXiv 2404.07983).

    ``D / (D + (I_x + I_y) / 2)`` with d(a, b) = (1 - cos) / 2, D its mean over the matched
    (paired) rows and I over the different rows of one side. 0: pairs coincide; 1/2: a row is as
    far from its match as from a random row of its own side; 1: only the gap is left. The
    published code averages I over all n² entries, the n equal ones included; so does this.
    """
    a, b = _two(x, y, paired=True)
    a, b = (v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), TINY) for v in (a, b))
    between = float((1.0 - (a * b).sum(axis=1)).mean()) / 2.0
    within = 0.0
    for rows in (a, b):
        # The mean of all n² cosines is ‖E x‖²; those of a row with itself are 1 but for zero rows.
        centre, own = rows.mean(axis=0), float(np.square(rows).sum(axis=1).mean())
        within += (1.0 - float(centre @ centre) - (1.0 - own) / len(rows)) / 4.0
    total = between + within
    return between / total if total > TINY else 0.0


def separability(x: Rows, y: Rows, seed: int = 0) -> float:
    """Held-out accuracy of a linear classifier that tells the two sides apart, 0 to 1.

    Half of each side, drawn with `seed`, trains a ridge discriminant (least squares on ±1, the
    sides weighted alike); the result is the mean of both sides' accuracy on the other half. 1/2
    is chance, 1 a hyperplane between the cones (Shi et al. 2023; the gap of CLIP is 1.000).

    Raises
    ------
    InvalidArgument
        For fewer than 4 rows on a side.
    """
    sides = _two(x, y, least=4)
    rng = np.random.default_rng(seed)
    train, test = [], []
    for rows in sides:
        order = rng.permutation(len(rows))
        train.append(rows[order[: len(rows) // 2]])
        test.append(rows[order[len(rows) // 2 :]])
    middle = (train[0].mean(axis=0) + train[1].mean(axis=0)) / 2.0
    weight = np.concatenate([np.full(len(rows), len(rows) ** -0.5) for rows in train])
    features = (np.concatenate(train) - middle) * weight[:, None]
    target = weight * np.repeat([1.0, -1.0], [len(rows) for rows in train])
    n, dim = features.shape
    if dim <= n:
        gram = features.T @ features
        gram[np.diag_indices(dim)] += max(RIDGE * np.trace(gram) / dim, TINY)
        direction = np.linalg.solve(gram, features.T @ target)
    else:
        gram = features @ features.T
        gram[np.diag_indices(n)] += max(RIDGE * np.trace(gram) / dim, TINY)
        direction = features.T @ np.linalg.solve(gram, target)
    right = [((rows - middle) @ direction * sign > 0) for rows, sign in zip(test, (1, -1))]  # noqa: B905
    return float((right[0].mean() + right[1].mean()) / 2.0)


def lisi(scores: npt.ArrayLike, sides: npt.ArrayLike, k: int) -> float:
    """Mean inverse Simpson index of the sides among the k nearest: 1 separated, M well mixed.

    ``mean_i 1 / sum_m p_m²`` with p the shares of the M sides among the first k of row i, all
    neighbours counting alike (LISI; Korsunsky et al. 2019, which weights them by distance).

    Parameters
    ----------
    scores : (n, documents)
        Higher is nearer; a row's own place holds -inf.
    sides : (documents,)
        The side, or modality, of each document.
    """
    array = _depth(scores, k)
    if np.shape(sides) != array.shape[1:]:
        raise InvalidArgument(
            f"sides has shape {np.shape(sides)} for {array.shape[1]} documents: give each its side"
        )
    _, code = np.unique(np.asarray(sides), return_inverse=True)
    near = code[_first(array, k)]
    shares = np.stack([(near == m).mean(axis=1) for m in range(code.max() + 1)], axis=1)
    return float((1.0 / np.square(shares).sum(axis=1)).mean())


# -- what training optimises --------------------------------------------------------------------


def alignment_loss(x: Rows, y: Rows) -> float:
    """``E‖x - y‖²`` over paired rows: 0 to 4, lower is better (Wang & Isola 2020)."""
    a, b = _two(x, y, paired=True)
    return float(np.square(a - b).sum(axis=1).mean())


def uniformity_loss(rows: Rows) -> float:
    """``log E exp(-2‖x - x'‖²)`` over different rows: lower spreads more, 0 when all are equal.

    Wang & Isola 2020, arXiv 2005.10242, with t = 2; near -4 when many rows of many dimensions
    point everywhere alike. 0 for a single row.
    """
    array = _rows(rows)
    distance = _squared_distances(array)
    return float(np.log(np.exp(-2.0 * distance).mean())) if distance.size else 0.0


# -- collapse -----------------------------------------------------------------------------------


def random_cosine(x: Rows, y: Rows | None = None) -> Moments:
    """Mean and std of the cosine of different rows: of `x`, or of `x` against `y` at i != j.

    A std below .01 is a collapse: every score is the same. (0, 0) when there is no such pair.
    """
    a, b = _two(x, x if y is None else y)
    a, b = (v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), TINY) for v in (a, b))
    cosine = (a @ b.T)[~np.eye(len(a), len(b), dtype=bool)]
    return Moments(float(cosine.mean()), float(cosine.std())) if cosine.size else Moments(0.0, 0.0)


def effective_rank(rows: Rows) -> float:
    """``exp(H(p))``, p the eigenvalues of the covariance over their sum: 1 to min(dim, n - 1).

    Roy & Vetterli 2007: how many dimensions the rows really use around their centroid. 1 when
    they do not vary at all.
    """
    array = _rows(rows)
    array = array - array.mean(axis=0)
    gram = array.T @ array if len(array) >= array.shape[1] else array @ array.T
    values = np.clip(np.linalg.eigvalsh(gram), 0.0, None)
    if values.sum() <= TINY:
        return 1.0
    p = values / values.sum()
    p = p[p > 0]
    return float(np.exp(-(p * np.log(p)).sum()))


def mean_distance(rows: Rows) -> float:
    """Mean Euclidean distance of different rows, 0 to 2: low is collapse. 0 for a single row."""
    distance = _squared_distances(_rows(rows))
    return float(np.sqrt(distance).mean()) if distance.size else 0.0


def _squared_distances(rows: Float64) -> Float64:
    """Squared distances of all pairs i < j."""
    power = np.square(rows).sum(axis=1)
    full = power[:, None] + power[None, :] - 2.0 * (rows @ rows.T)
    distances: Float64 = np.clip(full[np.triu_indices(len(rows), 1)], 0.0, None)
    return distances


# -- neighbours ---------------------------------------------------------------------------------


def k_occurrence(scores: npt.ArrayLike, k: int) -> npt.NDArray[np.int64]:
    """How often each document is among the first k of a query: int64 (documents,).

    `scores` is (queries, documents), higher is nearer; -inf where a row would find itself.
    """
    array = _depth(scores, k)
    return np.bincount(_first(array, k).ravel(), minlength=array.shape[1])


def hub_skew(occurrence: npt.ArrayLike) -> float:
    """Skewness of the k-occurrences, ``E(N - EN)³ / std(N)³`` (Radovanović et al. 2010).

    Near 0 every document is found about equally often; above 1.4 a few hubs answer too many
    queries (Feldbauer & Flexer 2019). 0 when all are found equally often.
    """
    count = _counts(occurrence)
    rest = count - count.mean()
    std = float(count.std())
    return float((rest**3).mean()) / std**3 if std > TINY else 0.0


def antihub_share(occurrence: npt.ArrayLike) -> float:
    """Share of documents that no query finds, 0 to 1."""
    return float((_counts(occurrence) == 0).mean())


def _counts(occurrence: npt.ArrayLike) -> Float64:
    array: Float64 = as_array("the array of occurrences", occurrence).astype(np.float64)
    if array.ndim != 1 or not len(array) or not np.isfinite(array).all():
        raise InvalidArgument(
            f"the occurrences have shape {array.shape}: give (documents,) counts, of 1 at least"
        )
    return array


def neighbour_agreement(x: Rows, y: Rows, k: int) -> float:
    """Share of neighbours that both sides agree on: NAS@k, 0 to 1.

    ``mean_i |N_k(x_i) ∩ N_k(y_i)| / k`` over paired rows, neighbours taken inside each side;
    k / (n - 1) is chance.
    """
    a, b = _two(x, y, paired=True, least=2)
    member = []
    for rows in (a, b):
        scores = rows @ rows.T
        np.fill_diagonal(scores, -np.inf)
        _depth(scores[:, 1:], k)
        inside = np.zeros(scores.shape, dtype=bool)
        np.put_along_axis(inside, _first(scores, k), values=True, axis=1)
        member.append(inside)
    return float((member[0] & member[1]).sum(axis=1).mean()) / k


def outlier_share(queries: Rows, rows: Rows, k: int, tail: float = 0.05) -> float:
    """Share of queries that lie farther from `rows` than all but `tail` of the rows themselves do.

    The measure is the cosine to the k-th nearest row, a row leaving itself out (Sun et al. 2022,
    arXiv 2204.06507). About `tail` when the queries are like the rows; more is out of
    distribution.
    """
    a, b = _two(queries, rows, least=1)
    if not 1 <= whole("k", k) < len(b):
        raise InvalidArgument(f"k is {k} for {len(b)} rows: give a k from 1 to {len(b) - 1}")
    if not 0.0 <= tail <= 1.0:
        raise InvalidArgument(f"tail is {tail}: give a share from 0 to 1")
    own = b @ b.T
    np.fill_diagonal(own, -np.inf)
    limit = np.quantile(np.partition(own, -k, axis=1)[:, -k], tail)
    return float((np.partition(a @ b.T, -k, axis=1)[:, -k] < limit).mean())
