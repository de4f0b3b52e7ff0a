"""The sides of bench_query.py behind the same calls: a gapless collection, and faiss by hand."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

import gapless as gl
import handmade
from handmade import FaissFields, Lists
from query_data import FIELDS, Questions
from systems import Ids, Rows
from texts import CACHE

K, DEPTH = 10, 100
LONG_ENOUGH = 0.4
NAMES = tuple(f"field{at}" for at in range(FIELDS))


def repeated(call: Callable[[], Any]) -> tuple[Any, float]:
    """Give what a call returns, and the median seconds of as many as take half a second."""
    times: list[float] = []
    while sum(times) < LONG_ENOUGH:
        start = time.perf_counter()
        found = call()
        times.append(time.perf_counter() - start)
    return found, statistics.median(times)


def collection(questions: Questions) -> gl.Collection:
    """Open the collection of these fields, made by the first run."""
    schema = gl.Schema(
        {"text": gl.Space(questions.queries.shape[1])},
        {name: gl.Field("text", "text") for name in NAMES},
    )
    path = CACHE / f"query-{questions.kind}-collection"
    col = gl.open(path, schema, durability="normal")
    if not len(col):
        ids = range(len(questions.fields[0]))
        rows = [{"title": f"the title of item {row}", "year": 1990 + row % 35} for row in ids]
        col.upsert(ids, dict(zip(NAMES, questions.fields, strict=True)), rows)
        col.checkpoint()
    return col


class Ours:
    """A gapless collection, asked as its users ask it."""

    label = "gapless"

    def __init__(self, questions: Questions) -> None:
        self.col = collection(questions)

    def batch(self, queries: Rows, method: str, ef: int, threads: int | None) -> Ids:
        """Answer a whole batch: numbers of the items, (nq, K)."""
        found = self.col.search_many(
            vectors={"text": queries}, limit=K, fusion=method, ef=ef, threads=threads
        )
        return np.array([hits.ids for hits in found])

    def timed(
        self, queries: Rows, methods: Sequence[str], ef: int, threads: int
    ) -> dict[str, tuple[Ids, float]]:
        """Answer a batch by every method: the answers, and the seconds that they took."""
        return {
            method: repeated(partial(self.batch, queries, method, ef, threads))
            for method in methods
        }

    def single(self, query: Rows, method: str, ef: int) -> Any:
        """Answer one question and read what a user reads."""
        hits = self.col.search(vectors={"text": query}, limit=K, fusion=method, ef=ef)
        return [(hit.id, hit.score, hit.field) for hit in hits]


class ByHand:
    """faiss for each field, fused by numpy."""

    def __init__(self, questions: Questions, m: int, threads: int) -> None:
        self.label = f"faiss m={m} + numpy"
        self.fields = questions.fields
        self.faiss = FaissFields(questions.fields, m)
        self.faiss.build(threads, CACHE / f"query-{questions.kind}-m{m}")

    def fuse(self, lists: Lists, queries: Rows, method: str, threads: int) -> Ids:
        """Fuse what a batch found."""
        if method == "rrf":
            return handmade.rrf(lists[1], K, threads=threads)[1]
        complete = handmade.complete_by_faiss
        return handmade.minmax(lists, queries, self.fields, K, complete, threads)[1]

    def timed(
        self, queries: Rows, methods: Sequence[str], ef: int, threads: int
    ) -> dict[str, tuple[Ids, float]]:
        """Answer a batch by every method: the answers, and the seconds of searching and fusing."""
        lists, searching = repeated(partial(self.faiss.search, queries, DEPTH, ef, threads))
        found = {}
        for method in methods:
            ids, fusing = repeated(partial(self.fuse, lists, queries, method, threads))
            found[method] = ids, searching + fusing
        return found

    def single(self, query: Rows, method: str, ef: int) -> Any:
        """Answer one question."""
        lists = self.faiss.search(query[None], DEPTH, ef, 1)
        return self.fuse(lists, query[None], method, 1).tolist()


@dataclass(frozen=True)
class Sides:
    """Both sides over the same questions, made when they are first needed."""

    questions: Questions
    degrees: Sequence[int]
    build_threads: int

    @cached_property
    def ours(self) -> Ours:
        """The collection."""
        return Ours(self.questions)

    @cached_property
    def by_hand(self) -> list[ByHand]:
        """The pipeline by hand, over graphs of these degrees."""
        return [ByHand(self.questions, m, self.build_threads) for m in self.degrees]

    @property
    def all(self) -> list[Ours | ByHand]:
        """Every one of them."""
        return [self.ours, *self.by_hand]
