"""Measure a model folder on icons: recall by name and by picture, the gap, the three queries.

It reads the ONNX files alone (extra ``onnx``), so what is measured is what is shipped.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gapless.demo import concepts
from gapless.demo.icons import HELD_OUT, draw_all, load_icons
from gapless.encode import load_encoder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gapless.demo.icons import Icon

__all__ = ["MODEL", "Embedder", "gap", "icon_to_icon", "measure", "text_to_icon", "three_queries"]

MODEL = Path(__file__).parent / "model"
"""The packaged model's folder."""

Vectors = npt.NDArray[np.float32]


class Embedder:
    """The two encoders of a model folder, as the library loads them.

    Raises
    ------
    MissingExtra
        onnxruntime, tokenizers or Pillow is not installed.
    MissingModelFile
        The folder lacks a file.
    """

    def __init__(self, folder: Path = MODEL) -> None:
        self._text = load_encoder(folder, "text")
        self._icon = load_encoder(folder, "image")

    def texts(self, texts: Sequence[str]) -> Vectors:
        """Embed texts: unit float32 (n, dim)."""
        return self._text.encode(list(texts))

    def pictures(self, pictures: npt.NDArray[np.uint8], batch: int = 256) -> Vectors:
        """Embed 64x64 pictures, 0 ink and 255 paper: uint8 (n, 64, 64) -> unit float32."""
        return self._icon.encode(list(pictures), batch)


def _best(scores: npt.NDArray[np.float32], k: int) -> npt.NDArray[np.int64]:
    """Positions of the k best of every row, best first; ties go to the earlier position."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def text_to_icon(
    embedder: Embedder, icons: Sequence[Icon], vectors: Vectors
) -> dict[str, float | int]:
    """Recall of icons by their names.

    A query is a distinct readable name of ``icons``; the candidates are all of ``icons``. It is a
    hit at k if an icon that has this name, as its own or an alias's, is among the first k: R@k is
    the share of such queries. ``own`` is stricter: a query for each icon, a hit only if that very
    icon is among the first k, though others of the same name may stand before it.
    """
    texts = list(dict.fromkeys(icon.text for icon in icons))
    number = {text: row for row, text in enumerate(texts)}
    best = _best(embedder.texts(texts) @ vectors.T, 10)
    names = [set(icon.texts) for icon in icons]
    hits = np.array(
        [[text in names[at] for at in row] for text, row in zip(texts, best, strict=True)]
    )
    own = np.array([best[number[icon.text]] == position for position, icon in enumerate(icons)])
    return {
        "queries": len(texts),
        "candidates": len(icons),
        "recall_at_1": float(hits[:, 0].mean()),
        "recall_at_10": float(hits.any(axis=1).mean()),
        "own_recall_at_1": float(own[:, 0].mean()),
        "own_recall_at_10": float(own.any(axis=1).mean()),
    }


def icon_to_icon(icons: Sequence[Icon], vectors: Vectors) -> dict[str, float | int]:
    """Recall of the same name in another family by picture.

    A query is an icon whose readable name another family of ``icons`` has too; the candidates are
    the icons of all other families. It is a hit at k if one of that name is among the first k.
    """
    family = np.array([icon.family for icon in icons])
    text = np.array([icon.text for icon in icons])
    scores = vectors @ vectors.T
    scores[family[:, None] == family[None]] = -np.inf
    right = (text[:, None] == text[None]) & (family[:, None] != family[None])
    asked = np.flatnonzero(right.any(axis=1))
    best = _best(scores[asked], 10)
    hits = np.take_along_axis(right[asked], best, axis=1)
    return {
        "queries": len(asked),
        "candidates": len(icons),
        "recall_at_1": float(hits[:, 0].mean()),
        "recall_at_10": float(hits.any(axis=1).mean()),
    }


def gap(images: Vectors, texts: Vectors) -> dict[str, float]:
    """Measure the modality gap between unit vectors of pictures and of their names, row by row.

    ``centroid_distance`` is ``|mean(images) - mean(texts)|``; ``*_spread`` is the mean distance
    from the own centroid; ``matched_cosine`` the mean cosine of an icon and its own name;
    ``*_cosine`` the mean cosine of two different rows of one modality.
    """
    centres = images.mean(axis=0), texts.mean(axis=0)

    def between(rows: Vectors, centre: Vectors) -> float:
        count = len(rows)
        return float((count * float(centre @ centre) - 1) / (count - 1))

    return {
        "centroid_distance": float(np.linalg.norm(centres[0] - centres[1])),
        "image_spread": float(np.linalg.norm(images - centres[0], axis=1).mean()),
        "text_spread": float(np.linalg.norm(texts - centres[1], axis=1).mean()),
        "matched_cosine": float((images * texts).sum(axis=1).mean()),
        "image_cosine": between(images, centres[0]),
        "text_cosine": between(texts, centres[1]),
    }


def three_queries(
    embedder: Embedder, icons: Sequence[Icon], vectors: Vectors
) -> dict[str, dict[str, Any]]:
    """Answer the queries of ``accepted.toml``: how many of the first ten icons are accepted."""
    queries = concepts.accepted_queries()
    best = _best(embedder.texts(queries) @ vectors.T, 10)
    answers = {}
    for query, row in zip(queries, best, strict=True):
        first = [icons[at] for at in row]
        answers[query] = {
            "accepted": sum(concepts.accepted(query, icon) for icon in first),
            "first": [icon.id for icon in first],
        }
    return answers


def measure(folder: Path = MODEL) -> dict[str, Any]:
    """Measure a model folder on the held-out families, and the three queries on all icons too.

    ``held_out`` is Font Awesome 6 solid, regular and brands, Codicons and Elusive;
    ``held_out_symbols`` leaves out the brands' logos, whose names are not what they show, and the
    regular style, which repeats solid's names.
    """
    embedder = Embedder(folder)
    icons = load_icons()
    vectors = embedder.pictures(draw_all(icons))
    held_rows = [row for row, icon in enumerate(icons) if icon.family in HELD_OUT]
    held, held_vectors = [icons[row] for row in held_rows], vectors[held_rows]
    some = [row for row, icon in enumerate(held) if icon.prefix not in ("fa6b", "fa6r")]
    symbols, symbol_vectors = [held[row] for row in some], held_vectors[some]
    return {
        "text_to_icon": {
            "held_out_symbols": text_to_icon(embedder, symbols, symbol_vectors),
            "held_out": text_to_icon(embedder, held, held_vectors),
        },
        "icon_to_icon": {"held_out": icon_to_icon(held, held_vectors)},
        "gap": {"held_out": gap(held_vectors, embedder.texts([icon.text for icon in held]))},
        "three_queries": {
            "all": three_queries(embedder, icons, vectors),
            "held_out": three_queries(embedder, held, held_vectors),
        },
    }
