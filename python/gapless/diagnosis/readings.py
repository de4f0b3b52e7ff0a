"""Take the readings of a diagnosis off a sample, under one alignment."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ..alignment.align import align_rows
from ..evaluation.measures import intra_modal_bias
from . import geometry
from .result import (
    BiasReading,
    Diagnosis,
    ModalityReading,
    OutlierReading,
    PairReading,
    RouteReading,
)
from .sampling import Sample

__all__ = ["View", "read"]

TAIL = 0.05  # share of a modality's own rows that count as outlying

Float64: TypeAlias = "npt.NDArray[np.float64]"
Keys: TypeAlias = "npt.NDArray[np.int64]"
Mask: TypeAlias = "npt.NDArray[np.bool_]"


class View:
    """A sample under one alignment: aligned rows, and the scores of every row with every row.

    Attributes
    ----------
    name : str
        ``"raw"``, or the active alignment's.
    documents : (n, dim)
        All rows, aligned as documents; `code` and `items` say whose they are.
    scores : (n, n)
        Row i asks through the query map of its modality; -inf on the diagonal, for a row must
        not find itself.
    right : (n, n) bool
        Whether j answers i: one label, or one key where there are no labels.
    """

    def __init__(self, sample: Sample, aligned: bool) -> None:
        self.sample = sample
        self.name = sample.method if aligned else "raw"
        self.maps = dict(sample.maps) if aligned else {}
        self.code, self.items = sample.code(), sample.items()
        self.documents = np.concatenate(
            [align_rows(rows, self.maps.get(name)) for name, rows in sample.rows.items()]
        )
        self.scores = np.concatenate(
            [self.ask(rows, sample.modality_of[name]) for name, rows in sample.rows.items()]
        )
        np.fill_diagonal(self.scores, -np.inf)
        self.groups = self._group(self.items)
        self.right: Mask = (self.groups[:, None] == self.groups[None]) & (self.groups >= 0)
        np.fill_diagonal(self.right, val=False)

    def ask(self, queries: Float64, modality: str) -> Float64:
        """Scores of queries of `modality` with every row: each field through its own maps."""
        blocks = []
        for name, rows in self.sample.rows.items():
            alignment = self.maps.get(name)
            asking = align_rows(queries, alignment, modality if alignment else None)
            blocks.append(asking @ align_rows(rows, alignment).T)
        return np.concatenate(blocks, axis=1)

    def _group(self, keys: Keys) -> Keys:
        """Give the label of each key as a number, or -1; the key itself without labels."""
        if not self.sample.labels:
            return keys
        number = {label: i for i, label in enumerate(dict.fromkeys(self.sample.labels.values()))}
        of = {key: number[label] for key, label in self.sample.labels.items()}
        return np.array([of.get(key, -1) for key in keys.tolist()], dtype=np.int64)

    def answered(self, keys: Keys) -> Mask:
        """Which rows answer queries whose right item is `keys`: (queries, n) bool."""
        groups = self._group(keys)
        right: Mask = (groups[:, None] == self.groups[None]) & (groups[:, None] >= 0)
        right |= keys[:, None] == self.items[None]
        return right


def read(sample: Sample, aligned: bool, k: int) -> Diagnosis:
    """Take every reading of `sample`, raw or under its alignment."""
    view = View(sample, aligned)
    modalities = sample.modalities
    singles = tuple(_modality(view, i, name) for i, name in enumerate(modalities))
    pairs = tuple(
        _pair(view, i, j, k, singles) for i, j in itertools.combinations(range(len(modalities)), 2)
    )
    bias = _bias(view, modalities, k) if len(modalities) > 1 else ()
    routes = tuple(_item_routes(view, modalities, k)) + tuple(_query_routes(view, modalities, k))
    outliers = () if aligned else tuple(_outliers(view, modalities, k))
    return Diagnosis(singles, pairs, bias, (), routes, outliers)


def _modality(view: View, i: int, modality: str) -> ModalityReading:
    rows = view.documents[view.code == i]
    cosine = geometry.random_cosine(rows)
    several = len(rows) > 1
    return ModalityReading(
        view.sample.space,
        view.name,
        modality,
        len(rows),
        geometry.spread(rows),
        cosine.mean if several else None,
        cosine.std if several else None,
        geometry.uniformity_loss(rows),
        geometry.effective_rank(rows),
        geometry.mean_distance(rows),
    )


def _pair(view: View, i: int, j: int, k: int, singles: tuple[ModalityReading, ...]) -> PairReading:
    first, second = view.code == i, view.code == j
    x, y = view.documents[first], view.documents[second]
    cosine = x @ y.T
    matched = view.items[first][:, None] == view.items[second][None]
    gap = geometry.centroid_distance(x, y)
    middle = (singles[i].spread + singles[j].spread) / 2
    both = first | second
    mixed = view.scores[np.ix_(both, both)]
    a, b = (side[at] for side, at in zip((x, y), np.nonzero(matched), strict=True))
    # One pair per item: frames of one film would otherwise be each other's neighbours.
    _, once = np.unique(view.items[first][np.nonzero(matched)[0]], return_index=True)
    offset = geometry.offset_cosine(a, b) if len(a) else None
    return PairReading(
        view.sample.space,
        view.name,
        (singles[i].modality, singles[j].modality),
        gap,
        geometry.centroid_cosine_distance(x, y),
        gap / middle if middle > 0 else None,
        *_moments(cosine[~matched]),
        *_moments(cosine[matched]),
        len(a),
        geometry.lisi(mixed, view.code[both], min(k, len(mixed) - 1)),
        geometry.separability(x, y) if min(len(x), len(y)) >= 4 else None,
        geometry.offset_constancy(a, b) if len(a) else None,
        offset.mean if offset else None,
        offset.std if offset else None,
        geometry.relative_gap(a, b) if len(a) else None,
        geometry.alignment_loss(a, b) if len(a) else None,
        geometry.neighbour_agreement(a[once], b[once], min(k, len(once) - 1))
        if len(once) > 1
        else None,
    )


def _bias(view: View, modalities: list[str], k: int) -> tuple[BiasReading, ...]:
    others = len(view.code) - 1
    k = min(k, others)
    ranking = np.argsort(-view.scores, axis=1, kind="stable")[:, :k]
    readings = []
    for i, modality in enumerate(modalities):
        mine = view.code == i
        share = float(mine.sum() - 1) / others
        rate, lift = 0.0, 0.0  # a lone row of its modality cannot find it
        if share:
            population = np.ones(len(mine), dtype=bool)
            population[np.argmax(mine)] = False
            rate, lift = intra_modal_bias(ranking[mine], view.code, i, k, population=population)
        readings.append(
            BiasReading(
                view.sample.space, view.name, modality, k, rate, share, lift, int(mine.sum())
            )
        )
    return tuple(readings)


def _item_routes(view: View, modalities: list[str], k: int) -> Iterator[RouteReading]:
    for (i, asker), (j, target) in itertools.product(enumerate(modalities), repeat=2):
        block = np.ix_(view.code == i, view.code == j)
        own = int(i == j)
        if view.scores[block].shape[1] - own < 1:
            continue
        # A row that is itself -inf ranks last, beyond any k up to the number of others.
        yield _route(view, asker, target, "items", view.scores[block], view.right[block], k, own)


def _query_routes(view: View, modalities: list[str], k: int) -> Iterator[RouteReading]:
    for asker, queries in view.sample.queries.items():
        scores = view.ask(queries, asker)
        keys = view.sample.answers.get(asker)
        right = np.zeros(scores.shape, dtype=bool) if keys is None else view.answered(keys)
        for j, target in enumerate(modalities):
            there = view.code == j
            yield _route(
                view, asker, target, "queries", scores[:, there], right[:, there], k, own=0
            )


def _route(
    view: View,
    asker: str,
    target: str,
    source: str,
    scores: Float64,
    right: Mask,
    k: int,
    own: int,
) -> RouteReading:
    k = min(k, scores.shape[1] - own)
    first = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    hits = np.take_along_axis(right, first, axis=1).sum(axis=1)
    wanted = np.minimum(right.sum(axis=1), k)
    judged = wanted > 0
    occurrence = geometry.k_occurrence(scores, k)
    return RouteReading(
        view.sample.space,
        view.name,
        asker,
        target,
        source,
        len(scores),
        scores.shape[1],
        k,
        float(np.take_along_axis(scores, first, axis=1).mean()),
        float((hits[judged] / wanted[judged]).mean()) if judged.any() else None,
        int(judged.sum()),
        geometry.hub_skew(occurrence),
        geometry.antihub_share(occurrence),
    )


def _outliers(view: View, modalities: list[str], k: int) -> Iterator[OutlierReading]:
    for modality, queries in view.sample.queries.items():
        if modality not in modalities:
            continue
        rows = view.documents[view.code == modalities.index(modality)]
        depth = min(k, len(rows) - 1)
        if depth >= 1:
            share = geometry.outlier_share(align_rows(queries, None), rows, depth, TAIL)
            yield OutlierReading(
                view.sample.space, modality, len(queries), len(rows), depth, share, TAIL
            )


def _moments(values: Float64) -> tuple[float | None, float | None]:
    return (float(values.mean()), float(values.std())) if values.size else (None, None)
