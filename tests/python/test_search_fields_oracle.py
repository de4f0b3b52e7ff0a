"""search_fields against the same search written out with plain numpy, on random fields."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pytest

import gapless
from gapless._core import FieldSearch, search_fields, search_fields_batch

Float64 = npt.NDArray[np.float64]
DIM = 8
ITEMS = 60
SHIFT = 40  # a row's label is ordinal << SHIFT | item


def unit(rows: npt.ArrayLike) -> Float64:
    array = np.asarray(rows, np.float64)
    return np.asarray(array / np.linalg.norm(array, axis=-1, keepdims=True))


@dataclass
class Field:
    """Rows of each item, what is asked of them, and how."""

    rows: dict[int, Float64]  # item -> (rows, dim)
    queries: list[Float64]  # by question (tokens, dim)
    weight: float
    depth: int | None
    several: bool
    rule: str
    allowed: set[int] | None
    cohort: list[int]
    index: gapless.FlatIndex = field(default_factory=lambda: gapless.FlatIndex(DIM))

    def fill(self) -> None:
        for item, rows in self.rows.items():
            labels = [ordinal << SHIFT | item for ordinal in range(len(rows))]
            self.index.add(rows.astype(np.float32), ids=labels)

    def native(self, questions: slice, bits: bool) -> FieldSearch:
        chosen = self.queries[questions]
        late = self.rule == "maxsim"
        allowed: npt.NDArray[np.generic] | None = None
        if self.allowed is not None:
            allowed = np.array(sorted(self.allowed), dtype=np.int64)
            if bits:
                mask = np.isin(np.arange(ITEMS), allowed)
                allowed = np.packbits(mask, bitorder="little")
        return FieldSearch(
            self.index,
            np.concatenate(chosen),
            weight=self.weight,
            depth=self.depth,
            several=self.several,
            rule=self.rule,
            tokens=[len(query) for query in chosen] if late else None,
            filter=allowed,
            cohort=self.cohort,
        )

    def matrix(self, question: int, item: int) -> Float64:
        """Cosines (tokens, rows) of the question with the item's rows."""
        return np.asarray(unit(self.queries[question]) @ unit(self.rows[item]).T)

    def score(self, question: int, item: int) -> tuple[float, int]:
        """The item's score by the rule, and its best row."""
        cosines = self.matrix(question, item)
        best = int(cosines.max(axis=0).argmax())
        if self.rule == "mean":
            return float(cosines.mean()), best
        return float(cosines.max(axis=1).mean()), best

    def near(self, question: int, depth: int, exclude: set[int]) -> list[int]:
        """The items retrieved, best first."""
        if self.weight < 0:
            return []
        there = set(self.rows) - exclude
        if self.allowed is not None:
            there &= self.allowed
        depth = self.depth or depth
        met: set[int] = set()
        for token in range(len(self.queries[question])):
            best = {item: self.matrix(question, item)[token].max() for item in there}
            met.update(sorted(there, key=lambda item: (-best[item], item))[:depth])
        scores = {item: self.score(question, item)[0] for item in met}
        return sorted(met, key=lambda item: (-scores[item], item))[:depth]


def normalise(
    method: str, own: Field, question: int, scores: Float64, retrieved: Float64
) -> Float64:
    of = retrieved if len(retrieved) else scores[~np.isnan(scores)]
    if method == "cohort":
        background = [own.score(question, item)[0] for item in own.cohort if item in own.rows]
        return np.asarray((scores - np.mean(background)) / np.std(background))
    if method == "minmax" and len(of):
        if of.max() == of.min():
            return np.where(np.isnan(scores), np.nan, 1.0)
        return np.asarray((scores - of.min()) / (of.max() - of.min()))
    return scores


