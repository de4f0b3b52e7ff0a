"""Which query vector meets which field, with what weight."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from .. import _core
from ..alignment.versions import AlignmentVersion, home_of
from ..batch import known_fields
from ..calibration.samples import PairType
from ..errors import InvalidArgument, InvalidVector, SpaceMismatch, UnknownField
from ..given import as_number, is_listed
from ..schema import Schema
from ..segments import Index
from .encoders import Encoders, QueryVector, query_rows
from .parts import WEIGHTS, ItemId, Part
from .region import crop

__all__ = ["Homes", "Plan", "Routing", "choose_fields", "embed", "plan"]

MOST_LISTS = 256  # every candidate of each is scored in all others

Weights: TypeAlias = "Mapping[str, float]"
Stored: TypeAlias = "Callable[[ItemId], Mapping[str, np.ndarray[Any, np.dtype[np.float32]]]]"


@dataclass(frozen=True, slots=True)
class Plan:
    """Every (query vector, field) pair to search, with its weight.

    `composed`: some field is asked by more than one part, as by a text and an image together.
    """

    routes: tuple[tuple[QueryVector, str, float], ...]
    composed: bool

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields searched, each once."""
        return tuple(dict.fromkeys(field for _, field, _ in self.routes))

    @property
    def pair_types(self) -> list[PairType]:
        """(query modality or "", field) of every route, each once."""
        return list(dict.fromkeys((part.modality or "", field) for part, field, _ in self.routes))

    @property
    def negative(self) -> bool:
        """Whether some part says what the items are not to be like."""
        return any(weight < 0 for _, _, weight in self.routes)

    @property
    def questions(self) -> int:
        """How many questions are asked at once."""
        return len(self.routes[0][0].vector) if self.routes else 1

    def only(self, question: int) -> Plan:
        """One of the questions."""
        return replace(
            self,
            routes=tuple(
                (replace(part, vector=part.vector[question : question + 1]), field, weight)
                for part, field, weight in self.routes
            ),
        )

    def filled(self, indexes: Mapping[str, Index]) -> Plan:
        """Only the routes to fields that have rows now."""
        rows = {field for field in self.fields if len(indexes[field])}
        return replace(self, routes=tuple(route for route in self.routes if route[1] in rows))


@dataclass(frozen=True, slots=True)
class Routing:
    """The fields a search may look at, as its caller says it.

    Attributes
    ----------
    fields : tuple of str
        Those to search, each once.
    named : bool
        Whether the caller has named them, so that none may stay unreached.
    weights : mapping of field to float
    table : mapping of query modality to fields
        For the modalities named here, only these of the fields.
    """

    fields: tuple[str, ...]
    named: bool
    weights: Weights
    table: Mapping[str, tuple[str, ...]]

    def of(self, modality: str | None) -> list[str]:
        """Give the fields that a part of this modality is to meet."""
        wanted = self.table.get(modality or "", self.fields)
        return [name for name in self.fields if name in wanted]


def choose_fields(
    schema: Schema,
    fields: Iterable[str] | None,
    weights: Weights | None,
    filter_modality: str | Iterable[str] | None = None,
    routes: Mapping[str, Iterable[str]] | None = None,
) -> Routing:
    """Check what a caller says of fields; see `Collection.search` for the arguments.

    Raises
    ------
    InvalidArgument
        For an empty choice, a bad weight, or a modality that no field has.
    UnknownField
        For a name that the schema lacks.
    """
    chosen = _chosen(schema, fields)
    if filter_modality is not None:
        wanted = list(filter_modality) if is_listed(filter_modality) else [filter_modality]
        having = list(dict.fromkeys(schema.fields[name].modality for name in chosen))
        for one in wanted:
            if not isinstance(one, str) or one not in having:
                raise InvalidArgument(
                    f"filter_modality is {one!r:.60}: the fields searched hold "
                    f"{', '.join(map(repr, having))}"
                )
        chosen = [name for name in chosen if schema.fields[name].modality in wanted]
        if not chosen:
            raise InvalidArgument("filter_modality is empty: name at least one modality")
    table: dict[str, tuple[str, ...]] = {}
    if routes is not None and not isinstance(routes, Mapping):
        raise InvalidArgument(
            f"routes is a {type(routes).__name__}: give a dict of query modality to fields"
        )
    for modality, names in (schema.routes if routes is None else routes).items():
        if not isinstance(modality, str):
            raise InvalidArgument(f"routes names {modality!r:.60}: give the modality of queries")
        if not is_listed(names):
            raise InvalidArgument(f"routes[{modality!r}] is {names!r:.60}: give a list of fields")
        table[modality] = tuple(known_fields(schema, names))
    return Routing(tuple(chosen), fields is not None, _weights(schema, chosen, weights), table)


