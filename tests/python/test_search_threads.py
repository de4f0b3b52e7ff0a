"""Searches of every kind beside a writer that changes all there is."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import gapless as gl
from collection_kit import DIM
from gapless.collection import Collection
from gapless.errors import GaplessError

N = 120
SECONDS = 4.0
Query = npt.NDArray[np.float64]


def put(col: Collection, items: list[Any]) -> None:
    rng = np.random.default_rng()
    rows = rng.normal(size=(len(items), DIM))
    frames = [rng.normal(size=(int(rng.integers(1, 4)), DIM)) for _ in items]
    col.upsert(
        items,
        {"image": rows, "caption": rows + 0.2 * rng.normal(size=rows.shape), "frame": frames},
        [{"n": random.randrange(100), "doc": random.randrange(9), "text": "w"} for _ in items],
    )


def kinds(col: Collection) -> dict[str, Callable[[Query], object]]:
    """Searches of every kind; item 5 is never removed."""

    def asked(**wishes: Any) -> Callable[[Query], object]:
        return lambda q: col.search(vectors={"clip": q}, modality="text", **wishes)

    def pages(query: Query) -> None:
        page = col.search(vectors={"clip": query}, modality="text", freeze=True, limit=9)
        seen = list(page.ids)
        while page.cursor is not None:
            page = col.search(cursor=page.cursor, limit=9)
            seen += page.ids
        assert len(set(seen)) == len(seen)

    def batch(query: Query) -> None:
        queries = {"clip": np.stack([query, -query, query + 1])}
        found = col.search_many(vectors=queries, modality="text", fusion="cohort", diversity=0.3)
        assert len(found) == 3

    def filtered(query: Query) -> None:
        asked(filter={"n": {"$lt": 50}}, group_by="doc", group_size=2)(query)

    def late(query: Query) -> None:
        tokens = {"clip": np.stack([query, -query])}
        col.search(vectors=tokens, modality="text", fields=["frame"])

    def shown(query: Query) -> None:
        repr(col.search(vectors={"clip": query}, modality="text", fields=["frame"]).to_list())

    return {
        "plain": asked(),
        "cohort": asked(fusion="cohort", limit=50),
        "filtered": filtered,
        "vectors": asked(rerank=gl.VectorScorer("caption")),
        "reranked": asked(rerank=gl.Rerank(lambda q, d: [1.0] * len(d), query="x")),
        "mean": asked(fields=["frame"], rows="mean"),
        "late": late,
        "like": lambda q: col.search(like=5, limit=5),
        "negative": asked(negatives=gl.Part(like=5)),
        "explained": lambda q: asked(explain=True)(q).explain(),  # type: ignore[attr-defined]
        "raw": asked(alignment="raw"),
        "mixed": asked(fusion="alpha_mix", fields=["image", "caption"]),
        "batch": batch,
        "pages": pages,
        "pairs": lambda q: col.score_pairs([5], [5]),
        "shown": shown,
    }


def write(col: Collection, until: float) -> None:
    rng = random.Random(1)

    def remove(items: list[int]) -> None:
        if there := [item for item in items if item in col]:
            col.remove(there)

    steps: list[Callable[[], object]] = [
        lambda: put(col, [rng.randrange(10, N)]),
        lambda: put(col, [f"new {rng.random()}"]),
        lambda: put(col, list(range(10, 60))),
        lambda: remove([rng.randrange(10, N)]),
        lambda: remove(list(range(10, 60))),
        lambda: col.upsert([rng.randrange(10)], metadata=[{"n": 1}]),
        col.checkpoint,
        lambda: col.align("center", tolerance=1.0),
        lambda: col.rollback("raw"),
    ]
    while time.monotonic() < until:
        rng.choice(steps)()
        time.sleep(0.002)


def test_no_search_fails_or_hangs_beside_a_writer(tmp_path: Path) -> None:
    schema = gl.Schema(
        {"clip": gl.Space(DIM)},
        {
            "image": gl.Field("clip", "image", m=8, ef_construction=40),
            "caption": gl.Field("clip", "text", index="flat"),
            "frame": gl.Field("clip", "video", index="flat", several=True),
        },
    )
    col = gl.open(tmp_path / "c", schema)
    put(col, list(range(N)))
    until = time.monotonic() + SECONDS
    closed = threading.Event()
    wrong: list[str] = []
    done: set[str] = set()

    def read(seed: int) -> None:
        rng = np.random.default_rng(seed)
        named = kinds(col)
        while not closed.is_set():
            for name in rng.permutation(list(named)).tolist():
                expected = closed.is_set()
                try:
                    named[name](rng.normal(size=DIM))
                    done.add(name)
                except GaplessError as error:
                    if not (expected or closed.is_set()):
                        wrong.append(f"{name}: {error!r}")
                except Exception as error:
                    wrong.append(f"{name}: {error!r}")

    readers = [threading.Thread(target=read, args=(seed,), daemon=True) for seed in range(3)]
    for thread in readers:
        thread.start()
    write(col, until)
    closed.set()
    col.close()
    for thread in readers:
        thread.join(30)
    assert not wrong, wrong[:5]
    assert not any(thread.is_alive() for thread in readers)
    assert len(done) > 8
