"""Plots as inline SVG that follows the page: its fonts, and its colours in light and dark.

matplotlib draws in placeholder colours, which are then replaced by CSS variables of the page:
``--ink`` (text), ``--line`` (axes), ``--image`` and ``--text`` (the two modalities), ``--match``
(what belongs together).
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from gapless.errors import InvalidArgument, MissingExtra

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Cones", "cones", "densities", "plane", "reliability"]

Values = npt.NDArray[np.float64]

# Unlikely colours, so that the replacement touches nothing else.
_COLOURS = {
    "ink": "#010203",
    "line": "#040506",
    "image": "#070809",
    "text": "#0a0b0c",
    "match": "#0d0e0f",
}
_SIZE = 11.0


@dataclass(frozen=True)
class Cones:
    """One panel of :func:`cones`: a title and the rows of every modality in the plane, (n, 2)."""

    title: str
    points: Mapping[str, Values]


def plane(first: npt.ArrayLike, second: npt.ArrayLike) -> Values:
    """Find the plane that shows the gap between two groups of rows, and how they spread.

    Parameters
    ----------
    first, second
        Arrays (n, dim) and (m, dim); n, m and dim at least 2.

    Returns
    -------
    axes (dim, 2), orthonormal
        The direction from the first centroid to the second, and the principal axis of what both
        groups vary in besides; its largest component is positive. ``rows @ axes`` are coordinates.

    Raises
    ------
    InvalidArgument
        A group has fewer than 2 rows or dimensions, or their centroids coincide.
    """
    groups = [np.asarray(group, dtype=np.float64) for group in (first, second)]
    shapes = [group.shape for group in groups]
    if any(g.ndim != 2 or min(g.shape) < 2 for g in groups) or shapes[0][1] != shapes[1][1]:
        raise InvalidArgument(f"the groups have shapes {shapes}: give (n, dim) with n, dim >= 2")
    across: Values = groups[1].mean(axis=0) - groups[0].mean(axis=0)
    length = float(np.linalg.norm(across))
    if length < 1e-12:
        raise InvalidArgument("the centroids coincide: there is no gap to look along")
    across = across / length
    scatter: Values = np.zeros((across.size, across.size))
    for group in groups:
        rest = group - group.mean(axis=0)
        rest = rest - np.outer(rest @ across, across)
        scatter += rest.T @ rest / len(rest)
    up = np.linalg.eigh(scatter)[1][:, -1]
    return np.stack([across, up * np.sign(up[np.abs(up).argmax()])], axis=1)


def cones(
    panels: Sequence[Cones], labels: Mapping[str, str], about: str, salt: str = "cones"
) -> str:
    """Draw panels of points side by side on the same axes.

    Parameters
    ----------
    panels
        What to draw; the keys of their points are "image" and "text".
    labels
        Key -> name in the legend.
    about
        The plot in words, for those who do not see it.
    salt
        Begins every id in the element; plots of one page take different ones.

    Returns
    -------
    str
        An ``<svg>`` element.
    """
    figure = _figure(9.6, 5.2)
    reach = 1.05 * max(np.abs(p).max() for panel in panels for p in panel.points.values())
    axes = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    for axis, panel in zip(axes, panels, strict=True):
        _bare(axis)
        axis.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
        axis.axhline(0, color=_COLOURS["line"], linewidth=0.6, zorder=0)
        axis.axvline(0, color=_COLOURS["line"], linewidth=0.6, zorder=0)
        for key, points in panel.points.items():
            axis.plot(
                *points.T,
                linestyle="none",
                marker="o",
                markersize=3.2,
                markeredgewidth=0,
                color=_COLOURS[key],
                alpha=0.5,
                label=labels[key],
            )
        for key, points in panel.points.items():
            axis.plot(
                *points.mean(axis=0),
                marker="o",
                markersize=9,
                color=_COLOURS[key],
                markeredgecolor=_COLOURS["ink"],
                markeredgewidth=1.6,
            )
        axis.set_title(panel.title, loc="left", pad=10, color=_COLOURS["ink"])
    handles, names = axes[0].get_legend_handles_labels()
    legend = figure.legend(handles, names, loc="outside lower center", ncols=2, frameon=False)
    for handle in legend.legend_handles:
        assert handle is not None
        handle.set(markersize=9, alpha=1)
    return _svg(figure, salt, about)


def densities(
    panels: Sequence[tuple[str, Mapping[str, npt.ArrayLike]]],
    labels: Mapping[str, str],
    about: str,
    xlabel: str,
    salt: str = "densities",
) -> str:
    """Draw panels of score distributions on the same axis.

    Parameters
    ----------
    panels
        Titles, and key ("image", "text" or "match") -> scores (n,).
    labels, about, salt
        As in :func:`cones`.
    xlabel
        What a score is.

    Returns
    -------
    str
        An ``<svg>`` element.
    """
    figure = _figure(9.6, 3.5)
    axes = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    values = [np.asarray(v, dtype=np.float64) for _, group in panels for v in group.values()]
    edges = np.linspace(min(map(np.min, values)), max(map(np.max, values)), 81)
    for axis, (title, group) in zip(axes, panels, strict=True):
        _bare(axis)
        axis.spines["bottom"].set_visible(True)
        axis.spines["bottom"].set_color(_COLOURS["line"])
        axis.tick_params(bottom=True, labelbottom=True, color=_COLOURS["line"])
        for key, scores in group.items():
            array = np.asarray(scores, dtype=np.float64)
            share, _ = np.histogram(array, edges, weights=np.full(len(array), 1 / len(array)))
            axis.stairs(share, edges, fill=True, color=_COLOURS[key], alpha=0.35)
            axis.stairs(share, edges, color=_COLOURS[key], linewidth=1.6, label=labels[key])
            axis.axvline(
                float(array.mean()), color=_COLOURS[key], linewidth=1.2, linestyle=(0, (4, 3))
            )
        axis.set_title(title, loc="left", pad=10, color=_COLOURS["ink"])
        axis.set_xlabel(xlabel)
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3, frameon=False)
    return _svg(figure, salt, about)


def reliability(
    curves: Sequence[tuple[str, Sequence[tuple[float, float]]]],
    about: str,
    salt: str = "reliability",
) -> str:
    """Draw what was predicted against what came true, one panel for each curve.

    Parameters
    ----------
    curves
        Titles, and bins (predicted probability, observed frequency), both in [0, 1]; points on
        the diagonal are as likely as was said.
    about, salt
        As in :func:`cones`.

    Returns
    -------
    str
        An ``<svg>`` element.
    """
    columns = max(2, min(len(curves), 4))
    lines = -(-len(curves) // columns)
    figure = _figure(9.6, lines * (11.0 / columns - 0.2))
    grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    for axis in grid.flat[len(curves) :]:
        axis.set_visible(False)
    for axis, (title, bins) in zip(grid.flat, curves, strict=False):
        _bare(axis)
        axis.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
        axis.set(xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
        axis.tick_params(left=True, labelleft=True, bottom=True, labelbottom=True)
        axis.tick_params(color=_COLOURS["line"])
        axis.plot([0, 1], [0, 1], color=_COLOURS["ink"], linewidth=0.9, linestyle=(0, (4, 4)))
        points = np.array(bins, dtype=np.float64).reshape(-1, 2)
        axis.plot(*points.T, color=_COLOURS["match"], linewidth=1.6, marker="o", markersize=5)
        axis.set_title(title, loc="left", pad=10, color=_COLOURS["ink"], fontsize=_SIZE)
        axis.set_xlabel("probability that was given")
        axis.set_ylabel("share that was right", color=_COLOURS["ink"])
    return _svg(figure, salt, about)


def _figure(width: float, height: float) -> Figure:
    try:
        from matplotlib import rc_context
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure as NewFigure
    except ImportError as error:
        raise MissingExtra("plots need matplotlib: pip install 'gapless[demo]'") from error
    with rc_context(_RC):
        figure = NewFigure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
    return figure


_RC: Any = {"svg.fonttype": "none", "font.size": _SIZE}


def _bare(axis: Axes) -> None:
    for spine in axis.spines.values():
        spine.set_visible(False)
    axis.tick_params(
        left=False,
        labelleft=False,
        bottom=False,
        labelbottom=False,
        labelcolor=_COLOURS["ink"],
        labelsize=_SIZE - 1,
    )
    axis.xaxis.label.set_color(_COLOURS["ink"])
    axis.patch.set_visible(False)


def _svg(figure: Figure, salt: str, about: str) -> str:
    """Write the figure as an element that takes fonts and colours from the page."""
    from html import escape

    from matplotlib import rc_context

    for legend in figure.legends:
        for text in legend.get_texts():
            text.set_color(_COLOURS["ink"])
    figure.patch.set_visible(False)
    buffer = io.StringIO()
    with rc_context({**_RC, "svg.hashsalt": salt}):  # salted, so that ids of two plots differ
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    for name, colour in _COLOURS.items():
        svg = svg.replace(colour, f"var(--{name})")
    svg = re.sub(r'font: ([\d.]+px)[^;"]*', r"font-size: \1", svg)
    svg = re.sub(r'font-family: [^;"]*;?', "", svg)
    svg = re.sub(r"(id=\"|url\(#|href=\"#)", rf"\g<1>{salt}-", svg)
    # The page sets the width; viewBox keeps the shape.
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg, count=1)
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(about)}"', 1).strip()
