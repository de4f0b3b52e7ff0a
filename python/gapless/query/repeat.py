"""Ask a search again with other query vectors alone, without planning it again."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .. import _core
from ..results.hits import Hits
from ..results.ranking import Ranking, SearchedList
from .fusion import Fuse

__all__ = ["Repeat", "Repeats", "key_of"]

MOST = 64  # plans kept
PLAIN = frozenset({type(None), bool, int, float, str})

Finish: TypeAlias = "Callable[[Ranking], Hits]"


def key_of(*told: Any) -> Hashable | None:
    """Make what a search was told into a key; None where that cannot be compared later.

    Numbers of different types differ: what one is refused for, the other is not.
    """
    kinds = tuple(map(type, told))
    if PLAIN.issuperset(kinds):
        return kinds, told
    try:
        return kinds, tuple(map(_frozen, told))
    except TypeError:
        return None


def _frozen(value: Any) -> Hashable:
    kind = type(value)
    if kind in PLAIN:
        return kind, value
    if kind is dict:
        return kind, tuple((name, _frozen(inner)) for name, inner in value.items())
    if kind in (list, tuple):
        return kind, tuple(map(_frozen, value))
    if kind is Fuse:
        return value  # type: ignore[no-any-return]
    raise TypeError(kind)


@dataclass(frozen=True, slots=True)
class Repeat:
    """A search that was planned once.

    Attributes
    ----------
    native : RepeatedSearch
    spaces : tuple of str
        Of the query vector that each list is asked with.
    dims : mapping of space to int
    lists : tuple of SearchedList
    finish : callable
        Makes hits of a ranking.
    """

    native: _core.RepeatedSearch
    spaces: tuple[str, ...]
    dims: Mapping[str, int]
    lists: tuple[SearchedList, ...]
    finish: Finish

    def takes(self, vectors: Mapping[str, Any]) -> bool:
        """Whether these are plain vectors of the right dims, which need no further look."""
        for space, vector in vectors.items():
            if (
                type(vector) is not np.ndarray
                or vector.dtype.kind != "f"
                or vector.shape != (self.dims[space],)
            ):
                return False
        return True

    def ask(self, vectors: Mapping[str, npt.NDArray[Any]]) -> Hits:
        """Search with these vectors, one of each space.

        Raises
        ------
        GaplessError
            What `search` raises, in words of its own; ask that one then.
        """
        with np.errstate(over="ignore"):  # of a float64 beyond float32, which is refused as inf
            found = self.native.ask([vectors[space] for space in self.spaces])
        return self.finish(Ranking(self.lists, *found))


class Repeats:
    """The searches planned last; safe in many threads, as entries are replaced whole."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, Repeat] = {}

    def get(self, key: Hashable) -> Repeat | None:
        """Give the plan kept for a key."""
        return self._kept.get(key)

    def put(self, key: Hashable, plan: Repeat) -> None:
        """Keep a plan; the oldest ones go all at once."""
        if len(self._kept) >= MOST:
            self._kept = {}
        self._kept[key] = plan
