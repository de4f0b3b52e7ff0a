"""Alignments as a collection keeps them: numbered versions with what is known of each."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from .. import _core
from ..catalog import Catalog
from ..errors import CorruptFile, InvalidArgument
from ..findings import Finding
from ..schema import Schema
from .rows import Float32
from .validation import ValidationReport

__all__ = [
    "AlignmentVersion",
    "active_alignment",
    "alignment_versions",
    "dump_alignment",
    "home_of",
    "load_alignment",
    "stored_alignment",
]


@dataclass(frozen=True, slots=True)
class AlignmentVersion:
    """One alignment that a collection has, active or not.

    Attributes
    ----------
    version : int
        Counts up with every `Collection.align`; calibrations belong to one version.
    method : str
    active : bool
        Whether searches score with it.
    rows : mapping of str to int
        How many rows each aligned field had.
    query_rows : mapping of str to int
        How many query vectors of each ``"space/modality"`` were given; a modality that is not
        listed uses the mean of that modality's documents.
    validation : ValidationReport or None
        None when there were no pairs to judge by.
    findings : tuple of Finding
    means : mapping of str to tuple of float
        Mean direction of each aligned field's rows at the time, which drift is measured from;
        empty in a version that an older release made.
    next_key : int
        Internal number of the first item that came later; 0 when not known.
    bridges : mapping of field to mapping of modality to space
        Fields that it takes to another space: which space the queries of a modality come from.
    """

    version: int
    method: str
    active: bool
    rows: Mapping[str, int]
    query_rows: Mapping[str, int]
    validation: ValidationReport | None = None
    findings: tuple[Finding, ...] = ()
    means: Mapping[str, tuple[float, ...]] = field(default_factory=dict, repr=False)
    next_key: int = field(default=0, repr=False)
    bridges: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def details(self) -> dict[str, Any]:
        """Give what the catalogue keeps beside version, method and maps; ready for JSON."""
        return {
            "rows": dict(self.rows),
            "query_rows": dict(self.query_rows),
            "validation": None if self.validation is None else self.validation.to_dict(),
            "findings": [asdict(finding) for finding in self.findings],
            "means": {name: list(mean) for name, mean in self.means.items()},
            "next_key": self.next_key,
            "bridges": {name: dict(spaces) for name, spaces in self.bridges.items()},
        }

    @classmethod
    def of(
        cls, version: int, method: str, active: bool, details: Mapping[str, Any]
    ) -> AlignmentVersion:
        """Read what the catalogue keeps; early releases kept rows and query_rows alone.

        Raises
        ------
        KeyError, TypeError
            When the details are damaged.
        """
        validation = details.get("validation")
        return cls(
            version,
            method,
            active,
            dict(details["rows"]),
            dict(details["query_rows"]),
            None if validation is None else ValidationReport.from_dict(validation),
            tuple(Finding(**finding) for finding in details.get("findings", ())),
            {name: tuple(mean) for name, mean in details.get("means", {}).items()},
            int(details.get("next_key", 0)),
            {name: dict(spaces) for name, spaces in details.get("bridges", {}).items()},
        )


def home_of(
    alignment: AlignmentVersion | None, schema: Schema, name: str, modality: str | None
) -> str:
    """Tell which space queries of a modality must come from to meet a field."""
    bridges = alignment.bridges if alignment is not None else {}
    return bridges.get(name, {}).get(modality or "", schema.fields[name].space)


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


def active_alignment(
    catalog: Catalog,
) -> tuple[AlignmentVersion | None, dict[str, _core.Alignment]]:
    """Read the active alignment and its maps, if there is one."""
    for version, _, active, _ in catalog.alignments():
        if active:
            return stored_alignment(catalog, version)
    return None, {}


def stored_alignment(
    catalog: Catalog, version: int | str
) -> tuple[AlignmentVersion, dict[str, _core.Alignment]]:
    """Read one alignment and its maps.

    Raises
    ------
    InvalidArgument
        When there is none of that version; CorruptFile when it is damaged.
    """
    rows = {row[0]: row for row in catalog.alignments()}
    number = isinstance(version, (int, np.integer)) and not isinstance(version, bool)
    if not number or version not in rows:
        known = ", ".join(map(str, rows)) or "none"
        raise InvalidArgument(
            f"there is no alignment of version {version!r}: the versions are {known} (and 'raw')"
        )
    version = int(version)
    blobs = catalog.alignment_maps(version)
    try:
        maps = {field: load_alignment(blob) for field, blob in blobs.items()}
    except InvalidArgument as error:
        raise _damaged(catalog, version, error) from error
    return _version(catalog, *rows[version]), maps


def alignment_versions(catalog: Catalog) -> list[AlignmentVersion]:
    """List every alignment there has been, oldest first."""
    return [_version(catalog, *row) for row in catalog.alignments()]


def _version(
    catalog: Catalog, version: int, method: str, active: bool, details: str
) -> AlignmentVersion:
    try:
        return AlignmentVersion.of(version, method, active, json.loads(details))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(catalog, version, error) from error


def _damaged(catalog: Catalog, version: int, error: Exception) -> CorruptFile:
    return CorruptFile(
        f"{catalog.path}: alignment {version} is damaged ({error}): "
        "restore the folder from a backup"
    )
