"""Search as an agent does: the likely place first, and more where the answer is not sure."""

from __future__ import annotations

import asyncio
import inspect
import math
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ..batch import whole
from ..errors import (
    InvalidArgument,
    MissingExtra,
    MissingModelFile,
    RerankError,
    SpaceMismatch,
)
from ..given import as_number
from ..rerank.cache import key_of
from ..results.hits import Hits
from .merge import merged
from .router import NOTHING, KeywordRouter, Route, Routes, read_routes
from .trace import AdaptiveResult, Step

if TYPE_CHECKING:
    from ..collection import Collection

__all__ = ["RECOVERABLE", "AdaptiveRetriever"]

RECOVERABLE = (
    InvalidArgument, SpaceMismatch, MissingModelFile, MissingExtra, RerankError, TimeoutError
)  # fmt: skip
CONTENTS = ("text", "image", "audio", "vectors", "like", "parts")


class AdaptiveRetriever:
    """Tries searches in turn until the best hit of one is likely to be relevant.

    A router says which searches suit the question. The calibrated probability of the best hit
    decides: where it is below `min_confidence` the next search follows, at last the fallback, and
    what the steps found becomes one ranking without duplicates: by the largest probability where
    all steps rank by it, else by reciprocal ranks over the steps. Everything tried is in the
    result.

    Parameters
    ----------
    collection : Collection
    router : callable, optional
        ``router(question)`` gives search arguments as a dict, a list of stages, a `Route`, or a
        list of those to try in order. `KeywordRouter` of the schema by default.
    min_confidence : float
        Probability from which on an answer is accepted; any finite number with `confidence`.
    fallback : mapping, list of stages, Route, list of those, or None
        Searched when nothing else was accepted. All fields, fused, by default; None for none.
    max_steps : int
        Searches at most, the fallback included, for which the last one is kept.
    confidence : callable, optional
        ``confidence(hits) -> float`` of hits, which are never empty, instead of the calibrated
        probability of the best one.

    Raises
    ------
    InvalidArgument
        For values of the wrong kind.

    Examples
    --------
    >>> import gapless as gl, numpy as np, tempfile
    >>> schema = gl.Schema({"clip": gl.Space(dim=4)}, {"image": gl.Field("clip", "image"),
    ...                                                "caption": gl.Field("clip", "text")})
    >>> with gl.open(tempfile.mkdtemp(), schema) as col:
    ...     col.upsert(["a", "b"], {"image": np.eye(2, 4), "caption": np.eye(2, 4, 2)})
    ...     retriever = AdaptiveRetriever(col, confidence=lambda hits: hits[0].score)
    ...     found = retriever.search("a photo", vectors={"clip": [0, 0, 1, 0]}, modality="text")
    >>> [step.reason for step in found.steps]
    ["mentions what is seen: 'photo'", 'fallback: no search before was sure enough']
    """

    def __init__(
        self,
        collection: Collection,
        router: Callable[[Any], Routes] | None = None,
        *,
        min_confidence: float = 0.5,
        fallback: Routes | None = NOTHING,
        max_steps: int = 3,
        confidence: Callable[[Hits], float] | None = None,
    ) -> None:
        for name, given in (("router", router), ("confidence", confidence)):
            if given is not None and not callable(given):
                raise InvalidArgument(f"{name} is {given!r:.60}: give a function")
        if not callable(getattr(collection, "search", None)):
            raise InvalidArgument(f"collection is {collection!r:.60}: give an open Collection")
        least = as_number(min_confidence)
        if least is None or not math.isfinite(least):
            raise InvalidArgument(f"min_confidence is {min_confidence!r:.60}: give a number")
        if confidence is None and not 0.0 <= least <= 1.0:
            raise InvalidArgument(
                f"min_confidence is {min_confidence!r:.60}: give a probability from 0 to 1"
            )
        self.collection = collection
        self.router = KeywordRouter.of(collection.schema) if router is None else router
        self.min_confidence = least
        self.fallback = () if fallback is None else tuple(read_routes("fallback", fallback))
        self.max_steps = whole("max_steps", max_steps)
        self.confidence = confidence

    def search(self, question: Any, **arguments: Any) -> AdaptiveResult:
        """Answer a question in at most `max_steps` searches.

        Parameters
        ----------
        question : str, or what the router takes
            A text is also what is searched for, unless a step or `arguments` asks for something
            (text, image, audio, vectors, like or parts).
        **arguments
            Of `Collection.search`, for every step; the router's own take precedence, and query
            vectors of spaces that a step's fields do not live in are left out of that step. The
            merged ranking is cut at ``limit``; without one, at the longest list of a step.

        Raises
        ------
        InvalidArgument
            When a decision hangs on a confidence that is not known: calibrate first, or give
            ``confidence=``. For a router that gives no searches, and arguments that
            `Collection.search` does not have.

        Notes
        -----
        A step that cannot be done (InvalidArgument, SpaceMismatch, MissingModelFile, MissingExtra,
        RerankError, TimeoutError and what derives from them) is recorded, and the next follows;
        when all fail, the error of the last is raised. Other errors, such as CorruptFile, and those
        of the router are raised at once.
        """
        steps: list[Step] = []
        failure: Exception | None = None
        routes = self._routes(question, arguments)
        for number, route in enumerate(routes, 1):
            step, error = self._try(route, more=number < len(routes))
            failure = error or failure
            steps.append(step)
            if step.accepted:
                break
        if failure is not None and all(step.error is not None for step in steps):
            raise failure
        hits, how = merged(steps, arguments.get("limit"))
        return AdaptiveResult(hits, steps, how, question)

    __call__ = search

    async def asearch(self, question: Any, **arguments: Any) -> AdaptiveResult:
        """Search as `search` does, in a thread beside the event loop."""
        return await asyncio.to_thread(self.search, question, **arguments)

    def _routes(self, question: Any, arguments: Mapping[str, Any]) -> list[Route]:
        """Give the searches to do at most, with all their arguments, none twice."""
        chosen = read_routes("the router", self.router(question))
        if not chosen and not self.fallback:
            raise InvalidArgument("the router gave no search, and there is no fallback to try")
        keep = self.max_steps - 1 if self.fallback and self.max_steps > 1 else self.max_steps
        named = [
            Route(each.arguments, each.reason or f"choice {i} of the router")
            for i, each in enumerate(chosen[:keep], 1)
        ]
        for each in self.fallback:
            usual = "no search before was sure enough" if named else "the router gave no search"
            reason = each.reason or usual
            named.append(Route(each.arguments, f"fallback: {reason}"))
        routes, seen = [], set()
        for each in named:
            given = self._completed(question, arguments, each.arguments)
            listed = {"stages": repr(given["stages"])} if "stages" in given else {}
            key: Hashable = key_of({**given, **listed})
            if key is None or key not in seen:
                routes.append(Route(given, each.reason))
            seen.add(key)
        return routes[: self.max_steps]

    def _completed(
        self, question: Any, common: Mapping[str, Any], own: Mapping[str, Any]
    ) -> dict[str, Any]:
        given = {**common, **own}
        if isinstance(question, str) and not any(given.get(n) is not None for n in CONTENTS):
            given["text"] = question
        known = inspect.signature(self.collection.search).parameters
        for name in given:
            if name not in known:
                raise InvalidArgument(
                    f"a search has no argument {name!r}: it takes {', '.join(known)}"
                )
        if isinstance(given.get("vectors"), Mapping) and "vectors" not in own:
            given["vectors"] = self._within_reach(given["vectors"], own)
        return given

    def _within_reach(
        self, vectors: Mapping[str, Any], own: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Give the query vectors that live where the step's own fields do; all when none does."""
        schema = self.collection.schema
        named = own.get("fields")
        if named is None:
            named = [getattr(stage, "field", None) for stage in own.get("stages") or ()]
        listed = isinstance(named, Sequence) and not isinstance(named, str)
        fields = [name for name in named if name in schema.fields] if listed else []
        spaces = {schema.fields[name].space for name in fields}
        kept = {space: vector for space, vector in vectors.items() if space in spaces}
        return kept or vectors

    def _try(self, route: Route, more: bool) -> tuple[Step, Exception | None]:
        """Search; `more`: what comes of it decides whether another search follows."""
        arguments = MappingProxyType(dict(route.arguments))
        start = time.perf_counter()
        try:
            hits = self.collection.search(**arguments)
        except RECOVERABLE as error:
            spent = time.perf_counter() - start
            told = f"{type(error).__name__}: {error}"
            return Step(arguments, route.reason, None, None, spent, False, told), error
        spent = time.perf_counter() - start
        sure = self._sure(hits, more) if len(hits) else None
        accepted = sure is not None and sure >= self.min_confidence
        return Step(arguments, route.reason, hits, sure, spent, accepted), None

    def _sure(self, hits: Hits, more: bool) -> float | None:
        if self.confidence is not None:
            given: Any = self.confidence(hits)
            try:
                number = float(given)
            except (TypeError, ValueError):
                number = math.nan
            if math.isnan(number):
                raise InvalidArgument(f"confidence= gave {given!r:.60}: it is to give a number")
            return number
        if hits[0].confidence is None and more:
            raise InvalidArgument(
                f"the best hit has no confidence, as the search fused by {hits.fusion!r} "
                f"({hits.reason}): call calibrate() with pairs or positives of every pair type "
                "searched, or give confidence=function of the hits"
            )
        return hits[0].confidence
