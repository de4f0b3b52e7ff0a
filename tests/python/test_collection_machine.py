"""Any sequence of calls, kills and reopenings, against a dict and brute force in numpy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import gapless as gl
from gapless.collection import Collection
from gapless.errors import InvalidArgument
from gapless.storage import CheckpointPolicy
from machine_kit import ReopenedCollection

IDS = st.one_of(st.integers(0, 6), st.sampled_from(["a", "b", "0", "1"]))
FIELDS = st.sampled_from([("image",), ("caption",), ("image", "caption")])


class CollectionMachine(ReopenedCollection):
    """A collection against a dict and brute force in numpy."""

    folder: Path
    count = 0

    @initialize()
    def make(self) -> None:
        type(self).count += 1
        self.path = self.folder / f"c{type(self).count}"
        schema = gl.Schema(
            {"clip": gl.Space(3)},
            {
                "image": gl.Field("clip", "image", index="flat"),
                "caption": gl.Field("clip", "text", index="flat"),
            },
        )
        self.policy = CheckpointPolicy(rows=12, closing_share=0.6)
        self.col = Collection(self.path, schema, durability="normal", policy=self.policy)
        # id → (place in order of first insertion, metadata, {field: unit row})
        self.model: dict[Any, tuple[int, Any, dict[str, npt.NDArray[np.float64]]]] = {}
        self.births = 0

    @rule(ids=st.lists(IDS, min_size=1, max_size=4, unique=True), fields=FIELDS, data=st.data())
    def upsert(self, ids: list[Any], fields: tuple[str, ...], data: st.DataObject) -> None:
        rows = st.lists(st.integers(-3, 3), min_size=3, max_size=3).filter(any)
        given = {field: np.array([data.draw(rows) for _ in ids], np.float64) for field in fields}
        metadata = [data.draw(st.sampled_from([None, {}, {"n": 1}])) for _ in ids]
        self.col.upsert(ids, given, metadata)
        for i, name in enumerate(ids):
            if name not in self.model:
                self.births += 1
                self.model[name] = (self.births, None, {})
            place, old, vectors = self.model[name]
            new = {f: x[i] / np.linalg.norm(x[i]) for f, x in given.items()}
            self.model[name] = (
                place,
                old if metadata[i] is None else metadata[i],
                {**vectors, **new},
            )

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        names = data.draw(
            st.lists(st.sampled_from(list(self.model)), min_size=1, max_size=3, unique=True)
        )
        self.col.remove(names)
        for name in names:
            del self.model[name]

    @rule()
    def refused(self) -> None:
        with pytest.raises(InvalidArgument):
            self.col.upsert([0, "fresh"], {"image": [[1, 0, 0], [0, 0, 0]]}, [{"n": 2}, {}])

    @rule(
        q=st.lists(st.integers(-3, 3), min_size=3, max_size=3).filter(any),
        limit=st.integers(1, 12),
    )
    def search(self, q: list[int], limit: int) -> None:
        hits = self.col.search(vectors={"clip": q}, fusion="combmax", limit=limit)
        unit = np.array(q) / np.linalg.norm(q)
        best = {
            name: max(float(row @ unit) for row in rows.values())
            for name, (_, _, rows) in self.model.items()
        }
        wanted = sorted(best.values(), reverse=True)[:limit]
        assert hits.scores == pytest.approx(wanted, abs=1e-5)
        assert len(set(hits.ids)) == len(hits)
        for hit in hits:
            assert hit.score == pytest.approx(best[hit.id], abs=1e-5)

    @invariant()
    def same(self) -> None:
        if not hasattr(self, "col"):
            return
        order = sorted(self.model, key=lambda name: self.model[name][0])
        assert self.col.ids() == order
        assert [type(name) for name in self.col.ids()] == [type(name) for name in order]
        assert len(self.col) == len(order)
        for item in self.col.get(order, vectors=True):
            _, metadata, rows = self.model[item.id]
            assert item.metadata == metadata
            assert set(item.vectors) == set(rows) == set(item.fields)
            for field, row in rows.items():
                np.testing.assert_allclose(item.vectors[field], row, atol=1e-6)


def test_any_sequence_of_calls_agrees_with_a_dict(tmp_path: Path) -> None:
    class Machine(CollectionMachine):
        folder = tmp_path

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=20,
            stateful_step_count=25,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
