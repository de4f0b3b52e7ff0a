"""Estimate alignments of a collection's fields, and how far its rows have moved since."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .. import _core
from ..batch import as_array, known_fields
from ..errors import InvalidArgument, InvalidVector, UnknownField
from ..findings import Finding
from ..index_rows import filling
from ..row_labels import item_keys
from ..schema import Schema
from ..segments import Index
from .align import AlignmentResult, check_method, judge, read_pairs
from .maps import CENTRED, FITTED, MOMENTS
from .rows import Float64, RowSums, unit_rows
from .samples import MapOptions, PairSet, Sample, sum_up
from .sums import RunningSums, chunks_of
from .validation import ValidationReport, check_tolerance

__all__ = ["Estimate", "FieldDrift", "KeyPairs", "drift_of", "estimate"]

PAIRS = 5_000  # of each two fields; the change of the MRR is then known to about .005
DRIFTED = 0.1  # distance of means; a tenth of what CLIP's modalities lie apart

KeyPairs: TypeAlias = "npt.NDArray[np.int64]"  # (n, 2)


@dataclass(frozen=True, slots=True)
class Estimate:
    """Maps of a collection's fields, and all that goes with them.

    Attributes
    ----------
    result : AlignmentResult
    query_rows : mapping of ``"space/modality"`` to int
    means : mapping of field to tuple of float
    bridges : mapping of field to mapping of modality to space
        Fields that the alignment takes to another space: which space a query of a modality must
        come from.
    """

    result: AlignmentResult
    query_rows: Mapping[str, int]
    means: Mapping[str, tuple[float, ...]]
    bridges: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class FieldDrift:
    """How far the rows of a field have moved since the active alignment was estimated.

    Attributes
    ----------
    field : str
    distance : float or None
        ‖mean then - mean now‖ of the unit rows; None when an older release did not keep the mean,
        or the field has fewer than 2 rows.
    added : float or None
        Share of the present rows whose item came later; None when an older release did not keep
        which those are.
    rows_then, rows : int
    finding : Finding or None
        ``DRIFTED`` above a distance of 0.1.
    """

    field: str
    distance: float | None
    added: float | None
    rows_then: int
    rows: int
    finding: Finding | None


def estimate(
    method: str,
    schema: Schema,
    indexes: Mapping[str, Index],
    running: RunningSums,
    *,
    fields: Iterable[str] | None = None,
    pairs: Any = None,
    key_pairs: KeyPairs | None = None,
    queries: Mapping[str, Any] | None = None,
    tolerance: float = 0.01,
    options: MapOptions | None = None,
) -> Estimate:
    """Estimate an alignment of fields of a collection from the rows in their indexes.

    Parameters
    ----------
    method : str
    schema : Schema
    indexes : mapping of field to index
        None of the aligned ones empty: a field filled later would be scored by other rules.
    running : RunningSums
        Of these indexes.
    fields : sequence of str, optional
        Fields to align; all by default. Fitted maps may take fields of two spaces, when named.
    pairs : as in `gapless.align`, optional
    key_pairs : (n, 2) int64, optional
        Pairs as keys of items. Without either, items that fill two fields are the pairs. Of an
        item with several rows in a field, the first one is paired.
    queries : mapping, optional
        {modality: (n, dim)}, or with several spaces {space: {modality: (n, dim)}}.

    Raises
    ------
    AlignmentRefused, InvalidArgument, InvalidVector, SpaceMismatch, UnknownField
        See `gapless.align`; and for queries of no known form, or of a space that the schema lacks.
    """
    check_method(method)
    check_tolerance(tolerance)
    options = options or MapOptions()
    samples, moments = _samples(schema, queries), method in MOMENTS
    results: list[AlignmentResult] = []
    bridges: dict[str, dict[str, str]] = {}
    if isinstance(fields, str) or not (fields is None or isinstance(fields, Iterable)):
        raise InvalidArgument(f"fields is {fields!r}: give a list of names, such as ['image']")
    chosen = list(dict.fromkeys(known_fields(schema, schema.fields if fields is None else fields)))
    if not chosen:
        raise InvalidArgument("fields is empty: name at least one, or give None for all")
    sums: dict[str, Sample] = {}
    for group in _groups(method, schema, chosen, named=fields is not None):
        modality_of = {name: schema.fields[name].modality for name in group}
        given = _pairs(schema, indexes, group, pairs, key_pairs)
        sample = sum_up(
            {name: chunks_of(indexes[name]) if moments else running.of(name) for name in group},
            modality_of,
            {m: rows for space in _spaces(schema, group) for m, rows in samples[space].items()},
            given,
            options,
            moments=moments,
            several_dims=method in FITTED,
        )
        if len(_spaces(schema, group)) > 1:  # refuses what no map could be fitted on
            bridges |= _bridges(schema, group, sample)
        results.append(judge(method, sample, tolerance=tolerance))
        sums |= dict.fromkeys(group, sample)
    return Estimate(
        _joined(method, results),
        {
            f"{space}/{modality}": len(rows)
            for space, by_modality in samples.items()
            for modality, rows in by_modality.items()
        },
        {name: tuple(np.float32(sample.sums[name].mean).tolist()) for name, sample in sums.items()},
        bridges,
    )


def drift_of(
    field: str,
    index: Index,
    now: RowSums,
    then: Sequence[float] | None,
    rows_then: int,
    next_key: int,
) -> FieldDrift:
    """Compare the mean of a field's present rows with that at the time of an alignment."""
    keys = item_keys(np.asarray(index.ids()))
    later = float((keys >= next_key).mean()) if len(keys) else 0.0
    added = later if next_key else None
    distance, finding = None, None
    if then is not None and now.count >= 2:
        distance = float(np.linalg.norm(now.mean - np.asarray(then)))
        if distance > DRIFTED:
            finding = Finding(
                "DRIFTED",
                f"The mean of field {field!r} has moved by {distance:.3f} since the active "
                f"alignment was estimated; {later:.0%} of its rows came later.",
                "Call align() again, which makes a new version.",
            )
    return FieldDrift(field, distance, added, rows_then, len(keys), finding)


