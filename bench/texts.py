"""The benchmark's texts: sentences, list items and clauses of Debian's package descriptions.

They come from apt: the English translation index is fetched into a private folder (no root
needed), or ``apt-cache dumpavail`` is read where that fails.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

CACHE = Path(__file__).parent / ".cache"
SHORTEST, LONGEST = 20, 120  # characters of a sentence of the first set
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
_PACKAGE = re.compile(r"^Package: (\S+)$", re.MULTILINE)
_FIELD = re.compile(r"^Description(?:-en)?: (.*(?:\n .*)*)", re.MULTILINE)
_PARAGRAPH = re.compile(r"\n \.\n|\n\s+[*-] ")
_ITEM = re.compile(r"\n \.\n|\n\s+(?:[*+o•-]|\d+[.)]|\(\d+\)|\([a-z]\))\s+|\n  (?=\S)")
_LINKS = r"which|and|but|so|or|while|where|because|such as|including|with|as|that|for|using|e\.g\."
_CLAUSE = re.compile(
    rf"(?<=[;:])\s+|\s+--?\s+|,\s+(?=(?:{_LINKS})\b)|\s+(?=\()|(?<=\))\s+",
)


class DatasetError(RuntimeError):
    """The data cannot be made on this machine; the message says what is missing."""


def fetch_translations(folder: Path) -> list[str]:
    """Fetch apt's English description index into ``folder`` and return its texts."""
    lists = folder / "lists"
    (lists / "partial").mkdir(parents=True, exist_ok=True)
    (folder / "archives" / "partial").mkdir(parents=True, exist_ok=True)
    settings = folder / "apt.conf"
    settings.write_text('#clear Acquire::Languages;\nAcquire::Languages { "en"; };\n')
    files = sorted(lists.glob("*Translation-en*"))
    if not files:
        options = ["-c", str(settings)]
        for key, value in (
            ("Dir::State::lists", lists),
            ("Dir::Cache", folder),
            ("Dir::Cache::archives", folder / "archives"),
            ("APT::Sandbox::User", ""),
        ):
            options += ["-o", f"{key}={value}"]
        subprocess.run(["apt-get", *options, "-q", "update"], check=True, capture_output=True)
        files = sorted(lists.glob("*Translation-en*"))
    return [
        subprocess.run(
            ["/usr/lib/apt/apt-helper", "cat-file", str(file)],
            check=True,
            capture_output=True,
        ).stdout.decode("utf-8", "replace")
        for file in files
    ]


def described() -> list[tuple[str, str]]:
    """Return (package, description): first the full ones, then the short ones apt always has."""
    if shutil.which("apt-cache") is None:
        raise DatasetError("apt-cache is not installed; make the data set on a Debian or Ubuntu")
    texts: list[str] = []
    try:
        texts += fetch_translations(CACHE / "apt")
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"apt could not fetch the translation index ({error}); using short descriptions")
    dumped = subprocess.run(["apt-cache", "dumpavail"], check=True, capture_output=True)
    texts.append(dumped.stdout.decode("utf-8", "replace"))
    found = []
    for text in texts:
        for stanza in text.split("\n\n"):
            name = _PACKAGE.search(stanza)
            found += [(name[1] if name else "", field) for field in _FIELD.findall(stanza)]
    return found


def _split(field: str, at: re.Pattern[str]) -> Iterator[str]:
    """Yield the sentences of one description; ``at`` ends a paragraph or list item."""
    title, _, body = field.partition("\n")
    for part in [title, *(" ".join(p.split()) for p in at.split("\n" + body))]:
        yield from _SENTENCE_END.split(part)


def sentences(fields: list[str]) -> list[str]:
    """Split descriptions into distinct sentences of 20 to 120 characters, in a fixed order."""
    found: dict[str, str] = {}
    for field in fields:
        for sentence in _split(field, _PARAGRAPH):
            if SHORTEST <= len(sentence) <= LONGEST:
                found.setdefault(sentence.casefold(), sentence)
    return [found[key] for key in sorted(found)]


def pieces(field: str) -> Iterator[str]:
    """Yield everything of one description that may become a row, whole sentences first."""
    for sentence in _split(field, _PARAGRAPH):
        if SHORTEST <= len(sentence) <= 300:
            yield sentence
    for sentence in _split(field, _ITEM):
        if 12 <= len(sentence) <= 300:
            yield sentence.strip(" ,;:-")
        if len(sentence) > 50:
            for clause in _CLAUSE.split(sentence):
                if 16 <= len(clause) <= 300:
                    yield clause.strip(" ,;:-")


def fragments(fields: list[str]) -> list[str]:
    """Return `sentences`, then longer ones, then list items and clauses: all distinct."""
    whole = sentences(fields)
    seen = {text.casefold() for text in whole}
    longer: dict[str, str] = {}
    parts: dict[str, str] = {}
    for field in fields:
        for sentence in _split(field, _PARAGRAPH):
            if LONGEST < len(sentence) <= 300:
                longer.setdefault(sentence.casefold(), sentence)
    seen |= longer.keys()
    for field in fields:
        for piece in pieces(field):
            key = piece.casefold()
            if key not in seen and len(piece) >= 12:
                parts.setdefault(key, piece)
    return whole + [longer[key] for key in sorted(longer)] + [parts[key] for key in sorted(parts)]
