"""What is relevant to a query: concepts, their spellings, and the accepted icon names.

Two hand-written tables lie beside this module and were committed before the packaged model was
trained, which never reads them: ``synonyms.toml`` (concept -> spellings) and ``accepted.toml``
(right answers to three queries).

The rule of the demo's evaluation. A query is a held-out icon's name. Relevant to it are

* the held-out **icons** whose name, or an alias, is any spelling of the query's concept,
* the **name items** that are *another* spelling of it; a name item with the very words of the
  query says nothing about the modality gap and is left out of the ranking altogether.

Words are compared as a bag in lower case, so "left arrow" is the identical spelling of
"arrow left", and hyphens are spaces.
"""

from __future__ import annotations

import json
import re
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gapless.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gapless.demo.icons import Icon

__all__ = [
    "accepted",
    "accepted_queries",
    "concept_of",
    "concepts",
    "evaluation_queries",
    "identical",
    "relevant_icons",
    "relevant_names",
]


def _bag(text: str) -> tuple[str, ...]:
    return tuple(sorted(word for word in re.split(r"[-_\s]+", text.lower()) if word))


def _load(name: str) -> dict[str, Any]:
    # Python 3.10 has no tomllib, so the tables keep to a subset of TOML that is read right here.
    return _parse(resources.files("gapless.demo").joinpath(name).read_text(encoding="utf-8"))


def _parse(text: str) -> dict[str, Any]:
    """Read tables of `key = [strings or lists of strings]`, one key a line: TOML's subset here."""
    tables: dict[str, Any] = {}
    table: dict[str, Any] = tables
    for number, line in enumerate(text.splitlines(), start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("[") and line.endswith("]") and "=" not in line:
            table = tables.setdefault(line[1:-1].strip('"'), {})
            continue
        key, separator, value = line.partition("=")
        if not separator:
            raise InvalidArgument(
                f"line {number} is no table and no key: {line!r}; write key = [...]"
            )
        table[key.strip()] = json.loads(value)
    return tables


@cache
def concepts() -> dict[str, tuple[str, ...]]:
    """Return the synonym table: concept -> its spellings, in the order of the file."""
    table: dict[str, list[str]] = _load("synonyms.toml")["concepts"]
    return {concept: tuple(spellings) for concept, spellings in table.items()}


@cache
def _concept_by_bag() -> dict[tuple[str, ...], str]:
    return {
        _bag(spelling): concept
        for concept, spellings in concepts().items()
        for spelling in spellings
    }


def concept_of(text: str) -> str | None:
    """Return the concept ``text`` is a spelling of, or None if the table does not have it.

    >>> concept_of("Waste-Basket"), concept_of("airplane") == concept_of("plane")
    ('trash', True)
    """
    return _concept_by_bag().get(_bag(text))


def identical(query: str, texts: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Tell which texts have the very words of the query: bool (n,). They leave the ranking."""
    wanted = _bag(query)
    return np.fromiter((_bag(text) == wanted for text in texts), dtype=np.bool_, count=len(texts))


def relevant_names(query: str, texts: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Tell which name items are another spelling of the query's concept: bool (n,).

    All False for a query without a concept; never True where :func:`identical` is.
    """
    concept = concept_of(query)
    if concept is None:
        return np.zeros(len(texts), dtype=np.bool_)
    same = np.fromiter(
        (concept_of(text) == concept for text in texts), dtype=np.bool_, count=len(texts)
    )
    return same & ~identical(query, texts)


def relevant_icons(query: str, icons: Sequence[Icon]) -> npt.NDArray[np.bool_]:
    """Tell which icons share the query's concept by name or alias: bool (n,).

    An icon named exactly as the query is relevant: the string is not what is being retrieved.
    For a query without a concept these are the icons with the very words of the query.
    """
    concept, wanted = concept_of(query), _bag(query)
    if concept is None:
        hits = (any(_bag(text) == wanted for text in icon.texts) for icon in icons)
    else:
        hits = (any(concept_of(text) == concept for text in icon.texts) for icon in icons)
    return np.fromiter(hits, dtype=np.bool_, count=len(icons))


def evaluation_queries(icons: Sequence[Icon]) -> list[str]:
    """List the query texts of the evaluation over ``icons``, in order of first appearance.

    These are the distinct names that have a concept which some icon and a name of other words
    in ``icons`` share too, so that each query has a right answer in both modalities.
    """
    bags: dict[str, set[tuple[str, ...]]] = {}
    for icon in icons:
        for text in icon.texts:
            concept = concept_of(text)
            if concept is not None:
                bags.setdefault(concept, set()).add(_bag(text))
    texts = dict.fromkeys(icon.text for icon in icons)
    return [text for text in texts if len(bags.get(concept_of(text) or "", ())) > 1]


@cache
def _accepted() -> dict[str, tuple[tuple[frozenset[str], ...], frozenset[str]]]:
    return {
        query: (tuple(frozenset(words) for words in rule["all"]), frozenset(rule["none"]))
        for query, rule in _load("accepted.toml").items()
    }


def accepted_queries() -> list[str]:
    """List the queries that ``accepted.toml`` has answers for."""
    return list(_accepted())


def accepted(query: str, icon: Icon) -> bool:
    """Tell whether ``icon`` is a right answer to one of :func:`accepted_queries`.

    It is if a name of it has every word of one of the query's word lists and none of its
    excluded words.

    Raises
    ------
    InvalidArgument
        The query has no accepted names.
    """
    if query not in _accepted():
        raise InvalidArgument(
            f"no accepted icon names for the query {query!r}; "
            f"use one of {', '.join(map(repr, _accepted()))}"
        )
    wanted, excluded = _accepted()[query]
    for text in icon.texts:
        words = set(text.split())
        if any(some <= words for some in wanted) and not words & excluded:
            return True
    return False
