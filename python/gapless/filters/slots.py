"""SQL for one value of an item, by its type: in the metadata, in a list of it, or in a column."""

from __future__ import annotations

import functools
import json
import math
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from .expression import Value
from .matching import ORDER

__all__ = ["ColumnSlot", "ElementSlot", "MetadataSlot", "Parameter", "Parameters", "Slot", "cases"]

Parameter: TypeAlias = "int | float | str"

INT64 = range(-(2**63), 2**63)
CERTAIN = 2**62  # no integer that SQLite had to round lies below
HAS_ARROW = sqlite3.sqlite_version_info >= (3, 38)  # metadata -> path: the text as it was written
NEAR = 1e-14  # SQLite reads decimals to about 15 digits; within that a float is not compared
TINY = 1e-300


class Parameters:
    """The parameters of one statement, each bound once."""

    def __init__(self) -> None:
        self.values: list[Parameter] = []
        self._marks: dict[tuple[type, Parameter], str] = {}

    def bind(self, value: Parameter) -> str:
        """Give the mark that stands for the value."""
        key = (type(value), value)
        if key not in self._marks or isinstance(value, float):  # 0.0 and -0.0 are equal keys
            self.values.append(value)
            self._marks[key] = f"?{len(self.values)}"
        return self._marks[key]


def cases(kind: str, branches: Mapping[str, str], missing: str = "0") -> str:
    """Write a CASE over types; one without a branch does not match, NULL as a type is missing."""
    whens = " ".join(f"WHEN '{name}' THEN {sql}" for name, sql in branches.items() if sql != "0")
    other = "0" if missing == "0" else f"CASE WHEN {kind} IS NULL THEN {missing} ELSE 0 END"
    return f"CASE {kind} {whens} ELSE {other} END" if whens else other


