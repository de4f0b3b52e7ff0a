"""Plain-text tables, for everything a person prints."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["columns"]


def columns(
    header: tuple[str, ...], rows: Sequence[tuple[str, ...]], indent: str = ""
) -> list[str]:
    """Lines of a table with aligned columns, the header first; none without rows."""
    if not rows:
        return []
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    return [
        indent
        + "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in (header, *rows)
    ]
