"""The bootstrap: how sure a mean over queries or pairs is (Efron and Tibshirani 1993)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["RESAMPLES", "draws"]

RESAMPLES = 2_000
BLOCK = 200  # resamples drawn at once


def draws(count: int, resamples: int, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """How often each of `count` things is drawn in each resample, with replacement.

    Returns
    -------
    ndarray (resamples, count) float32
        Whole numbers; every row sums to `count`.

    Examples
    --------
    >>> draws(5, 3, np.random.default_rng(0)).sum(axis=1)
    array([5., 5., 5.], dtype=float32)
    """
    times = np.empty((resamples, count), np.float32)
    for start in range(0, resamples, BLOCK):
        size = min(BLOCK, resamples - start)
        drawn = rng.integers(0, count, (size, count)) + count * np.arange(size)[:, None]
        counted = np.bincount(drawn.ravel(), minlength=size * count)
        times[start : start + size] = counted.reshape(size, count)
    return times
