"""The demo's numbers in words, the same in the terminal and in the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gapless.demo.evaluation import Comparison
    from gapless.diagnosis.result import Diagnosis

__all__ = ["STAGES", "gap_words", "headline", "interval"]

STAGES = {
    "draw": "drawing the icon fonts",
    "encode_images": "encoding icons",
    "encode_texts": "encoding names",
    "index": "building the index",
    "reuse": "reading the collection",
    "align": "centring the scores",
    "ask": "asking, with loading the encoders",
    "measure": "measuring the gap",
    "report": "writing the report",
    "total": "in all",
}
"""What each timed stage does."""

_WIDE = 0.5  # gap over spread from which the cones look like two
_BIASED = 0.1  # lift of the own modality from which a narrow gap is not the whole story
_SAME = 0.005  # differences of R@10 below this are not worth a sentence


def headline(comparison: Comparison) -> str:
    """Say in two sentences what the comparison found, whichever way it went."""
    raw = comparison.rows[0]
    fused = next(row for row in comparison.rows if row.name == "fused")
    first = (
        f"On the raw mixed index {raw.bias:.0%} of the first ten answers to a text query are text; "
        f"centred and fused, {fused.bias:.0%} (text is {comparison.text_share:.0%} of the items)."
    )
    change = fused.recall_at_10 - raw.recall_at_10
    numbers = f"R@10 {raw.recall_at_10:.3f} before, {fused.recall_at_10:.3f} after"
    if abs(change) < _SAME:
        second = f"It finds as many right answers ({numbers})."
    elif change > 0:
        second = f"It finds {_percent(change, raw.recall_at_10)} more right answers ({numbers})."
    else:
        second = f"It finds {_percent(-change, raw.recall_at_10)} fewer right answers ({numbers})."
    icons = (
        f"Of the right icons alone: {raw.image_recall_at_10:.3f} before, "
        f"{fused.image_recall_at_10:.3f} after."
    )
    best = max(comparison.rows, key=lambda row: row.ndcg_at_10)
    if best is fused:
        return f"{first} {second} {icons}"
    return f"{first} {second} {icons} Best by nDCG@10 is another row: {best.name}."


def gap_words(diagnosis: Diagnosis) -> str:
    """Say how wide the gap of this model is before and after centring, as it was measured."""
    pair = {reading.alignment: reading for reading in diagnosis.pairs}
    raw, centred = pair["raw"], pair["center"]
    size = "wide" if (raw.gap_over_spread or 0.0) > _WIDE else "narrow"
    words = (
        f"For this model it is {size}: the centroids are {raw.gap:.2f} apart, "
        f"{raw.gap_over_spread or 0.0:.2f} times the spread; centred, {centred.gap:.2f}."
    )
    biased = any(
        reading.alignment == "raw" and reading.query_modality == "text" and reading.lift > _BIASED
        for reading in diagnosis.bias
    )
    if size == "narrow" and biased:
        words += (
            " What it still does shows at the top of the rankings: names match names better than "
            "names match pictures."
        )
    return words


def interval(gain: tuple[float, float, float] | None, short: bool = False) -> str:
    """Write a difference with its interval, or a dash for the row it is measured from.

    `short` gives half the interval's width instead of its ends.
    """
    if gain is None:
        return "-"
    mean, low, high = gain
    if short:
        return f"{mean:+.3f} ±{(high - low) / 2:.3f}"
    return f"{mean:+.3f} ({low:+.3f} to {high:+.3f})"


def _percent(change: float, base: float) -> str:
    return f"{change / base:.0%}" if base else "some"