def _groups(method: str, schema: Schema, chosen: list[str], *, named: bool) -> list[list[str]]:
    """Fields to be aligned together: those of a space; for a fitted map also those named of two."""
    if method in FITTED and named and len(_spaces(schema, chosen)) == 2:
        return [chosen]
    groups = [
        [name for name in chosen if schema.fields[name].space == space]
        for space in _spaces(schema, chosen)
    ]
    if method in CENTRED or named:
        return groups
    # A space of one modality has no gap; where that holds for all, the method says so.
    return [g for g in groups if len({schema.fields[name].modality for name in g}) > 1] or groups


def _spaces(schema: Schema, names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(schema.fields[name].space for name in names))


def _across(schema: Schema, fields: tuple[str, str]) -> bool:
    return len(_spaces(schema, fields)) > 1


def _bridges(schema: Schema, group: list[str], sample: Sample) -> dict[str, dict[str, str]]:
    source, target = sample.direction()
    home = {}
    for modality in (source, target):
        spaces = _spaces(schema, [n for n in group if schema.fields[n].modality == modality])
        if len(spaces) != 1:
            raise InvalidArgument(
                f"the fields of modality {modality!r} live in the spaces {spaces}: name fields of "
                "one space per modality"
            )
        home[modality] = spaces[0]
    return {name: dict(home) for name in group}


def _joined(method: str, results: Sequence[AlignmentResult]) -> AlignmentResult:
    maps: dict[str, _core.Alignment] = {}
    for result in results:
        maps |= result.maps
    reports = [result.validation for result in results if result.validation is not None]
    findings = dict.fromkeys(finding for result in results for finding in result.findings)
    return AlignmentResult(
        method, maps, ValidationReport.join(reports) if reports else None, tuple(findings)
    )


