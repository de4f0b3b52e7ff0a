"""Any sequence of writes to a field of several rows agrees with a dict, kills and reopening too."""

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
from gapless.errors import InvalidArgument, InvalidVector
from gapless.row_labels import item_keys, ordinals, row_labels
from gapless.storage import CheckpointPolicy
from machine_kit import ReopenedCollection

IDS = st.sampled_from([0, 1, "0", "1", "film", "talk"])
ROW = st.lists(st.integers(-3, 3), min_size=3, max_size=3).filter(any)
SPAN = st.none() | st.tuples(st.integers(0, 9), st.integers(0, 9)).map(
    lambda pair: (float(min(pair)), float(max(pair)))
)
FILLED = "frame"


class RowsMachine(ReopenedCollection):
    """A field of several rows beside one of one, against a dict."""

    folder: Path
    count = 0

    @initialize(index=st.sampled_from(["flat", "hnsw"]))
    def make(self, index: str) -> None:
        type(self).count += 1
        self.path = self.folder / f"c{type(self).count}"
        schema = gl.Schema(
            {"clip": gl.Space(3)},
            {
                FILLED: gl.Field("clip", "image", index=index, m=4, several=True),
                "title": gl.Field("clip", "text", index="flat"),
            },
        )
        self.policy = CheckpointPolicy(rows=20, closing_share=0.6)
        self.col = Collection(self.path, schema, durability="normal", policy=self.policy)
        # id → [rows of the frames, their spans, row of the title or None]
        self.model: dict[Any, list[Any]] = {}

    @rule(ids=st.lists(IDS, min_size=1, max_size=4, unique=True), data=st.data())
    def upsert(self, ids: list[Any], data: st.DataObject) -> None:
        titled = data.draw(st.booleans())
        told = data.draw(st.booleans())
        frames: list[Any] = []
        spans: list[Any] = []
        for name in ids:
            kinds: list[Any] = [st.lists(ROW, min_size=1, max_size=5)]
            if titled or name in self.model:
                kinds += [st.none(), st.just([])]
            frames.append(data.draw(st.one_of(kinds)))
            count = len(frames[-1] or ())
            pairs = st.none() | st.lists(SPAN, min_size=count, max_size=count)
            spans.append(data.draw(pairs) if told and count else None)
        vectors: dict[str, Any] = {FILLED: frames}
        if titled:
            vectors["title"] = np.array([data.draw(ROW) for _ in ids], np.float64)
        self.col.upsert(ids, vectors, spans={FILLED: spans} if told else None)
        for i, name in enumerate(ids):
            item = self.model.setdefault(name, [np.empty((0, 3)), [], None])
            if frames[i] is not None:
                item[0] = np.array(frames[i], np.float64).reshape(-1, 3)
                item[1] = spans[i] or [None] * len(frames[i])
            if titled:
                item[2] = vectors["title"][i]

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        some = st.lists(st.sampled_from(list(self.model)), min_size=1, max_size=3, unique=True)
        names = data.draw(some)
        self.col.remove(names)
        for name in names:
            del self.model[name]

    @rule(ids=st.lists(IDS, min_size=2, max_size=2, unique=True), which=st.integers(0, 3))
    def refused(self, ids: list[Any], which: int) -> None:
        good = np.eye(3)
        wrong: list[tuple[Any, Any]] = [
            ([good, np.zeros((1, 3))], None),
            ([good, np.eye(2)], None),
            ([good, good], [[(0, 1)] * 3, [(0, 1)] * 2]),
            ([good, good], [[(0, 1)] * 3, [(0, 1), (0, 1), (2, 1)]]),
        ]
        rows, spans = wrong[which]
        with pytest.raises((InvalidArgument, InvalidVector)):
            self.col.upsert(ids, {FILLED: rows, "title": good[:2]}, spans=spans and {FILLED: spans})

    @precondition(lambda self: any(len(item[0]) for item in self.model.values()))
    @rule(data=st.data())
    def look_around(self, data: st.DataObject) -> None:
        names = [name for name, item in self.model.items() if len(item[0])]
        name = data.draw(st.sampled_from(names))
        rows, spans, _ = self.model[name]
        row, n = data.draw(st.integers(0, len(rows) - 1)), data.draw(st.integers(0, 4))
        found = self.col.neighbours(name, FILLED, row, n=n, vectors=True)
        places = [j for j in range(row - n, row + n + 1) if 0 <= j < len(rows)]
        assert [each.ordinal for each in found] == places
        assert [each.span for each in found] == [spans[j] for j in places]
        np.testing.assert_allclose([each.vector for each in found], unit(rows[places]), atol=1e-6)

    @invariant()
    def same(self) -> None:
        if not hasattr(self, "col"):
            return
        assert set(self.col.ids()) == set(self.model)
        for item in self.col.get(list(self.model), vectors=True):
            rows, spans, title = self.model[item.id]
            assert (FILLED in item.fields) == bool(len(rows))
            assert ("title" in item.fields) == (title is not None)
            assert set(item.vectors) == set(item.fields)
            if len(rows):
                np.testing.assert_allclose(item.vectors[FILLED], unit(rows), atol=1e-6)
            if title is not None:
                np.testing.assert_allclose(item.vectors["title"], unit(title), atol=1e-6)
            told = any(span is not None for span in spans)
            assert dict(item.spans) == ({FILLED: spans} if told else {})

    @invariant()
    def labels_have_no_holes(self) -> None:
        if not hasattr(self, "col"):
            return
        storage = self.col._storage
        rows = np.asarray(storage.indexes[FILLED].ids())
        items = storage.items_of(item_keys(rows).tolist())
        names = [None if item is None else item.id for item in items]
        found = sorted(zip(map(repr, names), ordinals(rows).tolist(), strict=True))
        assert found == sorted(
            (repr(name), j) for name, item in self.model.items() for j in range(len(item[0]))
        )
        keys = np.unique(item_keys(rows))
        counts = np.array([np.sum(item_keys(rows) == key) for key in keys], np.int64)
        assert np.sort(row_labels(keys, counts)).tolist() == rows.tolist()


def unit(rows: Any) -> npt.NDArray[np.float64]:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), np.float64)


def test_any_sequence_of_writes_agrees_with_a_dict(tmp_path: Path) -> None:
    class Machine(RowsMachine):
        folder = tmp_path

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=15,
            stateful_step_count=25,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
