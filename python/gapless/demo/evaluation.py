"""What the modality gap costs: one table of a mixed index, raw, centred and fused.

Over the held-out families alone, of which the model has seen no picture. Exact indexes are used,
so that every difference between two rows of the table is one of scoring. The query is the name of
a held-out icon; right answers are the icons that share its concept, and the names that are another
spelling of it, by the synonym table; the identical string is left out of the ranking. The means for
centring come from the indexed rows, never from the answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gapless import _core
from gapless.alignment.align import center
from gapless.cohorts import Cohorts
from gapless.demo.concepts import concept_of, evaluation_queries, identical
from gapless.errors import InvalidArgument
from gapless.evaluation.evaluate import intra_modal_bias, ndcg_at_k, recall_at_k

if TYPE_CHECKING:
    from gapless.demo.icons import Icon

__all__ = ["Comparison", "Row", "Task", "compare", "make_task"]

Rows = npt.NDArray[np.float32]
Values = npt.NDArray[np.float64]

METHODS = (
    ("raw mixed index", False, "combmax", "one ranking by cosine, as vector stores do it"),
    ("centred", True, "combmax", "one ranking by cosine after align('center')"),
    ("centred, rrf", True, "rrf", "centred, and the two fields' rankings fused by rank"),
    (
        "fused",
        True,
        "cohort",
        "centred, each field's scores on the scale of a background sample (cohort): the default",
    ),
)


@dataclass(frozen=True)
class Row:
    """One way of ranking, measured; every value is a mean over the queries, in [0, 1] but `lift`.

    Attributes
    ----------
    name, how : str
    fusion : str
    alignment : str
    bias : float
        Share of text among the first ten answers to a text query.
    lift : float
        The same against the share of text in the index: 0 unbiased, 1 nothing but text.
    recall_at_10, ndcg_at_10 : float
        Over right answers of both modalities.
    image_recall_at_10, text_recall_at_10 : float
        The share of the right icons, and of the right names, among the first ten of the mixed list.
    recall_gain, ndcg_gain : (float, float, float) or None
        Mean difference to the first row with its 95% interval (paired bootstrap over queries).
    """

    name: str
    how: str
    fusion: str
    alignment: str
    bias: float
    lift: float
    recall_at_10: float
    ndcg_at_10: float
    image_recall_at_10: float
    text_recall_at_10: float
    recall_gain: tuple[float, float, float] | None
    ndcg_gain: tuple[float, float, float] | None


@dataclass(frozen=True)
class Comparison:
    """The whole table and what it rests on.

    `text_share` is the share of text items, the bias of a blind draw. `ceiling` is the best
    possible R@10: a query with more than ten right answers cannot have them all there.
    `image_only` and `image_only_centred` are R@10 of the right icons when the image field alone is
    searched: what the pictures could give if no text stood before them.
    """

    rows: tuple[Row, ...]
    queries: int
    images: int
    texts: int
    text_share: float
    ceiling: float
    image_only: float
    image_only_centred: float

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Task:
    """Queries with their right answers; items are numbered 0 to n-1 (icons), n to n+m-1 (names).

    Attributes
    ----------
    queries
        Position of each query among the names.
    right
        Item numbers that are right, for each query.
    hidden
        Item numbers of the query's own words, for each query.
    """

    queries: list[int]
    right: list[frozenset[int]]
    hidden: list[list[int]]


def make_task(icons: Sequence[Icon], texts: Sequence[str]) -> Task:
    """List the evaluation's queries and judge every item.

    The rule is that of :mod:`gapless.demo.concepts`; a query needs a right answer in both
    modalities, or it is left out.
    """
    pictures: dict[str, set[int]] = {}
    for number, icon in enumerate(icons):
        for concept in {concept_of(text) for text in icon.texts} - {None}:
            pictures.setdefault(concept or "", set()).add(number)
    names: dict[str, list[int]] = {}
    for number, text in enumerate(texts):
        names.setdefault(concept_of(text) or "", []).append(number)
    place = {text: number for number, text in enumerate(texts)}
    task = Task([], [], [])
    for query in evaluation_queries(icons):
        concept = concept_of(query) or ""
        same = identical(query, [texts[number] for number in names[concept]])
        hidden = [len(icons) + n for n, own in zip(names[concept], same, strict=True) if own]
        others = {len(icons) + n for n, own in zip(names[concept], same, strict=True) if not own}
        if others and pictures.get(concept):
            task.queries.append(place[query])
            task.right.append(frozenset(pictures[concept] | others))
            task.hidden.append(hidden)
    return task


def compare(
    icons: Sequence[Icon], texts: Sequence[str], images: Rows, names: Rows, k: int = 10
) -> Comparison | None:
    """Rank the held-out icons and names in every way of :data:`METHODS`.

    Parameters
    ----------
    icons, texts
        n icons, and m different names of theirs.
    images, names
        Their vectors, float32 (n, dim) and (m, dim).
    k
        Depth of all measures.

    Returns
    -------
    Comparison, or None when no query has right answers in both modalities (a small corpus)

    Raises
    ------
    InvalidArgument
        The vectors are not one for each item.
    """
    if len(icons) != len(images) or len(texts) != len(names):
        raise InvalidArgument(
            f"{len(icons)} icons with {len(images)} vectors and {len(texts)} names with "
            f"{len(names)}: give one vector for each"
        )
    task = make_task(icons, texts)
    if not task.queries:
        return None
    bench = _Bench(images, names, task)
    count = len(icons)
    modality = np.array(["image"] * count + ["text"] * len(texts))
    gains = [dict.fromkeys(right, 1.0) for right in task.right]
    right_icons = [frozenset(n for n in right if n < count) for right in task.right]
    right_names = [right - icons for right, icons in zip(task.right, right_icons, strict=True)]
    rows: list[Row] = []
    base: tuple[Values, Values] | None = None
    for name, aligned, method, how in METHODS:
        ranking = bench.rank(aligned, method, k)
        bias = intra_modal_bias(ranking, modality, "text", k)
        recall = np.asarray(recall_at_k(ranking, task.right, k))
        ndcg = np.asarray(ndcg_at_k(ranking, gains, k))
        rows.append(
            Row(
                name=name,
                how=how,
                fusion=method,
                alignment="center" if aligned else "raw",
                bias=bias.rate,
                lift=bias.lift,
                recall_at_10=float(recall.mean()),
                ndcg_at_10=float(ndcg.mean()),
                image_recall_at_10=float(np.mean(recall_at_k(ranking, right_icons, k))),
                text_recall_at_10=float(np.mean(recall_at_k(ranking, right_names, k))),
                recall_gain=base and _gain(recall - base[0]),
                ndcg_gain=base and _gain(ndcg - base[1]),
            )
        )
        base = base or (recall, ndcg)
    only = [
        float(np.mean(recall_at_k(bench.rank_images(aligned, k), right_icons, k)))
        for aligned in (False, True)
    ]
    return Comparison(
        rows=tuple(rows),
        queries=len(task.queries),
        images=count,
        texts=len(texts),
        text_share=len(texts) / len(modality),
        ceiling=float(np.mean([min(k, len(right)) / len(right) for right in task.right])),
        image_only=only[0],
        image_only_centred=only[1],
    )


class _Bench:
    """The held-out items in two exact indexes, asked by every query of a task."""

    def __init__(self, images: Rows, names: Rows, task: Task) -> None:
        self._task = task
        self._queries = names[task.queries]
        self._total = len(images) + len(names)
        dim = images.shape[1]
        self._image, self._text = _core.FlatIndex(dim), _core.FlatIndex(dim)
        self._image.add(images, np.arange(len(images)))
        self._text.add(names, np.arange(len(images), self._total))
        self._maps = center({"image": images, "text": names}, {"image": "image", "text": "text"})
        cohorts = Cohorts({})
        self._cohorts = {
            "image": cohorts.of("image", self._image),
            "text": cohorts.of("text", self._text),
        }

    def _align(self, aligned: bool) -> None:
        self._image.set_alignment(self._maps["image"] if aligned else None)
        self._text.set_alignment(self._maps["text"] if aligned else None)

    def rank(self, aligned: bool, method: str, k: int) -> npt.NDArray[np.int64]:
        """Rank both fields in one list for every query: (queries, k), -1 for an empty place."""
        self._align(aligned)
        cohort = self._cohorts if method == "cohort" else {}
        ranking = np.full((len(self._queries), k), -1, dtype=np.int64)
        for row, (query, hidden) in enumerate(zip(self._queries, self._task.hidden, strict=True)):
            seen = np.ones(self._total, dtype=np.bool_)
            seen[hidden] = False
            shown = np.packbits(seen, bitorder="little")
            found = _core.search_fields(
                [
                    _core.FieldSearch(
                        index, query, query_modality="text", filter=shown, cohort=cohort.get(field)
                    )
                    for field, index in (("image", self._image), ("text", self._text))
                ],
                k,
                method=method,
            ).ids
            ranking[row, : len(found)] = found
        return ranking

    def rank_images(self, aligned: bool, k: int) -> npt.NDArray[np.int64]:
        """Rank the pictures alone for every query: (queries, k)."""
        self._align(aligned)
        return self._image.search(self._queries, k, query_modality="text")[1]


def _gain(difference: Values) -> tuple[float, float, float]:
    """Mean of paired differences with its 95% bootstrap interval (2,000 draws, seeded)."""
    rng = np.random.default_rng(0)
    draws = rng.integers(0, len(difference), (2_000, len(difference)))
    low, high = np.percentile(difference[draws].mean(axis=1), [2.5, 97.5])
    return float(difference.mean()), float(low), float(high)
