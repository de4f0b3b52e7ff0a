"""Bitsets of filters: their bits, and what is kept of them for how long."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
import pytest

from gapless.errors import StorageError
from gapless.filters.bitsets import OVERHEAD, FilterBitsets, pack_keys
from gapless.filters.builder import F

SIZE = 101


class Table:
    """Items 0..99 with metadata {"x": key % 10}; counts the reads of it."""

    def __init__(self) -> None:
        self.db = sqlite3.connect(":memory:", check_same_thread=False)
        self.db.execute("CREATE TABLE items (key INTEGER PRIMARY KEY, id, metadata TEXT, uri TEXT)")
        self.db.executemany(
            "INSERT INTO items VALUES (?, ?, ?, NULL)",
            ((key, key, json.dumps({"x": key % 10})) for key in range(100)),
        )
        self.reads = 0
        self.error: BaseException | None = None
        self.gate = threading.Event()
        self.gate.set()

    def __del__(self) -> None:
        self.db.close()  # Python 3.13 warns of a connection left open

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        self.reads += 1
        self.gate.wait(10)
        if self.error is not None:
            raise self.error
        yield self.db


def unpacked(bits: npt.NDArray[np.uint8]) -> list[int]:
    return [int(key) for key in np.flatnonzero(np.unpackbits(bits, bitorder="little"))]


@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 1000])
def test_bits_are_where_keys_are(size: int) -> None:
    keys = np.unique(np.random.default_rng(size).integers(0, 1200, 300))
    bits = pack_keys(keys, size)
    assert bits.dtype == np.uint8
    assert bits.shape == ((size + 7) // 8,)
    assert unpacked(bits) == [key for key in keys.tolist() if key < size]


def test_a_filter_is_evaluated_once_per_version() -> None:
    table = Table()
    cache = FilterBitsets(lambda bits: int(bits.sum()))
    first = cache.of(F("x") == 3, 1, table.reading, SIZE)
    assert unpacked(first.bits) == list(range(3, 100, 10))
    assert (first.matches, first.made) == (10, int(first.bits.sum()))
    assert not first.bits.flags.writeable
    assert cache.of(F("x") == 3, 1, table.reading, SIZE) is first
    assert cache.of(F("x") == 3.0, 1, table.reading, SIZE).matches == 10
    assert table.reads == 2
    table.db.execute("DELETE FROM items WHERE key = 13")
    assert cache.of(F("x") == 3, 2, table.reading, SIZE).matches == 9
    assert table.reads == 3
    assert len(cache) == 2  # that of version 1 is gone
    cache.clear()
    assert (len(cache), cache.nbytes) == (0, 0)


def test_the_least_recently_used_goes_first() -> None:
    table = Table()
    entry = (SIZE + 7) // 8 + OVERHEAD
    cache = FilterBitsets(lambda bits: None, max_bytes=2 * entry)
    for value in (1, 2, 1, 3):
        cache.of(F("x") == value, 0, table.reading, SIZE)
    assert (table.reads, len(cache), cache.nbytes) == (3, 2, 2 * entry)
    cache.of(F("x") == 1, 0, table.reading, SIZE)
    assert table.reads == 3
    cache.of(F("x") == 2, 0, table.reading, SIZE)
    assert table.reads == 4
    small = FilterBitsets(lambda bits: None, max_bytes=entry - 1)
    assert small.of(F("x") == 1, 0, table.reading, SIZE).matches == 10
    assert (len(small), small.nbytes) == (0, 0)


def test_callers_at_once_share_one_evaluation() -> None:
    table = Table()
    table.gate.clear()
    cache = FilterBitsets(lambda bits: object())
    with ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(cache.of, F("x") < 5, 0, table.reading, SIZE) for _ in range(8)]
        table.gate.set()
        results = {id(future.result()) for future in waiting}
    assert (len(results), table.reads) == (1, 1)


def test_an_error_reaches_every_caller_and_is_not_kept() -> None:
    table = Table()
    table.error = StorageError("no")
    cache = FilterBitsets(lambda bits: None)
    for _ in range(2):
        with pytest.raises(StorageError):
            cache.of(F("x") < 5, 0, table.reading, SIZE)
    table.error = None
    assert cache.of(F("x") < 5, 0, table.reading, SIZE).matches == 50


def test_an_interrupted_evaluation_is_taken_over() -> None:
    table = Table()
    table.gate.clear()
    table.error = KeyboardInterrupt()
    cache = FilterBitsets(lambda bits: None)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(cache.of, F("x") < 5, 0, table.reading, SIZE)
        while table.reads == 0:
            pass
        second = pool.submit(cache.of, F("x") < 5, 0, table.reading, SIZE)
        while not second.running():
            pass
        interrupted = threading.Timer(0.1, table.gate.set)
        interrupted.start()
        assert isinstance(first.exception(10), KeyboardInterrupt)
        table.error = None
        outcome = second.exception(10)
    # the second took over, or began before the error was taken away and had it itself
    assert outcome is None or isinstance(outcome, KeyboardInterrupt)
    assert cache.of(F("x") < 5, 0, table.reading, SIZE).matches == 50