def embed(
    schema: Schema,
    encoders: Encoders,
    alignment: AlignmentVersion | None,
    parts: Sequence[Part],
    routing: Routing,
    stored: Stored,
) -> list[QueryVector]:
    """Make vectors of a question's parts, in every space where they can meet a field.

    `stored` gives the unit rows (rows, dim) of a stored item by field, for parts that name one.

    Raises
    ------
    InvalidArgument
        For parts that the route table sends nowhere, and what encoders refuse.
    UnknownField, InvalidVector, SpaceMismatch, UnknownId
        For names that the schema lacks, bad vectors, spaces that no field searched lives in, and
        items that are not there.
    """
    homes = Homes(schema, alignment, routing)
    found = []
    for part in parts:
        if part.like is None:
            homes.check(part.modality)
        found += [
            replace(made, weight=made.weight * part.weight)
            for made in _vectors(part, schema, encoders, homes, stored)
        ]
    return found


def plan(
    schema: Schema,
    alignment: AlignmentVersion | None,
    maps: Mapping[str, _core.Alignment],
    vectors: Sequence[QueryVector],
    routing: Routing,
) -> Plan:
    """Lay out the routes of query vectors to the fields that they can meet.

    Raises
    ------
    InvalidArgument
        For a modality that the alignment does not map, and for more than 256 lists.
    SpaceMismatch
        For fields that no part can reach.
    """
    routes = [
        (vector, name, vector.weight * routing.weights[name])
        for vector in vectors
        for name in routing.of(vector.modality)
        if home_of(alignment, schema, name, vector.modality) == vector.space
        and routing.weights[name] > 0
        and (schema.fields[name].several or not vector.late)
    ]
    for vector in vectors:
        if vector.late and not any(one is vector for one, _, _ in routes):
            raise InvalidVector(
                f"vectors[{vector.space!r}] has shape {vector.vector.shape[-2:]}: give one vector "
                f"of shape ({vector.vector.shape[-1]},). Several interact late with fields of "
                "several rows (Field(several=True)), and a batch of questions is for search_many"
            )
    reached = {name for vector, name, _ in routes if vector.weight > 0}
    for name in routing.fields if routing.named else ():
        wanted = routing.weights[name] > 0 and any(
            name in routing.of(vector.modality) for vector in vectors
        )
        if wanted and name not in reached:
            space = schema.fields[name].space
            raise SpaceMismatch(
                f"field {name!r} lives in space {space!r}, which this query does not reach: add "
                f"vectors={{{space!r}: q}} or leave the field out"
            )
    if len(routes) > MOST_LISTS:
        raise InvalidArgument(
            f"the {len(vectors)} query vectors make {len(routes)} lists over the fields that they "
            f"reach, and a search fuses {MOST_LISTS} at most: give fewer parts, items or fields"
        )
    if alignment is not None:
        for vector, name, _ in routes:
            known = maps[name].query if name in maps else None
            if known and vector.modality not in known:
                raise InvalidArgument(
                    f"modality is {vector.modality!r}: the alignment {alignment.method!r} "
                    f"maps queries of {', '.join(map(repr, known))}; give one of them as "
                    "modality=, or align with sample queries of yours"
                )
    return Plan(tuple(routes), composed=len(routes) > len({name for _, name, _ in routes}))


