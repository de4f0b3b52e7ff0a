"""The demo's items: every icon as a picture and every name as a text, encoded and collected."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

import gapless as gl
from gapless.demo.icons import FAMILIES, Icon, draw_all, load_icons
from gapless.encode import load_encoder, model_folder
from gapless.errors import CorruptFile, InvalidArgument, NotACollection, SchemaMismatch

if TYPE_CHECKING:
    from gapless.collection import Collection

__all__ = ["Corpus", "Staged", "Vectors", "check_folder", "collect", "encode", "load_corpus"]

Rows = npt.NDArray[np.float32]

SPACE = "icons"
MARKER = "demo.json"
"""File in the demo's folder that says what its collection was made from."""

_BATCH = 256
_WRITE = 4_096


class Staged(Protocol):
    """Whoever shows the progress of long work (see ``gapless.cli.console.Stages``)."""

    seconds: dict[str, float]

    def stage(
        self, key: str, title: str, total: int | None = None
    ) -> AbstractContextManager[Callable[[int], None]]:
        """Open a stage; the function it gives advances by a count."""
        ...


@dataclass(frozen=True)
class Corpus:
    """What the demo searches, before it is encoded.

    Attributes
    ----------
    icons
        n icons, one for each picture item.
    pictures
        uint8 (n, 64, 64), 0 is ink and 255 is paper.
    texts
        m different names and aliases of these icons, one for each text item.
    """

    icons: list[Icon]
    pictures: npt.NDArray[np.uint8]
    texts: list[str]

    @property
    def image_ids(self) -> list[str]:
        """Ids of the picture items: ``"fa6s.house"``."""
        return [icon.id for icon in self.icons]

    @property
    def text_ids(self) -> list[str]:
        """Ids of the text items: ``"name:house"``."""
        return [f"name:{text}" for text in self.texts]


@dataclass(frozen=True)
class Vectors:
    """Unit vectors of a corpus: images float32 (n, dim), texts float32 (m, dim)."""

    images: Rows
    texts: Rows


def load_corpus(limit: int | None, stages: Staged) -> Corpus:
    """Draw the icons and list their names.

    Parameters
    ----------
    limit
        Take this many icons, evenly spread over the families; None takes all.
    stages
        Shows the progress, as stage ``"draw"``.

    Raises
    ------
    InvalidArgument
        ``limit`` is below 1.
    MissingExtra
        QtAwesome or Pillow is not installed.
    """
    if limit is not None and limit < 1:
        raise InvalidArgument(f"limit is {limit}: give at least 1 icon, or None for all")
    icons: list[Icon] = []
    with stages.stage("draw", "Drawing icon fonts", len(FAMILIES)) as advance:
        for family in FAMILIES:
            icons += load_icons([family])
            advance(1)
        if limit is not None and limit < len(icons):
            icons = [icons[at] for at in np.linspace(0, len(icons) - 1, limit).astype(int)]
        pictures = draw_all(icons)
    return Corpus(icons, pictures, list(dict.fromkeys(t for icon in icons for t in icon.texts)))


def encode(corpus: Corpus, model: str, stages: Staged) -> Vectors:
    """Encode pictures and names, as stages ``"encode_images"`` and ``"encode_texts"``.

    Raises
    ------
    MissingModelFile, MissingExtra, CorruptFile
        As :func:`gapless.encode.load_encoder`.
    """
    encoder = load_encoder(model, "image")
    images = []
    with stages.stage("encode_images", "Encoding icons", len(corpus.icons)) as advance:
        for start in range(0, len(corpus.icons), _BATCH):
            batch = list(corpus.pictures[start : start + _BATCH])
            images.append(encoder.encode(batch, batch_size=_BATCH))
            advance(len(batch))
    texts = []
    encoder = load_encoder(model, "text")
    with stages.stage("encode_texts", "Encoding names", len(corpus.texts)) as advance:
        for start in range(0, len(corpus.texts), _BATCH):
            names = corpus.texts[start : start + _BATCH]
            texts.append(encoder.encode(names, batch_size=_BATCH))
            advance(len(names))
    return Vectors(np.concatenate(images), np.concatenate(texts))


