"""Find the weights that rank best: coordinate ascent on a grid of powers of the root of two.

The nDCG of a ranking is a step function of the weights, without a gradient that would help, so
each weight in turn takes the best value of the grid while the others stay (Metzler and Croft 2007),
until none moves; this is done from several starts.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from .candidates import Float64
from .judged import JudgedQueries
from .rules import Rule

__all__ = ["Ascent"]

STEPS = 12  # of a factor of the root of two: from 64 to 1/64 of the largest
RESTARTS = 4  # random starts, beside the fixed ones
ROUNDS = 20  # each of which must gain something
LEAST_GAIN = 1e-9  # of mean nDCG: below is rounding

Point = tuple[int | None, ...]  # exponents of the root of two, the largest 0; None for weight 0


class Ascent:
    """Searches of the same queries, which share what they have tried.

    `names` is the number of weights; `group` (lists,) says which of them each list has.
    """

    def __init__(
        self, judged: JudgedQueries, rule: Rule, names: int, group: npt.NDArray[np.intp]
    ) -> None:
        self._judged, self._rule, self._names, self._group = judged, rule, names, group
        self._tried: dict[Point, Float64] = {}

    def best(self, kept: npt.NDArray[np.bool_], rng: np.random.Generator) -> Float64:
        """Give the weights (names,) of the largest mean nDCG over the queries `kept` (q,) marks.

        The largest weight is 1. Weights that rank equally well give way to those found from equal
        weights, and to those nearer to them.
        """
        found, most = self._climb((0,) * self._names, kept)
        for start in self._starts(rng):
            point, reached = self._climb(start, kept)
            if reached > most + LEAST_GAIN:
                found, most = point, reached
        return _weights(found)

    def _starts(self, rng: np.random.Generator) -> Iterator[Point]:
        """Every list ahead of the others, then some at random."""
        for name in range(self._names):
            yield tuple(0 if other == name else -STEPS // 2 for other in range(self._names))
        for _ in range(RESTARTS):
            yield _scaled(tuple(rng.integers(-STEPS, 1, self._names).tolist()))

    def _climb(self, point: Point, kept: npt.NDArray[np.bool_]) -> tuple[Point, float]:
        most = self._mean(point, kept)
        for _ in range(ROUNDS):
            before = most
            for name in range(self._names):
                for other in _line(point, name):
                    reached = self._mean(other, kept)
                    if reached > most + LEAST_GAIN:
                        point, most = other, reached
            if most == before:
                break
        return point, most

    def _mean(self, point: Point, kept: npt.NDArray[np.bool_]) -> float:
        known = self._tried.get(point)
        if known is None:
            weights = _weights(point)[self._group]
            known = self._tried[point] = self._judged.ndcg(self._rule, weights)
        return float(known[kept].mean())


def _line(point: Point, name: int) -> Iterator[Point]:
    """Every value of one weight, those nearest to the mean of the others first, and 0 last."""
    others = [e for at, e in enumerate(point) if at != name and e is not None]
    if not others:
        return  # the only weight above 0 has nothing to be weighed against
    middle = round(sum(others) / len(others))
    steps = range(max(others) - STEPS, min(others) + STEPS + 1)
    for step in sorted(steps, key=lambda step: abs(step - middle)):
        yield _scaled((*point[:name], step, *point[name + 1 :]))
    yield _scaled((*point[:name], None, *point[name + 1 :]))


def _scaled(point: Point) -> Point:
    top = max(e for e in point if e is not None)
    return tuple(None if e is None else e - top for e in point)


def _weights(point: Point) -> Float64:
    return np.array([0.0 if e is None else 2.0 ** (e / 2) for e in point])
