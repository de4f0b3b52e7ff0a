"""``gapless index``: a folder of pictures and texts becomes a collection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import numpy.typing as npt
import typer
from rich.markup import escape

from gapless.cli.console import Stages, note, print_json, screen
from gapless.cli.files import read_text, walk
from gapless.errors import InvalidArgument, MissingModelFile, NotACollection, UnreadableImage

if TYPE_CHECKING:
    from gapless.collection import Collection
    from gapless.encode import Encoder

__all__ = ["index"]

BATCH = 256  # files per write: what is done is safe when the rest is interrupted
SNIPPET = 160
FEW = 10  # rows of a field below which its mean says too little to centre it


def index(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to walk.")],
    collection: Annotated[
        Path,
        typer.Option(
            "--collection", "-c", help="Folder of the collection; made if it is not there."
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            help="Folder of a text and image model in ONNX (hub layout). Default: the one of the "
            "collection; for a new one the packaged icon model, which knows icons only."
        ),
    ] = None,
    align: Annotated[
        bool,
        typer.Option("--align/--no-align", help="Centre the scores when there are enough rows."),
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Put the pictures and texts of a folder into a collection.

    Pictures (png, jpg, jpeg, webp, gif, bmp) go to the field [bold]image[/bold]; text files (txt,
    md) to the field [bold]text[/bold], by their first 2,000 characters. The id of an item is the
    path of its file, so indexing again takes in what is new and replaces what has changed; a file
    deleted since stays in the collection. Hidden files are passed over, and files that cannot be
    read are named and skipped.

    [dim]Examples:[/dim]

        gapless index ~/icons --collection ./icons.gapless

        gapless index ~/photos -c ./photos.gapless --model models/clip-vit-base-patch32
    """
    folder, collection = folder.expanduser().resolve(), collection.expanduser().resolve()
    if not folder.is_dir():
        raise InvalidArgument(f"{folder} is no folder: give the folder with the files to index")
    files = list(walk(folder, collection))
    if not files:
        raise InvalidArgument(
            f"{folder} holds no picture (png, jpg, webp, gif, bmp) and no text (txt, md) to index"
        )
    work = _Work(folder)
    with _open(collection, model) as col:
        encoder = next(iter(col.schema.spaces.values())).encoder or ""
        with Stages() as stages:
            for kind in ("image", "text"):
                paths = [path for path, found in files if found == kind]
                if paths:
                    _fill(col, kind, paths, encoder, work, stages)
            if align and any(work.counts.values()):
                with stages.stage("align", "Centring the scores"):
                    aligned = _align(col)
            else:
                aligned = "left as it was"
        stats = col.stats()
    for path, reason in work.skipped:
        note(f"skipped {path}: {reason}", "yellow")
    rows = {name: found["rows"] for name, found in stats["fields"].items()}
    if as_json:
        print_json(
            {
                "collection": str(collection),
                "indexed": work.counts,
                "skipped": [{"path": path, "reason": why} for path, why in work.skipped],
                "items": stats["items"],
                "rows": rows,
                "alignment": stats["alignment"],
                "alignment_note": aligned,
                "seconds": stages.seconds,
            }
        )
        return
    out = screen()
    out.print(
        f"[bold]{work.counts['image']:,}[/bold] pictures and [bold]{work.counts['text']:,}[/bold] "
        f"texts indexed, {len(work.skipped):,} files skipped; the collection has "
        f"{stats['items']:,} items. Alignment: {escape(aligned)}.",
        soft_wrap=True,
    )
    out.print(f'Ask it: gapless search {escape(str(collection))} --text "..."', soft_wrap=True)


@dataclass
class _Work:
    """What has been done so far."""

    folder: Path
    counts: dict[str, int] = field(default_factory=lambda: {"image": 0, "text": 0})
    skipped: list[tuple[str, str]] = field(default_factory=list)

    def skip(self, path: Path, error: Exception) -> None:
        name = str(path.relative_to(self.folder)).encode("utf-8", "replace").decode("utf-8")
        self.skipped.append((name, " ".join(str(error).split())))