class Slot:
    """A value and, in SQL, what decides a condition on it for each of its possible types.

    Attributes
    ----------
    value : str
        SQL of the value itself.
    written : str or None
        SQL of the JSON text of the value as it was stored, where there is such a thing.
    """

    value: str
    written: str | None = None

    def __init__(self, parameters: Parameters) -> None:
        self.parameters = parameters

    def bind(self, value: Parameter) -> str:
        """Give the mark that stands for the value."""
        return self.parameters.bind(value)

    def unless_cut(self, sql: str) -> str:
        """Give `sql`, or NULL where text may be cut: some versions of SQLite end it at a NUL."""
        return f"CASE WHEN instr(metadata, '\\u0000') THEN NULL ELSE {sql} END"

    def when_equal(self, equal: str) -> str:
        """Give `equal`, a comparison of text without NUL, or NULL where text may be cut."""
        return "0" if equal == "0" else f"CASE WHEN {equal} THEN {self.unless_cut('1')} ELSE 0 END"

    # -- conditions ---------------------------------------------------------------------------

    def among(self, values: Sequence[Value]) -> dict[str, str]:
        """Equal to one of the values."""
        branches = {"text": self._among_texts([v for v in values if isinstance(v, str)])}
        numbers = [v for v in values if isinstance(v, (int, float)) and not isinstance(v, bool)]
        branches.update(self._among_numbers(numbers))
        for value in values:
            if value is None:
                branches["null"] = "1"
            elif isinstance(value, bool):
                branches["true" if value else "false"] = "1"
            elif isinstance(value, (list, dict)):
                branches["array" if isinstance(value, list) else "object"] = "NULL"
        return branches

    def ordered(self, operator: str, limit: Value) -> dict[str, str]:
        """Before or after the limit, which is a string, a number or a bool."""
        if isinstance(limit, str):
            return {"text": self._ordered_text(operator, limit)}
        if isinstance(limit, bool):
            holds = ORDER[operator]
            names = {True: "true", False: "false"}
            return {names[v]: "1" for v in (True, False) if holds(v, limit)}
        assert isinstance(limit, (int, float))
        far = isinstance(limit, int) and limit not in INT64
        plain = f"{self.value} {operator} {self.bind(float(limit) if far else limit)}"
        whole = ("1" if ORDER[operator](0, limit) else "0") if far else plain
        if abs(limit) > CERTAIN:  # an integer beyond 64 bits is a rounded float here
            whole = f"CASE typeof({self.value}) WHEN 'integer' THEN {whole} END"
        return {"integer": whole, "real": self._real(operator, limit, plain)}

    def within(self, value: Value) -> dict[str, str]:
        """Text that has the value, a string, within it."""
        if not isinstance(value, str):
            return {}
        if not value or "\0" in value:
            return {"text": "NULL" if value else "1"}
        found = f"instr({self.value}, {self.bind(value)})"
        return {"text": f"CASE WHEN {found} THEN 1 ELSE {self.unless_cut('0')} END"}

    def prefix(self, prefix: str) -> dict[str, str]:
        """Text that starts so."""
        if "\0" in prefix:
            return {"text": "NULL"}
        start = f"substr({self.value}, 1, {self.bind(len(prefix))})"
        return {"text": f"{start} = {self.bind(prefix)}"}

    # -- by type ------------------------------------------------------------------------------

    def _among_texts(self, texts: Sequence[str]) -> str:
        if any("\0" in text for text in texts):
            return "NULL"
        if len(texts) == 1:
            return self.when_equal(f"{self.value} = {self.bind(texts[0])}")
        return self.when_equal(self._among_json(self.value, map(json.dumps, texts)))

    def _ordered_text(self, operator: str, limit: str) -> str:
        if "\0" in limit:
            return "NULL"
        plain = f"{self.value} {operator} {self.bind(limit)}"
        if operator in ("<", ">="):  # what follows a NUL makes text longer, so later
            return plain
        equal = self.unless_cut("1" if operator == "<=" else "0")
        return f"CASE WHEN {self.value} = {self.bind(limit)} THEN {equal} ELSE {plain} END"

    def _among_numbers(self, numbers: Sequence[int | float]) -> dict[str, str]:
        if not numbers:
            return {}
        whole = [int(v) for v in numbers if v == int(v) and int(v) in INT64]
        if len(whole) == 1:
            integer = f"{self.value} = {self.bind(whole[0])}"
        else:
            integer = self._among_json(self.value, map(str, whole))
        spellings = [text for number in numbers for text in _spellings(number)]
        real = self._among_spelled(spellings)
        if any(abs(v) > CERTAIN for v in numbers):
            integer = f"CASE typeof({self.value}) WHEN 'integer' THEN {integer} ELSE {real} END"
        return {"integer": integer, "real": real}

    def _among_spelled(self, spellings: Sequence[str]) -> str:
        """Compare a number that is a float in SQLite by its text, as the float may be rounded."""
        if not spellings:
            return "0"
        if self.written is not None:
            return self._among_json(self.written, map(json.dumps, spellings))
        alike = self._among_json(self.value, spellings)  # read by SQLite as the rows are
        return f"CASE WHEN {alike} THEN NULL ELSE 0 END"

    def _among_json(self, value: str, items: Iterable[str]) -> str:
        listed = ",".join(items)
        if not listed:
            return "0"
        return f"{value} IN (SELECT value FROM json_each({self.bind(f'[{listed}]')}))"

    def _real(self, operator: str, limit: int | float, plain: str) -> str:
        margin = abs(limit) * NEAR + TINY
        low, high = limit - margin, limit + margin
        if not (math.isfinite(low) and math.isfinite(high)):
            return "NULL"
        near = f"{self.value} BETWEEN {self.bind(low)} AND {self.bind(high)}"
        return f"CASE WHEN {near} THEN {self._spelled_limit(operator, limit)} ELSE {plain} END"

    def _spelled_limit(self, operator: str, limit: int | float) -> str:
        spellings = _spellings(limit)
        if self.written is None or not spellings:
            return "NULL"
        holds = "1" if "=" in operator else "0"
        same = self._among_json(self.written, map(json.dumps, spellings))
        return f"CASE WHEN {same} THEN {holds} END"


