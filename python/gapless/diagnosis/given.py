"""Read what a diagnosis is given: rows, whose they are, labels, queries and their answers."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..batch import as_array
from ..errors import InvalidArgument, InvalidVector
from .sampling import merge_keys

__all__ = [
    "KeyPairs",
    "Keys",
    "check_every",
    "check_rows",
    "merge_same",
    "read_answers",
    "read_fields",
    "read_labels",
    "read_owners",
    "read_queries",
]

Float64: TypeAlias = "npt.NDArray[np.float64]"
Keys: TypeAlias = "npt.NDArray[np.int64]"
KeyPairs: TypeAlias = Sequence[tuple[int, int]]


def read_fields(fields: Any) -> dict[str, npt.NDArray[Any]]:
    """Arrays (n, dim) of the fields that have a row; none is copied.

    Raises
    ------
    InvalidArgument
        For no rows at all, other shapes, and several dims.
    InvalidVector
        For anything but real numbers.
    """
    if not isinstance(fields, Mapping):
        raise InvalidArgument(f"fields is a {type(fields).__name__}: give {{field: (n, dim) rows}}")
    rows = {name: as_array(f"field {name!r}", value) for name, value in fields.items()}
    rows = {name: value for name, value in rows.items() if value.size}
    if not rows:
        raise InvalidArgument("there is no vector to look at: add items first")
    if any(v.ndim != 2 for v in rows.values()) or len({v.shape[1] for v in rows.values()}) > 1:
        shapes = {name: value.shape for name, value in rows.items()}
        raise InvalidArgument(f"the fields have shapes {shapes}: give (n, dim) with one dim")
    return rows


def check_every(what: str, given: Any, names: Collection[str]) -> None:
    """Refuse anything but a mapping that has all names, with InvalidArgument."""
    if not isinstance(given, Mapping):
        raise InvalidArgument(f"{what} is a {type(given).__name__}: give a dict, by field")
    lacking = [name for name in names if name not in given]
    if lacking:
        raise InvalidArgument(f"{what} lacks the field {lacking[0]!r}: give it for every field")


def read_keys(what: str, given: Any) -> Keys:
    """Integers (n,).

    Raises
    ------
    InvalidArgument
        For anything else.
    """
    try:
        array = np.asarray(given)
    except ValueError:
        array = np.empty(0, object)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise InvalidArgument(
            f"{what} have dtype {array.dtype} and shape {array.shape}: give one integer each"
        )
    return array.astype(np.int64)


def read_owners(
    rows: Mapping[str, npt.NDArray[Any]], keys: Mapping[str, Any] | None, paired: bool
) -> dict[str, Keys]:
    """Key of every row: as given, row numbers of paired fields, or a key of its own for each."""
    if keys is not None and paired:
        raise InvalidArgument("both keys and paired are given: keys say what belongs together")
    if keys is not None:
        owner = {name: read_keys(f"the keys of field {name!r}", keys[name]) for name in rows}
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


def read_labels(
    labels: Mapping[Any, Any] | None, owner: Mapping[str, Keys]
) -> Mapping[int, Hashable] | None:
    """Bring labels given row by row into the form key -> label."""
    if labels is None:
        return None
    if not isinstance(labels, Mapping):
        raise InvalidArgument(
            f"labels is a {type(labels).__name__}: give {{field: labels}} or {{key: label}}"
        )
    if not all(isinstance(name, str) for name in labels):
        _check_labels(labels.values())
        wrong = [key for key in labels if not isinstance(key, (int, np.integer))]
        if wrong:
            raise InvalidArgument(f"labels has the key {wrong[0]!r:.60}: keys are integers")
        return labels
    found: dict[int, Hashable] = {}
    for name, given in labels.items():
        if name not in owner:
            raise InvalidArgument(
                f"labels names the field {name!r}: there are {', '.join(map(repr, owner))}"
            )
        if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
            raise InvalidArgument(f"the labels of {name!r} are {given!r:.60}: give one per row")
        several = given.tolist() if isinstance(given, np.ndarray) else list(given)
        _check_labels(several)
        if len(several) != len(owner[name]):
            raise InvalidArgument(
                f"field {name!r} has {len(owner[name])} rows and {len(several)} labels: "
                "give one label per row"
            )
        for key, label in zip(owner[name].tolist(), several, strict=True):
            if label == label and found.setdefault(key, label) != label:  # NaN labels nothing
                raise InvalidArgument(
                    f"key {key} has the labels {found[key]!r} and {label!r}: rows with one key "
                    "mean the same, so give them one label"
                )
    return found


def _check_labels(labels: Iterable[object]) -> None:
    for label in labels:
        if not isinstance(label, Hashable):
            raise InvalidArgument(f"a label is {label!r:.60}: give strings or numbers")


def merge_same(
    owner: Mapping[str, Keys],
    pairs: KeyPairs | None,
    answers: Mapping[str, Keys],
    labels: Mapping[int, Hashable] | None,
) -> tuple[dict[str, Keys], dict[str, Keys], dict[int, Hashable], set[int]]:
    """Merge the keys of pairs everywhere; and which keys tell right from wrong."""
    merged, changed = merge_keys(owner, _pairs(pairs))
    wanted = {
        modality: np.array([changed.get(key, key) for key in keys.tolist()], dtype=np.int64)
        for modality, keys in answers.items()
    }
    same = {changed.get(int(key), int(key)): label for key, label in (labels or {}).items()}
    known = {*changed.values(), *same, *(int(key) for keys in wanted.values() for key in keys)}
    return merged, wanted, same, known


def _pairs(pairs: Any) -> list[tuple[int, int]]:
    if pairs is None:
        return []
    try:
        array = np.asarray(pairs if isinstance(pairs, np.ndarray) else list(pairs))
    except (TypeError, ValueError):
        array = np.empty((1, 0))
    if not array.size and array.ndim == 1:
        return []
    if array.ndim != 2 or array.shape[1] != 2 or array.dtype.kind not in "iu":
        raise InvalidArgument(f"pairs is {pairs!r:.60}: give pairs of keys, such as [(0, 7)]")
    return [(int(a), int(b)) for a, b in array]


def read_queries(queries: Mapping[str, Any] | None, dim: int) -> dict[str, Float64]:
    """Rows in float64 of every query modality; errors name it."""
    if queries is None:
        return {}
    if not isinstance(queries, Mapping):
        raise InvalidArgument(f"queries is a {type(queries).__name__}: give {{modality: rows}}")
    found = {}
    for modality, rows in queries.items():
        array = as_array(f"the {modality!r} queries", rows)
        if array.ndim != 2 or not len(array) or array.shape[1] != dim:
            raise InvalidVector(
                f"the {modality!r} queries have shape {array.shape}: give (n, {dim})"
            )
        found[modality] = check_rows(f"the {modality!r} queries", array)
    return found


def read_answers(
    answers: Mapping[str, Sequence[int]] | None, queries: Mapping[str, Float64]
) -> dict[str, Keys]:
    """Key that answers each query, by modality."""
    if answers is not None and not isinstance(answers, Mapping):
        raise InvalidArgument(f"answers is a {type(answers).__name__}: give {{modality: keys}}")
    found = {}
    for modality, given in (answers or {}).items():
        keys = read_keys(f"the answers to {modality!r} queries", given)
        have = len(queries.get(modality, ()))
        if len(keys) != have:
            raise InvalidArgument(
                f"answers has {len(keys)} items for {have} {modality!r} queries: "
                "give one for each query"
            )
        found[modality] = keys
    return found


def check_rows(what: str, rows: npt.NDArray[Any]) -> Float64:
    """Rows in float64, none of them zero, NaN or infinite."""
    array: Float64 = rows.astype(np.float64)
    norms = np.linalg.norm(array, axis=1)
    bad = ~(np.isfinite(norms) & (norms > 0))
    if bad.any():
        raise InvalidVector(
            f"a row of {what} has norm {norms[np.argmax(bad)]}: remove zero, NaN and infinite rows"
        )
    return array
