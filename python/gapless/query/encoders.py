"""The parts of a question as vectors: one per space, encoded where it is no vector yet."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..batch import as_array, as_matrix
from ..errors import (
    InvalidArgument,
    InvalidVector,
    MissingModelFile,
    SchemaMismatch,
    UnknownField,
)
from ..schema import Schema

__all__ = ["Encoders", "OwnEncoders", "QueryVector", "query_rows"]

Vectors: TypeAlias = "npt.NDArray[np.float32]"
OwnEncoders: TypeAlias = "Mapping[str, Mapping[str, Any]]"
READ = ("text", "image")  # what model folders have graphs for


@dataclass(frozen=True, slots=True)
class QueryVector:
    """One part of a question in one space.

    Attributes
    ----------
    space : str
    modality : str or None
        What the asker gave: ``"text"``, ``"image"``, ...
    vector : ndarray (questions, tokens, dim) float32
        Unit rows. One question has 1 token, but for late interaction.
    weight : float
        Below 0 for what the items are not to be like.
    """

    space: str
    modality: str | None
    vector: Vectors
    weight: float = 1.0

    @property
    def late(self) -> bool:
        """Whether it is several vectors that interact late (MaxSim)."""
        return bool(self.vector.shape[1] > 1)


class Encoders:
    """Loads a space's encoders when first needed, and keeps them.

    Parameters
    ----------
    schema : Schema
    own : mapping of space to mapping of modality to encoder, optional
        Encoders to use instead of those that the schema names.

    Raises
    ------
    InvalidArgument
        When `own` holds something else.
    UnknownField
        When it names a space that the schema lacks.
    """

    def __init__(self, schema: Schema, own: OwnEncoders | None = None) -> None:
        self._schema = schema
        self._loaded: dict[tuple[str, str], Any] = {}
        self._lock = threading.Lock()
        self._own = _checked(schema, own or {})

    def encode(
        self, modality: str, items: Sequence[Any], spaces: Iterable[str]
    ) -> list[QueryVector]:
        """One query vector per item in every space that has an encoder for `modality`.

        Raises
        ------
        InvalidArgument
            When none of the spaces has an encoder.
        MissingModelFile
            When none of the encoders can read `modality`, or one lacks a file.
        """
        names = list(spaces)
        having = [
            name
            for name in names
            if (name, modality) in self._own or self._schema.spaces[name].encoder is not None
        ]
        if not having:
            raise InvalidArgument(
                f"no encoder for a {modality} query: the spaces searched ({', '.join(names)}) name "
                "none. Give Space(encoder=...) in the schema, or search with vectors={space: q}"
            )
        found, refusal = [], None
        for name in having:
            try:
                encoder = self._own.get((name, modality)) or self._load(name, modality)
            except (MissingModelFile, InvalidArgument) as error:
                if not self._is_for_another(name, modality):
                    raise
                refusal = error  # a text-only model beside one for both is no error
                continue
            made = encoder.encode(items)
            rows = as_matrix("the encoder's output", made, self._schema.spaces[name].dim)
            if len(rows) != len(items):
                raise InvalidVector(
                    f"the encoder of space {name!r} made {len(rows)} vectors of {len(items)} items"
                )
            found.append(QueryVector(name, modality, rows[:, None]))
        if not found and refusal is not None:
            raise refusal
        return found

    def _is_for_another(self, space: str, modality: str) -> bool:
        encoder = self._schema.spaces[space].encoder
        if modality not in READ:  # no model folder holds a graph for it
            return True
        return _is_for_another(encoder, modality)

    def _load(self, space: str, modality: str) -> Any:
        spec = self._schema.spaces[space]
        with self._lock:
            encoder = self._loaded.get((space, modality))
            if encoder is None and spec.encoder is not None:
                from ..encode import load_encoder

                encoder = load_encoder(spec.encoder, modality)
                if encoder.dim != spec.dim:
                    raise SchemaMismatch(
                        f"the {modality} encoder {spec.encoder!r} makes vectors of dim "
                        f"{encoder.dim} and space {space!r} has dim {spec.dim}: "
                        "correct Space(dim=...) or the encoder"
                    )
                self._loaded[space, modality] = encoder
            return encoder


def _is_for_another(encoder: str | None, modality: str) -> bool:
    """Whether the model has no graph for `modality`, and has one for another."""
    from ..encode import model_folder
    from ..encode.folder import GRAPH_STEMS, ModelFolder
    from ..encode.session import Graph

    folder = ModelFolder(model_folder(str(encoder)))
    graphs = {}
    for name in GRAPH_STEMS:
        with contextlib.suppress(MissingModelFile):
            graphs[name] = folder.graph(name)
    if modality not in graphs:
        return bool(graphs)
    if len(graphs) < 2 or len(set(graphs.values())) > 1:
        return False
    # One file under the name of either: what it asks for tells what it is.
    inputs = Graph(graphs[modality], None).inputs
    return ("input_ids" in inputs) != ("pixel_values" in inputs) and (
        {"text": "input_ids", "image": "pixel_values"}[modality] not in inputs
    )


def _checked(schema: Schema, own: OwnEncoders) -> dict[tuple[str, str], Any]:
    if not isinstance(own, Mapping):
        raise InvalidArgument(
            f"encoders is a {type(own).__name__}: give {{space: {{modality: encoder}}}}"
        )
    found = {}
    for space, by_modality in own.items():
        if space not in schema.spaces:
            known = ", ".join(map(repr, schema.spaces))
            raise UnknownField(f"encoders names the space {space!r}: the collection has {known}")
        if not isinstance(by_modality, Mapping):
            raise InvalidArgument(
                f"encoders[{space!r}] is a {type(by_modality).__name__}: give a dict of modality "
                "to encoder, such as {'text': encoder}"
            )
        for modality, encoder in by_modality.items():
            if isinstance(encoder, str) or not callable(getattr(encoder, "encode", None)):
                raise InvalidArgument(
                    f"encoders[{space!r}][{modality!r}] is a {type(encoder).__name__}: give an "
                    "object with encode(items) -> (n, dim)"
                )
            found[space, modality] = encoder
    return found


def query_rows(what: str, given: npt.ArrayLike, dim: int) -> Vectors:
    """Check the vectors of one question: (dim,), or (tokens, dim) for late interaction.

    Returns
    -------
    ndarray (1, tokens, dim) float32
        Unit rows.

    Raises
    ------
    InvalidVector
        For another shape, zero, NaN and infinity.
    """
    array = as_array(what, given)
    if array.ndim not in (1, 2) or not array.size:
        raise InvalidVector(
            f"{what} has shape {array.shape}: give one vector of shape ({dim},), or (tokens, {dim})"
        )
    return as_matrix(what, array[None] if array.ndim == 1 else array, dim)[None]
