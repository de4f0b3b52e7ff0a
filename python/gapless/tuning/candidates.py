"""What the lists of a query said of the items they found: what weights are learnt from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..errors import InvalidArgument
from ..evaluation.runs import Id

__all__ = ["Candidates", "check_candidates"]

Float64: TypeAlias = "npt.NDArray[np.float64]"


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """The items that one query found, and what each of its lists said of them.

    Attributes
    ----------
    ids : sequence of n str or int
        Each item once; equal fused scores keep this order.
    normalised : ndarray (n, lists) float64
        What a list gives to the fused score before its weight: the normalised score, 1 / (k + rank)
        for ``"rrf"``, the probability for ``"calibrated"``. NaN where the list says nothing.

    Raises
    ------
    InvalidArgument
        For other shapes, infinite numbers, or an id given twice.
    """

    ids: Sequence[Id]
    normalised: Float64

    def __post_init__(self) -> None:
        values = np.asarray(self.normalised, np.float64)
        if values.ndim != 2 or len(values) != len(self.ids):
            raise InvalidArgument(
                f"normalised is {values.shape} for {len(self.ids)} ids: give (ids, lists)"
            )
        if np.isinf(values).any():
            raise InvalidArgument(
                "normalised holds an infinite number: give finite ones, and NaN where a list says "
                "nothing of an item"
            )
        if len(set(self.ids)) != len(self.ids):
            twice = next(each for i, each in enumerate(self.ids) if each in list(self.ids)[:i])
            raise InvalidArgument(f"the id {twice!r:.60} is given twice: give each item once")
        object.__setattr__(self, "normalised", values)


def check_candidates(
    candidates: Mapping[Any, Candidates], lists: Sequence[str]
) -> tuple[tuple[str, ...], npt.NDArray[np.intp]]:
    """Check that all queries have a column for every name in `lists`.

    Returns
    -------
    names : tuple of str
        Each once, in their order.
    group : ndarray (lists,) intp
        Which of the names each column has; columns of one name share their weight.

    Raises
    ------
    InvalidArgument
        For no query, names that are not words, fewer than two different ones, or candidates of
        another width or type.
    """
    if not isinstance(candidates, Mapping) or not candidates:
        raise InvalidArgument(
            f"candidates is {candidates!r:.60}: give {{query: Candidates}} for some queries"
        )
    if isinstance(lists, str) or not all(isinstance(name, str) and name for name in lists):
        raise InvalidArgument(f"lists is {lists!r:.60}: give the name of every list's column")
    names = tuple(dict.fromkeys(lists))
    if len(names) < 2:
        raise InvalidArgument(
            f"lists names {len(names)} list{'' if len(names) == 1 else 's'}: weights need at least "
            "two to choose between"
        )
    for query, found in candidates.items():
        if not isinstance(found, Candidates):
            raise InvalidArgument(
                f"the candidates of query {query!r:.60} are a {type(found).__name__}: give "
                "Candidates(ids, normalised)"
            )
        if found.normalised.shape[1] != len(lists):
            raise InvalidArgument(
                f"the candidates of query {query!r:.60} have {found.normalised.shape[1]} columns "
                f"for {len(lists)} lists ({', '.join(lists)}): give one for each"
            )
    return names, np.array([names.index(name) for name in lists], np.intp)
