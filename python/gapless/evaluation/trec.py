"""TREC files: runs of 6 columns, judgements (qrels) of 4, plain or compressed by gzip.

A line of a run is ``query Q0 item rank score tag``, a line of judgements ``query 0 item gain``;
columns are separated by white space. The second column, the rank and the tag mean nothing, to
trec_eval neither: the score alone orders. Ids are read as str. A name that ends in ``.gz`` is
compressed.
"""

from __future__ import annotations

import gzip
import math
import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import CorruptFile, InvalidArgument
from .runs import Id, as_qrels, as_run

__all__ = ["read_groups", "read_qrels", "read_run", "write_qrels", "write_run"]

LONGEST_LINE = 65_536  # bytes; ids are short, so a longer line is not a TREC file
NUMBER = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")  # float() would take "1_0" too

Table = dict[str, dict[str, float]]


def read_run(path: str | os.PathLike[str]) -> Table:
    """Read a run: {query: {item: score}}.

    Raises
    ------
    InvalidArgument
        Naming the line: not 6 columns, a score that is not a finite number, an item twice for a
        query, text that is not UTF-8; or a file without any line.
    CorruptFile
        For a compressed file that is damaged.

    Examples
    --------
    >>> run = read_run("run.txt.gz")                               # doctest: +SKIP
    >>> print(gapless.evaluate(run, read_qrels("qrels.txt")))      # doctest: +SKIP
    """
    return _read(path, 6, 2, 4, "run (query Q0 item rank score tag)", "score")


def read_qrels(path: str | os.PathLike[str]) -> Table:
    """Read judgements: {query: {item: gain}}; errors are those of `read_run`, with 4 columns."""
    return _read(path, 4, 2, 3, "qrels (query 0 item gain)", "gain")


def read_groups(path: str | os.PathLike[str]) -> dict[str, str]:
    """Read 2 columns, the group of each query or modality of each item: {id: word}.

    Errors are those of `read_run`.
    """
    found: dict[str, str] = {}
    for place, (own, group) in _lines(path, 2, "table of groups (id group)"):
        name = _text(own, place)
        if name in found:
            raise InvalidArgument(f"{place} names {name!r:.60} again: give it one group")
        found[name] = _text(group, place)
    return found


def write_run(path: str | os.PathLike[str], run: Any, tag: str = "gapless") -> None:
    """Write a run, best answers first.

    Parameters
    ----------
    path
        An existing file is replaced, whole or not at all.
    run
        In any form that `gapless.evaluate` takes. Scores are written so that they read back as
        the same float64.
    tag : str
        Name of the system.

    Raises
    ------
    InvalidArgument
        For an id or tag that is empty or has white space in it, two ids that are written alike, or
        a score that is not finite; then nothing is written.
    """
    label = _word(tag, "tag")
    lines = []
    for query, answers in _unique(as_run(run), "query").items():
        ranked = _unique(dict(answers), "item").items()
        for rank, (item, score) in enumerate(ranked, start=1):
            lines.append(f"{query} Q0 {item} {rank} {_written(score, 'score', item)} {label}\n")
    _write(path, lines)


def write_qrels(path: str | os.PathLike[str], qrels: Any) -> None:
    """Write judgements in any form that `gapless.evaluate` takes; errors as of `write_run`."""
    lines = [
        f"{query} 0 {item} {_written(gain, 'gain', item)}\n"
        for query, judged in _unique(as_qrels(qrels), "query").items()
        for item, gain in _unique(judged, "item").items()
    ]
    _write(path, lines)


def _read(
    path: str | os.PathLike[str], width: int, item_at: int, value_at: int, what: str, name: str
) -> Table:
    found: Table = {}
    for place, columns in _lines(path, width, what):
        value = float(columns[value_at]) if NUMBER.fullmatch(columns[value_at]) else math.nan
        if not math.isfinite(value):
            raise InvalidArgument(
                f"{place} has the {name} {_shown(columns[value_at])}: give a finite number"
            )
        query, item = _text(columns[0], place), _text(columns[item_at], place)
        answers = found.setdefault(query, {})
        if item in answers:
            raise InvalidArgument(
                f"{place} has the item {item!r:.60} of query {query!r:.60} again: leave one line"
            )
        answers[item] = value
    return found


def _lines(
    path: str | os.PathLike[str], width: int, what: str
) -> Iterator[tuple[str, list[bytes]]]:
    """Yield where each line stands and its columns; blank lines are passed over."""
    name, number, empty = _name(path), 0, True
    with gzip.open(name, "rb") if _compressed(name) else Path(name).open("rb") as file:
        while True:
            number += 1
            place = f"line {number} of {name}"
            try:
                line = file.readline(LONGEST_LINE + 1)
            except (gzip.BadGzipFile, EOFError, zlib.error) as error:
                raise CorruptFile(f"{place} cannot be unpacked: {error}; copy it anew") from error
            if not line:
                break
            if len(line) > LONGEST_LINE:
                raise InvalidArgument(f"{place} is longer than {LONGEST_LINE} bytes: not a {what}")
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            columns = line.split()
            if not columns:
                continue
            if len(columns) != width:
                raise InvalidArgument(
                    f"{place} has {len(columns)} columns where a {what} has {width}: "
                    f"{_shown(line.strip())}"
                )
            empty = False
            yield place, columns
    if empty:
        raise InvalidArgument(f"{name} has no line in it: give a {what}")


def _text(raw: bytes, place: str) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise InvalidArgument(f"{place} is not UTF-8: {_shown(raw)}") from error


def _shown(raw: bytes) -> str:
    return repr(raw[:60].decode("utf-8", "replace"))


def _name(path: str | os.PathLike[str]) -> str:
    try:
        return os.fsdecode(path)
    except TypeError:
        raise InvalidArgument(f"path is {path!r:.60}: give the name of a file") from None


def _compressed(name: str) -> bool:
    return name.endswith(".gz")


def _word(value: Id, what: str) -> str:
    text = str(value)
    # Other Unicode spaces are part of an id to whoever reads bytes, and split it for others.
    if not text or text.split() != [text]:
        raise InvalidArgument(f"the {what} {value!r:.60} is empty or has white space: rename it")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgument(f"the {what} {value!a:.60} cannot be UTF-8: rename it") from error
    return text


def _unique(rows: dict[Id, Any], what: str) -> dict[str, Any]:
    """Write the ids as text, which 1 and "1" would share."""
    found: dict[str, Any] = {}
    for own, value in rows.items():
        text = _word(own, what)
        if text in found:
            raise InvalidArgument(f"two {what} ids are written {text!r:.60}: rename one of them")
        found[text] = value
    return found


def _written(value: float, name: str, item: str) -> str:
    if not math.isfinite(value):
        raise InvalidArgument(f"the {name} of {item!r:.60} is {value}: give a finite number")
    return str(int(value)) if name == "gain" and value == int(value) else repr(value)


def _write(path: str | os.PathLike[str], lines: list[str]) -> None:
    if not lines:
        raise InvalidArgument("there is nothing to write: give at least one line")
    target = Path(_name(path))
    content = "".join(lines).encode()
    if _compressed(target.name):
        content = gzip.compress(content, mtime=0)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
