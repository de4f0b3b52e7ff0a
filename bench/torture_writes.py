"""Mixed writes drawn from a seed, what each must leave behind, and what a collection holds.

A script draws the i-th write from its seed, i and the state so far, so that the process that
writes and the one that judges it need to exchange no more than how many were acknowledged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import gapless as gl
from gapless.arrays import as_matrix
from gapless.collection import Collection
from gapless.errors import AlignmentRefused, InvalidArgument
from gapless.storage import CheckpointPolicy

DIM = 16
FIELDS = ("image", "caption", "frame")
POLICY = CheckpointPolicy(rows=60, share=0.1, closing_share=0.3)
BULKY = "x" * 20_000

Rows = npt.NDArray[np.float32]
Spans = tuple[tuple[float, float] | None, ...]
ItemId = str | int


@dataclass(frozen=True)
class Content:
    """What an item holds: `fields` has (rows, spans) of each field that it fills."""

    metadata: Any = None
    uri: str | None = None
    fields: dict[str, tuple[Rows, Spans]] = field(default_factory=dict)


@dataclass
class State:
    """What a collection holds; `calibrations` has the prior of each by alignment (0 = raw)."""

    items: dict[ItemId, Content] = field(default_factory=dict)
    alignment: int = 0
    calibrations: dict[int, float] = field(default_factory=dict)

    def copy(self) -> State:
        """Give a copy that can be changed alone."""
        return State(dict(self.items), self.alignment, dict(self.calibrations))


@dataclass(frozen=True)
class Write:
    """One call; `outcome` of it is 0, or for an alignment the version that it made."""

    kind: str
    ids: list[ItemId] = field(default_factory=list)
    vectors: dict[str, Any] = field(default_factory=dict)
    metadata: list[Any] | None = None
    uris: list[Any] | None = None
    spans: dict[str, Any] = field(default_factory=dict)
    prior: float = 0.0

    def apply(self, col: Collection) -> int:
        """Do it to a collection; give the outcome."""
        if self.kind == "upsert":
            col.upsert(self.ids, self.vectors, self.metadata, self.uris, spans=self.spans)
        elif self.kind == "remove":
            col.remove(self.ids)
        elif self.kind == "checkpoint":
            col.checkpoint()
        elif self.kind == "raw":
            col.align("raw")
        elif self.kind == "center":
            try:
                version = col.align("center", tolerance=1.0)
            except (AlignmentRefused, InvalidArgument):  # too little to estimate it from
                return 0
            assert version is not None
            return version.version
        elif self.kind == "calibrate":
            try:
                col.calibrate(prior=self.prior)
            except InvalidArgument:  # too little to calibrate on
                return 0
            return 1
        return 0

    def follow(self, state: State, outcome: int) -> State:
        """Say what the collection holds after it, given what it held before."""
        after = state.copy()
        if self.kind == "remove":
            for name in self.ids:
                del after.items[name]
        elif self.kind == "raw":
            after.alignment = 0
        elif self.kind == "center" and outcome:
            after.alignment = outcome
        elif self.kind == "calibrate" and outcome:
            after.calibrations[state.alignment] = self.prior
        elif self.kind == "upsert":
            for i, name in enumerate(self.ids):
                after.items[name] = self._upserted(after.items.get(name, Content()), i)
        return after

    def _upserted(self, old: Content, i: int) -> Content:
        fields = dict(old.fields)
        for slot, given in self.vectors.items():
            value = given[i]
            if value is None:
                continue
            rows = np.asarray(value).reshape(-1, DIM)
            spans: Any = self.spans[slot][i] if slot in self.spans else None
            fields.pop(slot, None)
            if len(rows):
                unit = as_matrix(slot, as_matrix(slot, rows, DIM), DIM)  # an index does it again
                exact = rows.astype(np.float64)
                exact /= np.linalg.norm(exact, axis=1, keepdims=True)
                assert np.abs(unit - exact).max() < 1e-6
                fields[slot] = (unit, tuple(spans) if spans is not None else (None,) * len(rows))
        metadata = self.metadata[i] if self.metadata is not None else None
        uri = self.uris[i] if self.uris is not None else None
        return Content(
            old.metadata if metadata is None else metadata, old.uri if uri is None else uri, fields
        )


def schema() -> gl.Schema:
    """Make a graph, an exact field, and a graph that takes several rows per item."""
    return gl.Schema(
        {"clip": gl.Space(DIM)},
        {
            "image": gl.Field("clip", "image", m=4, ef_construction=20, codes="f32"),
            "caption": gl.Field("clip", "text", index="flat"),
            "frame": gl.Field("clip", "video", m=4, ef_construction=20, several=True),
        },
    )


def open_collection(path: Path, durability: str = "full") -> Collection:
    return Collection(path, schema(), durability=durability, policy=POLICY)


def draw(seed: int, number: int, state: State) -> Write:
    """Give the `number`-th write of the script `seed`, for a collection that holds `state`."""
    rng = np.random.default_rng((seed, number))
    kinds = ("new", "mixed", "replace", "describe", "remove", "checkpoint", "gap", "bulk")
    kind = str(rng.choice(kinds, p=(0.24, 0.13, 0.2, 0.12, 0.12, 0.08, 0.09, 0.02)))
    if kind == "checkpoint":
        return Write("checkpoint")
    if kind == "gap":
        chosen = str(rng.choice(("center", "raw", "calibrate")))
        return Write(chosen, prior=0.001 * (1 + number % 900))
    there = list(state.items)
    if len(there) < 4 and kind not in ("bulk",):
        kind = "new"
    if kind in ("remove", "describe", "replace"):
        count = int(rng.integers(1, min(6, len(there)) + 1))
        ids = [there[i] for i in rng.permutation(len(there))[:count]]
        if kind == "remove":
            return Write("remove", ids)
        if kind == "describe":
            return Write("upsert", ids, metadata=_metadata(rng, number, ids), uris=_uris(rng, ids))
        return _upsert(rng, number, ids, fresh=False)
    count = 200 if kind == "bulk" else int(rng.integers(1, 9))
    ids = [number * 1000 + i if rng.random() < 0.5 else f"é{number}/{i}" for i in range(count)]
    if kind == "mixed":
        old = [there[i] for i in rng.permutation(len(there))[:3]]
        ids = [*old, *ids[:3]]
    write = _upsert(rng, number, ids, fresh=True)
    if kind == "bulk":  # more than SQLite's cache holds, so that it spills before the commit
        return replace(write, metadata=[{"n": number, "bulk": BULKY} for _ in ids])
    return write


def _upsert(rng: np.random.Generator, number: int, ids: list[ItemId], fresh: bool) -> Write:
    n = len(ids)
    chosen = [name for name in FIELDS if rng.random() < 0.6] or ["image"]
    vectors: dict[str, Any] = {}
    spans: dict[str, Any] = {}
    about = rng.normal(size=(n, DIM))  # what an item is about, so that fields can be calibrated
    for slot in chosen:
        if slot != "frame":
            vectors[slot] = _near(rng, about)
            continue
        least = 1 if fresh and len(chosen) == 1 else 0
        counts = rng.integers(least, 6, n)
        vectors[slot] = [
            _near(rng, np.repeat(about[i : i + 1], c, 0)) for i, c in enumerate(counts)
        ]
        if not fresh and len(chosen) > 1:
            vectors[slot] = [rows if rng.random() < 0.7 else None for rows in vectors[slot]]
        if rng.random() < 0.6:
            spans[slot] = [
                None if rows is None else [(float(j), j + 0.5) for j in range(len(rows))]
                for rows in vectors[slot]
            ]
    metadata = _metadata(rng, number, ids) if rng.random() < 0.7 else None
    return Write(
        "upsert", ids, vectors, metadata, _uris(rng, ids) if rng.random() < 0.3 else None, spans
    )


def _near(rng: np.random.Generator, rows: npt.NDArray[np.float64]) -> Rows:
    return (rows + 0.7 * rng.normal(size=rows.shape)).astype(np.float32)


def _metadata(rng: np.random.Generator, number: int, ids: list[ItemId]) -> list[Any]:
    return [
        {"n": number, "i": i, "pad": "y" * int(rng.integers(0, 400))}
        if rng.random() < 0.8
        else None
        for i in range(len(ids))
    ]


def _uris(rng: np.random.Generator, ids: list[ItemId]) -> list[str | None]:
    return [f"file:///{rng.integers(1 << 40)}" if rng.random() < 0.8 else None for _ in ids]


def states(seed: int, first: int, before: State, outcomes: list[int]) -> Iterator[State]:
    """Give the state before write `first`, then the one after each write that was acknowledged."""
    state = before
    yield state
    for number, outcome in enumerate(outcomes, first):
        state = draw(seed, number, state).follow(state, outcome)
        yield state


def snapshot(col: Collection) -> State:
    """Read all that a collection holds."""
    items: dict[ItemId, Content] = {}
    for item in col.get(col.ids(), vectors=True):
        fields: dict[str, tuple[Rows, Spans]] = {}
        for slot in item.fields:
            rows = np.asarray(item.vectors[slot], np.float32).reshape(-1, DIM)
            told = item.spans.get(slot)
            fields[slot] = (rows, tuple(told) if told is not None else (None,) * len(rows))
        items[item.id] = Content(item.metadata, item.uri, fields)
    version = 0 if col.alignment is None else col.alignment.version
    calibration = col.calibration
    return State(items, version, {} if calibration is None else {version: calibration.prior})


def difference(found: State, wanted: State) -> str | None:
    """Say what `found`, a snapshot, has otherwise than `wanted`; None when nothing."""
    if list(found.items) != list(wanted.items):
        lost = [name for name in wanted.items if name not in found.items]
        more = [name for name in found.items if name not in wanted.items]
        return f"ids: lost {lost[:3]}, unexpected {more[:3]}, or another order"
    for name, content in wanted.items.items():
        own = found.items[name]
        if (own.metadata, own.uri) != (content.metadata, content.uri):
            return f"metadata or uri of {name!r}"
        if set(own.fields) != set(content.fields):
            return f"fields of {name!r}: {sorted(own.fields)} for {sorted(content.fields)}"
        for slot, (rows, spans) in content.fields.items():
            if own.fields[slot][0].tobytes() != rows.tobytes():
                return f"rows of {name!r} in {slot}"
            if own.fields[slot][1] != spans:
                return f"spans of {name!r} in {slot}"
    if found.alignment != wanted.alignment:
        return f"alignment {found.alignment} for {wanted.alignment}"
    if found.calibrations.get(found.alignment) != wanted.calibrations.get(wanted.alignment):
        return "calibration"
    return None


def unfound(col: Collection, state: State) -> str | None:
    """Say what searches miss or invent of `state`; None when nothing."""
    if len(col) != len(state.items):
        return f"len is {len(col)} for {len(state.items)}"
    for slot in FIELDS:
        holders = {name: c.fields[slot][0] for name, c in state.items.items() if slot in c.fields}
        if not holders:
            continue
        modality = col.schema.fields[slot].modality
        name, rows = next(reversed(holders.items()))
        hits = col.search(
            vectors={"clip": rows[-1]}, modality=modality, fields=[slot], limit=100_000, ef=100_000
        )
        if set(hits.ids) != set(holders) or len(hits) != len(holders):
            return f"a search of {slot} gives {len(hits)} items for {len(holders)}"
        if not state.alignment and hits.ids[0] != name:
            return f"the item that holds the query is not first in {slot}"
    named = {row.file for row in col._storage.live().segments().values()}
    there = {path.name for path in (col.path / "segments").glob("*")}
    return None if named == there else f"segments {sorted(there)} for {sorted(named)}"
