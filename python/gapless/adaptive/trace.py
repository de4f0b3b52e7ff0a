"""What an adaptive search found, and everything it tried."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np

from ..results.hits import Contribution, Hit, Hits
from ..table import columns

__all__ = ["AdaptiveHit", "AdaptiveResult", "Step"]


@dataclass(frozen=True, slots=True)
class Step:
    """One search that was tried.

    Attributes
    ----------
    arguments : mapping of str to value
        What the search was given.
    reason : str
        Why it was tried.
    hits : Hits or None
        None when it failed.
    confidence : float or None
        Of the best hit; None when there was none, or it was not known and nothing hung on it.
    seconds : float
    accepted : bool
        Whether it was sure enough.
    error : str or None
        Why it failed.
    """

    arguments: Mapping[str, Any]
    reason: str
    hits: Hits | None
    confidence: float | None
    seconds: float
    accepted: bool
    error: str | None = None

    @property
    def outcome(self) -> str:
        """What came of it, in words."""
        if self.error is not None:
            return f"failed: {self.error}"
        if not self.hits:
            return "no hits"
        sure = "unknown" if self.confidence is None else f"{self.confidence:.3g}"
        return f"{'accepted' if self.accepted else 'not accepted'}, confidence {sure}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON; vectors and images are named by what they are."""
        return {
            "arguments": _plain(self.arguments),
            "reason": self.reason,
            "ids": None if self.hits is None else self.hits.ids,
            "fusion": None if self.hits is None else self.hits.fusion,
            "confidence": self.confidence,
            "seconds": self.seconds,
            "accepted": self.accepted,
            "error": self.error,
        }


@dataclass(frozen=True, slots=True)
class AdaptiveHit:
    """A hit of one or several steps.

    Attributes
    ----------
    hit : Hit
        As the step gave it in which it did best.
    score : float
        Higher is better; its kind is `score_kind`.
    score_kind : str
        That of the hit, or ``"rrf"`` over the steps where their scores cannot be compared.
    steps : tuple of int
        Which steps found it, counted from 1.
    """

    hit: Hit
    score: float
    score_kind: str
    steps: tuple[int, ...]

    @property
    def id(self) -> str | int:
        """Of the item."""
        return self.hit.id

    @property
    def confidence(self) -> float | None:
        """Calibrated probability that the item is relevant."""
        return self.hit.confidence

    @property
    def field(self) -> str | None:
        """The field that added most to the hit's own score."""
        return self.hit.field

    @property
    def metadata(self) -> dict[str, Any] | None:
        """As stored."""
        return self.hit.metadata

    @property
    def uri(self) -> str | None:
        """Where the original lies."""
        return self.hit.uri

    @property
    def contributions(self) -> tuple[Contribution, ...]:
        """What each list of that step said."""
        return self.hit.contributions


class AdaptiveResult(Sequence[AdaptiveHit]):
    """One ranking made of one or several steps; print it to see what was tried.

    Attributes
    ----------
    steps : tuple of Step
        In the order tried.
    accepted : bool
        Whether one of them was sure enough.
    merged : str
        ``"one step"``; ``"confidence"``: by the largest calibrated probability of a step; or
        ``"rrf"``: by Σ 1 / (60 + rank) over the steps.
    """

    def __init__(
        self, hits: Sequence[AdaptiveHit], steps: Sequence[Step], merged: str, question: Any
    ) -> None:
        self._hits = tuple(hits)
        self.steps = tuple(steps)
        self.merged = merged
        self.question = question

    @property
    def accepted(self) -> bool:
        """Whether a step was sure enough."""
        return any(step.accepted for step in self.steps)

    @property
    def ids(self) -> list[str | int]:
        """Ids, best first."""
        return [hit.id for hit in self._hits]

    def __len__(self) -> int:
        return len(self._hits)

    @overload
    def __getitem__(self, index: int) -> AdaptiveHit: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[AdaptiveHit, ...]: ...
    def __getitem__(self, index: int | slice) -> AdaptiveHit | tuple[AdaptiveHit, ...]:
        return self._hits[index]

    def __iter__(self) -> Iterator[AdaptiveHit]:
        return iter(self._hits)

    def explain(self) -> str:
        """Say what was tried and why, one line per step."""
        rows = [
            (
                str(number),
                step.reason,
                ", ".join(f"{name}={value!r:.40}" for name, value in _told(step.arguments)),
                "-" if step.hits is None else str(len(step.hits)),
                f"{1e3 * step.seconds:.1f} ms",
                step.outcome,
            )
            for number, step in enumerate(self.steps, 1)
        ]
        return "\n".join(columns(("step", "why", "search", "hits", "time", "outcome"), rows))

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON: the ranking and the trace."""
        return {
            "question": _plain(self.question),
            "accepted": self.accepted,
            "merged": self.merged,
            "hits": [
                {
                    "id": hit.id,
                    "score": hit.score,
                    "score_kind": hit.score_kind,
                    "confidence": hit.confidence,
                    "field": hit.field,
                    "steps": list(hit.steps),
                }
                for hit in self._hits
            ],
            "steps": [step.to_dict() for step in self.steps],
        }

    def __repr__(self) -> str:
        state = "accepted" if self.accepted else "not accepted"
        lines = [f"{len(self)} hits, {len(self.steps)} steps, {state}, merged by {self.merged}"]
        rows = [
            (str(i), f"{hit.score:.4f}", repr(hit.id), ", ".join(map(str, hit.steps)))
            for i, hit in enumerate(self._hits, 1)
        ]
        lines += columns(("rank", "score", "id", "steps"), rows)
        return "\n".join([*lines, self.explain()])


def _told(arguments: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(name, _plain(value)) for name, value in arguments.items()]


def _plain(value: Any) -> Any:
    """Give a value as JSON can hold it, and one that it cannot by what it is."""
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return f"array {value.shape}"
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        if len(value) > 16 and all(isinstance(entry, (int, float)) for entry in value):
            return f"array ({len(value)},)"
        return [_plain(entry) for entry in value]
    if callable(to_dict := getattr(value, "to_dict", None)):
        return to_dict()
    return str(value)