def fingerprint(model: str) -> str:
    """Return a digest of the files that decide what a model's vectors are."""
    folder = model_folder(model)
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".json", ".onnx") and path.name != "metrics.json" and path.is_file():
            digest.update(str(path.relative_to(folder)).encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def check_folder(folder: Path) -> None:
    """Refuse a folder that the demo must not write to.

    Raises
    ------
    InvalidArgument
        It is a file, or has a ``collection`` that the demo did not make.
    """
    path = folder / "collection"
    if folder.exists() and not folder.is_dir():
        raise InvalidArgument(f"{folder} is a file: give --folder the path of a folder")
    if path.exists() and not (folder / MARKER).is_file():
        raise InvalidArgument(
            f"{path} is there and the demo did not make it: give another --folder"
        )


def collect(
    folder: Path, corpus: Corpus, model: str, stages: Staged
) -> tuple[Collection, Vectors, str]:
    """Open the demo's collection at ``folder/collection``, made afresh unless it is up to date.

    It is reused when ``folder/demo.json`` says that this version made it of the same icons with
    the same model, and it opens and has every item. Only a collection beside that file is ever
    deleted.

    Returns
    -------
    Collection, Vectors and a line that says what was done

    Raises
    ------
    InvalidArgument
        ``folder`` is a file, or has a ``collection`` that the demo did not make.
    CollectionLocked
        Another process has it open.
    MissingModelFile, MissingExtra
        The model or an extra is missing.
    """
    path, marker = folder / "collection", folder / MARKER
    wanted = _description(corpus, model)
    check_folder(folder)
    why = "made afresh"
    if path.exists():
        col, why = _reopen(path, marker, wanted, corpus)
        if col is not None:
            with stages.stage("reuse", "Reading the collection"):
                vectors = _stored(col, corpus)
            return col, vectors, f"the collection at {path} is up to date and was reused"
        shutil.rmtree(path)
    vectors = encode(corpus, model, stages)
    folder.mkdir(parents=True, exist_ok=True)
    marker.write_text("{}", encoding="utf-8")  # ours from here on, though not finished
    col = _build(path, corpus, vectors, model, wanted["model"], stages)
    marker.write_text(json.dumps(wanted), encoding="utf-8")
    return col, vectors, f"the collection at {path} was {why}"


def _description(corpus: Corpus, model: str) -> dict[str, str]:
    ids = "\n".join(corpus.image_ids + corpus.text_ids)
    return {
        "gapless": gl.__version__,
        "model": fingerprint(model),
        "encoder": model if model == "gapless.demo" else str(Path(model).absolute()),
        "items": hashlib.sha256(ids.encode()).hexdigest()[:16],
    }


def _reopen(
    path: Path, marker: Path, wanted: dict[str, str], corpus: Corpus
) -> tuple[Collection | None, str]:
    """Open an older collection if it still holds what is wanted, else say why it must go."""
    try:
        found = json.loads(marker.read_text(encoding="utf-8"))
    except ValueError:
        found = {}
    try:
        col = gl.open(path)  # a lock held by another process is the caller's to hear of
    except (NotACollection, CorruptFile, SchemaMismatch) as error:
        return None, f"made afresh, as the old one does not open ({type(error).__name__})"
    if found != wanted:
        col.close()
        return None, "made afresh, as the old one is of other icons, another model or unfinished"
    if col.alignment is None or len(col) != len(corpus.icons) + len(corpus.texts):
        col.close()
        return None, "made afresh, as the old one was changed"
    return col, ""


def _stored(col: Collection, corpus: Corpus) -> Vectors:
    images = col.get(corpus.image_ids, vectors=True)
    texts = col.get(corpus.text_ids, vectors=True)
    return Vectors(
        np.stack([item.vectors["image"] for item in images]),
        np.stack([item.vectors["text"] for item in texts]),
    )


def _build(
    path: Path, corpus: Corpus, vectors: Vectors, model: str, revision: str, stages: Staged
) -> Collection:
    encoder = model if model == "gapless.demo" else str(Path(model).absolute())
    space = gl.Space(dim=vectors.images.shape[1], encoder=encoder, revision=revision)
    fields = {kind: gl.Field(SPACE, modality=kind) for kind in ("image", "text")}
    col = gl.open(path, gl.Schema({SPACE: space}, fields), durability="normal")
    about = [{"kind": "image", "name": icon.text, "family": icon.family} for icon in corpus.icons]
    names = [{"kind": "text", "name": text} for text in corpus.texts]
    total = len(corpus.icons) + len(corpus.texts)
    with stages.stage("index", "Building the index", total) as advance:
        for kind, ids, rows, metadata in (
            ("image", corpus.image_ids, vectors.images, about),
            ("text", corpus.text_ids, vectors.texts, names),
        ):
            for start in range(0, len(ids), _WRITE):
                part = slice(start, start + _WRITE)
                col.upsert(ids[part], {kind: rows[part]}, metadata[part])
                advance(len(ids[part]))
        col.checkpoint()
    with stages.stage("align", "Centring the scores"):
        col.align("center")
    return col
