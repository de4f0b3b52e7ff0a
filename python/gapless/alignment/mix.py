"""Rows for documents that have a text and an image."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..errors import InvalidArgument, InvalidVector, SpaceMismatch
from .rows import MIN_NORM, Float32, Float64, RowSums, unit_rows

__all__ = ["alpha_mix"]


def alpha_mix(
    text_rows: npt.ArrayLike,
    image_rows: npt.ArrayLike,
    alpha: float = 0.5,
    text_mean: npt.ArrayLike | None = None,
    image_mean: npt.ArrayLike | None = None,
) -> Float32:
    """One row for a document that has a text and an image: GR-CLIP's mix, centred by its own mean.

        d = N(a N(t) + (1 - a) N(i) - [a mean_t + (1 - a) mean_i])

    (Li et al. 2025, arXiv 2507.19054, with a = .5). The rows are centred already: put them into
    a field of their own and let its alignment centre the queries alone,
    ``Alignment(query={"text": (-mean_of_text_queries, None)})``.

    Parameters
    ----------
    text_rows, image_rows : array-like (n, dim)
        Row i of both belongs to document i; any length but zero.
    alpha : float
        Weight of the text, in [0, 1].
    text_mean, image_mean : array-like (dim,), optional
        Mean of unit rows over a larger set; those of the given rows by default (at least 2).

    Returns
    -------
    ndarray (n, dim) float32
        Unit rows; a zero row where nothing is left (which no index takes).

    Raises
    ------
    InvalidArgument
        For an alpha outside [0, 1], or no mean and fewer than 2 rows.
    InvalidVector, SpaceMismatch
        For bad rows or means; for unequal shapes.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> alpha_mix(rng.normal(size=(20, 8)), rng.normal(size=(20, 8))).shape
    (20, 8)
    """
    if not 0.0 <= alpha <= 1.0:
        raise InvalidArgument(f"alpha is {alpha!r}: give the weight of the text, in [0, 1]")
    text, image = unit_rows("text_rows", text_rows), unit_rows("image_rows", image_rows)
    if text.shape != image.shape:
        raise SpaceMismatch(
            f"text_rows has shape {text.shape} and image_rows {image.shape}: give one row of one "
            "space per document on either side"
        )
    means: list[Float64] = []
    for what, rows, given in (("text", text, text_mean), ("image", image, image_mean)):
        if given is None:
            means.append(RowSums(f"{what}_rows", rows).mean)
            continue
        mean = np.asarray(given, dtype=np.float64)
        if mean.shape != rows.shape[1:] or not np.isfinite(mean).all():
            raise InvalidVector(
                f"{what}_mean has shape {mean.shape}: give {rows.shape[1:]} finite numbers"
            )
        means.append(mean)
    mixed = alpha * (text - means[0]) + (1.0 - alpha) * (image - means[1])
    norms = np.linalg.norm(mixed, axis=1, keepdims=True)
    return np.where(norms < MIN_NORM, 0.0, mixed / np.maximum(norms, MIN_NORM)).astype(np.float32)
