"""Rank items that fill several fields by one vector mixed of all: GR-CLIP's image and text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from .. import _core
from ..alignment.rows import MIN_NORM
from ..errors import InvalidArgument, SpaceMismatch, UnknownId
from ..index_rows import present
from ..row_labels import SHIFT, item_keys
from ..segments import Index
from .encoders import QueryVector

__all__ = ["MixedHits", "check_mix", "mix"]

Float64: TypeAlias = "npt.NDArray[np.float64]"
Int64: TypeAlias = "npt.NDArray[np.int64]"
Route: TypeAlias = "tuple[QueryVector, str, float]"


@dataclass(frozen=True, slots=True)
class MixedHits:
    """A ranking of n items; attributes as those of the native FusedHits."""

    ids: Int64
    scores: Float64
    ranks: npt.NDArray[np.int32]
    raw: Float64
    normalised: Float64
    rows: npt.NDArray[np.int32]


def check_mix(routes: Sequence[Route]) -> None:
    """Refuse a question whose fields cannot be mixed.

    Raises
    ------
    InvalidArgument
        When its parts reach different fields, as those of two spaces do, or weigh unequally.
    """
    if len({part.weight for part, _, _ in routes}) > 1 or routes[0][0].weight < 0:
        raise InvalidArgument(
            "fusion 'alpha_mix' takes every part of a query alike, and these have weights of their "
            "own: leave them out, or use another fusion, such as 'cohort'"
        )
    reached = {id(part): {name for one, name, _ in routes if one is part} for part, _, _ in routes}
    if len({frozenset(names) for names in reached.values()}) > 1:
        raise InvalidArgument(
            f"fusion 'alpha_mix' makes one vector of an item's fields, and the parts of this query "
            f"reach the fields {[sorted(names) for names in reached.values()]}: search one space, "
            "or use another fusion"
        )


def mix(
    found: _core.FusedHits, routes: Sequence[Route], indexes: Mapping[str, Index], limit: int
) -> MixedHits:
    """Score candidates by the cosine of the query with each item's one vector.

    With the aligned, not yet normalised rows y_f = W_f x_f + o_f of the fields f that the item
    fills, and the fields' weights w_f,

        d' = N(sum_f w_f y_f),    score = <q', d'>

    which for centred texts and images is the mix of GR-CLIP (`gapless.alpha_mix`, Li et al. 2025,
    arXiv 2507.19054) with alpha the share of the text field's weight. An item with one field has
    its plain aligned cosine. Several parts of a query count alike.

    Parameters
    ----------
    found : FusedHits
        Candidates, with the aligned cosine in every field that they fill.
    routes : sequence of (part, field, weight)
    indexes : mapping of field to index
        Under the alignment that the cosines were taken under.
    limit : int

    Raises
    ------
    SpaceMismatch
        When the alignment leaves the fields with different dims.
    """
    raw = np.asarray(found.raw, np.float64)
    keys = np.asarray(found.ids, np.int64)
    names = list(dict.fromkeys(name for _, name, _ in routes))
    weight = {name: weight for _, name, weight in routes}
    filled = {
        name: np.any([~np.isnan(raw[:, j]) for j, r in enumerate(routes) if r[1] == name], axis=0)
        for name in names
    }
    several = np.sum(list(filled.values()), axis=0) > 1
    total: Float64 | None = None
    length = {name: np.ones(len(keys)) for name in names}
    for name in names:
        chosen = np.flatnonzero(several & filled[name])
        there, rows = _aligned(indexes[name], _best_rows(found, routes, name)[chosen])
        chosen = chosen[there]
        if total is None:
            total = np.zeros((len(keys), rows.shape[1]))
        if rows.shape[1] != total.shape[1]:
            raise SpaceMismatch(
                f"the alignment leaves field {name!r} with {rows.shape[1]} dims and others with "
                f"{total.shape[1]}, which cannot be mixed: align all fields, or use another fusion"
            )
        total[chosen] += weight[name] * rows
        length[name][chosen] = np.linalg.norm(rows, axis=1)
    whole = np.linalg.norm(total, axis=1) if total is not None else np.zeros(len(keys))
    parts = len({id(part) for part, _, _ in routes})
    # Measured against the weights, whose size must not matter.
    nothing = whole < MIN_NORM * max(weight.values())
    normalised = np.full_like(raw, np.nan)
    for j, (_, name, share) in enumerate(routes):
        grown = np.where(nothing, 0.0, length[name] / np.where(nothing, 1.0, whole))
        normalised[:, j] = raw[:, j] * np.where(several, grown, 1.0 / share) / parts
    scores = np.nansum(normalised * [share for _, _, share in routes], axis=1)
    first = np.lexsort((keys, -scores))[:limit]
    return MixedHits(
        keys[first],
        scores[first],
        np.asarray(found.ranks)[first],
        raw[first],
        normalised[first],
        np.asarray(found.rows)[first],
    )


def _best_rows(found: _core.FusedHits, routes: Sequence[Route], name: str) -> Int64:
    """Labels of the items' best rows in a field, by the first part that has one."""
    labels: Int64 = np.array(found.ids, np.int64)
    for j in reversed([j for j, route in enumerate(routes) if route[1] == name]):
        there = found.rows[:, j] >= 0
        rows = found.rows[there, j].astype(np.int64)
        labels[there] = rows << SHIFT | item_keys(labels[there])
    return labels


def _aligned(index: Index, keys: Int64) -> tuple[npt.NDArray[np.bool_], Float64]:
    """Which keys have a row, and those rows as the alignment leaves them, not normalised."""
    while True:
        there = present(index, keys)
        try:
            rows = index.vectors(keys[there]).astype(np.float64)
            break
        except UnknownId:  # removed in between
            continue
    alignment = index.alignment
    if alignment is not None:
        if alignment.linear is not None:
            rows = rows @ alignment.linear.astype(np.float64).T
        if alignment.offset is not None:
            rows = rows + alignment.offset
    return there, rows
