"""Measure the modality gap: how far apart the cones lie, and what that does to a mixed index."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from . import _core
from .alignment import align_rows
from .diagnosis import BiasReading, Diagnosis, ModalityReading, PairReading
from .errors import InvalidArgument
from .schema import Schema
from .segments import Index

__all__ = ["diagnose", "diagnose_fields", "sample_keys"]

SAMPLE = 2_000  # rows; the readings' standard errors are then below .01
KEEP = 100  # rows of a rare modality that are sampled in any case

Float64: TypeAlias = "npt.NDArray[np.float64]"
Keys: TypeAlias = "npt.NDArray[np.int64]"


def diagnose(
    fields: Mapping[str, npt.ArrayLike],
    modality_of: Mapping[str, str],
    *,
    keys: Mapping[str, Sequence[int] | Keys] | None = None,
    alignments: Mapping[str, _core.Alignment] | None = None,
    method: str = "center",
    space: str = "default",
    k: int = 10,
    sample: int = SAMPLE,
    seed: int = 0,
) -> Diagnosis:
    """Read gap, spread and intra-modal bias off the fields of one space.

    Parameters
    ----------
    fields : mapping of field to array-like (n, dim)
        Non-zero rows; an empty field is skipped.
    modality_of : mapping of field to modality
        Fields of one modality are looked at together.
    keys : mapping of field to (n,) integers, optional
        Which item each row belongs to; rows with one key are a matched pair. Without it, no two
        rows belong together.
    alignments : mapping of field to Alignment, optional
        When given, every reading is taken a second time with it, under the name `method`.
    k : int
        Depth of the bias rate.
    sample : int
        Above this many rows in all, a seeded sample of about that size is looked at.

    Raises
    ------
    InvalidArgument
        For rows of different dims, a field without a modality or without keys, keys of another
        length than their rows, k or sample below 1, or when every field is empty.
    """
    if k < 1 or sample < 1:
        raise InvalidArgument(f"k is {k} and sample is {sample}: give integers of at least 1")
    rows = {name: np.asarray(value, dtype=np.float64) for name, value in fields.items()}
    rows = {name: value for name, value in rows.items() if value.size}
    if not rows:
        raise InvalidArgument("there is no vector to look at: add items first")
    if any(v.ndim != 2 for v in rows.values()) or len({v.shape[1] for v in rows.values()}) > 1:
        shapes = {name: value.shape for name, value in rows.items()}
        raise InvalidArgument(f"the fields have shapes {shapes}: give (n, dim) with one dim")
    for what, given in (("modality_of", modality_of), ("keys", rows if keys is None else keys)):
        lacking = [name for name in rows if name not in given]
        if lacking:
            raise InvalidArgument(f"{what} lacks the field {lacking[0]!r}: give it for every field")
    if keys is None:
        starts = np.cumsum([0, *(len(value) for value in rows.values())])
        owner = {name: np.arange(a, a + len(rows[name])) for name, a in zip(rows, starts)}  # noqa: B905
    else:
        owner = {name: np.asarray(keys[name], dtype=np.int64) for name in rows}
    for name, value in rows.items():
        if len(owner[name]) != len(value):
            raise InvalidArgument(
                f"field {name!r} has {len(value)} rows and {len(owner[name])} keys: "
                "give one key per row"
            )
    notes = []
    total = sum(len(value) for value in rows.values())
    if total > sample:
        chosen = sample_keys(owner, modality_of, sample, seed)
        picks = {name: np.isin(owner[name], chosen[name]) for name in rows}
        rows = {name: value[picks[name]] for name, value in rows.items()}
        owner = {name: value[picks[name]] for name, value in owner.items()}
        seen = sum(len(value) for value in rows.values())
        notes.append(_sampled(space, seen, total, seed))
    readings = [_read(rows, modality_of, owner, None, "raw", space, k)]
    if alignments:
        readings.append(_read(rows, modality_of, owner, alignments, method, space, k))
    readings.append(Diagnosis((), (), (), tuple(notes)))
    return Diagnosis.join(readings)


def diagnose_fields(
    schema: Schema,
    indexes: Mapping[str, Index],
    maps: Mapping[str, _core.Alignment],
    method: str,
    *,
    k: int = 10,
    sample: int = SAMPLE,
    seed: int = 0,
) -> Diagnosis:
    """Diagnose every space of a collection that has a vector, fetching only the rows sampled.

    `maps` are the active alignment's and `method` its name; without maps only raw is read. The
    other arguments are those of `diagnose`, with `sample` counted per space.

    Raises
    ------
    InvalidArgument
        When no field has a vector.
    """
    parts = []
    for space in schema.spaces:
        filled = {name: indexes[name] for name in schema.fields_of(space) if len(indexes[name])}
        if not filled:
            continue
        modality_of = {name: schema.fields[name].modality for name in filled}
        all_keys = {name: np.asarray(index.ids()) for name, index in filled.items()}
        keys = sample_keys(all_keys, modality_of, sample, seed)
        total, seen = (sum(map(len, some.values())) for some in (all_keys, keys))
        part = diagnose(
            {name: index.vectors(keys[name]) for name, index in filled.items()},
            modality_of,
            keys=keys,
            alignments={name: maps[name] for name in filled if name in maps},
            method=method,
            space=space,
            k=k,
            sample=max(seen, 1),
            seed=seed,
        )
        parts.append(part)
        if seen < total:
            parts.append(Diagnosis((), (), (), (_sampled(space, seen, total, seed),)))
    if not parts:
        raise InvalidArgument("there is no vector to look at: add items first")
    return Diagnosis.join(parts)


def sample_keys(
    keys: Mapping[str, Keys], modality_of: Mapping[str, str], sample: int, seed: int
) -> dict[str, Keys]:
    """Keys per field of about `sample` rows in all, drawn by item so that pairs stay together.

    A modality that would come out with fewer than 100 rows is topped up to 100 (less in a small
    sample, or all it has); the shares are then those of the sample.
    """
    total = sum(len(value) for value in keys.values())
    if total <= sample:
        return {name: np.asarray(value) for name, value in keys.items()}
    rng = np.random.default_rng(seed)
    items = np.unique(np.concatenate(list(keys.values())))
    count = max(1, round(len(items) * sample / total))
    drawn = rng.choice(items, count, replace=False)
    chosen = {name: value[np.isin(value, drawn)] for name, value in keys.items()}
    modalities = list(dict.fromkeys(modality_of[name] for name in keys))
    keep = min(KEEP, sample // (2 * len(modalities)))
    for modality in modalities:
        names = [name for name in keys if modality_of[name] == modality]
        have = sum(len(chosen[name]) for name in names)
        spare = (
            [(name, key) for name in names for key in np.setdiff1d(keys[name], chosen[name])]
            if have < keep
            else []
        )
        for i in rng.permutation(len(spare))[: keep - have]:
            name, key = spare[i]
            chosen[name] = np.append(chosen[name], key)
    return chosen


def _read(
    rows: Mapping[str, Float64],
    modality_of: Mapping[str, str],
    owner: Mapping[str, Keys],
    alignments: Mapping[str, _core.Alignment] | None,
    alignment: str,
    space: str,
    k: int,
) -> Diagnosis:
    names = list(rows)
    modalities = list(dict.fromkeys(modality_of[name] for name in names))
    code = np.concatenate(
        [np.full(len(rows[name]), modalities.index(modality_of[name])) for name in names]
    )
    items = np.concatenate([owner[name] for name in names])
    maps = alignments or {}
    documents = np.concatenate([align_rows(rows[name], maps.get(name)) for name in names])
    cosine = documents @ documents.T
    centroid = [documents[code == i].mean(axis=0) for i in range(len(modalities))]
    # Centred rows that vanished are zero, so the mean square norm may be below 1.
    power = [np.square(documents[code == i]).sum(axis=1).mean() for i in range(len(modalities))]
    spread = [float(np.sqrt(max(0.0, p - c @ c))) for p, c in zip(power, centroid, strict=True)]
    same_item = items[:, None] == items[None, :]
    singles, pairs, bias = [], [], []
    for i, modality in enumerate(modalities):
        block = cosine[np.ix_(code == i, code == i)]
        others = block[~np.eye(len(block), dtype=bool)]
        singles.append(
            ModalityReading(space, alignment, modality, len(block), spread[i], *_moments(others))
        )
    for i, j in itertools.combinations(range(len(modalities)), 2):
        block = cosine[np.ix_(code == i, code == j)]
        matched = same_item[np.ix_(code == i, code == j)]
        gap = float(np.linalg.norm(centroid[i] - centroid[j]))
        norms = float(np.linalg.norm(centroid[i]) * np.linalg.norm(centroid[j]))
        middle = (spread[i] + spread[j]) / 2
        pairs.append(
            PairReading(
                space,
                alignment,
                (modalities[i], modalities[j]),
                gap,
                1.0 - float(centroid[i] @ centroid[j]) / norms if norms > 1e-12 else 1.0,
                gap / middle if middle > 0 else None,
                *_moments(block[~matched]),
                *_moments(block[matched]),
                int(matched.sum()),
            )
        )
    if len(modalities) > 1:
        # Every row asks every field through that field's own query map.
        scores = np.block(
            [
                [
                    align_rows(rows[asker], maps.get(target), modality_of[asker])
                    @ align_rows(rows[target], maps.get(target)).T
                    for target in names
                ]
                for asker in names
            ]
        )
        bias = _bias(scores, code, modalities, space, alignment, k)
    return Diagnosis(tuple(singles), tuple(pairs), tuple(bias))


def _bias(
    scores: Float64,
    code: npt.NDArray[np.int64],
    modalities: list[str],
    space: str,
    alignment: str,
    k: int,
) -> list[BiasReading]:
    np.fill_diagonal(scores, -np.inf)  # a row must not find itself
    others = len(code) - 1
    k = min(k, others)
    first = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    own = (code[first] == code[:, None]).mean(axis=1)
    readings = []
    for i, modality in enumerate(modalities):
        mine = code == i
        rate, share = float(own[mine].mean()), float(mine.sum() - 1) / others
        readings.append(
            BiasReading(
                space,
                alignment,
                modality,
                k,
                rate,
                share,
                (rate - share) / (1.0 - share),
                int(mine.sum()),
            )
        )
    return readings


def _moments(values: Float64) -> tuple[float | None, float | None]:
    return (float(values.mean()), float(values.std())) if values.size else (None, None)


def _sampled(space: str, seen: int, total: int, seed: int) -> str:
    return f"{space}: a sample of {seen} of {total} rows (seed {seed})"