@dataclass(frozen=True, slots=True)
class Homes:
    """The spaces in which queries of a modality meet the fields that they may look at."""

    schema: Schema
    alignment: AlignmentVersion | None
    routing: Routing

    def __call__(self, asked: str | None) -> list[str]:
        """Name the spaces, each once."""
        names = self.routing.of(asked)
        return list(
            dict.fromkeys(home_of(self.alignment, self.schema, name, asked) for name in names)
        )

    def check(self, asked: str | None) -> None:
        """Refuse a modality that the route table sends nowhere."""
        if not self.routing.of(asked):
            raise InvalidArgument(
                f"routes sends {asked!r} queries to none of the fields searched "
                f"({', '.join(self.routing.fields)}): add one of them, or leave the route out"
            )

    def check_space(self, space: str, asked: str | None) -> None:
        """Refuse a vector of a space in which it can meet none of the fields."""
        self.check(asked)
        if space not in self.schema.spaces:
            raise UnknownField(
                f"there is no space {space!r}: the collection has "
                f"{', '.join(map(repr, self.schema.spaces))} (fields are chosen with fields=[...])"
            )
        if space not in self(asked):
            raise SpaceMismatch(
                f"a query vector of space {space!r} cannot meet the fields "
                f"{list(self.routing.fields)}, which take queries of "
                f"{', '.join(map(repr, self(asked)))}: leave it out or choose fields of its space"
            )


def _vectors(
    part: Part,
    schema: Schema,
    encoders: Encoders,
    homes: Homes,
    stored: Stored,
) -> list[QueryVector]:
    if part.text is not None:
        return encoders.encode("text", [part.text], homes("text"))
    if part.image is not None:
        image = part.image if part.box is None else crop(part.image, part.box)
        return encoders.encode("image", [image], homes("image"))
    if part.audio is not None:
        return encoders.encode("audio", [part.audio], homes("audio"))
    if part.like is not None:
        return _like(part.like, schema, homes, stored)
    return [_given(part.space or "", part.vector, part.modality, schema, homes)]


def _given(
    space: str, given: Any, modality: str | None, schema: Schema, homes: Homes
) -> QueryVector:
    homes.check_space(space, modality)
    rows = query_rows(f"vectors[{space!r}]", given, schema.spaces[space].dim)
    return QueryVector(space, modality, rows)


def _like(
    item: ItemId,
    schema: Schema,
    homes: Homes,
    stored: Stored,
) -> list[QueryVector]:
    """Take the item's own vectors, one a field: of several rows their mean."""
    found = []
    for name, rows in stored(item).items():
        field = schema.fields[name]
        if field.space not in homes(field.modality) or not len(rows):
            continue
        mean = rows.mean(axis=0)
        length = float(np.linalg.norm(mean))
        unit = mean / length if length > 1e-6 else rows[0]
        found.append(QueryVector(field.space, field.modality, unit.astype(np.float32)[None, None]))
    if not found:
        raise SpaceMismatch(
            f"item {item!r} has no vector in a space of the fields searched: choose other fields, "
            "or another item"
        )
    return [replace(vector, weight=1.0 / len(found)) for vector in found]


def _chosen(schema: Schema, fields: Iterable[str] | None) -> list[str]:
    if fields is None:
        return list(schema.fields)
    if not is_listed(fields):
        raise InvalidArgument(f"fields is {fields!r:.60}: give a list of names, such as ['image']")
    chosen = list(dict.fromkeys(known_fields(schema, fields)))
    if not chosen:
        raise InvalidArgument("fields is empty: name at least one, or give None for all")
    return chosen


def _weights(schema: Schema, chosen: Sequence[str], weights: Weights | None) -> dict[str, float]:
    if weights is not None and not isinstance(weights, Mapping):
        raise InvalidArgument(
            f"weights is a {type(weights).__name__}: give a dict of field to number"
        )
    share = dict.fromkeys(chosen, 1.0)
    for name in known_fields(schema, weights or {}):
        if name not in share:
            raise InvalidArgument(
                f"weights names {name!r}, which is not searched: add it to fields or leave it out"
            )
        given = (weights or {})[name]
        value = as_number(given)
        if value is None or not (value == 0 or WEIGHTS[0] <= value <= WEIGHTS[1]):
            raise InvalidArgument(
                f"weights[{name!r}] is {given!r:.40}: give 0, or a number from "
                f"{WEIGHTS[0]:g} to {WEIGHTS[1]:g}; what items are not to be like is a Part of "
                "negative weight"
            )
        share[name] = value
    if not any(share.values()):
        raise InvalidArgument(
            "every weight is 0: give at least one searched field a weight above 0"
        )
    return share
