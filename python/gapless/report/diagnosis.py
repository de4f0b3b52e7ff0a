"""The picture of a diagnosis: one HTML file with nothing to load."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gapless.alignment.align import center
from gapless.diagnosis.geometry import centroid_distance
from gapless.diagnosis.readings import View
from gapless.diagnosis.result import BiasReading, Diagnosis, PairReading, RouteReading
from gapless.diagnosis.sampling import Sample
from gapless.errors import InvalidArgument, MissingExtra
from gapless.report import diagnosis_words as words
from gapless.report.plots import Cones, cones, densities, plane, reliability

if TYPE_CHECKING:
    from gapless.calibration.calibrate import CalibrationResult

__all__ = ["write_diagnosis"]

POINTS = 500  # of a modality, drawn at random: more would hide each other
SCORES = 200_000  # of a hill; more change no bar

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Figure:
    """A picture with the title that states what is seen, and the sentence beneath."""

    title: str
    sentence: str
    svg: str


@dataclass(frozen=True)
class SpacePage:
    """What is shown of one space."""

    space: str
    rows: int
    fields: int
    figures: tuple[Figure, ...]
    bias: tuple[BiasReading, ...]
    whole: tuple[BiasReading, ...]
    bias_words: tuple[str, str] | None
    routes: tuple[RouteReading, ...]
    route_words: tuple[str, str]
    pairs: tuple[PairReading, ...]


def write_diagnosis(
    path: str | os.PathLike[str],
    diagnosis: Diagnosis,
    *,
    title: str = "",
    calibration: CalibrationResult | None = None,
) -> None:
    """Write a diagnosis as one HTML file that loads nothing; an older one is replaced whole.

    Parameters
    ----------
    path
        The file; its folder is made.
    diagnosis
        With its samples, as `gapless.diagnose` and `Collection.diagnose` give it.
    title
        What was diagnosed, such as the collection's path.
    calibration
        Its reliability curves are drawn, too.

    Raises
    ------
    InvalidArgument
        For a diagnosis without samples.
    MissingExtra
        jinja2 or matplotlib is not installed.
    OSError
        The file cannot be written.
    """
    html = render(diagnosis, title=title, calibration=calibration)
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(target.name + ".tmp")
    unfinished.write_text(html, encoding="utf-8")
    os.replace(unfinished, target)  # noqa: PTH105 - one atomic step on every platform


def render(
    diagnosis: Diagnosis, *, title: str = "", calibration: CalibrationResult | None = None
) -> str:
    """Return the HTML; see :func:`write_diagnosis`."""
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError as error:
        raise MissingExtra("the report needs jinja2: pip install 'gapless[report]'") from error
    if not diagnosis.samples:
        raise InvalidArgument("the diagnosis has no samples to draw: make one with diagnose")
    import gapless

    source = resources.files("gapless.report").joinpath("diagnosis.html.j2")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["share"] = lambda value: f"{value:.0%}"
    environment.filters["number"] = lambda value, digits=3: (
        "-" if value is None else f"{value:.{digits}f}"
    )
    environment.filters["named"] = words.named
    return environment.from_string(source.read_text(encoding="utf-8")).render(
        title=title,
        headline=words.headline(diagnosis),
        diagnosis=diagnosis,
        spaces=[_space(diagnosis, sample, i) for i, sample in enumerate(diagnosis.samples)],
        curves=None if calibration is None else _curves(calibration),
        points=POINTS,
        version=gapless.__version__,
    )


def _space(found: Diagnosis, sample: Sample, number: int) -> SpacePage:
    bias = tuple(b for b in found.bias if b.space == sample.space)
    whole = tuple(b for b in found.whole if b.space == sample.space)
    return SpacePage(
        sample.space,
        sample.count,
        len(sample.rows),
        tuple(_figures(found, sample, f"s{number}")),
        bias,
        whole,
        words.bias_words(whole or bias) if bias else None,
        tuple(r for r in found.routes if r.space == sample.space),
        words.route_words(found, sample.space),
        tuple(p for p in found.pairs if p.space == sample.space),
    )


def _figures(found: Diagnosis, sample: Sample, salt: str) -> list[Figure]:
    """Cones of every two modalities, and the hills of scores from either side."""
    preview = not sample.maps
    shown = _previewed(sample) if preview else sample
    views = [View(shown, aligned=False)] + ([View(shown, aligned=True)] if shown.maps else [])
    figures = []
    modalities = sample.modalities
    raw = [p for p in found.pairs if p.space == sample.space and p.alignment == "raw"]
    for p, pair in enumerate(raw):
        i, j = (modalities.index(m) for m in pair.modalities)
        # Blue is the picture, wherever there is one.
        ends = (i, j) if pair.modalities[1] != "image" else (j, i)
        gaps = [_gap(view, ends) for view in views]
        drawn = _cones(views, ends, gaps, preview, f"{salt}c{p}")
        if drawn:
            after = (views[1].name, gaps[1]) if len(views) > 1 else None
            figures.append(Figure(*words.cone_words(pair, after, preview), drawn))
        for asker, other in (ends[::-1], ends):
            hills = _hills(views, asker, other, preview, f"{salt}h{p}-{asker}")
            if hills:
                figures.append(hills)
    return figures


def _previewed(sample: Sample) -> Sample:
    """Give the sample the centring that it would get, where it can be centred."""
    if len(sample.modalities) < 2:
        return sample
    try:
        maps = center(sample.rows, sample.modality_of)
    except InvalidArgument:  # a single row, or rows without spread
        return sample
    return replace(sample, maps=maps, method="center")


def _panel(view: View, preview: bool) -> str:
    name = words.named(view.name).capitalize()
    return f"{name} (not active: a preview)" if preview and view.name != "raw" else name


def _gap(view: View, ends: tuple[int, int]) -> float:
    return centroid_distance(*(view.documents[view.code == side] for side in ends))


def _cones(
    views: Sequence[View],
    ends: tuple[int, int],
    gaps: Sequence[float],
    preview: bool,
    salt: str,
) -> str | None:
    rng = np.random.default_rng(0)
    places = {}
    for key, side in zip(("image", "text"), ends, strict=True):
        at = np.flatnonzero(views[0].code == side)
        places[key] = rng.permutation(at)[:POINTS]
    try:
        axes = plane(*(views[0].documents[views[0].code == side] for side in ends))
    except InvalidArgument:  # one row, or centroids that coincide
        return None
    panels = []
    for view, gap in zip(views, gaps, strict=True):
        rows = {key: view.documents[at] for key, at in places.items()}
        middle = np.mean([group.mean(axis=0) for group in rows.values()], axis=0)
        points = {key: (group - middle) @ axes for key, group in rows.items()}
        panels.append(Cones(f"{_panel(view, preview)}: gap {gap:.2f}", points))
    names = [views[0].sample.modalities[side] for side in ends]
    about = f"Rows of {names[0]} and {names[1]}, along the line between their centroids"
    return cones(panels, dict(zip(("image", "text"), names, strict=True)), about, salt)


def _hills(
    views: Sequence[View], asker: int, other: int, preview: bool, salt: str
) -> Figure | None:
    """Scores of queries of one modality: with their own kind, with the other, with their match."""
    modalities = views[0].sample.modalities
    own_key, other_key = ("image", "text") if modalities[asker] == "image" else ("text", "image")
    if "image" not in (modalities[asker], modalities[other]) and asker < other:
        own_key, other_key = other_key, own_key
    panels, hills_seen = [], []
    for view in views:
        mine, there = view.code == asker, view.code == other
        own = view.scores[np.ix_(mine, mine)]
        far = view.scores[np.ix_(mine, there)]
        kin = view.items[mine][:, None] == view.items[mine][None]
        match = view.items[mine][:, None] == view.items[there][None]
        hills = {own_key: own[~kin], other_key: far[~match], "match": far[match]}
        if not hills[own_key].size or not hills[other_key].size:
            return None
        if not hills["match"].size:
            del hills["match"]
        names = {own_key: "own", other_key: "other", "match": "match"}
        hills_seen.append(
            {names[key]: words.Hill(float(v.mean()), float(v.std())) for key, v in hills.items()}
        )
        panels.append((_panel(view, preview), {key: _some(v) for key, v in hills.items()}))
    a, b = modalities[asker], modalities[other]
    labels = {
        own_key: f"with {a} of other items",
        other_key: f"with {b} of other items",
        "match": f"with its own {b}",
    }
    title, sentence = words.histogram_words(a, b, hills_seen)
    about = f"Scores of {a} queries with {a} and {b} rows"
    return Figure(
        title,
        sentence,
        densities(panels, labels, about, f"score of {words.with_article(a)} query (cosine)", salt),
    )


def _some(values: Float64) -> Float64:
    if len(values) <= SCORES:
        return values
    return values[np.random.default_rng(0).integers(0, len(values), SCORES)]


def _curves(calibration: Any) -> Figure | None:
    types = [(f"{query} → {field}", found) for (query, field), found in calibration.types.items()]
    if not types:
        return None
    drawn = reliability(
        [(name, [(b.predicted, b.observed) for b in found.held_out.bins]) for name, found in types],
        "Predicted probability against how often it came true, by pair type",
    )
    worst = max(((name, found.held_out.ece) for name, found in types), key=lambda pair: pair[1])
    return Figure(*words.reliability_words(worst, calibration.prior), drawn)
