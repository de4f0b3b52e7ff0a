"""Who can score: a function, encoders, vectors that are stored already, and names for them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from ..arrays import as_array
from ..errors import InvalidArgument

__all__ = [
    "Document",
    "EncoderScorer",
    "Query",
    "Scorer",
    "VectorScorer",
    "as_scorer",
    "register_reranker",
    "reranker_named",
    "rerankers",
]

Document: TypeAlias = "Mapping[str, Any]"
Query: TypeAlias = "str | Mapping[str, Any]"


class Scorer(Protocol):
    """What a reranker asks of a scorer; any function of this shape will do."""

    def __call__(self, query: Query, documents: Sequence[Document], /) -> npt.ArrayLike:
        """Score documents against a query, higher is better.

        Parameters
        ----------
        query : str, or mapping of part to value
            The question's text; where it has another part or several, a dict such as
            ``{"image": "dog.jpg", "text": "in snow"}``.
        documents : sequence of mapping of part to value
            Such as ``{"text": "a dog"}`` or ``{"image": "dog.jpg"}``. Every document of one call
            has the same parts, and several only in mode ``"joint"``.

        Returns
        -------
        array-like (len(documents),)
            Finite numbers.
        """
        ...


@dataclass(frozen=True, slots=True)
class EncoderScorer:
    """Scores by the cosine of vectors that encoders make of query and document.

    Parameters
    ----------
    encoders : mapping of modality to encoder
        Objects with ``encode(items) -> (n, dim)``, all of one space. A query of several parts
        scores by the mean over them.

    Raises
    ------
    InvalidArgument
        When there is none, or one has no ``encode``; when scoring, for a part that no encoder
        reads.
    """

    encoders: Mapping[str, Any]

    def __post_init__(self) -> None:
        if not isinstance(self.encoders, Mapping) or not self.encoders:
            raise InvalidArgument(
                f"encoders is {self.encoders!r:.60}: give a dict of modality to encoder"
            )
        for modality, encoder in self.encoders.items():
            if isinstance(encoder, str) or not callable(getattr(encoder, "encode", None)):
                raise InvalidArgument(
                    f"encoders[{modality!r}] is a {type(encoder).__name__}: give an object with "
                    "encode(items) -> (n, dim)"
                )

    def __call__(self, query: Query, documents: Sequence[Document], /) -> npt.NDArray[np.float64]:
        """Score as `Scorer` says."""
        asked = {"text": query} if isinstance(query, str) else query
        queries = np.concatenate([self._rows(part, [value]) for part, value in asked.items()])
        found = np.zeros(len(documents))
        parts = documents[0] if documents else {}
        for part in parts:
            rows = self._rows(part, [document[part] for document in documents])
            if rows.shape[1] != queries.shape[1]:
                raise InvalidArgument(
                    f"the encoders make vectors of dim {queries.shape[1]} of the query and "
                    f"{rows.shape[1]} of {part!r}: give encoders of one space"
                )
            found += (rows @ queries.T).mean(axis=1)
        return found / max(1, len(parts))

    def _rows(self, part: str, values: Sequence[Any]) -> npt.NDArray[np.float64]:
        if part not in self.encoders:
            raise InvalidArgument(
                f"no encoder reads {part!r}: there are encoders of "
                f"{', '.join(map(repr, self.encoders))}; choose the parts with fields=[...]"
            )
        made = self.encoders[part].encode(values)
        rows = np.asarray(as_array(f"the encoder's output of {part!r}", made), np.float64)
        if rows.ndim != 2 or len(rows) != len(values):
            raise InvalidArgument(
                f"the encoder of {part!r} gave shape {rows.shape} for {len(values)} items: it is "
                "to give one row each"
            )
        return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))


@dataclass(frozen=True, slots=True, init=False, eq=False)
class VectorScorer:
    """Scores by vectors that the items have in other fields, exactly and under their alignment.

    A search may so retrieve by a small, fast space and rank by a better one, which needs no model
    call per item. Where query or item have several rows in a field, the score is the mean over the
    query's rows of the largest cosine with one of the item's (MaxSim, divided by the number of
    query rows; Khattab and Zaharia 2020).

    Parameters
    ----------
    *fields : str
        One or several; `Rerank` combines several by its mode.
    query : array-like (dim,) or (tokens, dim), optional
        In the space of the fields. By default what the search asked in that space, or else its
        text or image encoded for it.
    modality : str, optional
        Modality of `query`, needed while an alignment is active.

    Raises
    ------
    InvalidArgument
        Without a field, for one named twice, and for a modality without a query.
    """

    fields: tuple[str, ...]
    query: npt.NDArray[Any] | None
    modality: str | None

    def __init__(
        self, *fields: str, query: npt.ArrayLike | None = None, modality: str | None = None
    ) -> None:
        if not fields or not all(isinstance(name, str) and name for name in fields):
            raise InvalidArgument(f"VectorScorer has the fields {fields!r}: name at least one")
        if len(set(fields)) < len(fields):
            raise InvalidArgument(f"VectorScorer names a field twice: {', '.join(fields)}")
        if modality is not None and (query is None or not isinstance(modality, str)):
            raise InvalidArgument(
                f"modality is {modality!r}: give the modality of query=, together with it"
            )
        rows = None if query is None else as_array("query", query).astype(np.float64)
        object.__setattr__(self, "fields", fields)
        object.__setattr__(self, "query", rows)
        object.__setattr__(self, "modality", modality)

    def _told(self) -> tuple[object, ...]:
        asked = None if self.query is None else (self.query.shape, self.query.tobytes())
        return self.fields, self.modality, asked

    def __eq__(self, other: object) -> bool:
        return isinstance(other, VectorScorer) and self._told() == other._told()

    def __hash__(self) -> int:
        return hash(self._told())


_named: dict[str, Any] = {}
_naming = threading.Lock()


def register_reranker(name: str, scorer: Any) -> None:
    """Give a scorer a name, by which `Rerank` and stages in JSON call it; None takes it back.

    Parameters
    ----------
    name : str
    scorer : callable, encoder, VectorScorer, or None

    Raises
    ------
    InvalidArgument
        For an empty name, or what is no scorer.

    Examples
    --------
    >>> def length(query, documents):
    ...     return [-len(document["text"]) for document in documents]
    >>> register_reranker("shortest", length)
    >>> "shortest" in rerankers()
    True
    >>> register_reranker("shortest", None)
    """
    if not isinstance(name, str) or not name.strip():
        raise InvalidArgument(f"name is {name!r}: give a string with something in it")
    if isinstance(scorer, str):
        raise InvalidArgument(f"the reranker {name!r} is {scorer!r}: give a function, not a name")
    made = None if scorer is None else as_scorer(scorer)
    with _naming:
        if made is None:
            _named.pop(name, None)
        else:
            _named[name] = made


def rerankers() -> tuple[str, ...]:
    """Names given by `register_reranker`, in alphabetical order."""
    with _naming:
        return tuple(sorted(_named))


def reranker_named(name: str) -> Callable[..., Any] | VectorScorer:
    """Find the scorer of a name.

    Raises
    ------
    InvalidArgument
        When there is none.
    """
    with _naming:
        found: Callable[..., Any] | VectorScorer | None = _named.get(name)
    if found is None:
        raise InvalidArgument(
            f"there is no reranker {name!r}: there are "
            f"{', '.join(map(repr, rerankers())) or 'none'}; register_reranker({name!r}, scorer) "
            "makes it known"
        )
    return found


def as_scorer(given: Any) -> Any:
    """Make a scorer of what a caller gives: one, its name, an encoder, or encoders by modality.

    Raises
    ------
    InvalidArgument
        For anything else.
    """
    if isinstance(given, Mapping):
        return EncoderScorer(dict(given))
    if isinstance(given, VectorScorer) or callable(given):
        return given
    if isinstance(given, str):
        if given.strip():
            return given
    elif callable(getattr(given, "encode", None)):
        return EncoderScorer({getattr(given, "modality", "text"): given})
    raise InvalidArgument(
        f"the scorer is {given!r:.60}: give a function (query, documents) -> scores, an encoder, "
        "{modality: encoder}, VectorScorer(field), or the name of a registered reranker"
    )
