"""Scores that were asked for before."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np

__all__ = ["ScoreCache", "key_of"]


class ScoreCache:
    """The `size` scores used last, by what was scored; for any number of threads.

    A new scorer empties it: what another one said means nothing.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._scores: OrderedDict[Hashable, float] = OrderedDict()
        self._scorer: object = None
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[ScoreCache], tuple[int]]:
        return ScoreCache, (self._size,)  # a copy elsewhere starts empty

    def __len__(self) -> int:
        return len(self._scores)

    def get(self, scorer: object, key: Hashable) -> float | None:
        """Give the score of a key, if `scorer` gave it before."""
        with self._lock:
            if scorer is not self._scorer or key not in self._scores:
                return None
            self._scores.move_to_end(key)
            return self._scores[key]

    def put(self, scorer: object, key: Hashable, score: float) -> None:
        """Keep a score, and drop the one that was used longest ago where there are too many."""
        with self._lock:
            if scorer is not self._scorer:
                self._scores.clear()
                self._scorer = scorer
            self._scores[key] = score
            self._scores.move_to_end(key)
            while len(self._scores) > self._size:
                self._scores.popitem(last=False)


def key_of(value: Any) -> Hashable:
    """Give what tells a value from others; None for one that cannot be told.

    Kinds are kept apart: 1, 1.0, True and "1" are four values.
    """
    if isinstance(value, (str, bytes, int, float, np.generic)):
        return type(value).__name__, value
    if isinstance(value, os.PathLike):
        return "path", os.fspath(value)
    if isinstance(value, np.ndarray):
        digest = hashlib.sha256(np.ascontiguousarray(value).tobytes()).digest()
        return None if value.dtype.hasobject else ("array", value.shape, str(value.dtype), digest)
    if isinstance(value, Mapping):
        inner = [(key, key_of(part)) for key, part in value.items()]
        told = all(isinstance(key, str) and part is not None for key, part in inner)
        return ("dict", tuple(sorted(inner, key=lambda each: each[0]))) if told else None
    if isinstance(value, (list, tuple)):
        parts = [key_of(part) for part in value]
        return None if None in parts else ("list", tuple(parts))
    return None
