"""What a check found: a code for programs, a sentence and a remedy for people."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Finding"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing worth knowing about a collection, an alignment or a set of vectors.

    Attributes
    ----------
    code : str
        Stable upper-case name, such as ``"SORTS_BY_MODALITY"``; programs may compare it.
    sentence : str
        What was seen, with its figures, as one or two full sentences.
    remedy : str
        What to do about it.

    Examples
    --------
    >>> print(Finding("UNVALIDATED", "No pairs were given.", "Give pairs."))
    UNVALIDATED: No pairs were given. Give pairs.
    """

    code: str
    sentence: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.code}: {self.sentence} {self.remedy}".rstrip()
