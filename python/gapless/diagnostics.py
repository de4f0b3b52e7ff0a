"""Measure the modality gap: how far apart the cones lie, and what that does to a mixed index."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from . import _core
from .batch import as_array
from .diagnosis import BiasReading, Diagnosis
from .errors import InvalidArgument, InvalidVector
from .readings import read
from .sampling import SAMPLE, Sample, draw_rows, merge_keys
from .schema import Schema
from .segments import Index
from .verdicts import judge

__all__ = ["SAMPLE", "diagnose", "diagnose_samples", "sample_arrays", "sample_fields"]

Float64: TypeAlias = "npt.NDArray[np.float64]"
Keys: TypeAlias = "npt.NDArray[np.int64]"
KeyPairs: TypeAlias = Sequence[tuple[int, int]]


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
    if k < 1:
        raise InvalidArgument(f"k is {k}: give an integer of at least 1")
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

    `whole` holds the readings of `gapless.whole_index.index_bias`, by space.
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
    if sample < 1:
        raise InvalidArgument(f"sample is {sample}: give an integer of at least 1")
    rows = {name: np.asarray(value) for name, value in fields.items()}
    rows = {name: value for name, value in rows.items() if value.size}
    if not rows:
        raise InvalidArgument("there is no vector to look at: add items first")
    if any(v.ndim != 2 for v in rows.values()) or len({v.shape[1] for v in rows.values()}) > 1:
        shapes = {name: value.shape for name, value in rows.items()}
        raise InvalidArgument(f"the fields have shapes {shapes}: give (n, dim) with one dim")
    modality_of = {name: name for name in rows} if modality_of is None else modality_of
    for what, given in (("modality_of", modality_of), ("keys", rows if keys is None else keys)):
        lacking = [name for name in rows if name not in given]
        if lacking:
            raise InvalidArgument(f"{what} lacks the field {lacking[0]!r}: give it for every field")
    owner = _owners(rows, keys, paired)
    labels = _labels(labels, owner)
    dim = next(iter(rows.values())).shape[1]
    asked = _queries(queries, dim)
    wanted = _answers(answers, asked)
    owner, wanted, labels, known = _same(owner, pairs, wanted, labels)
    at = draw_rows(owner, modality_of, sample, seed, known)
    drawn = Sample(
        space,
        {n: _checked(f"field {n!r}", v[at[n]]) for n, v in rows.items() if len(at[n])},
        dict(modality_of),
        {name: value[at[name]] for name, value in owner.items() if len(at[name])},
        dict(alignments or {}),
        method,
        labels,
        asked,
        wanted,
    )
    return drawn, _notes(space, at, rows, seed)


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
    integer keys of the indexes. `queries` are {modality: rows}, or with several spaces
    {space: {modality: rows}}.

    Raises
    ------
    InvalidArgument
        When no field has a vector, or as `sample_arrays`.
    """
    drawn = []
    spaced = bool(queries) and all(isinstance(value, Mapping) for value in queries.values())  # type: ignore[union-attr]
    for space in schema.spaces:
        filled = {name: indexes[name] for name in schema.fields_of(space) if len(indexes[name])}
        if not filled:
            continue
        modality_of = {name: schema.fields[name].modality for name in filled}
        mine = (queries or {}).get(space) if spaced else queries
        asked = _queries(mine, schema.spaces[space].dim)
        wanted = _answers(answers if asked else None, asked)
        real = {name: np.asarray(index.ids(), dtype=np.int64) for name, index in filled.items()}
        owner, wanted, same, known = _same(real, pairs, wanted, labels)
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
        drawn.append((part, _notes(space, at, real, seed)))
    if not drawn:
        raise InvalidArgument("there is no vector to look at: add items first")
    return drawn


