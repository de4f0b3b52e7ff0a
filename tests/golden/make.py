"""Write the golden files of this version's format; run once for each new format version.

    python tests/golden/make.py tests/golden/v1

Files of released versions are never made again: they are what users have on disk.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

import gapless


def main(folder: Path) -> None:
    """Save an aligned index of each kind with some rows removed, and what it answers."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(1)
    rows = random.normal(size=(60, 7)).astype(np.float32)
    queries = random.normal(size=(5, 7)).astype(np.float32)
    answers: dict[str, object] = {"queries": queries.tolist()}
    for name, index in {
        "flat": gapless.FlatIndex(7),
        "hnsw": gapless.HnswIndex(7, m=4, ef_construction=30, seed=5),
    }.items():
        index.add(rows, ids=np.arange(100, 160), threads=1)
        index.remove(np.arange(100, 160, 6))
        index.set_alignment(
            gapless.Alignment(
                offset=random.normal(size=7) * 0.3,
                linear=random.normal(size=(7, 7)),
                query={"text": (random.normal(size=7) * 0.3, None), "image": (None, None)},
            )
        )
        index.save(folder / f"{name}.seg")
        scores, ids = index.search(queries, 10, query_modality="text")
        answers[name] = {"scores": scores.tolist(), "ids": ids.tolist()}
    (folder / "answers.json").write_text(json.dumps(answers))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
