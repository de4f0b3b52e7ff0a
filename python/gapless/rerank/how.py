"""How to re-rank: who scores, what they see, and how several scores become one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..batch import whole
from ..errors import InvalidArgument
from ..filters.place import parse_place
from ..given import is_listed
from .cache import ScoreCache
from .scorers import Query, VectorScorer, as_scorer, reranker_named

__all__ = ["ACTIVATIONS", "MODES", "Rerank", "as_rerank"]

MODES = ("mean", "max", "route", "joint")
PARTS = ("text", "image")
ACTIVATIONS = ("none", "sigmoid")
TEXT = ("text", "caption")


@dataclass(frozen=True, slots=True)
class Rerank:
    """Score the best hits of a search anew and order them by that.

    An item that has none of the parts wanted is not scored: it stays below those that are, in the
    order it came in, as do the hits beyond `top_k`.

    Parameters
    ----------
    scorer : callable, encoder, {modality: encoder}, VectorScorer, or str
        A function ``(query, documents) -> scores`` (see `Scorer`), or the name of a registered one.
    fields : sequence of str, optional
        Parts to look at, such as ``["text", "image"]``; all that an item has by default.
    mode : str
        ``"mean"`` or ``"max"`` of the scores of an item's parts; ``"route"``: the part that is of
        the modality of the field that retrieved it, the higher score where several did;
        ``"joint"``: one score of all its parts together; or the name of one part, such as
        ``"text"``, to score by that alone. Of a `VectorScorer` the parts are its fields.
    top_k : int, optional
        How many of the fused hits are scored; all candidates by default.
    query : str or mapping of part to value, optional
        Asked instead of the search's own question.
    text : str or sequence of str
        Paths in the metadata, spelled as in filters; the first that is there is the text.
    image : str, optional
        Path in the metadata; by default the uri where it is that of an image, by its suffix, or
        because a field of images was searched in which the item has a row.
    document : callable, optional
        ``document(hit) -> {part: value}``, used instead of `text` and `image`.
    activation : {"none", "sigmoid"}
        ``"sigmoid"`` makes probabilities of logits, before the scores of parts are combined.
    batch_size : int
        Documents per call of the scorer.
    cache_size : int
        Scores kept by (query, document), so that the next search need not ask for them; 0 for none.
        A file whose content changes under the same name keeps its score.

    Raises
    ------
    InvalidArgument
        For values of the wrong kind, naming what is allowed.

    Examples
    --------
    >>> def overlap(query, documents):
    ...     words = set(query.split())
    ...     return [len(words & set(document["text"].split())) for document in documents]
    >>> Rerank(overlap, mode="text", top_k=50).top_k
    50
    """

    scorer: Any
    fields: Sequence[str] | None = None
    mode: str = "mean"
    top_k: int | None = None
    query: Query | None = None
    text: Sequence[str] = TEXT
    image: str | None = None
    document: Callable[[Any], Any] | None = None
    activation: str = "none"
    batch_size: int = 32
    cache_size: int = 10_000
    _cache: ScoreCache = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        def put(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        put("scorer", as_scorer(self.scorer))
        put("text", _names("text", self.text))
        if self.fields is not None:
            put("fields", _names("fields", self.fields))
        if self.top_k is not None:
            put("top_k", whole("top_k", self.top_k))
        put("batch_size", whole("batch_size", self.batch_size))
        put("cache_size", whole("cache_size", self.cache_size, 0))
        if self.image is not None and (not isinstance(self.image, str) or not self.image):
            raise InvalidArgument(f"image is {self.image!r}: give a path in the metadata, or None")
        for path in (*self.text, *filter(None, [self.image])):
            if not parse_place(path).keys:
                raise InvalidArgument(f"{path!r} is no path in the metadata: use document=")
        if self.document is not None and not callable(self.document):
            raise InvalidArgument(
                f"document is {self.document!r:.60}: give a function of a hit that returns a dict "
                "of part to value"
            )
        if self.query is not None and (isinstance(self.query, str) and not self.query.strip()):
            raise InvalidArgument("query is empty: give a text, {part: value}, or None")
        if self.activation not in ACTIVATIONS:
            raise InvalidArgument(
                f"activation is {self.activation!r}: choose one of {', '.join(ACTIVATIONS)}"
            )
        self._check_parts()
        put("_cache", ScoreCache(self.cache_size))

    def _check_parts(self) -> None:
        stored = isinstance(self.scorer, VectorScorer)
        if stored and (self.mode == "joint" or self.document is not None or self.fields):
            raise InvalidArgument(
                "a VectorScorer looks at rows of its fields, each by itself: leave out "
                "mode='joint', document= and fields="
            )
        allowed: Sequence[str] | None = PARTS
        if stored:
            allowed = self.scorer.fields
        elif self.fields is not None:
            self._check_fields(self.fields)
            allowed = self.fields
        elif self.document is not None or isinstance(self.scorer, str):
            allowed = None  # what there is comes to light with the first hit
        known = isinstance(self.mode, str) and bool(self.mode)
        if not known or (allowed is not None and self.mode not in (*MODES, *allowed)):
            raise InvalidArgument(
                f"mode is {self.mode!r}: choose one of {', '.join((*MODES, *(allowed or ())))}"
            )

    def _check_fields(self, names: Sequence[str]) -> None:
        unknown = [name for name in names if name not in PARTS]
        if unknown and self.document is None:
            raise InvalidArgument(
                f"fields names {unknown[0]!r}: there are {', '.join(PARTS)}; give "
                "document=function of a hit for other parts"
            )

    @property
    def resolved(self) -> Any:
        """The scorer itself, where it was given by name.

        Raises
        ------
        InvalidArgument
            When no reranker of that name is registered.
        """
        return reranker_named(self.scorer) if isinstance(self.scorer, str) else self.scorer

    @property
    def cache(self) -> ScoreCache:
        """Scores of earlier searches."""
        return self._cache


def as_rerank(given: Any) -> Rerank:
    """Make a `Rerank` of what a search is given: one, or anything that scores.

    Raises
    ------
    InvalidArgument
        For anything else.
    """
    return given if isinstance(given, Rerank) else Rerank(given)


def _names(what: str, given: Any) -> tuple[str, ...]:
    listed = (given,) if isinstance(given, str) else given
    if is_listed(listed):
        names = tuple(listed)
        if names and all(isinstance(name, str) and name for name in names):
            if len(set(names)) == len(names):
                return names
            raise InvalidArgument(f"{what} names one twice: {', '.join(names)}")
    raise InvalidArgument(f"{what} is {given!r:.60}: give names, such as ['text', 'image']")
