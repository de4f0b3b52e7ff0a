"""A set whose queries come from another modality than its rows: package names and descriptions.

    python bench/cross_modal.py         # trains for a few minutes, writes d2 into bench/.cache

Two small towers learn from pairs (name of a Debian package, one of its sentences) by InfoNCE:

- names: hashed character 3- and 4-grams, summed, and one hidden layer, to 256 numbers;
- descriptions: the MiniLM vector of a sentence and one hidden layer, to 256 numbers.

Then each tower's output is centred and renormalised, the cone that CLIP-like models have is put
back (0.9 of a random direction of the tower's own and 0.4 of a shared one are added) and the sum
is renormalised. Rows are the descriptions of d1, in d1's order; test and tuning queries are names
that the towers never saw, all of different packages.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import datasets
from measure import unit
from texts import CACHE, described, pieces

DIM, HIDDEN, BUCKETS = 256, 512, 1 << 15
BATCH, EPOCHS, RATE = 2_048, 14, 2e-3
SCALE = 14.0  # the steepest softmax: steeper ones pull matching pairs together less
TUNE = 20_000
OWN, SHARED = 0.9, 0.4
Rows = NDArray[np.float32]


def grams(name: str) -> list[int]:
    """Hash the character 3- and 4-grams of a name, alike in every process (FNV-1a)."""
    text = f"^{name}$".encode()
    found = []
    for size in (3, 4):
        for start in range(max(1, len(text) - size + 1)):
            value = 2_166_136_261
            for byte in text[start : start + size]:
                value = ((value ^ byte) * 16_777_619) & 0xFFFF_FFFF
            found.append(value % BUCKETS)
    return found


class Names(nn.Module):
    """Hashed n-grams to a unit vector."""

    def __init__(self) -> None:
        super().__init__()
        self.bag = nn.EmbeddingBag(BUCKETS, DIM, mode="mean")
        self.head = nn.Sequential(
            nn.LayerNorm(DIM),
            nn.Dropout(0.2),
            nn.Linear(DIM, HIDDEN),
            nn.GELU(),
            nn.Linear(HIDDEN, DIM),
        )

    def forward(self, batch: list[list[int]]) -> torch.Tensor:
        """Return unit vectors (n, DIM)."""
        starts = np.cumsum([0, *(len(row) for row in batch[:-1])])
        flat = torch.tensor([value for row in batch for value in row])
        out = self.head(self.bag(flat, torch.from_numpy(starts)))
        return nn.functional.normalize(out, dim=1)


class Descriptions(nn.Module):
    """A sentence vector to a unit vector."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(dim, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, DIM))

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Return unit vectors (n, DIM)."""
        return nn.functional.normalize(self.layers(rows), dim=1)


def pairs() -> dict[str, list[int]]:
    """Return the rows of d1 that describe each package, by its name; its title comes first."""
    texts = (CACHE / "debian-minilm-300k.txt").read_text(encoding="utf-8").split("\n")
    count = len(texts) - datasets.QUERIES - datasets.TUNE
    at = {text.casefold(): row for row, text in enumerate(texts[:count])}
    found: dict[str, dict[int, None]] = {}
    for name, field in described():
        rows = [at[key] for key in map(str.casefold, pieces(field)) if key in at]
        if rows and name:
            found.setdefault(name, {}).update(dict.fromkeys(rows))
    return {name: list(rows) for name, rows in found.items()}


def train(
    rows: Rows, known: dict[str, list[int]], names: list[str], epochs: int
) -> tuple[Names, Descriptions]:
    """Train both towers on the pairs of these names."""
    torch.manual_seed(datasets.SEED)
    left, right = Names(), Descriptions(rows.shape[1])
    scale = nn.Parameter(torch.tensor(-np.log(0.07), dtype=torch.float32))
    optimiser = torch.optim.Adam([*left.parameters(), *right.parameters(), scale], RATE)
    hashed = [grams(name) for name in names]
    random = np.random.default_rng(datasets.SEED)
    for epoch in range(epochs):
        order = random.permutation(len(names))
        losses = []
        for start in range(0, len(order) - BATCH + 1, BATCH):
            batch = order[start : start + BATCH]
            one = [int(random.choice(known[names[i]])) for i in batch]
            queries = left([hashed[i] for i in batch])
            found = right(torch.from_numpy(rows[one]))
            logits = queries @ found.T * scale.exp().clamp(max=SCALE)
            target = torch.arange(len(batch))
            loss = nn.functional.cross_entropy(logits, target)
            loss = (loss + nn.functional.cross_entropy(logits.T, target)) / 2
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            losses.append(loss.item())
        print(f"epoch {epoch + 1}: loss {np.mean(losses):.3f}, scale {scale.exp():.1f}", flush=True)
    return left, right


@torch.inference_mode()
def outputs(tower: nn.Module, items: Any, block: int = 8192) -> Rows:
    """Run a tower over many items."""
    parts = [tower(items[at : at + block]).numpy() for at in range(0, len(items), block)]
    return np.concatenate(parts)


def put_in_cones(parts: dict[str, Rows], means: dict[str, Rows], seed: int) -> dict[str, Rows]:
    """Centre each modality and move it into a cone of its own."""
    random = np.random.default_rng(seed)
    shared, *own = np.linalg.qr(random.normal(size=(DIM, 1 + len(parts))))[0].T
    return {
        kind: unit(unit(rows - means[kind]) + OWN * direction + SHARED * shared)
        for (kind, rows), direction in zip(parts.items(), own, strict=True)
    }


def statistics(queries: Rows, rows: Rows, matched: NDArray[np.int64]) -> dict[str, float]:
    """Return what tells a cross-modal set: cones, gap, and how near a matching pair is."""
    left, right = queries.mean(0), rows.mean(0)
    count = min(len(queries), 2_000)
    mixed = np.concatenate([queries[:count], rows[:: len(rows) // count][:count]])
    near = mixed @ mixed.T
    np.fill_diagonal(near, -1.0)
    top = np.argsort(-near, axis=1)[:, :10]
    side = np.arange(len(mixed)) < count
    found = {
        "centroid distance": np.linalg.norm(left - right),
        "mean cosine within queries": (left @ left),
        "mean cosine within rows": (right @ right),
        "cosine of a matched pair": (queries * rows[matched]).sum(1).mean(),
        "cosine of any pair": left @ right,
        "intra-modal bias": (side[top] == side[:, None]).mean(),
    }
    return {key: round(float(value), 3) for key, value in found.items()}


def make(epochs: int = EPOCHS, threads: int | None = None) -> None:
    """Train the towers and keep d2."""
    if threads:
        torch.set_num_threads(threads)
    d1 = datasets.load("d1")
    known = pairs()
    names = sorted(known)
    np.random.default_rng(datasets.SEED).shuffle(names)
    held = datasets.QUERIES + TUNE
    start = time.perf_counter()
    left, right = train(d1.rows, known, names[held:], epochs)
    seconds = time.perf_counter() - start
    described_rows = outputs(right.eval(), torch.from_numpy(d1.rows))
    named = outputs(left.eval(), [grams(name) for name in names])
    means = {"names": named[held:].mean(0), "descriptions": described_rows.mean(0)}
    parts = {"names": named[:held], "descriptions": described_rows}
    cones = put_in_cones(parts, means, datasets.SEED)
    queries, rows = cones["names"], cones["descriptions"]
    test = queries[: datasets.QUERIES]
    matched = np.array([known[name][0] for name in names[: datasets.QUERIES]])
    stats = statistics(test, rows, matched)
    datasets.keep(
        "d2",
        rows,
        test,
        queries[datasets.QUERIES :],
        packages=len(names),
        trained_packages=len(names) - held,
        train_seconds=seconds,
        **stats,
    )
    print(f"trained in {seconds:.0f} s; {stats}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=EPOCHS, help=f"default {EPOCHS}")
    make(parser.parse_args().epochs)


if __name__ == "__main__":
    main()
