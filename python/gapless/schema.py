"""What a collection holds: spaces where vectors may be compared, and the fields in them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from dataclasses import field as dataclass_field
from types import MappingProxyType
from typing import Any

from .errors import InvalidArgument, SchemaMismatch

__all__ = ["Field", "Schema", "Space"]

INDEX_KINDS = ("hnsw", "flat")
CODES = ("auto", "f32", "bf16", "i8", "cascade")
MAX_DIM = 65_536
MAX_NAME = 64


@dataclass(frozen=True, slots=True)
class Space:
    """A place where vectors may be compared: one model, one revision, one dimension.

    Parameters
    ----------
    dim : int
        Number of components of a vector, 1 to 65536.
    encoder : str, optional
        Folder or name of the model that makes the vectors (see ``gapless.encode``). Without it
        the space is searched with vectors alone.
    revision : str, optional
        Version of the model. Two revisions are two spaces: their distances mean nothing.

    Raises
    ------
    InvalidArgument
        For a dimension out of range or an empty encoder or revision.
    """

    dim: int
    encoder: str | None = None
    revision: str | None = None

    def __post_init__(self) -> None:
        _check_int("Space.dim", self.dim, 1, MAX_DIM)
        for name in ("encoder", "revision"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, str) or not value):
                raise InvalidArgument(
                    f"Space.{name} is {value!r}: give a non-empty string, or None for none"
                )


@dataclass(frozen=True, slots=True)
class Field:
    """A named vector slot: one space, one modality, one index.

    Parameters
    ----------
    space : str
        Name of the space its vectors belong to.
    modality : str
        ``"text"``, ``"image"``, or any word of your own.
    index : {"hnsw", "flat"}
        ``"hnsw"`` is the graph index, ``"flat"`` the exact scan (best below some 10,000 rows).
    m, ef_construction : int
        Half the links a row may have (2 to 512) and build effort (1 to 10000) of ``"hnsw"``; unused
        by ``"flat"``.
    codes : {"auto", "f32", "bf16", "i8", "cascade"}
        What searches of ``"hnsw"`` read; float32 rows are kept beside them, and scores are theirs.
    several : bool
        Whether an item may have any number of rows in this field (the frames of a video, the chunks
        of a text, the vectors of its tokens); one at most otherwise.

    Raises
    ------
    InvalidArgument
        For an empty name, an unknown index kind, a number out of range, or `several` that is no
        bool.
    """

    space: str
    modality: str
    index: str = "hnsw"
    m: int = 32
    ef_construction: int = 200
    codes: str = "auto"
    several: bool = False

    def __post_init__(self) -> None:
        _check_name("Field.space", self.space)
        _check_name("Field.modality", self.modality)
        if self.index not in INDEX_KINDS:
            raise InvalidArgument(
                f"Field.index is {self.index!r}: choose one of {', '.join(INDEX_KINDS)}"
            )
        if self.codes not in CODES:
            raise InvalidArgument(
                f"Field.codes is {self.codes!r}: choose one of {', '.join(CODES)}"
            )
        _check_int("Field.m", self.m, 2, 512)
        _check_int("Field.ef_construction", self.ef_construction, 1, 10_000)
        if not isinstance(self.several, bool):
            raise InvalidArgument(f"Field.several is {self.several!r}: give True or False")


@dataclass(frozen=True)
class Schema:
    """The spaces and fields of a collection; immutable.

    Parameters
    ----------
    spaces : mapping of str to Space
    fields : mapping of str to Field
        At least one field; each names one of the spaces.
    routes : mapping of query modality to fields, optional
        Fields that queries of a modality search by default, where those are not all that they can
        reach: ``{"image": ["dino"], "text": ["clip", "caption"]}`` lets images find images by
        another model than texts do.

    Raises
    ------
    SchemaMismatch
        When a field names a space that the schema lacks, or a route a field.
    InvalidArgument
        For an empty schema, a bad name, or a value that is no Space or Field.

    Examples
    --------
    >>> schema = Schema(
    ...     spaces={"clip": Space(dim=512)},
    ...     fields={"image": Field("clip", "image"), "caption": Field("clip", "text")},
    ... )
    >>> Schema.from_json(schema.to_json()) == schema
    True
    """

    spaces: Mapping[str, Space]
    fields: Mapping[str, Field]
    routes: Mapping[str, Sequence[str]] = dataclass_field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_members("Schema.spaces", self.spaces, Space)
        _check_members("Schema.fields", self.fields, Field)
        for name, field in self.fields.items():
            if field.space not in self.spaces:
                known = ", ".join(repr(s) for s in self.spaces)
                raise SchemaMismatch(
                    f"field {name!r} names the space {field.space!r}, and the schema has {known}: "
                    "add the space or correct the name"
                )
        _check_routes(self.routes, self.fields)
        # Copies behind a read-only view: a caller's dict that changes later must not change us.
        object.__setattr__(self, "spaces", MappingProxyType(dict(self.spaces)))
        object.__setattr__(self, "fields", MappingProxyType(dict(self.fields)))
        routes = {modality: tuple(names) for modality, names in self.routes.items()}
        object.__setattr__(self, "routes", MappingProxyType(routes))

    def __hash__(self) -> int:
        return hash(self.to_json())

    def __reduce__(self) -> tuple[type[Schema], tuple[dict[str, Any], ...]]:
        return Schema, (dict(self.spaces), dict(self.fields), dict(self.routes))

    def dim(self, field: str) -> int:
        """Dimension of the vectors of `field`."""
        return self.spaces[self.fields[field].space].dim

    def fields_of(self, space: str) -> tuple[str, ...]:
        """Names of the fields that live in `space`, in schema order."""
        return tuple(name for name, field in self.fields.items() if field.space == space)

    def to_json(self) -> str:
        """Text form, the one kept in a collection's catalogue."""
        told: dict[str, Any] = {
            "spaces": {name: asdict(space) for name, space in self.spaces.items()},
            "fields": {name: _field_json(field) for name, field in self.fields.items()},
        }
        if self.routes:  # left out, older releases can read it
            told["routes"] = {modality: list(names) for modality, names in self.routes.items()}
        return json.dumps(told)

    @classmethod
    def from_json(cls, text: str) -> Schema:
        """Read what `to_json` wrote.

        Raises
        ------
        InvalidArgument
            When the text is no such schema.
        """
        try:
            data = json.loads(text)
            return cls(
                spaces={name: Space(**value) for name, value in data["spaces"].items()},
                fields={name: Field(**value) for name, value in data["fields"].items()},
                routes=data.get("routes", {}),
            )
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InvalidArgument(f"not the JSON of a schema: {error}") from error

    def differences(self, other: Schema) -> list[str]:
        """One line for each way in which `other` departs from this schema; empty when equal."""
        return [
            *_differences("space", self.spaces, other.spaces),
            *_differences("field", self.fields, other.fields),
            *(
                [f"routes are {dict(self.routes)} on disk, {dict(other.routes)} given"]
                if self.routes != other.routes
                else []
            ),
        ]

    def require(self, given: Schema) -> None:
        """Check that `given` is this schema, the one on disk.

        Raises
        ------
        SchemaMismatch
            Naming every difference.
        """
        found = self.differences(given)
        if found:
            raise SchemaMismatch(
                "the schema given is not the one on disk: "
                + "; ".join(found)
                + ". Open without a schema to use the one on disk, or make a new collection"
            )


