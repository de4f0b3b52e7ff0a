"""The command line (extra ``cli``).

``gapless demo``, ``index``, ``search``, ``info``, ``diagnose``, ``convert`` and ``eval``.
"""

from __future__ import annotations

import typer

from gapless.cli.console import Group, help_of
from gapless.cli.convert import convert
from gapless.cli.demo import demo
from gapless.cli.diagnose import diagnose
from gapless.cli.evaluate import evaluate
from gapless.cli.index import index
from gapless.cli.info import info
from gapless.cli.search import search

__all__ = ["app"]

app = typer.Typer(
    cls=Group,
    help="Mixed-modality vector search in a folder: put in pictures and texts, ask with either "
    "or both, get one ranking.",
    epilog="Try it: gapless demo · Your own files: gapless index DIR --collection PATH",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (demo, index, search, info, diagnose, convert):
    app.command(help=help_of(command))(command)
app.command("eval", help=help_of(evaluate))(evaluate)