class ElementSlot(Slot):
    """An element of a list, of `json_each(...) AS e`."""

    value = "e.value"

    def when_equal(self, equal: str) -> str:
        """Give `equal` as it is: `MetadataSlot.any_element` sees to text that may be cut."""
        return equal


class ColumnSlot(Slot):
    """The item's id or uri: text or a 64-bit integer, as it is."""

    def __init__(self, column: str, parameters: Parameters) -> None:
        super().__init__(parameters)
        self.value = column

    def unless_cut(self, sql: str) -> str:
        """Give `sql`: a column is whole."""
        return sql


class MetadataSlot(Slot):
    """The value at a path of the metadata, read without going into lists.

    Attributes
    ----------
    kind, length : str
        SQL of the value's type, NULL where the path reaches nothing, and of a list's length.
    """

    def __init__(self, spelled: Sequence[str], parameters: Parameters) -> None:
        super().__init__(parameters)
        paths = ["$" + "".join(spelled[: end + 1]) for end in range(len(spelled))]
        self._path = self.bind(paths[-1])
        self._above = [self.bind(path) for path in paths[:-1]]
        self.kind = f"json_type(metadata, {self._path})"
        self.value = f"json_extract(metadata, {self._path})"
        self.length = f"json_array_length(metadata, {self._path})"
        self.written = f"(metadata -> {self._path})" if HAS_ARROW else None

    @classmethod
    def at(cls, keys: Sequence[str], parameters: Parameters) -> MetadataSlot | None:
        """Make the slot of a path, or None where a JSON path cannot spell its keys."""
        spelled = [_spell(key) for key in keys]
        if any(key is None for key in spelled):
            return None
        return cls([key for key in spelled if key is not None], parameters)

    def missing(self, sql: str) -> str:
        """Say what holds where the path reaches nothing: unsure with a list on the way."""
        if not self._above:
            return sql
        above = ", ".join(f"json_type(metadata, {path})" for path in self._above)
        return f"CASE WHEN 'array' IN ({above}) THEN NULL ELSE {sql} END"

    def any_element(self, branches: Mapping[str, str], text: str | None) -> str:
        """Whether an element satisfies the branches, which ask for `text` alone if it is given."""
        condition = cases("e.type", branches)
        elements = f"json_each(metadata, {self._path}) AS e"
        if condition == "0":
            return "0"
        if "NULL" not in condition and "typeof" not in condition:
            # Most lists lack the text as it is spelled, and need not be taken apart.
            lacks = f"instr({self.value}, {self.bind(json.dumps(text))}) = 0" if text else "0"
            found = f"EXISTS (SELECT 1 FROM {elements} WHERE {condition})"
            return f"CASE WHEN {lacks} THEN 0 WHEN {found} THEN {self.unless_cut('1')} ELSE 0 END"
        best = f"CASE WHEN MAX(c) THEN {self.unless_cut('1')} WHEN COUNT(c) < COUNT(*) THEN NULL"
        return f"(SELECT {best} ELSE 0 END FROM (SELECT {condition} AS c FROM {elements}))"


def _spellings(number: int | float) -> list[str]:
    """JSON texts of a number where SQLite holds it as a float, as Python writes them."""
    texts = set()
    if number == 0:
        texts |= {"0.0", "-0.0"}
    elif float(number) == number:
        texts.add(repr(float(number)))
    if number == int(number) and int(number) not in INT64:
        texts.add(str(int(number)))
    return sorted(texts)


def _spell(key: str) -> str | None:
    """Write the step of a JSON path to a key; None where SQLite's paths have no word for it."""
    if '"' in key or "\\" in key:
        return None
    written = json.dumps(key)  # as in the stored text, with which old versions compare
    return f".{written}" if "\\" not in written or _reads_escapes() else None


@functools.cache
def _reads_escapes() -> bool:
    query = r"""SELECT json_extract('{"\u00e9":1}', '$."\u00e9"')"""
    connection = sqlite3.connect(":memory:")
    try:
        return bool(connection.execute(query).fetchone()[0] == 1)
    except sqlite3.OperationalError:
        return False
    finally:
        connection.close()
