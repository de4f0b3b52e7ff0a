"""``gapless info``: this machine and build, or what a collection holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from gapless.cli.console import print_json, screen
from gapless.cli.opening import open_existing

__all__ = ["info"]


def info(
    collection: Annotated[
        Path | None, typer.Argument(help="Folder of a collection; leave out for the machine.")
    ] = None,
    sample: Annotated[
        int, typer.Option(min=2, help="Rows looked at for the diagnosis.", show_default=True)
    ] = 2000,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show version, SIMD and CUDA; or a collection's fields, sizes, alignment and diagnosis.

    The diagnosis says how far the modalities lie apart and what that does to rankings: a
    [bold]lift[/bold] near 0 means that queries find what they mean, near 1 that they merely find
    their own modality.

    [dim]Examples:[/dim]

        gapless info

        gapless info ./pictures.gapless

        gapless info ./pictures.gapless --json
    """
    import gapless

    if collection is None:
        config = gapless.show_config(mode="dicts") or {}
        if as_json:
            print_json(config)
        else:
            _show_machine(config)
        return
    with open_existing(collection) as col:
        found: dict[str, Any] = col.stats()
        found["disk_bytes"] = sum(f.stat().st_size for f in col.path.rglob("*") if f.is_file())
        found["spaces"] = {
            name: {"dim": space.dim, "encoder": space.encoder, "revision": space.revision}
            for name, space in col.schema.spaces.items()
        }
        filled = any(field["rows"] for field in found["fields"].values())
        diagnosis = col.diagnose(sample=sample) if filled else None
    found["diagnosis"] = None if diagnosis is None else diagnosis.to_dict()
    if as_json:
        print_json(found)
        return
    _show_collection(found)
    if diagnosis is None:
        screen().print("\nThere is no vector in it yet: gapless index DIR --collection PATH")
    else:
        screen().print(f"\n{escape(str(diagnosis))}", soft_wrap=True)


def _show_machine(config: dict[str, Any]) -> None:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_row("gapless", escape(str(config["version"])))
    table.add_row("SIMD", f"{config['simd']}  [dim]of {', '.join(config['simd_available'])}[/dim]")
    table.add_row("cores", str(config["cores"]))
    table.add_row("CUDA", escape(str(config["cuda"])))
    screen().print(table)


def _show_collection(found: dict[str, Any]) -> None:
    active = found["alignment"]
    out = screen()
    out.print(
        f"[bold]{escape(found['path'])}[/bold]: {found['items']:,} items, "
        f"{found['disk_bytes'] / 1e6:.1f} MB on disk, "
        + (
            f"alignment [bold]{active['method']}[/bold] (version {active['version']})"
            if active
            else "no alignment: scores are raw cosines"
        ),
        soft_wrap=True,
    )
    for name, space in found["spaces"].items():
        encoder = space["encoder"] or "no encoder: bring your own vectors"
        out.print(f"space {escape(name)}: dim {space['dim']}, {escape(encoder)}", soft_wrap=True)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("field", "modality", "space", "index"):
        table.add_column(title)
    for title in ("rows", "dim", "memory"):
        table.add_column(title, justify="right")
    for name, field in found["fields"].items():
        table.add_row(
            escape(name),
            escape(field["modality"]),
            escape(field["space"]),
            field["index"],
            f"{field['rows']:,}",
            str(field["dim"]),
            f"{field['memory_bytes'] / 1e6:.1f} MB",
        )
    out.print(table)
    if found["pending_rows"]:
        out.print(f"{found['pending_rows']:,} rows wait in the catalogue for the next checkpoint")
