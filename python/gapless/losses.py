"""Contrastive losses in float64, with their gradients, and what makes training with them fail.

These are the definitions that a trainer is tested against; they are written to be read, not to be
fast.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .batch import as_array, whole
from .errors import InvalidArgument, InvalidVector

__all__ = [
    "INITIAL_LOG_SCALE",
    "MAX_LOG_SCALE",
    "Loss",
    "contrast",
    "duplicate_mask",
    "infonce",
    "siglip",
    "training_risks",
    "warn_of_risks",
]

INITIAL_LOG_SCALE = math.log(1 / 0.07)
"""Logarithm of 1 / temperature to start from (Radford et al. 2021)."""

MAX_LOG_SCALE = math.log(100)
"""Where a learnt one is clamped: a temperature below 0.01 makes training unstable."""

SAFE_BATCH = 256
SAFE_PAIRS = 50_000
HIGH_RATE = 1e-3
SAME = 1 - 1e-6  # cosine from which two rows are one thing twice

Float64: TypeAlias = "npt.NDArray[np.float64]"
Mask: TypeAlias = "npt.NDArray[np.bool_]"


@dataclass(frozen=True)
class Loss:
    """A loss and its derivatives.

    Attributes
    ----------
    value : float
    gradients : mapping of str to ndarray or float
        By argument: ``"image"`` and ``"text"`` (n, dim), with respect to the rows as given, and
        each number of the loss.
    """

    value: float
    gradients: Mapping[str, Any]


def contrast(
    logits: npt.ArrayLike, positive: npt.ArrayLike, ignored: npt.ArrayLike | None = None
) -> tuple[float, Float64]:
    """Cross-entropy of rows with several right answers, L_out of Khosla et al. 2020.

    With P_i the right columns of row i and A_i those that are not ignored,

        L = -1/n sum_i 1/|P_i| sum_{p in P_i} log( exp z_ip / sum_{a in A_i} exp z_ia )

    Parameters
    ----------
    logits : array-like (n, m)
        Finite.
    positive : array-like bool (n, m)
        At least one per row.
    ignored : array-like bool (n, m), optional
        Columns that are neither right nor wrong; never a positive.

    Returns
    -------
    float, ndarray (n, m) float64
        The loss and its gradient with respect to the logits.

    Raises
    ------
    InvalidArgument
        For other shapes, a row without a right answer, or an ignored one.
    """
    z: Float64 = as_array("the array of logits", logits).astype(np.float64)
    right = _places("positive", positive).astype(np.bool_)
    given = np.zeros(z.shape, np.bool_) if ignored is None else _places("ignored", ignored)
    out: Mask = given.astype(np.bool_)
    if z.ndim != 2 or not z.size or right.shape != z.shape or out.shape != z.shape:
        raise InvalidArgument(
            f"logits have shape {z.shape}, positive {right.shape} and ignored {out.shape}: "
            "give three (n, m), n and m at least 1"
        )
    if not np.isfinite(z).all():
        raise InvalidArgument("logits hold NaN or infinity: give finite numbers")
    if not right.any(axis=1).all() or (right & out).any():
        raise InvalidArgument(
            "a row has no right answer, or one that is ignored: give each row a positive"
        )
    z = np.where(out, -np.inf, z)
    z = z - z.max(axis=1, keepdims=True)
    logs = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    weights = right / right.sum(axis=1, keepdims=True)
    value = -np.where(right, logs, 0.0) * weights
    return float(value.sum(axis=1).mean()), (np.exp(logs) - weights) / len(z)


def infonce(
    image: npt.ArrayLike,
    text: npt.ArrayLike,
    temperature: float = 0.07,
    *,
    mask_duplicates: bool | npt.ArrayLike = False,
) -> Loss:
    """Symmetric InfoNCE (van den Oord et al. 2018; CLIP, Radford et al. 2021).

    With z_ij the cosine of image i and text j over the temperature, and pairs on the diagonal,

        L = 1/(2n) sum_i [ -log softmax_j(z_ij)_i - log softmax_j(z_ji)_i ]

    Parameters
    ----------
    image, text : array-like (n, dim)
        Non-zero rows of any length; row i of one belongs to row i of the other.
    temperature : float
        Above 0. Trainers learn log(1 / temperature), from `INITIAL_LOG_SCALE` and clamped at
        `MAX_LOG_SCALE`.
    mask_duplicates : bool or array-like bool (n, n)
        Leave false negatives out of the denominators: with True those of `duplicate_mask`, or the
        places given.

    Returns
    -------
    Loss
        Gradients ``"image"``, ``"text"`` and ``"temperature"``; the mask counts as constant.

    Raises
    ------
    InvalidArgument, InvalidVector
        For a temperature that is not positive, unfit masks, and bad rows.

    Examples
    --------
    >>> round(infonce([[1, 0], [0, 1]], [[1, 0], [0, 1]], temperature=1.0).value, 4)
    0.3133
    """
    tau = _number("temperature", temperature, 0.0)
    left, right, norms = _rows(image, text)
    out = _mask(mask_duplicates, left, right)
    cosine = left @ right.T
    own = np.eye(len(left), dtype=np.bool_)
    one, down = contrast(cosine / tau, own, out)
    other, across = contrast(cosine.T / tau, own, out.T)
    slope = (down + across.T) / (2 * tau)
    return Loss(
        (one + other) / 2,
        {
            **_through(slope, left, right, norms),
            "temperature": float(-(slope * cosine).sum() / tau),
        },
    )


def siglip(
    image: npt.ArrayLike,
    text: npt.ArrayLike,
    scale: float = 10.0,
    bias: float = -10.0,
    *,
    mask_duplicates: bool | npt.ArrayLike = False,
) -> Loss:
    """Pairwise sigmoid loss (Zhai et al. 2023, arXiv 2303.15343).

    With s_ij the cosine of image i and text j, and y_ij = 1 on the diagonal and -1 elsewhere,

        L = -1/n sum_ij log sigmoid( y_ij (scale s_ij + bias) )

    The sign multiplies the bias as well; without the brackets the loss is another one, that
    rewards a wrong bias.

    Parameters
    ----------
    image, text, mask_duplicates
        As for `infonce`; a masked place adds nothing.
    scale : float
        Above 0; the paper starts from 10.
    bias : float
        Finite; the paper starts from -10, as nearly all places are negatives.

    Returns
    -------
    Loss
        Gradients ``"image"``, ``"text"``, ``"scale"`` and ``"bias"``.

    Raises
    ------
    InvalidArgument, InvalidVector
        As for `infonce`.

    Examples
    --------
    >>> round(siglip([[1, 0], [0, 1]], [[1, 0], [0, 1]], scale=1.0, bias=0.0).value, 4)
    1.0064
    """
    t, b = _number("scale", scale, 0.0), _number("bias", bias, -math.inf)
    left, right, norms = _rows(image, text)
    out = _mask(mask_duplicates, left, right)
    n = len(left)
    cosine = left @ right.T
    sign = 2 * np.eye(n) - 1
    z = sign * (t * cosine + b)
    value = np.where(out, 0.0, np.logaddexp(0.0, -z)).sum() / n
    slope = np.where(out, 0.0, -sign * np.exp(-np.logaddexp(0.0, z)) / n)
    return Loss(
        float(value),
        {
            **_through(t * slope, left, right, norms),
            "scale": float((slope * cosine).sum()),
            "bias": float(slope.sum()),
        },
    )


def duplicate_mask(image: npt.ArrayLike, text: npt.ArrayLike) -> Mask:
    """Tell which places of a batch are false negatives: bool (n, n), symmetric, no diagonal.

    Places i, j are, where the images, or the texts, of both pairs point the same way (cosine of at
    least 1 - 1e-6).
    """
    left, right, _ = _rows(image, text)
    return _duplicates(left, right)


def training_risks(
    *, batch: int, pairs: int | None, learning_rate: float, pretrained: bool
) -> tuple[str, ...]:
    """Say what is likely to spoil a contrastive training.

    Parameters
    ----------
    batch : int
        Pairs in a batch. Each is told apart from the others of its batch only.
    pairs : int or None
        Pairs to train on; None where a loss of its own holds the encoder near what it knows.
    learning_rate : float
        Its peak, for the encoder.
    pretrained : bool
        Whether the encoder has been trained before.

    Returns
    -------
    tuple of str
        One sentence per risk, with the remedy; none when all is well.
    """
    batch = whole("batch", batch)
    pairs = None if pairs is None else whole("pairs", pairs)
    rate = _number("learning_rate", learning_rate, 0.0)
    found = []
    if batch < SAFE_BATCH:
        found.append(
            f"a batch of {batch} pairs leaves {batch - 1} negatives for each, which teaches coarse "
            f"differences only: use at least {SAFE_BATCH}, better 1024, or mine hard negatives"
        )
    if pretrained and pairs is not None and pairs < SAFE_PAIRS:
        found.append(
            f"{pairs} pairs are too few for a pretrained encoder, which forgets what they do not "
            f"show: use at least {SAFE_PAIRS}, or leave it as it is and fit an alignment"
        )
    if pretrained and rate >= HIGH_RATE:
        found.append(
            f"a learning rate of {rate:g} overwrites what a pretrained encoder knows within a few "
            f"steps: stay below {HIGH_RATE:g} (1e-5 is usual) and freeze the first layers"
        )
    return tuple(found)


def warn_of_risks(*, batch: int, pairs: int | None, learning_rate: float, pretrained: bool) -> None:
    """Issue each of the `training_risks` as a RuntimeWarning."""
    for risk in training_risks(
        batch=batch, pairs=pairs, learning_rate=learning_rate, pretrained=pretrained
    ):
        warnings.warn(risk, RuntimeWarning, stacklevel=3)


def _rows(image: npt.ArrayLike, text: npt.ArrayLike) -> tuple[Float64, Float64, list[Float64]]:
    """Give unit rows of both, and their lengths (n, 1)."""
    units, norms = [], []
    for name, given in (("image", image), ("text", text)):
        rows = as_array(name, given).astype(np.float64)
        if rows.ndim != 2 or not rows.size:
            raise InvalidVector(f"{name} has shape {rows.shape}: give (n, dim), n at least 1")
        norm: Float64 = np.linalg.norm(rows, axis=1, keepdims=True)
        if not (np.isfinite(norm) & (norm > 0)).all():
            raise InvalidVector(f"{name} has a zero, NaN or infinite row: leave it out")
        units.append(rows / norm)
        norms.append(norm)
    if units[0].shape != units[1].shape:
        raise InvalidVector(
            f"image has shape {units[0].shape} and text {units[1].shape}: give row i of both "
            "for pair i"
        )
    return units[0], units[1], norms


def _through(slope: Float64, left: Float64, right: Float64, norms: list[Float64]) -> dict[str, Any]:
    """Lead the gradient with respect to the cosines back to the rows, through their lengths."""
    gradients = {}
    for name, unit, norm, pull in (
        ("image", left, norms[0], slope @ right),
        ("text", right, norms[1], slope.T @ left),
    ):
        radial = (pull * unit).sum(axis=1, keepdims=True)
        gradients[name] = (pull - radial * unit) / norm
    return gradients


def _duplicates(left: Float64, right: Float64) -> Mask:
    same: Mask = (left @ left.T >= SAME) | (right @ right.T >= SAME)
    np.fill_diagonal(same, False)
    return same


def _mask(given: bool | npt.ArrayLike, left: Float64, right: Float64) -> Mask:
    n = len(left)
    if isinstance(given, (bool, np.bool_)):
        return _duplicates(left, right) if given else np.zeros((n, n), np.bool_)
    mask = _places("mask_duplicates", given)
    if mask.dtype != np.bool_ or mask.shape != (n, n) or mask.diagonal().any():
        raise InvalidArgument(
            f"mask_duplicates is {mask.dtype} of shape {mask.shape}: give True, False, or bool "
            f"({n}, {n}) with a diagonal of False"
        )
    return mask


def _places(what: str, given: npt.ArrayLike) -> npt.NDArray[Any]:
    try:
        return np.asarray(given)
    except ValueError as error:
        raise InvalidArgument(f"{what} is no array: rows of unequal length ({error})") from error


def _number(what: str, value: object, low: float) -> float:
    if (
        isinstance(value, (int, float, np.integer, np.floating))
        and not isinstance(value, bool)
        and low < value < math.inf
    ):
        return float(value)
    raise InvalidArgument(f"{what} is {value!r}: give a finite number above {low:g}")