def by_hand(
    fields: list[Field], question: int, k: int, method: str, depth: int, exclude: set[int]
) -> tuple[Float64, list[int], dict[str, Float64]]:
    """Search, complete and fuse: scores, items, and the four matrices."""
    lists = [one.near(question, depth, exclude) for one in fields]
    union = sorted(set().union(*lists))
    shape = (len(union), len(fields))
    ranks, rows = np.zeros(shape, int), np.full(shape, -1)
    raw, said = np.full(shape, np.nan), np.full(shape, np.nan)
    weights = np.array([one.weight for one in fields])
    for j, one in enumerate(fields):
        for i, item in enumerate(union):
            if item in lists[j]:
                ranks[i, j] = lists[j].index(item) + 1
            if item in one.rows and (one.allowed is None or item in one.allowed):
                raw[i, j], rows[i, j] = one.score(question, item)
        if method == "rrf, all ranked":
            order = np.argsort(-raw[:, j], kind="stable")[: int((~np.isnan(raw[:, j])).sum())]
            said[order, j] = 1.0 / (60 + 1 + np.arange(len(order)))
        elif method == "rrf":
            said[:, j] = np.where(ranks[:, j] > 0, 1.0 / (60 + np.maximum(ranks[:, j], 1)), np.nan)
        else:
            retrieved = raw[ranks[:, j] > 0, j]
            said[:, j] = normalise(method, one, question, raw[:, j], retrieved)
    present = ~np.isnan(said)
    parts = np.where(present, said, 0.0) * weights
    if method == "cohort":
        scores = parts.sum(axis=1) / (present * np.abs(weights)).sum(axis=1)
    else:
        scores = parts.sum(axis=1)
    first = np.lexsort((union, -scores))[:k]
    matrices = {"ranks": ranks, "rows": rows, "raw": raw, "normalised": said}
    return scores[first], [union[i] for i in first], {n: m[first] for n, m in matrices.items()}


def random_fields(seed: int, negative: bool = False) -> list[Field]:
    rng = np.random.default_rng(seed)
    made = []
    for place in range(int(rng.integers(2, 5))):
        several = bool(rng.random() < 0.7)
        rule = str(rng.choice(["max", "mean", "maxsim"])) if several else "max"
        having = rng.permutation(ITEMS)[: int(rng.integers(20, ITEMS))]
        most = 5 if several else 2
        own = Field(
            rows={
                int(i): rng.normal(size=(int(rng.integers(1, most)), DIM)) for i in sorted(having)
            },
            queries=[
                rng.normal(size=(int(rng.integers(1, 5)) if rule == "maxsim" else 1, DIM))
                for _ in range(9)
            ],
            weight=-0.7 if negative and place == 1 else float(rng.uniform(0.2, 2)),
            depth=int(rng.integers(1, 20)) if rng.random() < 0.5 else None,
            several=several,
            rule=rule,
            allowed=set(map(int, rng.permutation(ITEMS)[:40])) if rng.random() < 0.4 else None,
            cohort=list(map(int, rng.permutation(ITEMS)[:30])),
        )
        own.fill()
        made.append(own)
    return made


def assert_equals_the_search_by_hand(seed: int, method: str, fields: list[Field]) -> None:
    rng = np.random.default_rng(seed)
    name, _, all_ranked = method.partition(", ")
    questions = len(fields[0].queries)
    exclude = [
        set(map(int, rng.permutation(ITEMS)[: rng.integers(0, 6)])) for _ in range(questions)
    ]
    k, depth = int(rng.integers(1, 40)), int(rng.integers(3, 30))
    searches = [one.native(slice(None), bits=bool(seed % 2)) for one in fields]
    batch = search_fields_batch(
        searches,
        k,
        name,
        complete_ranks=bool(all_ranked),
        depth=depth,
        exclude=[sorted(items) for items in exclude],
        threads=1 + seed % 2,
    )
    assert len(batch) == questions
    for question in range(questions):
        scores, items, matrices = by_hand(fields, question, k, method, depth, exclude[question])
        hits = batch[question]
        assert hits.ids.tolist() == items
        np.testing.assert_allclose(hits.scores, scores, rtol=1e-5, atol=1e-6)
        for what, wanted in matrices.items():
            np.testing.assert_allclose(
                getattr(hits, what), wanted, rtol=1e-5, atol=2e-6, err_msg=what
            )
        alone = search_fields(
            [one.native(slice(question, question + 1), bits=False) for one in fields],
            k,
            name,
            complete_ranks=bool(all_ranked),
            depth=depth,
            exclude=sorted(exclude[question]),
        )
        assert alone.ids.tolist() == hits.ids.tolist()
        np.testing.assert_array_equal(alone.rows, hits.rows)


@pytest.mark.parametrize("method", ["rrf", "rrf, all ranked", "minmax", "cohort"])
@pytest.mark.parametrize("seed", range(10))
def test_equals_the_search_by_hand(seed: int, method: str) -> None:
    assert_equals_the_search_by_hand(seed, method, random_fields(seed))


@pytest.mark.parametrize("method", ["minmax", "cohort"])
@pytest.mark.parametrize("seed", range(10, 16))
def test_lists_of_negative_weight_lower_what_others_find(seed: int, method: str) -> None:
    fields = random_fields(seed, negative=True)
    assert_equals_the_search_by_hand(seed, method, fields)
    hits = search_fields([one.native(slice(0, 1), bits=False) for one in fields], 20, method)
    assert (hits.ranks[:, 1] == 0).all()
