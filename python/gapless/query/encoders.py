"""The parts of a question: one query vector per space, encoded where it is a text or an image."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..batch import as_array, as_matrix
from ..errors import InvalidArgument, InvalidVector, MissingModelFile, SchemaMismatch
from ..schema import Schema

__all__ = ["Encoders", "Part", "one_row"]


@dataclass(frozen=True, slots=True)
class Part:
    """One query vector in one space."""

    space: str
    modality: str | None
    vector: npt.NDArray[np.float32]


class Encoders:
    """Loads a space's encoders when first needed, and keeps them."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._loaded: dict[tuple[str, str], Any] = {}
        self._lock = threading.Lock()

    def encode(self, modality: str, item: Any, spaces: Iterable[str]) -> list[Part]:
        """One part per space that has an encoder for `modality`.

        Raises
        ------
        InvalidArgument
            When none of the spaces names an encoder.
        MissingModelFile
            When none of the named encoders can read `modality`, or one lacks a file.
        """
        names = list(spaces)
        having = [name for name in names if self._schema.spaces[name].encoder is not None]
        if not having:
            raise InvalidArgument(
                f"no encoder for a {modality} query: the spaces searched ({', '.join(names)}) name "
                "none. Give Space(encoder=...) in the schema, or search with vectors={space: q}"
            )
        parts, refusal = [], None
        for name in having:
            try:
                encoder = self._load(name, modality)
            except MissingModelFile as error:
                if not _is_for_another(self._schema.spaces[name].encoder, modality):
                    raise
                refusal = error  # a text-only model beside one for both is no error
                continue
            parts.append(
                Part(
                    name,
                    modality,
                    one_row(
                        "the encoder's output",
                        encoder.encode([item]),
                        self._schema.spaces[name].dim,
                    ),
                )
            )
        if not parts and refusal is not None:
            raise refusal
        return parts

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


def one_row(what: str, given: npt.ArrayLike, dim: int) -> npt.NDArray[np.float32]:
    """Check one vector of `dim` numbers.

    Raises
    ------
    InvalidVector
        For another shape, zero, NaN and infinity.
    """
    array = as_array(what, given)
    if array.ndim == 1:
        array = array[None]
    if array.ndim != 2 or len(array) != 1:
        raise InvalidVector(f"{what} has shape {array.shape}: give one vector of shape ({dim},)")
    row: npt.NDArray[np.float32] = as_matrix(what, array, dim)[0]
    return row
