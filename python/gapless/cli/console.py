"""What every command shares: where output goes, errors in one line, progress with its seconds."""

from __future__ import annotations

import inspect
import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from typer.core import TyperGroup

from gapless.errors import GaplessError

__all__ = ["Group", "Stages", "help_of", "note", "print_json", "screen"]


class Group(TyperGroup):
    """A command group that turns the package's errors into one line and exit status 1."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command; usage errors keep their own status, 2."""
        try:
            return super().invoke(ctx)
        except (GaplessError, OSError) as error:
            if isinstance(error, BrokenPipeError):  # the reader of a pipe has seen enough
                raise
            note(f"error: {' '.join(str(error).split())}", "bold red")
            raise typer.Exit(1) from error


def help_of(command: Callable[..., object]) -> str:
    """Return a command's docstring with each paragraph on one line, to be wrapped as fits.

    Indented lines, which are examples, stay lines.
    """
    paragraphs = re.split(r"\n\s*\n", inspect.getdoc(command) or "")
    return "\n\n".join(
        part if part.startswith(" ") else " ".join(part.split()) for part in paragraphs
    )


def screen() -> Console:
    """Return a console on stdout as it is now, for tables a person reads."""
    return Console(file=sys.stdout, highlight=False)


def note(message: str, style: str = "dim") -> None:
    """Print a line to stderr, where it cannot get into results."""
    Console(file=sys.stderr, highlight=False, soft_wrap=True).print(escape(message), style=style)


def print_json(value: object) -> None:
    """Print one JSON document to stdout."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    sys.stdout.flush()


class Stages:
    """Progress bars on stderr for the stages of long work, and the seconds each took.

    Use as a context manager; `seconds` maps the key of each finished stage to its time.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._progress = Progress(
            TextColumn("{task.description:<28}"),
            BarColumn(bar_width=32),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(file=sys.stderr),
        )

    def __enter__(self) -> Stages:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    @contextmanager
    def stage(
        self, key: str, title: str, total: int | None = None
    ) -> Iterator[Callable[[int], None]]:
        """Time one stage under `key`; yields a function that advances its bar by a count.

        Without `total` the bar pulses, and is full when the stage ends.
        """
        task = self._progress.add_task(title, total=total)
        start = time.perf_counter()
        yield lambda count: self._progress.advance(task, count)
        self.seconds[key] = self.seconds.get(key, 0.0) + time.perf_counter() - start
        if total is None:
            self._progress.update(task, total=1, completed=1)
