"""Filters as packed bitsets over the catalogue's keys, kept per version of the data."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from .expression import Expression
from .sql import Reading, keys_where

__all__ = ["FilterBits", "FilterBitsets", "pack_keys"]

T = TypeVar("T")

OVERHEAD = 1024  # bytes of an entry besides its bits
CacheKey = tuple[str, Hashable]


def pack_keys(keys: npt.NDArray[np.int64], size: int) -> npt.NDArray[np.uint8]:
    """Pack keys into bit ``key % 8`` of byte ``key // 8``; those of `size` and above are left out.

    Returns
    -------
    ndarray, (ceil(size / 8),) uint8

    Examples
    --------
    >>> pack_keys(np.array([1, 9, 70]), 16).tolist()
    [2, 2]
    """
    bits = np.zeros(size, np.bool_)
    bits[keys[keys < size]] = True
    return np.packbits(bits, bitorder="little")


@dataclass(frozen=True, slots=True)
class FilterBits(Generic[T]):
    """What a filter allows.

    Attributes
    ----------
    bits : ndarray, (ceil(size / 8),) uint8, read-only
        Bit ``key % 8`` of byte ``key // 8`` is set when the item with that key matches.
    matches : int
        Number of bits set.
    made : T
        What `make` made of the bits.
    """

    bits: npt.NDArray[np.uint8]
    matches: int
    made: T


class FilterBitsets(Generic[T]):
    """The bitsets of the filters used last; may be called from any thread.

    Callers that ask for the same filter at once wait for one evaluation of it.

    Parameters
    ----------
    make : callable
        Turns the packed bits into what searches take; its result is kept with them.
    max_bytes : int
        Bits kept, in bytes; the least recently used go first.
    """

    def __init__(
        self, make: Callable[[npt.NDArray[np.uint8]], T], max_bytes: int = 64 << 20
    ) -> None:
        self._make = make
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[CacheKey, FilterBits[T]] = OrderedDict()
        self._started: dict[CacheKey, Future[FilterBits[T]]] = {}
        self._bytes = 0

    @property
    def nbytes(self) -> int:
        """Bytes kept now."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._kept)

    def of(
        self, expression: Expression, version: Hashable, reading: Reading, size: int
    ) -> FilterBits[T]:
        """Evaluate the filter, or give what was kept of the same filter at the same version.

        Parameters
        ----------
        expression : Expression
            The filter, from `as_expression`.
        version : hashable
            Differs whenever an item or its metadata has changed. Read it before the call: what is
            evaluated is the catalogue's present state, which may be newer, never older.
        reading : callable
            Gives a context manager of a connection to the catalogue.
        size : int
            Keys are below it, such as `Catalog.key_bound()`.

        Raises
        ------
        GaplessError
            What `reading` raises: a closed collection, a damaged file. Nothing is kept then.
        """
        key = (expression.to_json(), version)
        while True:
            with self._lock:
                found = self._kept.get(key)
                if found is not None:
                    self._kept.move_to_end(key)
                    return found
                future = self._started.get(key)
                mine = future is None
                if future is None:
                    future = self._started[key] = Future()
            if mine:
                return self._evaluate(key, future, expression, reading, size)
            try:
                return future.result()
            except _Abandoned:
                continue  # the thread that evaluated was interrupted: this one takes over

    def clear(self) -> None:
        """Forget everything kept."""
        with self._lock:
            self._kept.clear()
            self._bytes = 0

    def _evaluate(
        self,
        key: CacheKey,
        future: Future[FilterBits[T]],
        expression: Expression,
        reading: Reading,
        size: int,
    ) -> FilterBits[T]:
        try:
            keys = keys_where(reading, expression)
            bits = pack_keys(keys, size)
            bits.flags.writeable = False
            result = FilterBits(bits, int(np.searchsorted(keys, size)), self._make(bits))
        except BaseException as error:
            with self._lock:
                del self._started[key]
            future.set_exception(error if isinstance(error, Exception) else _Abandoned())
            raise
        with self._lock:
            del self._started[key]
            self._keep(key, result)
        future.set_result(result)
        return result

    def _keep(self, key: CacheKey, result: FilterBits[T]) -> None:
        text, version = key
        for old in [k for k in self._kept if k[0] == text and k[1] != version]:
            self._drop(old)
        size = result.bits.nbytes + OVERHEAD
        if size > self._max_bytes:
            return
        self._kept[key] = result
        self._bytes += size
        while self._bytes > self._max_bytes:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: CacheKey) -> None:
        self._bytes -= self._kept.pop(key).bits.nbytes + OVERHEAD


class _Abandoned(Exception):
    """An evaluation was interrupted, by Ctrl-C for instance; whoever waits starts anew."""
