"""The demo's findings as tables for a terminal (extra ``cli``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.columns import Columns
from rich.console import Console, Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from gapless.demo.evaluation import Comparison
from gapless.demo.queries import Answer
from gapless.demo.words import STAGES, headline, interval

if TYPE_CHECKING:
    from gapless.demo.run import DemoResult

__all__ = ["show"]


def show(out: Console, result: DemoResult) -> None:
    """Print answers, comparison, diagnosis and times."""
    out.print()
    out.rule("[bold]One index, two modalities[/bold]", align="left")
    out.print(
        f"{result.images:,} icons as pictures and {result.texts:,} names as texts, each an item of "
        "its own; every answer below is one ranking over all of them.\n"
    )
    out.print(Columns([_answer(answer) for answer in result.answers], padding=(1, 4)))
    out.print()
    if result.comparison is not None:
        out.rule("[bold]What the modality gap costs[/bold]", align="left")
        out.print(f"[bold]{headline(result.comparison)}[/bold]\n")
        out.print(_comparison(result.comparison))
        out.print(_small_print(result.comparison))
        out.print()
    out.rule("[bold]Diagnosis of the whole collection[/bold]", align="left")
    out.print(escape(str(result.diagnosis)), soft_wrap=True)
    out.print()
    out.rule("[bold]Time[/bold]", align="left")
    out.print(_times(result))
    out.print()
    if result.report is not None:
        out.print(
            f"Report with pictures: [bold]{escape(str(result.report))}[/bold]", soft_wrap=True
        )
    place = escape(str(result.folder / "collection"))
    out.print(f'Ask more: gapless search {place} --text "weather"', soft_wrap=True)


def _answer(answer: Answer) -> Group:
    table = Table(box=None, padding=(0, 1, 0, 0), show_header=False)
    table.add_column(justify="right", style="dim")
    table.add_column()
    table.add_column(max_width=26, no_wrap=True, overflow="ellipsis")
    table.add_column(justify="right", style="dim")
    for found in answer.hits:
        mark = {True: "[green]✓[/green]", False: "[red]·[/red]", None: " "}[found.right]
        if found.kind == "image":
            kind = f"[cyan]picture[/cyan] {mark}"
            name = f"{escape(found.name)} [dim]{found.family}[/dim]"
        else:
            kind, name = "[yellow]name[/yellow]", escape(found.name)
        table.add_row(str(found.rank), kind, name, f"{found.score:.2f}")
    foot = f"encode {answer.encode_ms:.1f} ms, search {answer.search_us:,.0f} µs"
    if answer.accepted is not None:
        foot += f"\nfirst 10 pictures: {answer.accepted} right"
    title = Text(answer.title, style="bold")
    return Group(title, table, Text(foot, style="dim"))


def _comparison(comparison: Comparison) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("ranking", no_wrap=True)
    for title in ("text among\nfirst 10", "R@10", "nDCG@10", "R@10\nof icons", "R@10\nof names"):
        table.add_column(title, justify="right")
    table.add_column("nDCG@10\nover raw", justify="right")
    best = max(row.ndcg_at_10 for row in comparison.rows)
    for row in comparison.rows:
        table.add_row(
            row.name,
            f"{row.bias:.0%}",
            f"{row.recall_at_10:.3f}",
            f"{row.ndcg_at_10:.3f}",
            f"{row.image_recall_at_10:.3f}",
            f"{row.text_recall_at_10:.3f}",
            interval(row.ndcg_gain, short=True),
            style="bold" if row.ndcg_at_10 == best else "",
        )
    return table


def _small_print(comparison: Comparison) -> str:
    return (
        f"[dim]{comparison.queries} text queries over the held-out families: {comparison.images:,} "
        f"icons, {comparison.texts:,} names (a blind draw gives {comparison.text_share:.0%} text). "
        "The query's own words are left out; ± is half a 95% interval. "
        f"The best possible R@10 is {comparison.ceiling:.3f}. "
        "Asked alone, the image field has "
        f"R@10 {comparison.image_only:.3f} of icons raw, {comparison.image_only_centred:.3f} "
        "centred.[/dim]"
    )


def _times(result: DemoResult) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for key, seconds in result.seconds.items():
        table.add_row(STAGES.get(key, key), f"{seconds:.1f} s", style="bold" * (key == "total"))
    return table
