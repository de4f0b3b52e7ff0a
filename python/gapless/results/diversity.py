"""Maximal marginal relevance: hits that are good and unlike those before them."""

from __future__ import annotations

import numbers
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ..batch import whole
from ..errors import InvalidArgument

__all__ = ["MOST", "check_trade_off", "mmr", "relevance"]

MOST = 500  # candidates; of more, a table of all pairs takes longer than the search did

Float64: TypeAlias = "npt.NDArray[np.float64]"


def check_trade_off(given: object) -> float:
    """Check a weight of relevance against novelty.

    Raises
    ------
    InvalidArgument
        When it is no number from 0 to 1.
    """
    if (
        isinstance(given, bool)
        or not isinstance(given, (numbers.Real, np.number))
        or not 0.0 <= float(given) <= 1.0
    ):
        raise InvalidArgument(
            f"diversity's relevance weight is {given!r:.40}: give a number from 0 (as unlike each "
            "other as can be) to 1 (by relevance alone); 0.7 is a good start"
        )
    return float(given)


def relevance(scores: npt.ArrayLike, method: str) -> Float64:
    """Scale the scores of one ranking to the relevance, 0 to 1, that diversity is weighed against.

    Probabilities (the method ``"calibrated"``) are divided by the largest, so that an item half as
    probable as the best has ½, whatever the prior. Other scores have neither zero nor unit: the
    best of the candidates has 1 and the worst 0, which is why more candidates make the difference
    of the first ones smaller.

    Parameters
    ----------
    scores : array-like (n,)
    method : str
        The fusion that made them.

    Returns
    -------
    ndarray (n,) float64
        All 1 where the scores are equal; 0 for one that is not finite, as of an item that a
        reranker was not asked about.
    """
    found = np.asarray(scores, np.float64)
    told = np.isfinite(found)
    if not told.any():
        return told.astype(np.float64)
    low = 0.0 if method == "calibrated" else float(found[told].min())
    spread = float(found[told].max()) - low
    scaled = np.ones_like(found) if spread <= 0.0 else (found - low) / spread
    return np.where(told, scaled, 0.0)


def mmr(
    relevance: npt.ArrayLike, similarity: npt.ArrayLike, limit: int, trade_off: float = 0.7
) -> npt.NDArray[np.intp]:
    """Choose items one by one by maximal marginal relevance.

    Each is the one with the largest

        trade_off * relevance - (1 - trade_off) * (largest similarity to one chosen before)

    (Carbonell and Goldstein 1998). Of equals the one that comes first is taken, so that with
    ``trade_off=1`` a ranking keeps its order.

    Parameters
    ----------
    relevance : array-like (n,)
    similarity : array-like (n, n)
        0 for nothing in common, 1 for the same.
    limit : int
        Items wanted.
    trade_off : float
        From 0 to 1.

    Returns
    -------
    ndarray (min(limit, n),) intp
        Places of the chosen, in the order of choice.

    Raises
    ------
    InvalidArgument
        For arrays of other shapes, a number that is not finite, more than 500 items, a limit below
        1 and a trade-off out of range.

    Examples
    --------
    >>> mmr([1.0, 0.9, 0.5], [[1, 1, 0], [1, 1, 0], [0, 0, 1]], limit=2, trade_off=0.5).tolist()
    [0, 2]
    """
    limit, weight = whole("limit", limit), check_trade_off(trade_off)
    value, alike = np.asarray(relevance, np.float64), np.asarray(similarity, np.float64)
    n = value.size
    if value.shape != (n,) or alike.shape != (n, n):
        raise InvalidArgument(
            f"relevance has shape {value.shape} and similarity {alike.shape}: give (n,) and (n, n)"
        )
    if n > MOST:
        raise InvalidArgument(f"there are {n} candidates: give at most {MOST}, the best ones")
    if not (np.isfinite(value).all() and np.isfinite(alike).all()):
        raise InvalidArgument("relevance or similarity is not finite: leave such items out")
    value = weight * value
    likest = np.zeros(n)
    chosen = np.empty(min(limit, n), np.intp)
    for i in range(len(chosen)):
        best = int(np.argmax(value - (1.0 - weight) * likest))
        chosen[i] = best
        value[best] = -np.inf
        np.maximum(likest, alike[best], out=likest)
    return chosen