def _open(path: Path, model: str | None) -> Collection:
    """Open the collection at `path`, or make one for the model."""
    import gapless
    from gapless.encode import DEMO_MODEL, load_encoder

    if model is not None and model != DEMO_MODEL:
        model = str(Path(model).expanduser().resolve())
    try:
        col = gapless.open(path)
    except NotACollection:
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise
        name = model or DEMO_MODEL
        space = gapless.Space(dim=load_encoder(name, "text").dim, encoder=name)
        fields = {kind: gapless.Field("model", kind) for kind in ("image", "text")}
        return gapless.open(path, gapless.Schema({"model": space}, fields))
    spaces = list(col.schema.spaces.values())
    known = {name: f.modality for name, f in col.schema.fields.items()}
    if len(spaces) != 1 or spaces[0].encoder is None or not known.items() >= _KINDS.items():
        col.close()
        raise InvalidArgument(
            f"{path} was not made by `gapless index`: it wants one space with an encoder, and the "
            "fields image and text. Give the path of a new collection"
        )
    if model is not None and model != spaces[0].encoder:
        encoder = spaces[0].encoder
        col.close()
        raise InvalidArgument(
            f"{path} holds vectors of {encoder}, which cannot be compared with those of {model}: "
            "leave --model out, or give the path of a new collection"
        )
    return col


_KINDS = {"image": "image", "text": "text"}


def _fill(
    col: Collection, kind: str, paths: Sequence[Path], model: str, work: _Work, stages: Stages
) -> None:
    from gapless.encode import load_encoder

    try:
        encoder = load_encoder(model, kind)
    except MissingModelFile as error:
        raise MissingModelFile(
            f"{error}. There are {len(paths)} files for it; put them elsewhere or take a model "
            "that reads them"
        ) from error
    named = [path for path in paths if _is_unicode(path)]
    for path in set(paths).difference(named):
        work.skip(path, ValueError("its name is not UTF-8, so it cannot be an id"))
    paths = named
    title = "Encoding pictures" if kind == "image" else "Encoding texts"
    with stages.stage(kind, title, len(paths)) as advance:
        for start in range(0, len(paths), BATCH):
            batch = paths[start : start + BATCH]
            read = _pictures if kind == "image" else _texts
            done, vectors, metadata = read(encoder, batch, work)
            if done:
                ids = [str(path) for path in done]
                col.upsert(ids, {kind: vectors}, metadata, ids)
            work.counts[kind] += len(done)
            advance(len(batch))


def _is_unicode(path: Path) -> bool:
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


Encoded = tuple[list[Path], npt.NDArray[np.float32], list[dict[str, Any]]]


def _pictures(encoder: Encoder, paths: Sequence[Path], work: _Work) -> Encoded:
    done, rows = list(paths), np.zeros((0, encoder.dim), np.float32)
    try:
        rows = encoder.encode(done)
    except UnreadableImage:  # one by one, to find out which and keep the others
        done, parts = [], [rows]
        for path in paths:
            try:
                parts.append(encoder.encode([path]))
                done.append(path)
            except UnreadableImage as error:
                work.skip(path, error)
        rows = np.concatenate(parts)
    return done, rows, [_about(path, work.folder, "image") for path in done]


def _texts(encoder: Encoder, paths: Sequence[Path], work: _Work) -> Encoded:
    done, texts = [], []
    for path in paths:
        try:
            texts.append(read_text(path))
            done.append(path)
        except UnicodeDecodeError as error:
            work.skip(path, ValueError(f"it is not UTF-8 text ({error.reason})"))
        except (OSError, ValueError) as error:
            work.skip(path, error)
    about = [
        {**_about(path, work.folder, "text"), "text": text[:SNIPPET]}
        for path, text in zip(done, texts, strict=True)
    ]
    return done, encoder.encode(texts), about


def _about(path: Path, folder: Path, kind: str) -> dict[str, Any]:
    return {
        "path": str(path.relative_to(folder)),
        "kind": kind,
        "bytes": path.stat().st_size,
    }


def _align(col: Collection) -> str:
    """Centre where every field has rows enough, and say what was done."""
    rows = {name: found["rows"] for name, found in col.stats()["fields"].items()}
    few = [f"{name} has {count}" for name, count in rows.items() if count < FEW]
    if few:
        kept = "raw" if col.alignment is None else f"{col.alignment.method}, as before"
        return f"{kept} ({' and '.join(few)} rows; centring wants {FEW} of each)"
    col.align("center")
    return "center"
