"""What a search returns: hits, each with the reasons for its place."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from ..catalog import ItemRow
from ..errors import InvalidArgument
from . import explain, export
from .contribution import Contribution, contributions_of, span_of
from .item import Item
from .ranking import Ranking

__all__ = ["Contribution", "Hit", "Hits", "Item", "Span", "Spans"]

Span: TypeAlias = "tuple[float, float]"
Spans: TypeAlias = "Mapping[tuple[str, int], Span]"


class Hit:
    """One found item; metadata and contributions are made when they are looked at."""

    __slots__ = ("_field", "_hits", "_id", "_list", "_place", "_score")

    def __init__(
        self, hits: Hits, place: int, id_: str | int, score: float, list_: int, field: str | None
    ) -> None:
        self._hits = hits
        self._place = place
        self._id = id_
        self._score = score
        self._list = list_
        self._field = field

    @property
    def id(self) -> str | int:
        """The item's id, as it was stored."""
        return self._id

    @property
    def score(self) -> float:
        """Higher is better. Comparable within one result list; `score_kind` says what it means."""
        return self._score

    @property
    def field(self) -> str | None:
        """The field that added most to the score; None when no list has a row of the item."""
        return self._field

    @property
    def score_kind(self) -> str:
        """The fusion method that made the score, such as ``"cohort"`` or ``"rrf"``."""
        return self._hits.fusion

    @property
    def confidence(self) -> float | None:
        """Probability that the item is relevant, under the calibration's prior; else None."""
        return self._score if self._hits.fusion == "calibrated" else None

    @property
    def row(self) -> int:
        """Which of the item's rows in that field scored best, counted from 0."""
        return max(int(self._hits.ranking.rows[self._place, self._list]), 0) if self._field else 0

    @property
    def span(self) -> Span | None:
        """Start and end of that row, where the item was stored with spans."""
        return span_of(self._hits, self._place, self._list) if self._field else None

    @property
    def metadata(self) -> dict[str, Any] | None:
        """A dict, made anew at every look; None when there is none."""
        text = self._hits.items[self._place].metadata
        return None if text is None else json.loads(text)

    @property
    def uri(self) -> str | None:
        """Where the original lies, where that was stored."""
        return self._hits.items[self._place].uri

    @property
    def contributions(self) -> tuple[Contribution, ...]:
        """One for each searched (query part, field) in which the item has a row."""
        return contributions_of(self._hits, self._place)

    @property
    def group(self) -> Any:
        """What the hits were grouped by; None where they were not, or it has no such value."""
        groups = self._hits.groups
        return None if groups is None else groups[self._place][0]

    @property
    def others(self) -> Hits:
        """Further hits of the same group, best first; none where hits were not grouped."""
        groups = self._hits.groups
        return self._hits[:0] if groups is None else groups[self._place][1]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Hit):
            return NotImplemented
        return self._alone() == other._alone()

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        return _only, (self._alone(),)

    def _alone(self) -> Hits:
        return self._hits[self._place : self._place + 1]

    def __repr__(self) -> str:
        told = [f"id={self.id!r}", f"score={self.score:.6g}", f"score_kind={self.score_kind!r}"]
        told += [f"field={self.field!r}"]
        if self.span is not None:
            told.append(f"span={self.span}")
        for name in ("metadata", "uri", "group"):
            if (value := getattr(self, name)) is not None:
                told.append(f"{name}={value!r}")
        return f"Hit({', '.join(told)})"