def _field_json(field: Field) -> dict[str, Any]:
    # Without a word on what came later and is not used, as releases that know nothing of it wrote.
    return {k: value for k, value in asdict(field).items() if k != "several" or value}


def _differences(kind: str, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
    lines = [f"{kind} {name!r} is on disk and not given" for name in ours if name not in theirs]
    lines += [f"{kind} {name!r} is given and not on disk" for name in theirs if name not in ours]
    for name in ours:
        if name in theirs:
            lines += [
                f"{kind} {name!r} has {part.name} {getattr(ours[name], part.name)!r} on disk, "
                f"{getattr(theirs[name], part.name)!r} given"
                for part in fields(ours[name])
                if getattr(ours[name], part.name) != getattr(theirs[name], part.name)
            ]
    return lines


def _check_routes(routes: object, fields: Mapping[str, Field]) -> None:
    if not isinstance(routes, Mapping):
        raise InvalidArgument(f"Schema.routes is {routes!r}: give a dict of modality to fields")
    for modality, names in routes.items():
        _check_name("a modality in Schema.routes", modality)
        if isinstance(names, str) or not isinstance(names, Sequence) or not names:
            raise InvalidArgument(
                f"Schema.routes[{modality!r}] is {names!r}: give a list of fields, such as "
                "['image']"
            )
        for name in names:
            if name not in fields:
                raise SchemaMismatch(
                    f"Schema.routes[{modality!r}] names the field {name!r}, and the schema has "
                    f"{', '.join(map(repr, fields))}: add the field or correct the name"
                )


def _check_members(what: str, given: object, kind: type) -> None:
    if not isinstance(given, Mapping) or not given:
        raise InvalidArgument(f"{what} is {given!r}: give a non-empty dict of {kind.__name__}")
    for name, value in given.items():
        _check_name(f"a name in {what}", name)
        if not isinstance(value, kind):
            raise InvalidArgument(f"{what}[{name!r}] is {value!r}: give a {kind.__name__}")


def _check_name(what: str, name: object) -> None:
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME or not name.isprintable():
        raise InvalidArgument(
            f"{what} is {name!r}: give a printable string of 1 to {MAX_NAME} characters"
        )


def _check_int(what: str, value: object, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise InvalidArgument(f"{what} is {value!r}: give an integer from {low} to {high}")