def _pairs(
    schema: Schema,
    indexes: Mapping[str, Index],
    group: list[str],
    pairs: Any,
    key_pairs: KeyPairs | None,
) -> list[PairSet]:
    """Pairs of these fields: those given as rows, which are taken to be new, or those stored."""
    modality_of = {name: schema.fields[name].modality for name in group}
    if pairs is not None:
        several = [pairs] if isinstance(pairs, Mapping) else list(pairs)
        for given in several:
            known_fields(schema, given)
            if len({schema.fields[name].modality for name in given}) < 2:
                raise InvalidArgument(
                    f"pairs has the fields {list(given)}: give rows of two fields of two modalities"
                )
        # What concerns other spaces is for their group.
        mine = [{name: rows for name, rows in given.items() if name in group} for given in several]
        crossing = [given for given in mine if len({modality_of[name] for name in given}) > 1]
        found = read_pairs(crossing, modality_of)
        for given in found:
            for name, rows in zip(given.fields, given.rows, strict=True):
                if rows.shape[1] != schema.dim(name):
                    raise InvalidVector(
                        f"pairs[{name!r}] has dim {rows.shape[1]}: give {schema.dim(name)}"
                    )
        return [replace(given, across=_across(schema, given.fields)) for given in found]
    found = []
    for a, b in itertools.combinations(group, 2):
        if modality_of[a] == modality_of[b]:
            continue
        keys = _keys_of_pairs(indexes[a], indexes[b], key_pairs)
        if len(keys):
            first, second = (
                unit_rows(f"field {name!r}", indexes[name].vectors(np.ascontiguousarray(side)))
                for name, side in zip((a, b), keys.T, strict=True)
            )
            once = np.ones(len(keys), np.int64)
            names, across = (keys[:, 0], keys[:, 1]), _across(schema, (a, b))
            found.append(PairSet((a, b), (first, second), names, (once, once), across))
    return found


def _keys_of_pairs(first: Index, second: Index, given: KeyPairs | None) -> KeyPairs:
    """Labels (n, 2) of paired rows of two indexes, at most 5,000; of each item its first row."""
    if given is None:
        both = np.intersect1d(filling(first), filling(second))
        found = np.stack([both, both], axis=1)
    else:
        # Either item of a pair may be the one that fills the first field.
        either = np.concatenate([given, given[given[:, 0] != given[:, 1]][:, ::-1]])
        there = np.asarray(first.contains(np.ascontiguousarray(either[:, 0])), bool)
        there &= np.asarray(second.contains(np.ascontiguousarray(either[:, 1])), bool)
        found = np.unique(either[there], axis=0)
    if len(found) > PAIRS:
        drawn = np.random.default_rng(0).choice(len(found), PAIRS, replace=False)
        found = found[np.sort(drawn)]
    return np.ascontiguousarray(found, dtype=np.int64)


def _samples(schema: Schema, queries: Mapping[str, Any] | None) -> dict[str, dict[str, Float64]]:
    if queries is None:
        return {space: {} for space in schema.spaces}
    if not isinstance(queries, Mapping):
        raise InvalidArgument(
            f"queries is a {type(queries).__name__}: give a dict of modality to (n, dim) rows"
        )
    spaced = {isinstance(value, Mapping) for value in queries.values()}
    if len(spaced) > 1:
        raise InvalidArgument(
            f"queries has both rows and dicts under {list(queries)}: give either "
            "{modality: rows} or {space: {modality: rows}}"
        )
    if spaced == {False}:
        if len(schema.spaces) > 1:
            raise InvalidArgument(
                f"the collection has the spaces {list(schema.spaces)}: give queries as "
                "{space: {modality: rows}}"
            )
        queries = dict.fromkeys(schema.spaces, queries)
    found: dict[str, dict[str, Float64]] = {space: {} for space in schema.spaces}
    for space, given in queries.items():
        if space not in schema.spaces:
            raise UnknownField(
                f"queries names the space {space!r}: the collection has {list(schema.spaces)}"
            )
        dim = schema.spaces[space].dim
        for modality, rows in given.items():
            if not isinstance(modality, str):
                raise InvalidArgument(f"queries names the modality {modality!r}: give a string")
            what = f"the {modality!r} queries of space {space!r}"
            array = as_array(what, rows).astype(np.float64)
            if array.ndim != 2 or array.shape[1] != dim:
                raise InvalidVector(f"{what} have shape {array.shape}: give (n, {dim})")
            found[space][modality] = array
    return found
