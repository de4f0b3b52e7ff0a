"""Measure the modality gap: how far apart the cones lie, and what that does to a mixed index."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core
from ..batch import whole
from ..errors import InvalidArgument
from ..index_rows import filling
from ..schema import Schema
from ..segments import Index
from .given import (
    KeyPairs,
    Keys,
    check_every,
    check_rows,
    merge_same,
    read_answers,
    read_fields,
    read_labels,
    read_owners,
    read_queries,
)
from .readings import read
from .result import BiasReading, Diagnosis
from .sampling import SAMPLE, Sample, draw_rows
from .verdicts import judge

__all__ = ["SAMPLE", "diagnose", "diagnose_samples", "sample_arrays", "sample_fields"]


def diagnose(
    fields: Mapping[str, npt.ArrayLike],
    modality_of: Mapping[str, str] | None = None,
    *,
    keys: Mapping[str, Sequence[int] | Keys] | None = None,
    paired: bool = False,
    pairs: KeyPairs | None = None,
    labels: Mapping[Any, Any] | None = None,
    queries: Mapping[str, npt.ArrayLike] | None = None,
    answers: Mapping[str, Sequence[int]] | None = None,
    alignments: Mapping[str, _core.Alignment] | None = None,
    method: str = "center",
    space: str = "default",
    k: int = 10,
    sample: int = SAMPLE,
    seed: int = 0,
) -> Diagnosis:
    """Read gap, bias, collapse, hubs and recall per route off the fields of one space.

    Parameters
    ----------
    fields : mapping of field to array-like (n, dim)
        Non-zero rows; an empty field is skipped.
    modality_of : mapping of field to modality, optional
        Fields of one modality are looked at together. Without it, each field is its own.
    keys : mapping of field to (n,) integers, optional
        Which item each row belongs to; rows with one key are a matched pair. Without it, no two
        rows belong together, or with ``paired=True`` row i of every field does.
    pairs : sequence of (key, key), optional
        Further items that mean the same.
    labels : mapping of key to label, optional
        Rows with one label answer each other, also within a modality; without it, matched rows do.
    queries : mapping of modality to array-like (q, dim), optional
        Queries of real users: their scores, and how many are unlike anything in the fields.
    answers : mapping of modality to (q,) keys, optional
        The right item of each query, for recall.
    alignments : mapping of field to Alignment, optional
        When given, every reading is taken a second time with it, under the name `method`.
    k : int
        Depth of rankings.
    sample : int
        Above this many rows in all, a seeded sample of about that size is looked at.

    Raises
    ------
    InvalidArgument
        For rows of different dims, a field without a modality or without keys, keys of another
        length than their rows, labels of another length or two for one key, answers without
        queries, k or sample below 1, or when every field is empty.
    InvalidVector
        For zero, NaN or infinite rows among those looked at.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> meaning = rng.normal(size=(100, 8))
    >>> found = diagnose(
    ...     {"image": meaning + 4 * np.eye(8)[0], "text": meaning + 4 * np.eye(8)[1]}, paired=True
    ... )
    >>> found.bias[0].sorts_by_modality
    True
    """
    whole("k", k)
    drawn, notes = sample_arrays(
        fields, modality_of, keys=keys, paired=paired, pairs=pairs, labels=labels,
        queries=queries, answers=answers, alignments=alignments, method=method, space=space,
        sample=sample, seed=seed,
    )  # fmt: skip
    return diagnose_samples([(drawn, notes)], k)


def diagnose_samples(
    samples: Iterable[tuple[Sample, tuple[str, ...]]],
    k: int = 10,
    whole: Mapping[str, tuple[BiasReading, ...]] | None = None,
) -> Diagnosis:
    """Read and judge samples that were drawn before, one for each space, with their notes.

    `whole` holds the readings of `gapless.diagnosis.whole_index.index_bias`, by space.
    """
    return Diagnosis.join(
        _diagnose(sample, notes, k, (whole or {}).get(sample.space, ()))
        for sample, notes in samples
    )


def _diagnose(
    sample: Sample, notes: tuple[str, ...], k: int, whole: tuple[BiasReading, ...]
) -> Diagnosis:
    readings = [read(sample, False, k)]
    if sample.maps:
        readings.append(read(sample, True, k))
    found = Diagnosis.join([*readings, Diagnosis((), (), (), whole=whole)])
    return Diagnosis.join(
        [found, Diagnosis((), (), (), notes, findings=judge(found), samples=(sample,))]
    )


def sample_arrays(
    fields: Mapping[str, npt.ArrayLike],
    modality_of: Mapping[str, str] | None = None,
    *,
    keys: Mapping[str, Sequence[int] | Keys] | None = None,
    paired: bool = False,
    pairs: KeyPairs | None = None,
    labels: Mapping[Any, Any] | None = None,
    queries: Mapping[str, npt.ArrayLike] | None = None,
    answers: Mapping[str, Sequence[int]] | None = None,
    alignments: Mapping[str, _core.Alignment] | None = None,
    method: str = "center",
    space: str = "default",
    sample: int = SAMPLE,
    seed: int = 0,
) -> tuple[Sample, tuple[str, ...]]:
    """Check what `diagnose` is given and draw its sample; the notes say if rows were left out."""
    whole("sample", sample)
    rows = read_fields(fields)
    modality_of = {name: name for name in rows} if modality_of is None else modality_of
    for what, given in (("modality_of", modality_of), ("keys", rows if keys is None else keys)):
        check_every(what, given, rows)
    _check_alignments(alignments, fields, next(iter(rows.values())).shape[1])
    wrong = [name for name in rows if not isinstance(modality_of[name], Hashable)]
    if wrong:
        raise InvalidArgument(f"the modality of field {wrong[0]!r} is no word: name it")
    owner = read_owners(rows, keys, paired)
    labels = read_labels(labels, owner)
    dim = next(iter(rows.values())).shape[1]
    asked = read_queries(queries, dim)
    wanted = read_answers(answers, asked)
    owner, wanted, labels, known = merge_same(owner, pairs, wanted, labels)
    at = draw_rows(owner, modality_of, sample, seed, known)
    drawn = Sample(
        space,
        {n: check_rows(f"field {n!r}", v[at[n]]) for n, v in rows.items() if len(at[n])},
        dict(modality_of),
        {name: value[at[name]] for name, value in owner.items() if len(at[name])},
        dict(alignments or {}),
        method,
        labels,
        asked,
        wanted,
    )
    return drawn, _notes(space, at, rows, seed)


def _check_alignments(given: Any, names: Collection[str], dim: int) -> None:
    if given is None:
        return
    if not isinstance(given, Mapping):
        raise InvalidArgument(f"alignments is a {type(given).__name__}: give {{field: Alignment}}")
    for name, alignment in given.items():
        if name not in names or not isinstance(alignment, (_core.Alignment, type(None))):
            raise InvalidArgument(
                f"alignments has {alignment!r:.60} for {name!r}: give an Alignment for a field, "
                f"of {', '.join(map(repr, names))}"
            )
        for offset, linear in _maps(alignment):
            into, out = (dim, dim) if linear is None else linear.shape[::-1]
            if into != dim or (offset is not None and len(offset) != out):
                raise InvalidArgument(
                    f"the alignment of {name!r} is not for vectors of dim {dim}: fit it anew"
                )


def _maps(alignment: _core.Alignment | None) -> list[tuple[Any, Any]]:
    """Offset and linear map of documents, and of the queries of each modality."""
    if alignment is None:
        return []
    return [(alignment.offset, alignment.linear), *(alignment.query or {}).values()]


def sample_fields(
    schema: Schema,
    indexes: Mapping[str, Index],
    maps: Mapping[str, _core.Alignment],
    method: str,
    *,
    pairs: KeyPairs | None = None,
    labels: Mapping[int, Hashable] | None = None,
    queries: Mapping[str, Any] | None = None,
    answers: Mapping[str, Sequence[int]] | None = None,
    sample: int = SAMPLE,
    seed: int = 0,
) -> list[tuple[Sample, tuple[str, ...]]]:
    """Draw a sample of every space of a collection that has a vector, fetching only its rows.

    `maps` are the active alignment's and `method` its name. Pairs, labels and answers are by the
    integer keys of items. Of an item with several rows in a field the first one is looked at, so
    that all items count alike. `queries` are {modality: rows}, or with several spaces
    {space: {modality: rows}}.

    Raises
    ------
    InvalidArgument
        When no field has a vector, or as `sample_arrays`.
    """
    drawn = []
    if queries is not None and not isinstance(queries, Mapping):
        raise InvalidArgument(f"queries is a {type(queries).__name__}: give {{modality: rows}}")
    spaced = bool(queries) and all(isinstance(value, Mapping) for value in queries.values())  # type: ignore[union-attr]
    unknown = [name for name in queries or () if name not in schema.spaces] if spaced else []
    if unknown:
        raise InvalidArgument(
            f"queries names the space {unknown[0]!r}: there are "
            f"{', '.join(map(repr, schema.spaces))}"
        )
    for space in schema.spaces:
        filled = {name: indexes[name] for name in schema.fields_of(space) if len(indexes[name])}
        if not filled:
            continue
        modality_of = {name: schema.fields[name].modality for name in filled}
        mine = (queries or {}).get(space) if spaced else queries
        asked = read_queries(mine, schema.spaces[space].dim)
        wanted = read_answers(answers if asked else None, asked)
        real = {name: filling(index) for name, index in filled.items()}
        owner, wanted, same, known = merge_same(real, pairs, wanted, labels)
        at = draw_rows(owner, modality_of, sample, seed, known)
        part = Sample(
            space,
            {
                name: index.vectors(real[name][at[name]]).astype(np.float64)
                for name, index in filled.items()
                if len(at[name])
            },
            modality_of,
            {name: owner[name][at[name]] for name in filled if len(at[name])},
            {name: maps[name] for name in filled if name in maps},
            method,
            same,
            asked,
            wanted,
            {name: real[name][at[name]] for name in filled if len(at[name])},
        )
        many = [name for name, index in filled.items() if len(index) > len(real[name])]
        drawn.append((part, (*_notes(space, at, real, seed), *_first_alone(space, many))))
    if not drawn:
        raise InvalidArgument("there is no vector to look at: add items first")
    return drawn


def _first_alone(space: str, many: Sequence[str]) -> tuple[str, ...]:
    names = ", ".join(map(repr, many))
    return (f"{space}: only the first row of each item in {names}",) if many else ()


def _notes(
    space: str, at: Mapping[str, Keys], rows: Mapping[str, Any], seed: int
) -> tuple[str, ...]:
    seen, total = (sum(map(len, some.values())) for some in (at, rows))
    if seen == total:
        return ()
    told = f"{space}: a sample of {seen} of {total} rows (seed {seed})"
    return (f"{told}; bias and recall are those of an index of the sample",)
