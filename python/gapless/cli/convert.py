"""``gapless convert``: rows of other libraries into a collection, and a collection out to files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from gapless.cli.console import Stages, note, print_json, screen
from gapless.cli.opening import open_existing
from gapless.errors import InvalidArgument

__all__ = ["convert"]


def convert(
    source: Annotated[
        Path, typer.Argument(help="A file of rows, or the folder of a collection to export.")
    ],
    target: Annotated[
        Path, typer.Argument(help="Folder of a new collection, or the file to export to.")
    ],
    field: Annotated[
        str | None,
        typer.Option(
            help="Field that the rows fill, or the one to export. [dim]Import: as --modality[/dim]",
            show_default=False,
        ),
    ] = None,
    modality: Annotated[
        str | None,
        typer.Option(help="What the rows were made of: image, text, audio, or a word of yours."),
    ] = None,
    encoder: Annotated[
        str | None, typer.Option(help="Folder of the model that made them, to encode queries by.")
    ] = None,
    revision: Annotated[str | None, typer.Option(help="Version of the model.")] = None,
    index: Annotated[str, typer.Option(help="Index to build: hnsw or flat.")] = "hnsw",
    ids: Annotated[
        Path | None,
        typer.Option(
            help="A .npy with the ids of a .npy's rows; by default X.ids.npy beside X.npy."
        ),
    ] = None,
    array: Annotated[
        str | None, typer.Option(help="Which array of an .npz, or column of a table, has the rows.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse rows that are not of unit length.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file that is exported to.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object; notes go to stderr.")
    ] = False,
) -> None:
    """Make a collection of other libraries' files, or write one out for them.

    Read are index files of [bold]faiss[/bold] (IndexFlat, IndexIDMap, IndexHNSWFlat) and
    [bold]hnswlib[/bold], numpy's [bold].npy[/bold] and [bold].npz[/bold], and
    [bold]parquet[/bold] and [bold]arrow[/bold] tables; the content says which it is. The new
    collection is there as a whole or not at all. Nothing is unpickled or unpacked.

    A folder as SOURCE is a collection, and TARGET ends in .parquet, .arrow, .npz, .npy or .faiss.
    Tables hold everything and give back the same collection; the others one field.

    [dim]Examples:[/dim]

        gapless convert photos.faiss ./photos.gapless --modality image

        gapless convert clip.npy ./clips.gapless --ids names.npy --field clip --modality video

        gapless convert ./photos.gapless photos.parquet

        gapless convert ./photos.gapless captions.npz --field caption
    """
    if source.is_dir():
        given = {
            "--modality": modality, "--encoder": encoder, "--revision": revision, "--ids": ids,
            "--array": array, "--strict": strict or None,
        }  # fmt: skip
        _refuse([name for name, value in given.items() if value is not None], "an import", source)
        _export(source, target, field, overwrite, as_json)
        return
    _refuse(["--overwrite"] if overwrite else [], "an export", source)
    from gapless.convert.importing import import_collection

    with _bar("Importing") as progress:
        made = import_collection(
            source, target, field=field, modality=modality, encoder=encoder, revision=revision,
            index=index, ids=ids, array=array, strict=strict, progress=progress,
        )  # fmt: skip
    for line in (*made.findings, *made.notes):
        note(str(line), "yellow" if line in made.findings else "dim")
    if as_json:
        print_json(made.to_dict())
        return
    rows = ", ".join(f"{count:,} in {escape(name)}" for name, count in made.rows.items())
    deleted = f"; {made.skipped:,} marked as deleted left out" if made.skipped else ""
    screen().print(
        f"[bold]{made.items:,}[/bold] items ({rows}) from {escape(made.format)} are in "
        f"{escape(made.folder)}{deleted}.",
        soft_wrap=True,
    )


def _export(source: Path, target: Path, field: str | None, overwrite: bool, as_json: bool) -> None:
    from gapless.convert.exporting import export_collection

    with open_existing(source) as col, _bar("Exporting") as progress:
        done = export_collection(col, target, field=field, overwrite=overwrite, progress=progress)
    if as_json:
        print_json(done.to_dict())
        return
    lacking = f"; {done.skipped:,} lack the field" if done.skipped else ""
    screen().print(
        f"[bold]{done.items:,}[/bold] items are in {escape(' and '.join(done.paths))} "
        f"({done.bytes / 1e6:.1f} MB){lacking}.",
        soft_wrap=True,
    )


def _refuse(options: list[str], what: str, source: Path) -> None:
    if options:
        kind = (
            "a folder, so this is an export" if source.is_dir() else "a file, so this is an import"
        )
        raise InvalidArgument(
            f"{', '.join(options)} is for {what}, and {source} is {kind}: leave it out"
        )


@contextmanager
def _bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on stderr from its first step on; yields a function that is told (done, all)."""
    with ExitStack() as stack:
        advance: Callable[[int], None] | None = None
        before = 0

        def progress(done: int, total: int) -> None:
            nonlocal advance, before
            if advance is None:
                stages = stack.enter_context(Stages())
                advance = stack.enter_context(stages.stage("convert", title, total))
            advance(done - before)
            before = done

        yield progress
