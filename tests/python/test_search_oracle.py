"""Whole searches of a collection against the same written out with numpy, on random wishes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import gapless as gl
from gapless.collection import Collection

N = 60
DIMS = {"clip": 6, "bge": 4}
FIELDS = {
    "image": gl.Field("clip", "image", m=8, ef_construction=80),
    "caption": gl.Field("clip", "text", index="flat"),
    "frame": gl.Field("clip", "video", index="flat", several=True),
    "body": gl.Field("bge", "text", index="flat"),
}
Float64 = npt.NDArray[np.float64]
RANKS: dict[str, Callable[[Float64, int], Float64]] = {
    "rrf": lambda ranks, _: 1.0 / (60.0 + ranks),
    "rrf, 7 and 0": lambda ranks, _: 1.0 / (7.0 + ranks - 1.0),
    "isr": lambda ranks, _: 1.0 / ranks**2,
    "rbc": lambda ranks, _: 0.1 * 0.9 ** (ranks - 1.0),
}
FUSIONS: dict[str, str | gl.Fuse] = {
    "rrf, 7 and 0": gl.Fuse("rrf", rrf_k=7, rank_base=0),
    "rbc": gl.Fuse("rbc", phi=0.9),
}
SCORES = ("minmax", "zscore", "convex", "dbsf", "cohort", "combmax")


def unit(rows: npt.ArrayLike) -> Float64:
    array = np.asarray(rows, np.float64)
    return np.asarray(array / np.linalg.norm(array, axis=-1, keepdims=True))


@dataclass
class Corpus:
    """What was stored: rows (rows, dim) by field and item."""

    col: Collection
    rows: dict[str, dict[int, Float64]]
    metadata: list[dict[str, Any]]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corpus]:
    rng = np.random.default_rng(3)
    spaces = {name: gl.Space(dim) for name, dim in DIMS.items()}
    rows: dict[str, dict[int, Float64]] = {}
    for name, field in FIELDS.items():
        having = sorted(rng.permutation(N)[: int(rng.integers(30, N))].tolist())
        most = 4 if field.several else 2
        mean = rng.normal(size=DIMS[field.space])  # a gap between the fields
        rows[name] = {
            i: unit(mean + rng.normal(size=(int(rng.integers(1, most)), len(mean)))) for i in having
        }
    metadata = [{"year": int(rng.integers(5)), "doc": int(rng.integers(9))} for _ in range(N)]
    folder = tmp_path_factory.mktemp("oracle")
    with gl.open(folder / "c", gl.Schema(spaces, FIELDS)) as col:
        for name, field in FIELDS.items():
            items = rows[name]
            told = list(items.values()) if field.several else np.concatenate([*items.values()])
            col.upsert(list(items), {name: told}, [metadata[i] for i in items])
        yield Corpus(col, rows, metadata)


@dataclass
class List:
    """One query vector against one field."""

    field: str
    query: Float64
    modality: str
    weight: float


def aligned(corpus: Corpus, one: List, active: bool) -> dict[int, Float64]:
    """Cosine of the query with each row of each item, under the alignment."""
    alignment = corpus.col._storage.maps.get(one.field) if active else None
    query, shift = one.query, np.zeros(len(one.query))
    if alignment is not None:
        offset, linear = alignment.query[one.modality]
        assert linear is None and alignment.linear is None and offset is not None
        query, shift = query + offset, np.asarray(alignment.offset, np.float64)
    asked = unit(query)
    return {i: unit(rows + shift) @ asked for i, rows in corpus.rows[one.field].items()}


def of_rows(cosines: Float64, rule: str) -> float:
    return float(cosines.mean() if rule == "mean" else cosines.max())


def said(method: str, scores: Float64, ranks: Float64, background: Float64) -> Float64:
    """What a list gives of each item; NaN for nothing."""
    if method in RANKS:
        there = ranks > 0
        return np.where(there, RANKS[method](np.maximum(ranks, 1.0), len(ranks)), np.nan)
    own = scores[ranks > 0]
    if not len(own):  # as of a part of negative weight, which retrieves nothing
        own = scores[~np.isnan(scores)]
    if method == "cohort":
        return np.asarray((scores - background.mean()) / background.std())
    if method == "combmax" or not len(own):
        return scores
    spread = {
        "minmax": (own.min(), np.ptp(own)),
        "convex": (-1.0, own.max() + 1.0),
        "zscore": (own.mean(), own.std()),
        "dbsf": (own.mean() - 3 * own.std(ddof=1), 6 * own.std(ddof=1)) if len(own) > 1 else (0, 0),
    }
    low, wide = spread[method]
    alone = {"minmax": 1.0, "convex": 1.0, "zscore": 0.0, "dbsf": 0.5}
    if len(own) == 1 and method != "convex":
        return np.where(np.isnan(scores), np.nan, alone[method])
    return np.asarray((scores - low) / wide)


def by_hand(
    corpus: Corpus, lists: list[List], method: str, active: bool, wishes: Mapping[str, Any],
    exclude: set[int], most: int,
) -> list[tuple[float, int]]:  # fmt: skip
    """Rank all items found: (score, id), best first, and -inf for one of too low cosines."""
    year = wishes.get("filter", {}).get("year", {}).get("$gte", 0)
    allowed = {i for i in range(N) if corpus.metadata[i]["year"] >= year} - exclude
    depth = max(most, wishes.get("window", 100))
    found: list[tuple[List, dict[int, Float64], list[int]]] = []
    for one in lists:
        rule = wishes.get("rows", "max") if one.field == "frame" else "max"
        cosines = aligned(corpus, one, active)
        there = [i for i in cosines if i in allowed]
        there.sort(key=lambda i, c=cosines: (-c[i].max(), i))  # type: ignore[misc]
        met = [] if one.weight < 0 else there[: wishes.get("quotas", {}).get(one.field, depth)]
        met.sort(key=lambda i, c=cosines, r=rule: (-of_rows(c[i], r), i))  # type: ignore[misc]
        found.append((one, cosines, met))
    union = sorted({i for _, _, met in found for i in met})
    values = np.full((len(union), len(lists)), np.nan)
    raw = np.full(values.shape, np.nan)
    for j, (one, cosines, met) in enumerate(found):
        rule = wishes.get("rows", "max") if one.field == "frame" else "max"
        raw[:, j] = [of_rows(cosines[i], rule) if i in cosines else np.nan for i in union]
        ranks = np.array([met.index(i) + 1 if i in met else 0 for i in union], np.float64)
        background = np.array([of_rows(c, rule) for c in cosines.values()])
        values[:, j] = said(method, raw[:, j], ranks, background)
    weights = np.array([one.weight for one in lists])
    present = ~np.isnan(values)
    parts = np.where(present, values, 0.0) * weights
    if method == "combmax":
        scores = np.where(present, values * weights, -np.inf).max(axis=1, initial=-np.inf)
    else:
        scores = parts.sum(axis=1)
    if method == "isr":
        scores = scores * present.sum(axis=1)
    if method == "cohort":
        scores = scores / (present * np.abs(weights)).sum(axis=1)
    if method == "convex":
        scores = scores / np.abs(weights).sum()
    keep: npt.NDArray[np.bool_] = np.ones(len(union), bool)
    order = [i for i in np.lexsort((union, -scores)) if np.isfinite(scores[i])]
    if "min_score" in wishes:
        least = np.array([wishes["min_score"][one.field] for one in lists])
        keep = np.asarray((raw >= least).any(axis=1), bool)
    return [(float(scores[i]) if keep[i] else -np.inf, union[i]) for i in order]


def random_search(
    rng: np.random.Generator, corpus: Corpus, method: str
) -> tuple[dict[str, Any], list[List], set[int]]:
    """Arguments of a search, its lists, and what it leaves out."""
    fields = [name for name in FIELDS if rng.random() < 0.7] or ["caption"]
    spaces = {FIELDS[name].space for name in fields}
    vectors = {space: rng.normal(size=DIMS[space]) for space in DIMS if space in spaces}
    modality = str(rng.choice(["text", "image"]))
    if "bge" in vectors:
        modality = "text"
    given: dict[str, Any] = {"vectors": vectors, "modality": modality, "fields": fields}
    given["fusion"] = FUSIONS.get(method, method)
    weight = dict.fromkeys(fields, 1.0)
    if rng.random() < 0.5:
        weight = {name: float(rng.uniform(0.1, 3)) for name in fields}
        given["weights"] = weight
    parts = [(space, unit(q), modality, 1.0) for space, q in vectors.items()]
    exclude: set[int] = set()
    if rng.random() < 0.3:
        liked = int(rng.choice([*corpus.rows["caption"]]))
        given["like"], exclude = liked, {liked}
        own = [name for name in FIELDS if liked in corpus.rows[name]]
        own = [name for name in own if FIELDS[name].space in spaces]
        parts += [
            (FIELDS[name].space, unit(corpus.rows[name][liked].mean(axis=0)),
             FIELDS[name].modality, 1.0 / len(own)) for name in own
        ]  # fmt: skip
    if method in ("minmax", "zscore", "convex", "dbsf", "cohort") and rng.random() < 0.4:
        space = next(iter(vectors))
        unlike, size = rng.normal(size=DIMS[space]), float(rng.uniform(0.2, 1))
        given["negatives"] = gl.Part(vector=unlike, space=space, modality=modality, weight=size)
        parts.append((space, unit(unlike), modality, -size))
    lists = [
        List(name, query, asked, share * weight[name])
        for space, query, asked, share in parts
        for name in fields
        if FIELDS[name].space == space
    ]
    if rng.random() < 0.5:
        given["filter"] = {"year": {"$gte": int(rng.integers(5))}}
    if rng.random() < 0.4:
        given["window"] = int(rng.integers(1, 25))
    if rng.random() < 0.3:
        given["quotas"] = {name: int(rng.integers(1, 20)) for name in fields[:1]}
    if "frame" in fields and rng.random() < 0.5:
        given["rows"] = "mean"
    if "like" not in given and rng.random() < 0.2:
        given["min_score"] = {name: float(rng.uniform(-0.2, 0.6)) for name in fields}
    given["limit"], given["offset"] = int(rng.integers(1, 20)), int(rng.integers(0, 6))
    return given, lists, exclude


def assert_same(hits: gl.Hits, wanted: list[tuple[float, int]], whole: dict[int, float]) -> None:
    assert len(hits) == len(wanted)
    np.testing.assert_allclose(hits.scores, [score for score, _ in wanted], rtol=2e-4, atol=2e-5)
    assert len(set(hits.ids)) == len(hits)
    for hit in hits:  # equal but for rounding may change places
        assert hit.score == pytest.approx(whole[hit.id], rel=2e-4, abs=2e-5)  # type: ignore[index]


@pytest.mark.parametrize("align", [False, True], ids=["raw", "centred"])
@pytest.mark.parametrize("method", [*RANKS, *SCORES])
def test_equals_the_search_by_hand(corpus: Corpus, method: str, align: bool) -> None:
    col = corpus.col
    if align and col.alignment is None:
        col.align("center", tolerance=1.0)
    if not align and col.alignment is not None:
        col.rollback("raw")
    for seed in range(12):
        rng = np.random.default_rng(seed)
        given, lists, exclude = random_search(rng, corpus, method)
        active = align
        if align and seed % 4 == 3:  # scored apart from what the indexes are under
            given["alignment"], active = "raw", False
        most = given["offset"] + given["limit"]
        if "min_score" in given:
            most = max(most, given.get("window", 100))
        whole = by_hand(corpus, lists, method, active, given, exclude, most)
        good = [(score, item) for score, item in whole[:most] if score > -np.inf]
        cut = good[given["offset"] :][: given["limit"]]
        for _ in range(2):  # the second time as it was planned the first time
            assert_same(col.search(**given), cut, {item: score for score, item in whole})


def test_a_batch_says_what_its_questions_say_alone(corpus: Corpus) -> None:
    for seed, method in enumerate((*RANKS, *SCORES) * 2):
        rng = np.random.default_rng(100 + seed)
        given, _, _ = random_search(rng, corpus, method)
        own = given.pop("vectors")
        for single in ("like", "negatives"):
            given.pop(single, None)
        several = {space: rng.normal(size=(3, DIMS[space])) for space in own}
        many = corpus.col.search_many(vectors=several, **given)
        for i, hits in enumerate(many):
            alone = {space: rows[i] for space, rows in several.items()}
            wanted = corpus.col.search(vectors=alone, **given)
            assert hits.ids == wanted.ids
            np.testing.assert_allclose(hits.scores, wanted.scores, rtol=1e-6)


def test_groups_are_those_of_the_whole_ranking(corpus: Corpus) -> None:
    for seed in range(12):
        rng = np.random.default_rng(200 + seed)
        given, lists, exclude = random_search(rng, corpus, "minmax")
        given.pop("min_score", None)
        active = corpus.col.alignment is not None
        given |= {"window": N, "group_by": "doc", "group_size": 3}
        ranking = [i for _, i in by_hand(corpus, lists, "minmax", active, given, exclude, N)]
        groups: dict[int, list[int]] = {}
        for item in ranking:
            groups.setdefault(corpus.metadata[item]["doc"], []).append(item)
        chosen = list(groups.items())[given["offset"] :][: given["limit"]]
        hits = corpus.col.search(**given)
        assert [(hit.group, [hit.id, *hit.others.ids]) for hit in hits] == [
            (doc, members[:3]) for doc, members in chosen
        ]
