"""``gapless index``: a folder of pictures and texts becomes a collection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import numpy.typing as npt
import typer
from rich.markup import escape

from gapless.cli.console import Stages, note, print_json, screen
from gapless.cli.files import read_text, walk
from gapless.cli.opening import open_patiently
from gapless.errors import (
    AlignmentRefused,
    InvalidArgument,
    InvalidVector,
    MissingModelFile,
    NotACollection,
    UnreadableImage,
)

if TYPE_CHECKING:
    from gapless.collection import Collection
    from gapless.encode import Encoder

__all__ = ["index"]

BATCH = 256  # files per write: what is done is safe when the rest is interrupted
SNIPPET = 160
_KINDS = ("image", "text")  # each has a field of its name
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
    found = {kind: [path for path, its in files if its == kind] for kind in _KINDS}
    work = _Work(folder)
    with _Target(collection, model, found) as target:
        with Stages() as stages:
            for kind, encoder in target.encoders.items():
                _fill(target, kind, found[kind], encoder, work, stages)
            done = any(work.counts.values())
            if align and done:
                with stages.stage("align", "Centring the scores"):
                    aligned = _align(target.collection())
            else:
                aligned = "left as it was"
        for path, reason in work.skipped:
            note(f"skipped {path}: {reason}", "yellow")
        if not done:
            raise InvalidArgument(
                f"none of the {len(files):,} files in {folder} can be indexed, for the reasons "
                "above: nothing has been changed"
            )
        stats = target.collection().stats()
    rows = {name: field["rows"] for name, field in stats["fields"].items()}
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


class _Target:
    """The collection to fill, and the encoders of the kinds found; a context manager.

    A collection that is not there is made at its first use, so that a model that cannot read what
    was found, or files that nobody can read, leave none behind.
    """

    def __init__(self, path: Path, model: str | None, found: Mapping[str, Sequence[Path]]) -> None:
        self._path = path
        self._collection: Collection | None = None
        try:
            self._model = self._open(model)
            self.encoders = {
                kind: _load(self._model, kind, len(paths)) for kind, paths in found.items() if paths
            }
            dims = {kind: encoder.dim for kind, encoder in self.encoders.items()}
            if len(set(dims.values())) > 1:
                raise InvalidArgument(
                    f"the halves of {self._model} make vectors of different length ({dims}), so "
                    "pictures and texts cannot be compared: take a model made for both"
                )
        except BaseException:
            self.close()
            raise
        self._dim = next(iter(dims.values()))

    def _open(self, model: str | None) -> str:
        """Open the collection if it is there, and return the model to take."""
        from gapless.encode import DEMO_MODEL

        if model is not None and model != DEMO_MODEL:
            model = str(Path(model).expanduser().resolve())
        try:
            self._collection = open_patiently(self._path)
        except NotACollection as error:
            if self._path.exists() and (not self._path.is_dir() or any(self._path.iterdir())):
                raise NotACollection(
                    f"{self._path} holds no collection and is not empty: give a new or empty "
                    "folder with --collection"
                ) from error
            return model or DEMO_MODEL
        return _model_of(self._collection, model)

    def collection(self) -> Collection:
        """Return the collection, and make it first if it is not there."""
        import gapless

        if self._collection is None:
            space = gapless.Space(dim=self._dim, encoder=self._model)
            fields = {kind: gapless.Field("model", kind) for kind in _KINDS}
            self._collection = gapless.open(self._path, gapless.Schema({"model": space}, fields))
        return self._collection

    def close(self) -> None:
        if self._collection is not None:
            self._collection.close()

    def __enter__(self) -> _Target:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _model_of(col: Collection, model: str | None) -> str:
    """Return the encoder of a collection made by this command, which `model` must not change."""
    spaces = list(col.schema.spaces.values())
    known = {name: field.modality for name, field in col.schema.fields.items()}
    encoder = spaces[0].encoder if len(spaces) == 1 else None
    if encoder is None or any(known.get(kind) != kind for kind in _KINDS):
        raise InvalidArgument(
            f"{col.path} was not made by `gapless index`: it wants one space with an encoder, and "
            "the fields image and text. Give the path of a new collection"
        )
    if model is not None and model != encoder:
        raise InvalidArgument(
            f"{col.path} holds vectors of {encoder}, which cannot be compared with those of "
            f"{model}: leave --model out, or give the path of a new collection"
        )
    return encoder


def _load(model: str, kind: str, count: int) -> Encoder:
    from gapless.encode import load_encoder

    try:
        return load_encoder(model, kind)
    except MissingModelFile as error:
        raise MissingModelFile(
            f"{error}. There are {count} files for it; put them elsewhere or take a model "
            "that reads them"
        ) from error


def _fill(
    target: _Target,
    kind: str,
    paths: Sequence[Path],
    encoder: Encoder,
    work: _Work,
    stages: Stages,
) -> None:
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
                target.collection().upsert(ids, {kind: vectors}, metadata, ids)
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
    done, rows = _encode(encoder, paths, paths, work)
    return done, rows, [_about(path, work.folder, "image") for path in done]


def _texts(encoder: Encoder, paths: Sequence[Path], work: _Work) -> Encoded:
    texts = {}
    for path in paths:
        try:
            texts[path] = read_text(path)
        except UnicodeDecodeError as error:
            work.skip(path, ValueError(f"it is not UTF-8 text ({error.reason})"))
        except (OSError, ValueError) as error:
            work.skip(path, error)
    done, rows = _encode(encoder, list(texts), list(texts.values()), work)
    about = [{**_about(path, work.folder, "text"), "text": texts[path][:SNIPPET]} for path in done]
    return done, rows, about


def _encode(
    encoder: Encoder, paths: Sequence[Path], items: Sequence[Any], work: _Work
) -> tuple[list[Path], npt.NDArray[np.float32]]:
    """Encode the items of `paths`, and skip by name those that cannot be."""
    try:
        return list(paths), encoder.encode(items)
    except (UnreadableImage, InvalidVector):
        pass  # one by one, to find out which and keep the others
    done, rows = [], [np.zeros((0, encoder.dim), np.float32)]
    for path, item in zip(paths, items, strict=True):
        try:
            rows.append(encoder.encode([item]))
            done.append(path)
        except UnreadableImage as error:
            work.skip(path, error)
        except InvalidVector:
            work.skip(path, ValueError("the model makes a zero or non-finite vector of it"))
    return done, np.concatenate(rows)


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
    try:
        col.align("center")
    except AlignmentRefused as refusal:
        kept = "raw" if col.alignment is None else f"{col.alignment.method}, as before"
        return f"{kept} ({refusal})"
    return "center"
