"""What rerankers keep of earlier scores, and by what they know a document again."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from gapless.rerank.cache import ScoreCache, key_of
from gapless.rerank.how import Rerank
from gapless.rerank.rerank import rerank

Documents = Sequence[Mapping[str, Any]]


def found(name: Any, text: str) -> Any:
    """What re-ranking reads of a hit."""
    return SimpleNamespace(id=name, metadata={"text": text}, uri=None, contributions=())


def test_copies_start_with_an_empty_cache() -> None:
    how = Rerank(sorted_scores, top_k=4)
    rerank([found("a", "x")], "q", how)
    assert len(how.cache) == 1
    again = pickle.loads(pickle.dumps(how))
    assert again == how
    assert len(again.cache) == len(copy.deepcopy(how).cache) == 0


def sorted_scores(query: Any, documents: Documents) -> list[float]:
    return [float(i) for i in range(len(documents))]


def test_keys_tell_values_apart() -> None:
    values: list[Any] = [
        1, 1.0, True, "1", b"1", Path("1"), np.ones(2), np.ones((2, 1)), np.ones(2, np.float32),
        [1, 2], [2, 1], {"a": 1}, {"a": "1"}, np.float32(1), (), {},
    ]  # fmt: skip
    keys = [key_of(value) for value in values]
    assert None not in keys
    assert len(set(keys)) == len(values)
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})
    assert key_of(np.arange(6.0).reshape(2, 3).T) == key_of(np.arange(6.0).reshape(2, 3).T.copy())
    for odd in (object(), [object()], {"a": object()}, {1: "a"}, np.array([object()])):
        assert key_of(odd) is None


def test_the_cache_keeps_what_was_used_last_beside_other_threads() -> None:
    cache, scorer = ScoreCache(3), object()
    for n in range(3):
        cache.put(scorer, n, float(n))
    assert cache.get(scorer, 0) == 0.0
    cache.put(scorer, 3, 3.0)
    assert [cache.get(scorer, n) for n in range(4)] == [0.0, None, 2.0, 3.0]
    assert cache.get(object(), 3) is None
    hits = [found(i, str(i)) for i in range(40)]
    how = Rerank(lambda q, d: [float(x["text"]) for x in d], batch_size=5, cache_size=20)
    orders: list[list[int]] = []
    threads = [
        threading.Thread(target=lambda: orders.append(rerank(hits, "q", how).order.tolist()))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert orders == [list(range(39, -1, -1))] * 8
