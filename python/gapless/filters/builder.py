"""`F("year") >= 2020`: filters written as Python."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NoReturn

import numpy as np

from ..errors import InvalidFilter
from .expression import (
    And,
    Compare,
    Contains,
    Exists,
    Expression,
    In,
    Size,
    StartsWith,
    Value,
    both,
    negate,
    read_scalar,
    read_value,
)
from .place import ID, URI, Place, check_unicode, parse_place

__all__ = ["F", "read_size", "read_text", "read_values"]


class F:
    r"""A field of the metadata, whose comparisons are filters.

    Parameters
    ----------
    path : str
        A key, or keys of nested objects with dots between: ``"camera.model"``. A list on the way
        stands for each object in it, a number for a position. ``\.`` is a dot within a key; see
        also `F.key`.

    Raises
    ------
    InvalidFilter
        For a malformed path, and from each comparison for what JSON cannot hold.

    Notes
    -----
    A comparison holds when the value or, where it is a list, any element of it satisfies it.
    Numbers compare with numbers only, strings with strings by code point (ISO dates thus order as
    they should), and a bool is no number. Where the field is missing only ``!=``, ``== None`` and
    what is negated hold. `F.id()` and `F.uri()` are the item's own id and uri.

    Examples
    --------
    >>> (F("year") >= 2020) & F("tags").contains("sea")
    (F('year') >= 2020) & F('tags').contains('sea')
    >>> ~F("camera.model").exists() | F.id().isin([1, 2])
    ~F('camera.model').exists() | F.id().isin([1, 2])
    """

    __slots__ = ("_place",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, path: str) -> None:
        self._place = parse_place(path)

    # -- other places -------------------------------------------------------------------------

    @classmethod
    def key(cls, *keys: str) -> F:
        r"""Look up keys of nested objects as they are, dots and all.

        Examples
        --------
        >>> F.key("file.name", "$ref") == "a"
        F('file\\.name.$ref') == 'a'
        """
        if not keys or not all(isinstance(key, str) for key in keys):
            raise InvalidFilter(f"F.key is given {keys!r}: give one string or more")
        return cls._at(Place(tuple(check_unicode(key) for key in keys)))

    @classmethod
    def id(cls) -> F:
        """Look at the id of the item itself, not at a metadata key of that name."""
        return cls._at(ID)

    @classmethod
    def uri(cls) -> F:
        """Look at the uri of the item itself; an item without one lacks the field."""
        return cls._at(URI)

    @staticmethod
    def anything() -> Expression:
        """Match every item."""
        return And(())

    @classmethod
    def _at(cls, place: Place) -> F:
        made = cls.__new__(cls)
        made._place = place
        return made

    # -- comparisons --------------------------------------------------------------------------

    def __eq__(self, value: object) -> Expression:  # type: ignore[override]
        return Compare(self._place, "==", read_value(value, f"{self!r} =="))

    def __ne__(self, value: object) -> Expression:  # type: ignore[override]
        return negate(Compare(self._place, "==", read_value(value, f"{self!r} !=")))

    def __lt__(self, value: object) -> Expression:
        return Compare(self._place, "<", read_scalar(value, f"{self!r} <"))

    def __le__(self, value: object) -> Expression:
        return Compare(self._place, "<=", read_scalar(value, f"{self!r} <="))

    def __gt__(self, value: object) -> Expression:
        return Compare(self._place, ">", read_scalar(value, f"{self!r} >"))

    def __ge__(self, value: object) -> Expression:
        return Compare(self._place, ">=", read_scalar(value, f"{self!r} >="))

    def between(self, low: object, high: object) -> Expression:
        """``low <= value <= high``; of a list, one element may satisfy each side.

        Examples
        --------
        >>> F("year").between(2000, 2010)
        (F('year') >= 2000) & (F('year') <= 2010)
        """
        return both(self >= low, self <= high)

    def isin(self, values: Iterable[object]) -> Expression:
        """Equal to one of the values."""
        return In(self._place, read_values(values, f"{self!r}.isin"))

    def contains(self, value: object) -> Expression:
        """Hold a list with this element, or a string with this string within it."""
        return Contains(self._place, read_value(value, f"{self!r}.contains"))

    def startswith(self, prefix: str) -> Expression:
        """Hold a string that starts so, or a list with such an element."""
        return StartsWith(self._place, read_text(prefix, f"{self!r}.startswith"))

    def exists(self) -> Expression:
        """Be there at all; null counts as there."""
        return Exists(self._place)

    def size(self, size: int) -> Expression:
        """Hold a list of so many elements."""
        return Size(self._place, read_size(size, f"{self!r}.size"))

    # -- mistakes -----------------------------------------------------------------------------

    def __bool__(self) -> NoReturn:
        raise InvalidFilter(
            f"{self!r} alone is no filter: compare it, or write {self!r}.exists() or "
            f"{self!r} == True"
        )

    def __and__(self, other: object) -> NoReturn:
        raise InvalidFilter(
            f"{self!r} stands beside & or | uncompared: put each comparison in parentheses, as in "
            '(F("year") >= 2020) & (F("lang") == "en")'
        )

    __rand__ = __or__ = __ror__ = __and__

    def __repr__(self) -> str:
        return repr(self._place)


def read_values(values: object, where: str) -> tuple[Value, ...]:
    """Plain values from a list, tuple, set or one-dimensional array.

    Raises
    ------
    InvalidFilter
        For anything else.
    """
    if not isinstance(values, (list, tuple, set, frozenset, range, np.ndarray)) or (
        isinstance(values, np.ndarray) and values.ndim != 1
    ):
        raise InvalidFilter(
            f"{where} is given {values!r}, a {type(values).__name__}: give a list of values"
        )
    return tuple(read_value(value, where) for value in values)


def read_text(text: object, where: str) -> str:
    """`text`, a string.

    Raises
    ------
    InvalidFilter
        When it is none.
    """
    if not isinstance(text, str):
        raise InvalidFilter(f"{where} is given {text!r}, a {type(text).__name__}: give a string")
    return check_unicode(str.__str__(text))


def read_size(size: object, where: str) -> int:
    """`size`, an integer from 0 to 2**31 - 1.

    Raises
    ------
    InvalidFilter
        When it is none.
    """
    if isinstance(size, np.integer):
        size = int(size)
    if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size < 2**31:
        raise InvalidFilter(f"{where} is given {size!r}: give an integer of at least 0")
    return int(size)
