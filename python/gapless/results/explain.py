"""Hits for people: as a table, as HTML, and with the reasons for each place as text or data."""

from __future__ import annotations

import html as markup
import json
import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..table import columns

if TYPE_CHECKING:
    from .contribution import Contribution
    from .hits import Hit, Hits

__all__ = ["data", "html", "number", "part_data", "table", "text"]

ABOUT = 60  # characters of metadata shown
Line = tuple[str, ...]


def table(hits: Hits) -> str:
    """One line per hit, of what is most looked at."""
    header, lines = _overview(hits)
    return "\n".join([_title(hits), *columns(header, lines)])


def html(hits: Hits) -> str:
    """Write the same table for notebooks; everything stored is escaped."""
    header, lines = _overview(hits)
    head = "".join(f"<th>{markup.escape(name)}</th>" for name in header)
    body = "".join(
        "<tr>" + "".join(f"<td>{markup.escape(cell)}</td>" for cell in line) + "</tr>"
        for line in lines
    )
    caption = f"<caption>{markup.escape(_title(hits))}</caption>"
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def text(hits: Hits) -> str:
    """Say how each hit got its score, one line per (query part, field)."""
    header = (
        "rank", "id", "score", "query → field", "place", "raw", "aligned", "normalised",
        "probability", "weight", "row", "span",
    )  # fmt: skip
    same = hits.fusion == "calibrated"  # then what it gave is the probability
    lines: list[Line] = []
    for rank, hit in enumerate(hits, 1):
        head: Line = (str(rank), repr(hit.id), f"{hit.score:.4f}")
        for part in hit.contributions:
            lines.append((*head, *_cells(part, same)))
            head = ("", "", "")
        if any(head):
            lines.append((*head, *[""] * (len(header) - len(head))))
    kept = _told(lines, range(5, 12), len(header))
    rows = [tuple(line[i] for i in kept) for line in lines]
    names = tuple(header[i] for i in kept) if lines else header
    return "\n".join([f"fusion: {hits.fusion} ({hits.reason})", *columns(names, rows)])


def data(hits: Hits) -> dict[str, Any]:
    """Give what `text` says, ready for JSON."""
    return {
        "fusion": hits.fusion,
        "reason": hits.reason,
        "lists": [asdict(asked) for asked in hits.ranking.lists],
        "hits": [
            {
                "rank": rank,
                "id": hit.id,
                "score": number(hit.score),
                "confidence": hit.confidence,
                "field": hit.field,
                "row": hit.row,
                "span": None if hit.span is None else list(hit.span),
                "contributions": [part_data(part) for part in hit.contributions],
                **({} if hits.groups is None else {"group": hit.group, "others": hit.others.ids}),
            }
            for rank, hit in enumerate(hits, 1)
        ],
    }


def part_data(part: Contribution) -> dict[str, Any]:
    """Give a contribution as plain data, ready for JSON."""
    return {**asdict(part), "span": None if part.span is None else list(part.span)}


def _cells(part: Contribution, same: bool) -> Line:
    numbers = (part.raw, part.aligned, None if same else part.normalised, part.calibrated)
    return (
        part.route,
        "-" if part.rank is None else str(part.rank),
        *("-" if value is None else f"{value:.4f}" for value in numbers),
        f"{part.weight:g}",
        "-" if part.row == 0 else str(part.row),
        _span(part.span),
    )


def _title(hits: Hits) -> str:
    named = "hits" if hits.groups is None else "groups"
    return f"{len(hits)} {named}, fusion={hits.fusion!r}"


def _overview(hits: Hits) -> tuple[Line, list[Line]]:
    """Header and cells of the short table, without columns that say nothing."""
    header = ("rank", "score", "id", "field", "span", "group", "others", "about")
    lines: list[Line] = [
        (
            str(rank),
            f"{hit.score:.4f}",
            repr(hit.id),
            hit.field or "",
            _span(hit.span),
            "-" if hit.group is None else repr(hit.group),
            str(len(hit.others)) if len(hit.others) else "-",
            _about(hit),
        )
        for rank, hit in enumerate(hits, 1)
    ]
    kept = _told(lines, range(4, 8), len(header))
    return tuple(header[i] for i in kept), [tuple(line[i] for i in kept) for line in lines]


def _told(lines: list[Line], optional: range, width: int) -> list[int]:
    """Columns to show: an optional one only where some line says something."""
    empty = {i for i in optional if all(line[i] in ("", "-") for line in lines)}
    return [i for i in range(width) if i not in empty]


def number(value: float) -> float | None:
    """Give None for what JSON has no number for, as the score of an item that had none."""
    return value if math.isfinite(value) else None


def _about(hit: Hit) -> str:
    told = hit.uri or ""
    if hit.metadata:
        told = " ".join(filter(None, (told, json.dumps(hit.metadata, ensure_ascii=False))))
    told = " ".join("".join(c if c.isprintable() else " " for c in told).split())
    return told if len(told) <= ABOUT else told[: ABOUT - 1] + "…"


def _span(span: tuple[float, float] | None) -> str:
    return "-" if span is None else f"{span[0]:g} to {span[1]:g}"
