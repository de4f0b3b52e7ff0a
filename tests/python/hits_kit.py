"""Rankings and the hits made of them, for the tests of results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gapless.catalog import ItemRow
from gapless.results.hits import Hits
from gapless.results.ranking import Ranking, SearchedList

NONE = float("nan")
IMAGE = SearchedList("text", "image", 1.0)
CAPTION = SearchedList("text", "caption", 2.0)


def ranking(
    lists: Sequence[SearchedList],
    keys: Sequence[int],
    scores: Sequence[float],
    ranks: Any,
    raw: Any,
    normalised: Any,
    rows: Any = None,
) -> Ranking:
    """A ranking of plain lists; every item has one row where `raw` is a number."""
    wide = (len(keys), len(lists))
    aligned = np.array(raw, np.float32).reshape(wide)
    return Ranking(
        tuple(lists),
        np.array(scores, np.float64),
        np.array(keys, np.int64),
        np.array(ranks, np.int32).reshape(wide),
        aligned,
        np.array(normalised, np.float64).reshape(wide),
        np.where(np.isnan(aligned), -1, 0).astype(np.int32)
        if rows is None
        else np.array(rows, np.int32).reshape(wide),
    )


def ranked(scores: Sequence[float], keys: Sequence[int] | None = None) -> Ranking:
    """A ranking by one list, of these scores."""
    n = len(scores)
    return ranking(
        [IMAGE], range(n) if keys is None else keys, scores, range(1, n + 1), scores, scores
    )


def hits(**more: Any) -> Hits:
    """Three hits of two lists: in both, in one without having been retrieved, and in none."""
    found = ranking(
        [IMAGE, CAPTION],
        [11, 12, 13],
        [5.5, 1.25, 0.0],
        [[1, 4], [0, 0], [0, 0]],
        [[0.3125, 0.75], [0.125, NONE], [NONE, NONE]],
        [[2.5, 1.5], [NONE, NONE], [NONE, NONE]],
        [[0, 2], [0, -1], [-1, -1]],
    )
    items = [
        ItemRow(11, "a", '{"year": 2020}', "a.jpg"),
        ItemRow(12, 7, None, None),
        ItemRow(13, "c", "{}", None),
    ]
    return Hits(found, items, more.pop("fusion", "cohort"), "auto: because", **more)
