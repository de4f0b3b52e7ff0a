"""Several fields searched, completed and fused in one native call."""

from __future__ import annotations

import numpy as np
import pytest

import gapless
from gapless._core import FieldSearch, search_fields
from gapless.errors import InvalidArgument, InvalidVector

Fields = tuple[gapless.FlatIndex, gapless.FlatIndex] | tuple[gapless.HnswIndex, gapless.HnswIndex]
DIM = 16
random = np.random.default_rng(11)
IMAGES = random.normal(size=(400, DIM)).astype(np.float32)
TEXTS = random.normal(size=(300, DIM)).astype(np.float32)
QUERY = random.normal(size=DIM).astype(np.float32)


@pytest.fixture(params=["flat", "hnsw"])
def fields(request: pytest.FixtureRequest) -> Fields:
    """Images 0..399 and texts 200..499: items 200..399 have both."""
    make = gapless.FlatIndex if request.param == "flat" else gapless.HnswIndex
    image, text = make(DIM), make(DIM)
    image.add(IMAGES, ids=np.arange(400))
    text.add(TEXTS, ids=np.arange(200, 500))
    return image, text


def searches(fields: Fields, **given: object) -> list[FieldSearch]:
    return [
        FieldSearch(fields[0], QUERY, cohort=np.arange(0, 400, 2)),
        FieldSearch(fields[1], QUERY, weight=0.5, cohort=np.arange(200, 500, 3)),
    ]


def test_equals_searching_and_fusing_by_hand(
    fields: Fields,
) -> None:
    hits = search_fields(searches(fields), 10, "rrf", depth=50)
    lists = [index.search(QUERY, 50) for index in fields]
    scores, ids = gapless.fuse([(s[0], i[0]) for s, i in lists], 10, weights=[1.0, 0.5])
    assert hits.ids.tolist() == ids.tolist()
    np.testing.assert_allclose(hits.scores, scores, rtol=1e-12)
    assert len(hits) == 10


@pytest.mark.parametrize("method", ["rrf", "convex", "minmax", "zscore", "cohort", "combmax"])
def test_completion(fields: Fields, method: str) -> None:
    depth = 30
    hits = search_fields(searches(fields), 60, method, depth=depth)
    lists = [index.search(QUERY, depth) for index in fields]
    cohorts = [np.arange(0, 400, 2), np.arange(200, 500, 3)]
    for column, index in enumerate(fields):
        retrieved = {int(i): rank + 1 for rank, i in enumerate(lists[column][1][0])}
        s = lists[column][0][0].astype(np.float64)
        background = index.score(QUERY, cohorts[column]).astype(np.float64)
        for row, label in enumerate(hits.ids.tolist()):
            exact = index.score(QUERY, [label])[0]
            assert hits.ranks[row, column] == retrieved.get(label, 0)
            np.testing.assert_equal(hits.raw[row, column], exact)
            part = hits.normalised[row, column]
            if method == "rrf":
                wanted = 1 / (60 + retrieved[label]) if label in retrieved else np.nan
            else:
                wanted = {
                    "convex": (exact + 1) / (s.max() + 1),
                    "minmax": (exact - s.min()) / (s.max() - s.min()),
                    "zscore": (exact - s.mean()) / s.std(),
                    "cohort": (exact - background.mean()) / background.std(),
                    "combmax": exact,
                }[method]
            np.testing.assert_allclose(part, wanted, rtol=1e-6)
    parts = np.nan_to_num(hits.normalised) * [1.0, 0.5]
    if method == "combmax":
        wanted_scores = np.nanmax(hits.normalised * [1.0, 0.5], axis=1)
    else:
        wanted_scores = parts.sum(1) / (1.5 if method == "convex" else 1.0)
        if method == "cohort":
            wanted_scores /= (~np.isnan(hits.normalised) * [1.0, 0.5]).sum(1)
    np.testing.assert_allclose(hits.scores, wanted_scores, rtol=1e-9)
    assert (np.diff(hits.scores) <= 0).all()


def test_filters_hold_for_completed_scores_too(
    fields: Fields,
) -> None:
    allowed = np.arange(250, 260)
    only_texts = [
        FieldSearch(fields[0], QUERY),
        FieldSearch(fields[1], QUERY, filter=allowed),
    ]
    hits = search_fields(only_texts, 500, "minmax")
    has_text = ~np.isnan(hits.raw[:, 1])
    assert set(hits.ids[has_text].tolist()) <= set(allowed.tolist())
    mask = np.zeros(500, dtype=bool)
    mask[allowed] = True
    bitset = np.packbits(mask, bitorder="little")
    again = search_fields(
        [FieldSearch(fields[0], QUERY), FieldSearch(fields[1], QUERY, filter=bitset)], 500, "minmax"
    )
    assert again.ids.tolist() == hits.ids.tolist()


def test_alignments_and_query_modalities_apply(
    fields: Fields,
) -> None:
    mean = gapless.Alignment(-IMAGES.mean(0), query={"text": (QUERY / 9, None)})
    fields[0].set_alignment(mean)
    hits = search_fields([FieldSearch(fields[0], QUERY, query_modality="text")], 5, "combmax")
    scores, ids = fields[0].search(QUERY, 5, query_modality="text")
    assert hits.ids.tolist() == ids[0].tolist()
    np.testing.assert_allclose(hits.scores, scores[0], rtol=1e-7)


def test_k_beyond_the_union_and_absent_cohort_rows(
    fields: Fields,
) -> None:
    hits = search_fields(searches(fields), 10_000, "cohort")
    assert sorted(hits.ids.tolist()) == list(range(500))
    fields[0].remove(np.arange(0, 399))
    with pytest.raises(InvalidArgument, match="list 0 has 0 cohort rows"):
        search_fields(searches(fields), 5, "cohort")


def test_bad_input(fields: Fields) -> None:
    with pytest.raises(InvalidArgument, match="no field to search"):
        search_fields([], 5)
    with pytest.raises(InvalidArgument, match="k is 0"):
        search_fields(searches(fields), 0)
    with pytest.raises(InvalidArgument, match="depth is 0"):
        search_fields(searches(fields), 5, depth=0)
    with pytest.raises(InvalidArgument, match="list 0 has 0 cohort rows"):
        search_fields([FieldSearch(fields[0], QUERY)], 5, "cohort")
    with pytest.raises(InvalidVector, match="query has 3 dims"):
        search_fields([FieldSearch(fields[0], np.ones(3))], 5)
    with pytest.raises(TypeError):
        FieldSearch(None, QUERY)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="one query and a FieldSearch has 2"):
        search_fields([FieldSearch(fields[0], np.ones((2, DIM)))], 5)
