"""The demo's report: what was found, with the icons as pictures and the gap as plots."""

from __future__ import annotations

import base64
import io
import os
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gapless.alignment.align import align_rows, center
from gapless.demo.icons import HELD_OUT, TRAINING
from gapless.demo.words import STAGES, gap_words, headline, interval
from gapless.errors import MissingExtra
from gapless.report.plots import Cones, cones, densities, plane

if TYPE_CHECKING:
    from gapless.demo.corpus import Corpus, Vectors
    from gapless.demo.run import DemoResult

__all__ = ["picture_uri", "write_report"]

_POINTS = 600
_ASKERS = 300
_BEST = 10
_LABELS = {"image": "icons", "text": "names"}


def write_report(path: Path, result: DemoResult, corpus: Corpus, vectors: Vectors) -> None:
    """Write the report as one HTML file that loads nothing; an older one is replaced whole.

    Raises
    ------
    MissingExtra
        jinja2 or matplotlib is not installed.
    """
    html = render(result, corpus, vectors)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".tmp")
    unfinished.write_text(html, encoding="utf-8")
    os.replace(unfinished, path)  # noqa: PTH105 - one atomic step on every platform


def render(result: DemoResult, corpus: Corpus, vectors: Vectors) -> str:
    """Return the report's HTML; see :func:`write_report`."""
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError as error:
        raise MissingExtra("the report needs jinja2: pip install 'gapless[demo]'") from error
    import gapless

    source = resources.files("gapless.report").joinpath("demo.html.j2")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["interval"] = interval
    environment.filters["share"] = lambda value: f"{value:.0%}"
    place = {icon.id: number for number, icon in enumerate(corpus.icons)}

    def picture(name: str) -> str:
        return picture_uri(corpus.pictures[place[name]])

    drawn = _Plots(vectors, result)
    table = result.comparison
    return environment.from_string(source.read_text(encoding="utf-8")).render(
        result=result,
        table=table,
        headline=None if table is None else headline(table),
        best=None if table is None else max(row.ndcg_at_10 for row in table.rows),
        raw=None if table is None else table.rows[0],
        fused=None if table is None else next(r for r in table.rows if r.name == "fused"),
        picture=picture,
        cones=drawn.cones(),
        densities=drawn.densities(),
        gap_words=gap_words(result.diagnosis),
        points=_POINTS,
        stages=STAGES,
        trained=", ".join(name.title() for name in TRAINING),
        held_out="Font Awesome, Codicons and Elusive" if len(HELD_OUT) == 3 else HELD_OUT,
        machine=gapless.show_config(mode="dicts"),
    )


def picture_uri(picture: npt.NDArray[np.uint8]) -> str:
    """Turn a drawing (uint8, 0 is ink and 255 is paper) into a PNG data URI, ink on nothing.

    The paper is transparent, so that a page can turn the ink over in dark mode.
    """
    from PIL import Image

    layers = np.stack([np.zeros_like(picture), 255 - picture], axis=-1)
    buffer = io.BytesIO()
    Image.fromarray(layers).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


class _Plots:
    """Samples of both modalities, raw and centred, as the report draws them."""

    def __init__(self, vectors: Vectors, result: DemoResult) -> None:
        rng = np.random.default_rng(0)
        self._rows = {"image": vectors.images, "text": vectors.texts}
        self._maps = center(self._rows, {"image": "image", "text": "text"})
        self._sample = {
            key: rows[rng.permutation(len(rows))[:_POINTS]] for key, rows in self._rows.items()
        }
        self._asking = vectors.texts[rng.permutation(len(vectors.texts))[:_ASKERS]]
        self._gap = {pair.alignment: pair for pair in result.diagnosis.pairs}

    def cones(self) -> Any:
        from markupsafe import Markup

        raw = {key: align_rows(rows, None) for key, rows in self._sample.items()}
        centred = {key: align_rows(rows, self._maps[key]) for key, rows in self._sample.items()}
        axes = plane(raw["image"], raw["text"])
        panels = []
        for name, rows, key in (("Raw", raw, "raw"), ("Centred", centred, "center")):
            middle = np.mean([group.mean(axis=0) for group in rows.values()], axis=0)
            panels.append(
                Cones(
                    f"{name}: gap {self._gap[key].gap:.2f}",
                    {group: (values - middle) @ axes for group, values in rows.items()},
                )
            )
        about = "Icons and names, along the line between their centroids, raw and centred"
        return Markup(cones(panels, _LABELS, about))

    def densities(self) -> Any:
        from markupsafe import Markup

        panels = []
        for title, maps in (("Raw", {}), ("Centred", self._maps)):
            scores = {}
            for key, rows in self._rows.items():
                asking = align_rows(self._asking, maps.get(key), "text" if maps else None)
                found = asking @ align_rows(rows, maps.get(key)).T
                found[found > 1 - 1e-6] = -1.0  # a name that finds itself is no answer
                scores[key] = np.sort(found, axis=1)[:, -_BEST:].ravel()
            panels.append((title, scores))
        about = "The best scores of names with other names and with icons, raw and centred"
        labels = {"image": "with the ten best icons", "text": "with the ten best other names"}
        return Markup(densities(panels, labels, about, "score of a name (cosine)"))
