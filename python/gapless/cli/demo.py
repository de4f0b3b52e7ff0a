"""``gapless demo``: the whole product on 16,000 real icons."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gapless.cli.console import Stages, note, print_json, screen

__all__ = ["demo"]


def demo(
    folder: Annotated[
        Path, typer.Option("--folder", "-f", help="Where the collection and the report go.")
    ] = Path("gapless-demo"),
    limit: Annotated[
        int | None,
        typer.Option(min=100, help="Take this many icons, spread over all families; for a hurry."),
    ] = None,
    report: Annotated[
        bool, typer.Option("--report/--no-report", help="Write FOLDER/report.html.")
    ] = True,
    model: Annotated[
        str, typer.Option(help="Folder of another text and image model.")
    ] = "gapless.demo",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object; notes go to stderr.")
    ] = False,
) -> None:
    """Index 16,000 icons and their names, search them every way, and measure the modality gap.

    Draws the icons of six open icon fonts, encodes pictures and names with the small model that
    the package carries, puts both into one collection and asks it by text, by picture and by
    both. Then it measures, on icon families the model has never seen, what a raw mixed index, a
    centred one and a fused one find; and it writes a report with pictures.

    Run it again and it reuses the collection in FOLDER if that was made by this version from the
    same icons and model, and makes it afresh otherwise. It needs no network.

    [dim]Examples:[/dim]

        gapless demo

        gapless demo --folder /tmp/icons --limit 3000

        gapless demo --json > demo.json
    """
    from gapless.demo.run import run_demo
    from gapless.demo.tables import show

    with Stages() as stages:
        result = run_demo(folder, model=model, limit=limit, report=report, stages=stages)
    for line in result.notes:
        note(line)
    if as_json:
        print_json(result.to_dict())
    else:
        show(screen(), result)