class Hits(Sequence[Hit]):
    """An immutable ranking, best first; `Hit` objects are made when they are looked at.

    Parameters
    ----------
    ranking : Ranking
        n items.
    items : sequence of ItemRow, length n
        The same items as the catalogue has them.
    fusion, reason : str
    spans : mapping of (field, row label) to (start, end), optional
        Of the rows that have one; a row's label is ``ordinal << 40 | key``.
    plain : ndarray (n, lists), optional
        Cosines before any alignment; NaN for unknown.
    calibrated : ndarray (n, lists), optional
        Probabilities by each list alone; NaN for unknown. The fusion ``"calibrated"`` has them in
        the ranking.
    cursor : str, optional
    groups : sequence of (value, Hits), length n, optional
        What each hit stands for, and the further hits of that group.

    Attributes
    ----------
    fusion : str
        The method used.
    reason : str
        Why that method, in words.
    cursor : str or None
        Give it to the next search to go on after the last of these hits; None at the end.
    ranking : Ranking
        The same as arrays.

    Raises
    ------
    InvalidArgument
        When the lengths differ.
    """

    __slots__ = (
        "_made", "calibrated", "cursor", "fusion", "groups", "items", "plain", "ranking",
        "reason", "spans",
    )  # fmt: skip

    def __init__(
        self,
        ranking: Ranking,
        items: Sequence[ItemRow],
        fusion: str,
        reason: str,
        *,
        spans: Spans | None = None,
        plain: npt.NDArray[Any] | None = None,
        calibrated: npt.NDArray[Any] | None = None,
        cursor: str | None = None,
        groups: Sequence[tuple[Any, Hits]] | None = None,
    ) -> None:
        if len(items) != len(ranking.keys):
            raise InvalidArgument(
                f"{len(items)} items and a ranking of {len(ranking.keys)}: give each its item"
            )
        self.ranking = ranking
        self.items = items
        self.fusion = fusion
        self.reason = reason
        self.spans = spans
        self.plain = plain
        self.calibrated = calibrated
        self.cursor = cursor
        self.groups = groups
        self._made: list[Hit] | None = None

    @property
    def ids(self) -> list[str | int]:
        """Ids, best first."""
        return [item.id for item in self.items]

    @property
    def scores(self) -> list[float]:
        """Scores, best first."""
        scores: list[float] = self.ranking.scores.tolist()
        return scores

    def __len__(self) -> int:
        return len(self.items)

    @overload
    def __getitem__(self, index: int) -> Hit: ...
    @overload
    def __getitem__(self, index: slice) -> Hits: ...
    def __getitem__(self, index: int | slice) -> Hit | Hits:
        if not isinstance(index, slice):
            return self._hits()[index]
        return Hits(
            self.ranking.take(index),
            self.items[index],
            self.fusion,
            self.reason,
            spans=self.spans,
            plain=None if self.plain is None else self.plain[index],
            calibrated=None if self.calibrated is None else self.calibrated[index],
            groups=None if self.groups is None else self.groups[index],
        )

    def take(self, places: Sequence[int], groups: Sequence[tuple[Any, Hits]] | None = None) -> Hits:
        """Give the hits at `places`, counted from 0, in that order.

        Parameters
        ----------
        places : sequence of int
        groups : sequence of (value, Hits), as long as `places`, optional
            What each of them stands for, and its others.
        """
        chosen = np.array(places, np.intp)
        if groups is None and self.groups is not None:
            groups = [self.groups[i] for i in places]
        return Hits(
            self.ranking.take(chosen),
            [self.items[i] for i in places],
            self.fusion,
            self.reason,
            spans=self.spans,
            plain=None if self.plain is None else self.plain[chosen],
            calibrated=None if self.calibrated is None else self.calibrated[chosen],
            groups=groups,
        )

    def __iter__(self) -> Iterator[Hit]:
        return iter(self._hits())

    def _hits(self) -> list[Hit]:
        if self._made is None:
            found = self.ranking
            names: list[str | None] = [asked.field for asked in found.lists]
            names.append(None)  # at -1: of no list
            self._made = [
                Hit(self, i, item.id, score, j, names[j])
                for i, (item, score, j) in enumerate(
                    zip(self.items, found.scores.tolist(), _leading(found), strict=True)
                )
            ]
        return self._made

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Hits):
            return NotImplemented
        mine, its = self.ranking, other.ranking
        return (
            (self.fusion, len(self)) == (other.fusion, len(other))
            and mine.lists == its.lists
            and all(a[1:] == b[1:] for a, b in zip(self.items, other.items, strict=True))
            and all(
                _same(getattr(mine, name), getattr(its, name))
                for name in ("scores", "ranks", "raw", "normalised", "rows")
            )
            and _same(self.plain, other.plain)
            and _same(self.calibrated, other.calibrated)
            and [hit.span for hit in self] == [hit.span for hit in other]
            and (self.groups is None) == (other.groups is None)
            and all(a == b for a, b in zip(self.groups or (), other.groups or (), strict=True))
        )

    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        more = ("spans", "plain", "calibrated", "cursor", "groups")
        state = {name: getattr(self, name) for name in more}
        return _made_again, (self.ranking, list(self.items), self.fusion, self.reason, state)

    def __repr__(self) -> str:
        return explain.table(self)

    def _repr_html_(self) -> str:
        return explain.html(self)

    def explain(self) -> str:
        """Say how each hit got its score, one line per (query part, field)."""
        return explain.text(self)

    @property
    def explanation(self) -> dict[str, Any]:
        """What `explain` says, as plain data ready for JSON."""
        return explain.data(self)

    def to_list(self) -> list[dict[str, Any]]:
        """Give one dict per hit, ready for JSON.

        Keys are ``rank`` (from 1) and the attributes of `Hit`, spans as lists and contributions
        as dicts; ``group`` and ``others`` (a list of such dicts) where hits were grouped.
        """
        return export.to_list(self)

    def to_pandas(self) -> Any:
        """Give a ``pandas.DataFrame`` of one row per hit.

        Columns as the keys of `to_list`, with ``span_start`` and ``span_end``; metadata and
        contributions are dicts and lists of dicts. Where hits were grouped, the others of a group
        follow its best one, under the same rank.

        Raises
        ------
        MissingExtra
            When pandas is not installed.
        """
        return export.to_pandas(self)

    def to_arrow(self) -> Any:
        """Give a ``pyarrow.Table`` of one row per hit, of columns as in `to_pandas`.

        Contributions are lists of structs; metadata and groups are JSON text. Ids are int64 where
        all are ints and text where all are strings; where there are both, each is JSON text
        (``7`` and ``"7"``), and the schema's metadata has ``ids: json``.

        Raises
        ------
        MissingExtra
            When pyarrow is not installed.
        """
        return export.to_arrow(self)


def _leading(found: Ranking) -> list[int]:
    """Of each item the list that added most; the first one with a row where none added."""
    weights = [asked.weight for asked in found.lists]
    leading = []
    for i, row in enumerate(found.normalised.tolist()):
        best, most = -1, -np.inf
        for j, value in enumerate(row):
            if (added := value * weights[j]) > most:  # never of NaN
                best, most = j, added
        if best < 0:
            there = np.flatnonzero(~np.isnan(found.raw[i]))
            best = int(there[0]) if len(there) else -1
        leading.append(best)
    return leading


def _same(a: npt.NDArray[Any] | None, b: npt.NDArray[Any] | None) -> bool:
    if a is None or b is None:
        return a is b
    return np.array_equal(a, b, equal_nan=True)


def _only(hits: Hits) -> Hit:
    return hits[0]


def _made_again(
    ranking: Ranking, items: Sequence[ItemRow], fusion: str, reason: str, state: dict[str, Any]
) -> Hits:
    return Hits(ranking, items, fusion, reason, **state)
