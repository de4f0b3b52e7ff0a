"""``gapless eval``: measure a run against judgements, both TREC files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from gapless.cli.console import print_json, screen

__all__ = ["evaluate"]


def evaluate(
    run: Annotated[
        Path, typer.Argument(help="What was found: query Q0 item rank score tag (.gz too).")
    ],
    qrels: Annotated[Path, typer.Argument(help="What is right: query 0 item gain (.gz too).")],
    metrics: Annotated[
        str | None,
        typer.Option("--metrics", "-m", help="Separated by commas: ndcg@10,recall@100,mrr,map."),
    ] = None,
    by: Annotated[
        Path | None, typer.Option(help="Group of each query, such as text->image: query group.")
    ] = None,
    items: Annotated[
        Path | None,
        typer.Option(
            help="Modality of each item: item modality. Then --by gives that of each query, and "
            "every pair type is measured."
        ),
    ] = None,
    level: Annotated[
        float | None, typer.Option(help="Least gain of a relevant item; not for nDCG.")
    ] = None,
    exponential: Annotated[
        bool, typer.Option("--exponential", help="nDCG over 2^gain - 1 instead of the gain.")
    ] = False,
    bootstrap: Annotated[
        int, typer.Option(min=0, help="Resamples for 95 % intervals, such as 1000.")
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure a run against judgements: recall, precision, MRR, mAP, nDCG, median rank.

    Both are files in the formats of TREC, which other tools write and read too. Means are over all
    judged queries: one that the run lacks counts 0, as with trec_eval -c.

    [dim]Examples:[/dim]

        gapless eval run.txt qrels.txt

        gapless eval run.txt.gz qrels.txt --metrics ndcg@10,recall@100,mrr --bootstrap 1000

        gapless eval run.txt qrels.txt --by groups.txt --json

        gapless eval run.txt qrels.txt --by queries.txt --items items.txt
    """
    from gapless.errors import InvalidArgument
    from gapless.evaluation.evaluate import evaluate as measure
    from gapless.evaluation.trec import read_groups, read_qrels, read_run

    if items is not None and by is None:
        raise InvalidArgument("--items without --by: give the modality of each query, too")
    groups = None if by is None else read_groups(by)
    found = measure(
        read_run(run),
        read_qrels(qrels),
        metrics,
        groups if items is None else (groups, read_groups(items)),
        level=level,
        gains="exponential" if exponential else "linear",
        bootstrap=bootstrap,
    )
    if as_json:
        print_json(found.to_dict())
        return
    _show(found)


def _show(found: Any) -> None:
    """One line for a metric, so that many fit a narrow screen; one column for a group."""
    parts = {**found.groups, "all": found}
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("")
    for name, part in parts.items():
        table.add_column(f"{escape(name)} ({len(part)})", justify="right")
    for metric in found.metrics:
        table.add_row(metric, *(part.shown(metric) for part in parts.values()))
    screen().print(table)
    for text in found.notes:
        screen().print(f"[dim]note: {escape(text)}[/dim]", soft_wrap=True)
