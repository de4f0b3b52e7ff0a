"""What a collection tells about itself: the readings of the gap, and four recipes against it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from .batch import ItemId, read_id, whole
from .catalog import Catalog
from .diagnosis.conflicts import with_neighbours
from .diagnosis.diagnose import SAMPLE, diagnose_samples, sample_fields
from .diagnosis.doctor import Prescription, check_symptom, examine
from .diagnosis.result import Diagnosis
from .diagnosis.sampling import Sample
from .diagnosis.whole_index import index_bias
from .errors import InvalidArgument
from .item_keys import keys_of, read_key_pairs
from .storage import Storage

__all__ = ["DiagnosisMethods"]

Drawn = list[tuple[Sample, tuple[str, ...]]]


class DiagnosisMethods:
    """The part of `Collection` that concerns diagnosis."""

    _storage: Storage

    def diagnose(
        self,
        pairs: Iterable[tuple[ItemId, ItemId]] | None = None,
        labels: Mapping[Any, Hashable] | None = None,
        *,
        queries: Mapping[str, Any] | None = None,
        answers: Mapping[str, Sequence[ItemId]] | None = None,
        k: int = 10,
        sample: int = SAMPLE,
        seed: int = 0,
    ) -> Diagnosis:
        """Measure the modality gap and what it does, raw and under the active alignment.

        The work is bounded: above `sample` rows in a space, that many are looked at, and some 200
        of each modality ask the whole collection for the bias that its searches have. Where a field
        takes several rows per item, the first of each item is looked at, and the bias is that of
        the sample: the rows of one item crowd around each other, and would pass for a bias.

        Parameters
        ----------
        pairs : iterable of (id, id), optional
            Items that mean the same, beside those that fill two fields.
        labels : mapping of id to label, optional
            Items with one label answer each other, also within a modality; without it, rows of
            one item do, and items that `pairs` names.
        queries : mapping, optional
            Vectors of real queries, {modality: (q, dim)}; with several spaces
            {space: {modality: (q, dim)}}.
        answers : mapping of modality to (q,) ids, optional
            The item that answers each of them.
        k : int
            Depth of rankings.
        sample : int
            Rows looked at per space, drawn with `seed` when there are more.

        Returns
        -------
        Diagnosis
            Print it, or take ``.findings`` and ``.to_dict()``. Spaces without a vector are left
            out.

        Raises
        ------
        InvalidArgument
            When k or sample is below 1, for pairs, labels or answers of no known form, or when
            the collection is empty.
        InvalidVector
            For queries of another dim, zero, NaN or infinite.
        UnknownId
            For ids that are not there.
        """
        k, sample = whole("k", k), whole("sample", sample)
        storage = self._storage
        storage.live()
        with storage.writing:  # rows must not leave between the sample and the fetch
            drawn, _ = self._draw(pairs, labels, queries, answers, sample, seed)
            skip = self._bridged()
            over_all = {
                part.space: index_bias(part, storage.indexes, k, skip, seed)
                for part, _ in drawn
                if not any(storage.schema.fields[name].several for name in part.rows)
                and part.count < sum(len(storage.indexes[name]) for name in part.rows)
            }
        return diagnose_samples(drawn, k, over_all)

    def doctor(
        self,
        symptom: str | None = None,
        *,
        pairs: Iterable[tuple[ItemId, ItemId]] | None = None,
        labels: Mapping[Any, Hashable] | None = None,
        queries: Mapping[str, Any] | None = None,
        answers: Mapping[str, Sequence[ItemId]] | None = None,
        sample: int = SAMPLE,
        seed: int = 0,
    ) -> tuple[Prescription, ...]:
        """Look for the cause of a symptom in the data, and say what to do.

        Parameters
        ----------
        symptom : str, optional
            ``"same_scores"`` (all results have about the same score), ``"cross_modal"`` (search
            across modalities fails, within one it works), ``"rare_queries"`` (rare or specific
            queries fail) or ``"more_data"`` (adding data made the search worse); all four by
            default.
        pairs, labels, queries, answers, sample, seed
            As in `diagnose`.

        Returns
        -------
        tuple of Prescription
            Whether the cause is there, the figures it rests on, and the fix.

        Raises
        ------
        InvalidArgument
            For another symptom, and as `diagnose`; so are the other errors.
        """
        check_symptom(symptom)
        sample = whole("sample", sample)
        storage = self._storage
        storage.live()
        beside = None
        with storage.writing:
            drawn, merged = self._draw(pairs, labels, queries, answers, sample, seed)
            if symptom in (None, "more_data"):
                skip = self._bridged()
                beside = [with_neighbours(s, storage.indexes, merged, skip, seed) for s, _ in drawn]
        return examine(diagnose_samples(drawn), symptom, beside)

    def _draw(
        self,
        pairs: Iterable[tuple[ItemId, ItemId]] | None,
        labels: Mapping[Any, Hashable] | None,
        queries: Mapping[str, Any] | None,
        answers: Mapping[str, Sequence[ItemId]] | None,
        sample: int,
        seed: int,
    ) -> tuple[Drawn, list[tuple[int, int]]]:
        storage = self._storage
        catalog = storage.live()
        merged = _key_pairs(catalog, pairs)
        bridged = self._bridged()
        drawn = sample_fields(
            storage.schema,
            storage.indexes,
            {name: held for name, held in storage.maps.items() if name not in bridged},
            storage.alignment.method if storage.alignment else "raw",
            pairs=merged,
            labels=_key_labels(catalog, labels),
            queries=queries,
            answers=_key_answers(catalog, answers),
            sample=sample,
            seed=seed,
        )
        if bridged:
            names = ", ".join(map(repr, sorted(bridged)))
            note = f"aligned into another space, and read raw in their own: {names}"
            drawn[-1] = (drawn[-1][0], (*drawn[-1][1], note))
        return drawn, merged

    def _bridged(self) -> frozenset[str]:
        """Fields that the active alignment takes to another space: theirs has no view of it."""
        active = self._storage.alignment
        return frozenset(active.bridges if active else ())


def _key_pairs(catalog: Catalog, pairs: Any) -> list[tuple[int, int]]:
    rows, keys = read_key_pairs(catalog, pairs)
    if rows is not None:
        raise InvalidArgument("pairs holds rows: give pairs of ids, such as [('a', 'b')]")
    return [] if keys is None else [(int(a), int(b)) for a, b in keys]


def _key_labels(catalog: Catalog, labels: Any) -> dict[int, Hashable] | None:
    if labels is None:
        return None
    if not isinstance(labels, Mapping):
        raise InvalidArgument(f"labels is a {type(labels).__name__}: give {{id: label}}")
    for item, label in labels.items():
        if not isinstance(label, Hashable):
            raise InvalidArgument(
                f"the label of {item!r} is a {type(label).__name__}: give a string or a number"
            )
    keys = keys_of(catalog, [read_id(item, i) for i, item in enumerate(labels)])
    return dict(zip(keys, labels.values(), strict=True))


def _key_answers(catalog: Catalog, answers: Any) -> dict[str, list[int]] | None:
    if answers is None:
        return None
    if not isinstance(answers, Mapping) or any(
        isinstance(ids, (str, Mapping)) or not isinstance(ids, (Sequence, np.ndarray))
        for ids in answers.values()
    ):
        raise InvalidArgument(f"answers is {answers!r:.80}: give {{modality: ids}}")
    return {
        modality: keys_of(catalog, [read_id(item, i) for i, item in enumerate(ids)])
        for modality, ids in answers.items()
    }
