"""``gapless diagnose``: how the modalities of a collection lie, and what that does to rankings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from gapless.cli.console import note, print_json, screen
from gapless.cli.opening import open_existing

__all__ = ["diagnose"]


def diagnose(
    collection: Annotated[Path, typer.Argument(help="Folder of a collection.")],
    html: Annotated[
        Path | None, typer.Option(help="Draw it, as one HTML file (extra 'report').")
    ] = None,
    symptom: Annotated[
        str | None,
        typer.Option(
            help="Look for its cause: same_scores, cross_modal, rare_queries, more_data, or all."
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Depth of rankings.")] = 10,
    sample: Annotated[
        int, typer.Option(min=2, help="Rows looked at in each space.", show_default=True)
    ] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Of the sample.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure the modality gap of a collection, raw and aligned, and say what to do about it.

    Findings come first, then the figures. [bold]--html[/bold] draws clouds, scores and bias so
    that they are understood without reading a paper. [bold]--symptom[/bold] looks for the cause of
    what goes wrong: all results score alike, search across modalities fails, rare queries fail, or
    adding data made it worse.

    [dim]Examples:[/dim]

        gapless diagnose ./pictures.gapless

        gapless diagnose ./pictures.gapless --html gap.html

        gapless diagnose ./pictures.gapless --symptom cross_modal
    """
    from gapless.diagnosis.doctor import check_symptom

    asked = None if symptom in (None, "all") else symptom
    check_symptom(asked)
    with open_existing(collection) as col:
        found = col.diagnose(k=k, sample=sample, seed=seed)
        calibration = col.calibration
        told = () if symptom is None else col.doctor(asked, sample=sample, seed=seed)
    if html is not None:
        from gapless.report.diagnosis import write_diagnosis

        write_diagnosis(html, found, title=str(collection), calibration=calibration)
    if as_json:
        shown: dict[str, Any] = found.to_dict()
        if symptom is not None:
            shown["symptoms"] = [each.to_dict() for each in told]
        print_json(shown)
    else:
        parts = [str(each) for each in told] or [str(found)]
        screen().print(escape("\n\n".join(parts)), soft_wrap=True)
    if html is not None:
        note(f"drawn in {html}")
