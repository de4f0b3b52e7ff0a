"""Sums that follow the rows, and the drift that they tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gapless as gl
from alignment_kit import DIM, cones, schema_of, unit


def test_drift_is_reported_and_goes_with_a_new_version(
    tmp_path: Path, rng: np.random.Generator
) -> None:
    image, text = cones(rng)
    with gl.open(tmp_path / "c", schema_of()) as col:
        col.upsert(list(range(60)), {"image": image, "caption": text})
        assert col.drift() == []
        col.align("center")
        still = {d.field: d for d in col.drift()}
        assert all(d.distance == pytest.approx(0, abs=1e-6) for d in still.values())
        assert all((d.added, d.finding) == (0.0, None) for d in still.values())
        late = image[:40] - 6 * np.eye(DIM)[0]
        col.upsert(list(range(100, 140)), {"image": late})
        col.remove([0])
        moved = {d.field: d for d in col.drift()}
        now = unit(np.concatenate([image[1:], late])).mean(axis=0)
        distance = np.linalg.norm(now - unit(image).mean(axis=0))
        assert moved["image"].distance == pytest.approx(distance, abs=1e-5)
        assert moved["image"].added == pytest.approx(40 / 99)
        assert (moved["image"].rows_then, moved["image"].rows) == (60, 99)
        finding = moved["image"].finding
        assert finding is not None
        assert finding.code == "DRIFTED"
        assert "40% of its rows came later" in finding.sentence
        assert moved["caption"].finding is None
        col.align("center")
        assert all(d.finding is None for d in col.drift())


def test_running_sums_follow_every_write(tmp_path: Path, rng: np.random.Generator) -> None:
    """After any writes, the running mean is that of a pass over the rows that are there."""
    with gl.open(tmp_path / "c", schema_of()) as col:
        sums = col._storage.sums
        col.upsert(
            [0, 1], {"image": rng.normal(size=(2, DIM)), "caption": rng.normal(size=(2, DIM))}
        )
        sums.of("image")
        present = {0, 1}
        for step in range(60):
            names = rng.choice(40, rng.integers(1, 8), replace=False).tolist()
            if step % 3 == 2:
                gone = [name for name in names if name in present]
                if gone and len(present) - len(gone) > 2:
                    col.remove(gone)
                    present -= set(gone)
            else:
                fields = ("image", "caption")[: 1 + step % 2]
                col.upsert(names, {f: rng.normal(size=(len(names), DIM)) * 5 for f in fields})
                present |= set(names)
            if step == 20:
                sums.of("caption")  # from here on it is followed too
            for field in ("image", "caption")[: 1 + (step >= 20)]:
                rows = [
                    i.vectors[field]
                    for i in col.get(sorted(present), vectors=True)
                    if field in i.vectors
                ]
                assert sums.of(field).count == len(rows)
                np.testing.assert_allclose(
                    sums.of(field).mean, unit(np.array(rows, float)).mean(axis=0), atol=1e-12
                )


def test_drift_reads_the_running_sums_alone(
    tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, text = cones(rng)
    with gl.open(tmp_path / "c", schema_of()) as col:
        col.upsert(list(range(60)), {"image": image, "caption": text})
        first = col.align("center")
        col.upsert(list(range(60, 90)), {"image": -image[:30]})

        def refuse(index: object) -> Any:
            raise AssertionError("a pass over the rows")

        monkeypatch.setattr("gapless.alignment.sums.chunks_of", refuse)
        assert {d.field: d.rows for d in col.drift()} == {"image": 90, "caption": 60}
        assert col.drift()[0].finding is not None
        # Nothing else moves an alignment but align().
        assert col.alignment == first
        again = col.align("center", tolerance=1.0)
        assert again is not None
        assert again.means["image"] == pytest.approx(
            unit(np.concatenate([image, -image[:30]])).mean(axis=0), abs=1e-6
        )
