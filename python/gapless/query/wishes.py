"""All that a search may be told beside its question, read and checked."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from ..batch import whole
from ..calibration.thresholds import MinScore
from ..errors import InvalidArgument
from ..filters.dialects import FilterLike
from ..given import as_flag, as_number
from ..rerank.how import Rerank, as_rerank
from ..results.pages import LISTS
from ..schema import Schema
from .fusion import Fuse
from .routes import Routing
from .run import DEPTH, ROW_RULES

__all__ = ["Wishes", "refuse_beside_cursor", "refuse_many_frozen"]

FROZEN = 1_000  # items of a ranking that is to be paged through


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """See `Collection.search` for what each means.

    Raises
    ------
    InvalidArgument
        For values of the wrong kind.
    """

    fields: Iterable[str] | None = None
    filter_modality: str | Iterable[str] | None = None
    routes: Mapping[str, Iterable[str]] | None = None
    weights: Mapping[str, float] | None = None
    filter: FilterLike | None = None
    limit: int = 10
    offset: int = 0
    window: int | None = None
    quotas: Mapping[str, int] | None = None
    fusion: str | Fuse = "auto"
    combine: str | None = None
    rows: str | Mapping[str, str] = "max"
    ef: int | None = None
    alignment: int | str | None = None
    min_confidence: float | None = None
    min_score: MinScore | None = None
    rerank: Any = None
    diversity: float | None = None
    group_by: str | None = None
    group_size: int = 1
    freeze: bool = False
    explain: bool = False
    timeout: float | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        def put(name: str, value: object) -> None:
            object.__setattr__(self, name, value)

        put("limit", whole("limit", self.limit))
        put("offset", whole("offset", self.offset, 0))
        put("group_size", whole("group_size", self.group_size))
        for name in ("window", "ef", "threads"):
            if getattr(self, name) is not None:
                put(name, whole(name, getattr(self, name)))
        put("fusion", _fuse(self.fusion, self.combine))
        put("timeout", _seconds(self.timeout))
        put("diversity", _share(self.diversity))
        put("freeze", as_flag("freeze", self.freeze))
        put("explain", as_flag("explain", self.explain))
        if self.rerank is not None:
            put("rerank", as_rerank(self.rerank))
        if self.group_by is None and self.group_size != 1:
            raise InvalidArgument(
                f"group_size is {self.group_size!r:.60} and nothing is grouped: give group_by= too"
            )
        if self.freeze and self.group_by is not None:
            raise InvalidArgument("freeze pages through hits and group_by makes groups: give one")

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Wishes:
        """Read keyword arguments.

        Raises
        ------
        InvalidArgument
            For one that there is not.
        """
        for name in given:
            if name not in cls.__slots__:
                raise InvalidArgument(
                    f"there is no argument {name!r}: a search takes {', '.join(cls.__slots__)}"
                )
        return cls(**given)

    @property
    def fuse(self) -> Fuse:
        """The fusion as one object."""
        return self.fusion if isinstance(self.fusion, Fuse) else Fuse(self.fusion)

    @property
    def how(self) -> Rerank | None:
        """The reranking wanted."""
        return None if self.rerank is None else as_rerank(self.rerank)

    @property
    def depth(self) -> int:
        """Items that each field retrieves."""
        return DEPTH if self.window is None else self.window

    @property
    def needed(self) -> int:
        """Items of the fused ranking that are looked at, to begin with."""
        most = self.offset + self.limit
        if self.how is not None:
            most = max(most, self.how.top_k or self.depth)
        if self.freeze:
            return max(most, self.window or FROZEN)
        if self.diversity or self.group_by is not None or self.min_score is not None:
            most = max(most, self.depth)
        return most

    def quotas_of(self, routing: Routing, schema: Schema) -> dict[str, int]:
        """Quotas by field; a modality stands for the one field searched that holds it.

        Raises
        ------
        InvalidArgument
            For a name that is neither, and a quota that is no number.
        """
        if self.quotas is not None and not isinstance(self.quotas, Mapping):
            raise InvalidArgument(
                f"quotas is a {type(self.quotas).__name__}: give a dict of field to number"
            )
        found: dict[str, int] = {}
        for name, value in (self.quotas or {}).items():
            fields = [name] if name in routing.fields else []
            fields = fields or [f for f in routing.fields if schema.fields[f].modality == name]
            if len(fields) != 1:
                raise InvalidArgument(
                    f"quotas names {name!r}, which is {'no' if not fields else 'not one'} field "
                    f"searched: give one of {', '.join(map(repr, routing.fields))}"
                )
            found[fields[0]] = whole(f"quotas[{name!r}]", value)
        return found

    def rules_of(self, routing: Routing, schema: Schema) -> dict[str, str]:
        """How an item's rows become one score, by field.

        Raises
        ------
        InvalidArgument
            For a field that is not searched, or no such rule.
        """
        several = [name for name in routing.fields if schema.fields[name].several]
        if isinstance(self.rows, Mapping):
            known = dict(self.rows)
        else:
            known = dict.fromkeys(several or [""], self.rows)
        for name, rule in known.items():
            if name and name not in routing.fields:
                raise InvalidArgument(
                    f"rows names {name!r}, which is not searched: give some of "
                    f"{', '.join(map(repr, several or routing.fields))}"
                )
            if not isinstance(rule, str) or rule not in ROW_RULES:
                raise InvalidArgument(
                    f"rows is {rule!r:.60}: choose one of {', '.join(ROW_RULES)}, for all "
                    "fields or by field"
                )
        return known


def refuse_beside_cursor(given: Mapping[str, Any]) -> None:
    """Refuse what a page that a cursor names was asked for with.

    Parameters
    ----------
    given : mapping of argument to value
        Those of a search, of which nothing but `limit` may differ from what it is by default.

    Raises
    ------
    InvalidArgument
    """
    usual = {field.name: field.default for field in fields(Wishes)}
    for name, value in given.items():
        if name not in ("self", "cursor", "limit") and value is not usual.get(name):
            raise InvalidArgument(
                f"{name}= is given beside cursor=, which goes on with the question of its first "
                "page: give cursor and limit alone, or search again without a cursor"
            )


def refuse_many_frozen(given: Mapping[str, Any], questions: int) -> None:
    """Refuse to freeze more rankings than are kept, as the first of them would be lost at once.

    Raises
    ------
    InvalidArgument
    """
    if questions > LISTS and given.get("freeze", False) is not False:
        raise InvalidArgument(
            f"freeze= is given for {questions} questions and {LISTS} rankings are kept: ask fewer "
            "at once, or without freeze="
        )


def _fuse(given: str | Fuse, combine: str | None) -> Fuse:
    fuse = given if isinstance(given, Fuse) else Fuse(given)
    if combine is None:
        return fuse
    if fuse.combine not in (None, combine):
        raise InvalidArgument(
            f"combine is {combine!r:.60} and fusion has {fuse.combine!r}: give one of them"
        )
    return replace(fuse, combine=combine)


def _share(diversity: float | None) -> float | None:
    share = as_number(diversity)
    if diversity is not None and (share is None or not 0.0 <= share <= 1.0):
        raise InvalidArgument(
            f"diversity is {diversity!r:.60}: give a number from 0, relevance alone, to 1"
        )
    return share


def _seconds(timeout: float | None) -> float | None:
    if timeout is None:
        return None
    seconds = as_number(timeout)
    if seconds is None or not 0.0 < seconds < math.inf:
        raise InvalidArgument(f"timeout is {timeout!r:.60}: give seconds, more than 0, or None")
    return seconds
