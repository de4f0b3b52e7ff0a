"""Estimate the affine maps that take the modality gap out of the scores.

An alignment never touches the stored vectors: the index applies it while scoring, so it can be
changed or taken back at any time.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from . import _core
from .batch import as_array
from .errors import InvalidArgument, InvalidVector, SpaceMismatch, UnknownField
from .schema import Schema
from .segments import Index

__all__ = [
    "METHODS",
    "ActiveAlignment",
    "align_rows",
    "center",
    "dump_alignment",
    "estimate",
    "load_alignment",
    "mean_direction",
]

METHODS = ("center", "raw")
CHUNK = 65_536  # rows fetched at once for a pass over a whole field
MIN_ROWS = 2  # one row is its own mean: centred, nothing is left of it
MIN_NORM = 1e-6  # the same bound as the native kernels: below it a centred row has no direction

Rows: TypeAlias = "npt.ArrayLike | Iterable[npt.NDArray[np.float32]]"
Float32: TypeAlias = "npt.NDArray[np.float32]"


@dataclass(frozen=True, slots=True)
class ActiveAlignment:
    """The alignment a collection scores with.

    Attributes
    ----------
    version : int
        Counts up with every `Collection.align`; calibrations belong to one version.
    method : str
    rows : mapping of str to int
        How many rows of each field the means come from.
    query_rows : mapping of str to int
        How many query vectors of each ``"space/modality"`` were given; a modality that is not
        listed uses the mean of that modality's documents.
    """

    version: int
    method: str
    rows: Mapping[str, int]
    query_rows: Mapping[str, int]


def center(
    documents: Mapping[str, Rows],
    modality_of: Mapping[str, str],
    queries: Mapping[str, Rows] | None = None,
) -> dict[str, _core.Alignment]:
    """Two-sided centring: subtract each side's own mean from query and document.

    With N(x) = x / ‖x‖, a query q of modality m and a document d of field f become

        q' = N(N(q) - mu_m),    d' = N(N(d) - mu_f),    score = <q', d'>

    which is GR-CLIP (Li et al., "Closing the Modality Gap for Mixed Modality Search", 2025,
    arXiv 2507.19054). Its three means are those of the queries of a modality, and of the
    documents of each field; queries are short and documents long, so give real `queries` when
    there are any.

    Parameters
    ----------
    documents : mapping of field to array-like (n, dim)
        The rows of every field of one space, or an iterable of such arrays for rows that do not
        fit in memory at once. At least 2 rows each; some hundreds make a steady mean.
    modality_of : mapping of field to modality
    queries : mapping of query modality to array-like (n, dim), optional
        Sample queries. A modality left out uses the mean of its documents.

    Returns
    -------
    dict of field to Alignment
        Document offset ``-mu_f`` and one query offset ``-mu_m`` per known query modality.
        Means are taken in float64.

    Raises
    ------
    InvalidArgument
        For a field or query sample with fewer than 2 rows, or a field without a modality.
    InvalidVector
        For a zero, NaN or infinite row, naming it.
    SpaceMismatch
        When dims differ: these fields cannot share a space.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> image, text = rng.normal(size=(2, 100, 8)) + np.eye(8)[:2, None] * 3
    >>> maps = center({"photo": image, "caption": text}, {"photo": "image", "caption": "text"})
    >>> maps["photo"].offset.shape
    (8,)
    """
    if not documents:
        raise InvalidArgument("documents is empty: give the rows of at least one field")
    means: dict[str, _Mean] = {}
    for field, rows in documents.items():
        if field not in modality_of:
            raise InvalidArgument(f"modality_of lacks the field {field!r}: name its modality")
        means[field] = _Mean(f"field {field!r}", rows)
    sides: dict[str, npt.NDArray[np.float64]] = {}
    for modality in dict.fromkeys(modality_of[field] for field in means):
        same = [mean for field, mean in means.items() if modality_of[field] == modality]
        total: npt.NDArray[np.float64] = np.stack([mean.total for mean in same]).sum(axis=0)
        sides[modality] = total / sum(mean.count for mean in same)
    for modality, rows in (queries or {}).items():
        sides[modality] = _Mean(f"the {modality!r} queries", rows).value
    dims = {mean.value.size for mean in means.values()} | {side.size for side in sides.values()}
    if len(dims) > 1:
        raise SpaceMismatch(
            f"the rows have dims {sorted(dims)}: center the fields of one space at a time"
        )
    query: dict[str, tuple[Float32 | None, Float32 | None]] = {
        modality: ((-side).astype(np.float32), None) for modality, side in sides.items()
    }
    return {
        field: _core.Alignment(offset=(-mean.value).astype(np.float32), query=query)
        for field, mean in means.items()
    }


def estimate(
    method: str,
    schema: Schema,
    indexes: Mapping[str, Index],
    queries: Mapping[str, Any] | None = None,
) -> tuple[dict[str, _core.Alignment], dict[str, int]]:
    """Estimate an alignment of every field of a collection from the rows in its indexes.

    Parameters
    ----------
    method : {"center"}
    schema : Schema
    indexes : mapping of field to index
        None of them empty: a field that is filled later would be scored by other rules.
    queries : mapping, optional
        {modality: (n, dim)}, or with several spaces {space: {modality: (n, dim)}}.

    Returns
    -------
    dict of field to Alignment, and dict of ``"space/modality"`` to the query rows used

    Raises
    ------
    InvalidArgument
        For an unknown method, queries of no known form, or too few rows.
    InvalidVector, UnknownField
        For query rows that are bad or of another dim, or of a space that the schema lacks.
    """
    if method not in METHODS:
        raise InvalidArgument(f"method is {method!r}: choose one of {', '.join(METHODS)}")
    samples = _samples(schema, queries)
    maps: dict[str, _core.Alignment] = {}
    for space in schema.spaces:
        names = schema.fields_of(space)
        if names:
            maps |= center(
                {name: _chunks(indexes[name]) for name in names},
                {name: schema.fields[name].modality for name in names},
                samples.get(space),
            )
    query_rows = {
        f"{space}/{modality}": len(rows)
        for space, given in samples.items()
        for modality, rows in given.items()
    }
    return maps, query_rows


def _samples(
    schema: Schema, queries: Mapping[str, Any] | None
) -> dict[str, dict[str, npt.NDArray[np.float64]]]:
    if queries is None:
        return {}
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
    found: dict[str, dict[str, npt.NDArray[np.float64]]] = {}
    for space, given in queries.items():
        if space not in schema.spaces:
            raise UnknownField(
                f"queries names the space {space!r}: the collection has {list(schema.spaces)}"
            )
        dim = schema.spaces[space].dim
        found[space] = {}
        for modality, rows in given.items():
            if not isinstance(modality, str):
                raise InvalidArgument(f"queries names the modality {modality!r}: give a string")
            what = f"the {modality!r} queries of space {space!r}"
            array = as_array(what, rows).astype(np.float64)
            if array.ndim != 2 or array.shape[1] != dim:
                raise InvalidVector(f"{what} have shape {array.shape}: give (n, {dim})")
            found[space][modality] = array
    return found


def _chunks(index: Index) -> Iterator[Float32]:
    keys = np.asarray(index.ids())
    for start in range(0, len(keys), CHUNK):
        yield index.vectors(keys[start : start + CHUNK])


def mean_direction(rows: Rows) -> npt.NDArray[np.float64]:
    """Mean of the normalised rows, in float64: (dim,), with a norm of at most 1.

    Raises
    ------
    InvalidArgument
        For fewer than 2 rows.
    InvalidVector
        For a zero, NaN or infinite row.
    """
    return _Mean("the sample", rows).value


def align_rows(
    rows: npt.ArrayLike, alignment: _core.Alignment | None, query_modality: str | None = None
) -> npt.NDArray[np.float64]:
    """Apply an alignment to vectors themselves, in float64: the reference for what an index scores.

    Parameters
    ----------
    rows : array-like (n, dim)
        Non-zero rows of any length.
    alignment : Alignment or None
        None only normalises.
    query_modality : str, optional
        Take the query side of that modality; without it the document side is taken.

    Returns
    -------
    ndarray (n, out_dim) float64
        Unit rows; zero where nothing is left after the map (norm below 1e-6).

    Raises
    ------
    InvalidArgument
        When the alignment has no map for `query_modality`.
    """
    x: npt.NDArray[np.float64] = np.asarray(rows, dtype=np.float64)
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    if alignment is None:
        return x
    offset, linear = alignment.offset, alignment.linear
    if query_modality is not None:
        maps = alignment.query
        if maps and query_modality not in maps:
            raise InvalidArgument(
                f"the alignment has no query map for {query_modality!r}: it has {sorted(maps)}"
            )
        offset, linear = maps[query_modality] if maps else (None, None)
    if linear is not None:
        x = x @ linear.astype(np.float64).T
    if offset is not None:
        x = x + offset
    norm = np.linalg.norm(x, axis=1, keepdims=True)
    return np.where(norm < MIN_NORM, 0.0, x / np.maximum(norm, MIN_NORM))


class _Mean:
    """Sum and count of normalised rows, over one array or a stream of them."""

    def __init__(self, what: str, rows: Rows) -> None:
        streamed = not hasattr(rows, "__array__") and not isinstance(rows, (list, tuple))
        self.count = 0
        self.total = np.zeros(0)
        for chunk in rows if streamed else (rows,):  # type: ignore[union-attr]
            block = np.asarray(chunk, dtype=np.float64)
            if not block.size:
                continue
            if block.ndim != 2:
                raise InvalidVector(f"{what} has shape {block.shape}: give (n, dim) rows")
            norms = np.linalg.norm(block, axis=1)
            bad = ~(np.isfinite(norms) & (norms > 0))
            if bad.any():
                position = int(np.argmax(bad))
                raise InvalidVector(
                    f"row {self.count + position} of {what} has norm {norms[position]}: "
                    "remove zero, NaN and infinite rows"
                )
            self.total = (block / norms[:, None]).sum(axis=0) + (self.total if self.count else 0.0)
            self.count += len(block)
        if self.count < MIN_ROWS:
            raise InvalidArgument(
                f"{what} has {self.count} rows and centring needs at least {MIN_ROWS}: "
                "add vectors first (some hundreds make a steady mean)"
            )
        self.value = self.total / self.count


def dump_alignment(alignment: _core.Alignment) -> bytes:
    """Pack an alignment into bytes (an npz archive, whose checksums guard it)."""
    arrays: dict[str, Float32] = {}
    modalities = []
    for name, value in (("offset", alignment.offset), ("linear", alignment.linear)):
        if value is not None:
            arrays[name] = value
    for i, (modality, pair) in enumerate((alignment.query or {}).items()):
        modalities.append(modality)
        for name, value in zip(("offset", "linear"), pair, strict=True):
            if value is not None:
                arrays[f"query{i}_{name}"] = value
    names = np.frombuffer(json.dumps(modalities).encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, modalities=names, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def load_alignment(blob: bytes) -> _core.Alignment:
    """Unpack what `dump_alignment` made.

    Raises
    ------
    InvalidArgument
        When the bytes are damaged.
    """
    try:
        with np.load(io.BytesIO(blob), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        modalities = json.loads(arrays["modalities"].tobytes())
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise InvalidArgument(f"not a stored alignment: {error}") from error
    query = {
        modality: (arrays.get(f"query{i}_offset"), arrays.get(f"query{i}_linear"))
        for i, modality in enumerate(modalities)
    }
    return _core.Alignment(
        offset=arrays.get("offset"), linear=arrays.get("linear"), query=query or None
    )