def _owners(
    rows: Mapping[str, npt.NDArray[Any]], keys: Mapping[str, Any] | None, paired: bool
) -> dict[str, Keys]:
    if keys is not None and paired:
        raise InvalidArgument("both keys and paired are given: keys say what belongs together")
    if keys is not None:
        owner = {name: np.asarray(keys[name], dtype=np.int64) for name in rows}
    elif paired:
        if len({len(value) for value in rows.values()}) > 1:
            lengths = {name: len(value) for name, value in rows.items()}
            raise InvalidArgument(f"paired fields have {lengths} rows: give equally many")
        owner = {name: np.arange(len(value)) for name, value in rows.items()}
    else:
        starts = np.cumsum([0, *(len(value) for value in rows.values())])
        owner = {name: np.arange(a, a + len(rows[name])) for name, a in zip(rows, starts)}  # noqa: B905
    for name, value in rows.items():
        if len(owner[name]) != len(value):
            raise InvalidArgument(
                f"field {name!r} has {len(value)} rows and {len(owner[name])} keys: "
                "give one key per row"
            )
    return owner


def _labels(
    labels: Mapping[Any, Any] | None, owner: Mapping[str, Keys]
) -> Mapping[int, Hashable] | None:
    """Bring labels given row by row into the form key -> label."""
    if not labels or not all(isinstance(name, str) for name in labels):
        return labels
    found: dict[int, Hashable] = {}
    for name, given in labels.items():
        if name not in owner:
            raise InvalidArgument(
                f"labels names the field {name!r}: there are {', '.join(map(repr, owner))}"
            )
        several = np.asarray(given).tolist()
        if len(several) != len(owner[name]):
            raise InvalidArgument(
                f"field {name!r} has {len(owner[name])} rows and {len(several)} labels: "
                "give one label per row"
            )
        for key, label in zip(owner[name].tolist(), several, strict=True):
            if found.setdefault(key, label) != label:
                raise InvalidArgument(
                    f"key {key} has the labels {found[key]!r} and {label!r}: rows with one key "
                    "mean the same, so give them one label"
                )
    return found


def _same(
    owner: Mapping[str, Keys],
    pairs: KeyPairs | None,
    answers: Mapping[str, Keys],
    labels: Mapping[int, Hashable] | None,
) -> tuple[dict[str, Keys], dict[str, Keys], dict[int, Hashable], set[int]]:
    """Merge the keys of pairs everywhere; and which keys tell right from wrong."""
    merged, changed = merge_keys(owner, list(pairs or ()))
    wanted = {
        modality: np.array([changed.get(key, key) for key in keys.tolist()], dtype=np.int64)
        for modality, keys in answers.items()
    }
    same = {changed.get(int(key), int(key)): label for key, label in (labels or {}).items()}
    known = {*changed.values(), *same, *(int(key) for keys in wanted.values() for key in keys)}
    return merged, wanted, same, known


def _queries(queries: Mapping[str, Any] | None, dim: int) -> dict[str, Float64]:
    if queries is None:
        return {}
    found = {}
    for modality, rows in queries.items():
        array = as_array(f"the {modality!r} queries", rows)
        if array.ndim != 2 or not len(array) or array.shape[1] != dim:
            raise InvalidVector(
                f"the {modality!r} queries have shape {array.shape}: give (n, {dim})"
            )
        found[modality] = _checked(f"the {modality!r} queries", array)
    return found


def _answers(
    answers: Mapping[str, Sequence[int]] | None, queries: Mapping[str, Float64]
) -> dict[str, Keys]:
    found = {}
    for modality, keys in (answers or {}).items():
        have = len(queries.get(modality, ()))
        if len(keys) != have:
            raise InvalidArgument(
                f"answers has {len(keys)} items for {have} {modality!r} queries: "
                "give one for each query"
            )
        found[modality] = np.asarray(keys, dtype=np.int64)
    return found


def _checked(what: str, rows: npt.NDArray[Any]) -> Float64:
    """Rows in float64, none of them zero, NaN or infinite."""
    array: Float64 = rows.astype(np.float64)
    norms = np.linalg.norm(array, axis=1)
    bad = ~(np.isfinite(norms) & (norms > 0))
    if bad.any():
        raise InvalidVector(
            f"a row of {what} has norm {norms[np.argmax(bad)]}: remove zero, NaN and infinite rows"
        )
    return array


def _notes(
    space: str, at: Mapping[str, Keys], rows: Mapping[str, Any], seed: int
) -> tuple[str, ...]:
    seen, total = (sum(map(len, some.values())) for some in (at, rows))
    if seen == total:
        return ()
    told = f"{space}: a sample of {seen} of {total} rows (seed {seed})"
    return (f"{told}; bias and recall are those of an index of the sample",)
