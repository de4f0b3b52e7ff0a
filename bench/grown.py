"""A million rows grown from d1's: sampled around real vectors, along their own neighbourhoods.

    python bench/grown.py               # checks the recipe: 100,000 rows grown to 300,000

**These are not embeddings of texts.** A new row is N(a + sum_j w_j (b_j - a)): ``a`` a real row,
``b_j`` its nearest real rows and ``w_j`` Gaussian, so that it lies in the space that the
neighbourhood spans. The real rows stay in the set and the queries are real and held out. The check
grows a third of d1 to d1's size and compares with d1 itself: distances to the first and tenth
neighbour of a query, and the local intrinsic dimension there.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]
NEAR, SPREAD = 16, 0.15
BLOCK = 20_000


def neighbours(rows: Rows, near: int, threads: int | None) -> NDArray[np.int64]:
    """Return the ids of each row's nearest rows, itself left out; nearly exact is enough."""
    from gapless import HnswIndex

    graph = HnswIndex(rows.shape[1], 16, 100)
    graph.add(rows, threads=threads)
    parts = []
    for start in range(0, len(rows), BLOCK):
        ids = graph.search(rows[start : start + BLOCK], near + 1, ef=near + 16, threads=threads)[1]
        own = np.arange(start, start + len(ids))
        ids[(ids != own[:, None]).all(axis=1), -1] = -1  # a twin came first: drop the last one
        keep = (ids != own[:, None]) & (ids >= 0)
        parts.append(ids[keep].reshape(len(ids), near))
    return np.concatenate(parts)


def grow(
    rows: Rows,
    count: int,
    seed: int,
    threads: int | None = None,
    spread: float = SPREAD,
    near: int = NEAR,
) -> Rows:
    """Return ``rows`` and so many new ones that there are ``count`` in all, shuffled."""
    random = np.random.default_rng(seed)
    around = neighbours(rows, near, threads)
    out = np.empty((count, rows.shape[1]), np.float32)
    out[: len(rows)] = rows
    for start in range(len(rows), count, BLOCK):
        size = min(BLOCK, count - start)
        at = random.integers(len(rows), size=size)
        weights = random.normal(scale=spread, size=(size, 1, near)).astype(np.float32)
        step = (weights @ (rows[around[at]] - rows[at, None]))[:, 0]
        out[start : start + size] = rows[at] + step
    out /= np.linalg.norm(out, axis=1, keepdims=True)
    random.shuffle(out)
    return out


def local(rows: Rows, queries: Rows, k: int = 20) -> dict[str, float]:
    """Return how the rows lie around queries: distances, and the local intrinsic dimension.

    The dimension is the maximum likelihood estimate from the k nearest distances (Levina and
    Bickel), the median over the queries.
    """
    scores = queries @ rows.T
    top = -np.sort(-np.partition(scores, -k, axis=1)[:, -k:], axis=1)
    apart = np.sqrt(np.maximum(2 - 2 * top, 1e-6))
    dimension = -1 / np.log(apart[:, :-1] / apart[:, -1:]).mean(axis=1)
    found = {
        "first": np.median(apart[:, 0]),
        "tenth": np.median(apart[:, 9]),
        "first to tenth": np.median(apart[:, 0] / apart[:, 9]),
        "dimension": np.median(dimension),
    }
    return {key: round(float(value), 3) for key, value in found.items()}


def main() -> None:
    import datasets

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--spread", type=float, nargs="*", default=[SPREAD])
    options = parser.parse_args()
    data = datasets.load("d1", mmap=True)
    rows, queries = np.array(data.rows), data.queries[:500]
    third = rows[: len(rows) // 3]
    print("a third, real:", local(third, queries))
    print("all, real:    ", local(rows, queries))
    for spread in options.spread:
        grown = grow(third, len(rows), datasets.SEED, spread=spread)
        print(f"grown, {spread}:", local(grown, queries))


if __name__ == "__main__":
    main()
