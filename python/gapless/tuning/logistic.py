"""Find weights as the coefficients of a logistic regression that may not be negative.

The log-odds that an item is relevant are a sum over the lists, of w x where the list says x of the
item and of a bias of its own where it says nothing: zero in its place would be an opinion. Solved
by projected Newton steps (Bertsekas 1982).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .candidates import Float64
from .judged import JudgedQueries

__all__ = ["LogisticFit", "LogisticSamples"]

STEPS = 200
CLOSE = 1e-10
RIDGE = 1e-6  # per sample, of standardised features: columns that say the same stay solvable


@dataclass(frozen=True, slots=True, eq=False)
class LogisticFit:
    """Coefficients of the log-odds of relevance.

    Attributes
    ----------
    weights : ndarray (names,) float64
        At least 0; all 0 when no list tells relevant items from others.
    missing : ndarray (lists,) float64
        Added where a list says nothing; NaN for a list that speaks of every item, or of none.
    bias : float
    """

    weights: Float64
    missing: Float64
    bias: float


class LogisticSamples:
    """Every candidate of every query as one sample, relevant or not.

    `names` is the number of weights; `group` (lists,) says which of them each list has.
    """

    def __init__(self, judged: JudgedQueries, names: int, group: npt.NDArray[np.intp]) -> None:
        said = ~np.isnan(judged.values)
        items = said.any(axis=2)
        self._query, place = np.nonzero(items)
        values, said = judged.values[self._query, place], said[self._query, place]
        self._features = np.zeros((len(values), names))
        for column, name in enumerate(group):
            self._features[:, name] += np.where(said[:, column], values[:, column], 0.0)
        self._missing = ~said
        relevant = np.zeros(items.shape, np.bool_)
        relevant[judged.asking, judged.place] = True
        self._relevant = relevant[items]

    def fit(self, kept: npt.NDArray[np.bool_]) -> LogisticFit:
        """Fit on the queries that `kept` (q,) marks.

        The targets are Platt's, (N₊ + 1) / (N₊ + 2) for relevant items and 1 / (N₋ + 2) for others,
        which keep the coefficients finite where scores separate them completely.
        """
        rows = kept[self._query]
        relevant, missing = self._relevant[rows], self._missing[rows]
        names = self._features.shape[1]
        weights, biases = np.zeros(names), np.full(missing.shape[1], np.nan)
        right = int(relevant.sum())
        wrong = len(relevant) - right
        if not right or not wrong:
            return LogisticFit(weights, biases, 0.0)
        targets = np.where(relevant, (right + 1) / (right + 2), 1 / (wrong + 2))
        features = self._features[rows]
        some = missing.any(axis=0) & ~missing.all(axis=0)
        scale = np.sqrt((features**2).mean(axis=0))
        scale[scale == 0] = 1.0
        x = np.column_stack([features / scale, missing[:, some], np.ones(len(features))])
        held = np.arange(x.shape[1]) < names
        beta = _bounded_newton(x, targets, held)
        weights = beta[:names] / scale
        biases[some] = beta[names:-1]
        return LogisticFit(weights, biases, float(beta[-1]))


def _bounded_newton(x: Float64, targets: Float64, held: npt.NDArray[np.bool_]) -> Float64:
    """Minimise the logistic loss; coefficients that `held` marks stay at least 0."""
    ridge = RIDGE * len(x) * (np.arange(x.shape[1]) < x.shape[1] - 1)
    beta = np.zeros(x.shape[1])
    beta[-1] = np.log(targets.mean()) - np.log1p(-targets.mean())
    loss = _loss(x, targets, ridge, beta)
    for _ in range(STEPS):
        p = 1.0 / (1.0 + np.exp(-(x @ beta)))
        gradient = x.T @ (p - targets) + ridge * beta
        free = ~(held & (beta <= 0) & (gradient >= 0))
        hessian = (x * (p * (1 - p))[:, None]).T @ x + np.diag(ridge)
        hessian[np.diag_indices_from(hessian)] += 1e-12 * len(x)
        step = np.zeros_like(beta)
        step[free] = np.linalg.solve(hessian[np.ix_(free, free)], gradient[free])
        size = 1.0
        while size > CLOSE:
            moved = beta - size * step
            moved[held] = np.maximum(moved[held], 0.0)
            less = _loss(x, targets, ridge, moved)
            if less <= loss - 1e-4 * float(gradient @ (beta - moved)):
                break
            size /= 2
        else:
            break
        gained, beta, loss = loss - less, moved, less
        if gained <= CLOSE * abs(loss):
            break
    return beta


def _loss(x: Float64, targets: Float64, ridge: Float64, beta: Float64) -> float:
    z = x @ beta
    return float(np.sum(np.logaddexp(0.0, z) - targets * z) + ridge @ beta**2 / 2)
