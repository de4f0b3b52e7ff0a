"""Near-duplicates that contradict each other: alike in one field, different in what they mean."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ..index_rows import present
from ..row_labels import item_keys
from ..segments import Index
from .sampling import Sample, merge_keys
from .whole_index import ask, some_rows

__all__ = ["near_duplicate_shares", "with_neighbours"]

ALIKE = 0.95  # cosine of near-duplicates; SemDeDup (Abbas et al. 2023) drops from about there
BEYOND = 4.0  # and at least so many stds above random pairs, where an encoder is tight
LOOKED_UP = 4  # neighbours of a row that are fetched beside it
ASKED = 256  # rows that a large flat index is asked for in any case

Float64: TypeAlias = "npt.NDArray[np.float64]"
Keys: TypeAlias = "npt.NDArray[np.int64]"
Mask: TypeAlias = "npt.NDArray[np.bool_]"


def near_duplicate_shares(
    asking: Sample, near: Sample | None = None
) -> dict[str, tuple[float, float | None]]:
    """Share of the rows of each field that have a near-duplicate, and a conflicting one.

    A near-duplicate has a cosine of at least .95, and lies 4 stds above random pairs of the field
    (.999 at most). It conflicts when its label differs; without labels, when the items' rows in
    another field are no nearer than random pairs there (mean + 1 std). None when nothing can tell.

    Parameters
    ----------
    asking : Sample
        The rows that the shares are of.
    near : Sample, optional
        The rows looked among; those asked by default.
    """
    pool = asking if near is None else near
    shares = {}
    for field, rows in asking.rows.items():
        mine, others = asking.keys[field], pool.keys[field]
        unit = _unit(rows)
        cosine = unit @ _unit(pool.rows[field]).T
        cosine[mine[:, None] == others[None]] = -1.0  # itself, and rows known to mean the same
        mean, std = _random(unit)
        at, to = np.nonzero(cosine >= min(0.999, max(ALIKE, mean + BEYOND * std)))
        conflict = _conflicts(pool, field, mine[at], others[to])
        shares[field] = (
            len(np.unique(at)) / len(rows),
            None if conflict is None else len(np.unique(at[conflict])) / len(rows),
        )
    return shares


def _conflicts(sample: Sample, field: str, a: Keys, b: Keys) -> Mask | None:
    """Whether items `a` and `b`, alike in `field`, differ elsewhere; None if nothing can tell."""
    if sample.labels:
        known = sample.labels
        return np.array(
            [
                x in known and y in known and known[x] != known[y]
                for x, y in zip(a.tolist(), b.tolist(), strict=True)
            ],
            dtype=bool,
        )
    for other, rows in sample.rows.items():
        if sample.modality_of[other] == sample.modality_of[field] or len(rows) < 2:
            continue
        place = {key: i for i, key in enumerate(sample.keys[other].tolist())}
        if sum(key in place for key in sample.keys[field].tolist()) < 2:
            continue
        unit = _unit(rows)
        mean, std = _random(unit)
        return np.array(
            [
                x in place and y in place and float(unit[place[x]] @ unit[place[y]]) < mean + std
                for x, y in zip(a.tolist(), b.tolist(), strict=True)
            ],
            dtype=bool,
        )
    return None


def with_neighbours(
    sample: Sample,
    indexes: Mapping[str, Index],
    pairs: Sequence[tuple[int, int]] = (),
    skip: Collection[str] = (),
    seed: int = 0,
) -> tuple[Sample, Sample]:
    """Look beyond a sample of a collection: rows of it, and the same with their nearest ones.

    `pairs` are those that the sample's keys were merged by; fields in `skip`, whose queries come
    from another space, are not asked. A large flat index, which compares every row, is asked for
    at least 256 rows of the sample, drawn with `seed`; a graph for all.

    Returns
    -------
    the rows that were asked, and these and all others of the sample with the rows found, each
    with all its fields
    """
    rng = np.random.default_rng(seed)
    found, asked = [np.empty(0, dtype=np.int64)], {}
    for name, rows in sample.rows.items():
        index, modality = indexes[name], sample.modality_of[name]
        asked[name] = some_rows(index, len(rows), rng, ASKED)
        if name not in skip:  # a row finds itself first
            found.append(ask(index, rows[asked[name]], LOOKED_UP + 1, modality)[1].ravel())
    met = np.concatenate(found)
    wanted = np.unique(item_keys(met[met >= 0]))
    _, changed = merge_keys({}, list(pairs))
    more, owners = {}, {}
    for name, rows in sample.rows.items():
        real = wanted[present(indexes[name], wanted)]  # of several rows, the sample has the first
        fetched = indexes[name].vectors(real).astype(np.float64)
        keys = np.array([changed.get(key, key) for key in real.tolist()], dtype=np.int64)
        fresh = ~np.isin(keys, sample.keys[name])
        more[name] = np.concatenate([rows, fetched[fresh]])
        owners[name] = np.concatenate([sample.keys[name], keys[fresh]])
    asking = replace(
        sample,
        rows={name: rows[asked[name]] for name, rows in sample.rows.items()},
        keys={name: keys[asked[name]] for name, keys in sample.keys.items()},
    )
    return asking, replace(sample, rows=more, keys=owners)


def _random(unit: Float64) -> tuple[float, float]:
    """Mean and std of the cosine of different rows; 0 for a single row."""
    cosine = (unit @ unit.T)[~np.eye(len(unit), dtype=bool)]
    return (float(cosine.mean()), float(cosine.std())) if cosine.size else (0.0, 0.0)


def _unit(rows: Float64) -> Float64:
    unit: Float64 = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit
