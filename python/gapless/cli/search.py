"""``gapless search``: one question, in text, as an image, or both."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from gapless.cli.console import print_json, screen
from gapless.cli.opening import open_existing

if TYPE_CHECKING:
    from gapless.collection import Collection
    from gapless.results.hits import Hits

__all__ = ["search"]


def search(
    collection: Annotated[Path, typer.Argument(help="Folder of the collection.")],
    text: Annotated[str | None, typer.Option("--text", "-t", help="Ask with words.")] = None,
    image: Annotated[
        Path | None, typer.Option("--image", "-i", help="Ask with an image file.")
    ] = None,
    like: Annotated[
        str | None, typer.Option("--like", help="Ask with a stored item, by its id.")
    ] = None,
    unlike: Annotated[
        list[str] | None, typer.Option("--not", help="Words that hits are not to be like.")
    ] = None,
    where: Annotated[
        str | None,
        typer.Option("--filter", help='Metadata wanted, as JSON: {"year": {"$gte": 2020}}.'),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="How many hits.")] = 10,
    offset: Annotated[int, typer.Option("--offset", min=0, help="Hits to skip.")] = 0,
    group_by: Annotated[
        str | None,
        typer.Option("--group-by", help="One hit for each value of this key of the metadata."),
    ] = None,
    fusion: Annotated[
        str, typer.Option(help="auto, rrf, cohort, calibrated, ...: see gapless.Fuse.")
    ] = "auto",
    explain: Annotated[
        bool, typer.Option("--explain", help="Say how each hit got its score.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Ask a collection with a text, an image, or both at once.

    Texts and pictures are ranked in one list, best first. With both parts the query is composed:
    it looks for what is like the picture [italic]and[/italic] fits the words.

    [dim]Examples:[/dim]

        gapless search ./pictures.gapless --text "a red bicycle"

        gapless search ./pictures.gapless --image dog.jpg --limit 5

        gapless search ./pictures.gapless --image dog.jpg --text "in the snow" --json

        gapless search ./pictures.gapless --text dog --not puppy --filter '{"year": 2021}'
    """
    if text is None and image is None and like is None:
        raise typer.BadParameter("ask something: give --text, --image, --like, or some of them")
    with open_existing(collection) as col:
        start = time.perf_counter()
        hits = col.search(
            text=text,
            image=image,
            like=None if like is None else _item(col, like),
            negatives=unlike or None,
            filter=_filter(where),
            limit=limit,
            offset=offset,
            group_by=group_by,
            fusion=fusion,
            explain=explain,
        )
        seconds = time.perf_counter() - start
        alignment = col.alignment.method if col.alignment else "raw"
    if as_json:
        print_json(
            {
                "query": {
                    "text": text,
                    "image": None if image is None else str(image),
                    "like": like,
                    "not": unlike or [],
                },
                "fusion": hits.fusion,
                "reason": hits.reason,
                "alignment": alignment,
                "seconds": seconds,
                "hits": [_plain(rank, hit) for rank, hit in enumerate(hits, offset + 1)],
                **({"explanation": hits.explanation} if explain else {}),
            }
        )
        return
    if explain:
        screen().print(escape(hits.explain()), soft_wrap=True)
        return
    _show(hits, alignment, seconds)


def _plain(rank: int, hit: Any) -> dict[str, Any]:
    return {
        "rank": rank,
        "id": hit.id,
        "score": hit.score,
        "score_kind": hit.score_kind,
        "field": hit.field,
        "uri": hit.uri,
        "span": hit.span,
        "metadata": hit.metadata,
    }


def _item(col: Collection, given: str) -> str | int:
    """Tell the id meant: that text, or the number it spells where there is no such text."""
    number = given.lstrip("-").isdecimal() and given not in col
    return int(given) if number else given


def _filter(given: str | None) -> Any:
    if given is None:
        return None
    try:
        return json.loads(given)
    except ValueError as error:
        raise typer.BadParameter(f"--filter is no JSON: {error}") from error


def _show(hits: Hits, alignment: str, seconds: float) -> None:
    out = screen()
    if not len(hits):
        out.print("Nothing found: the collection has no vector that this question can reach.")
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("", justify="right", style="dim")
    table.add_column("score", justify="right")
    table.add_column("field")
    table.add_column("item", overflow="fold")
    for rank, hit in enumerate(hits, 1):
        table.add_row(str(rank), f"{hit.score:.3f}", escape(hit.field or ""), escape(_title(hit)))
    out.print(table)
    out.print(
        f"[dim]scores: {hits.fusion} ({escape(hits.reason)}), alignment {alignment}; "
        f"{seconds * 1e3:.0f} ms with loading the model[/dim]",
        soft_wrap=True,
    )


def _title(hit: Any) -> str:
    known = hit.metadata or {}
    title = str(known.get("path") or known.get("name") or hit.id)
    snippet = known.get("text")
    return f"{title}: {snippet}" if snippet else title
