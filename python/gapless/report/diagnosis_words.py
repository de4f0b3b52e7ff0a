"""What the pictures of a diagnosis show, said in one title and one sentence each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gapless.diagnosis.result import BiasReading, Diagnosis, PairReading
from gapless.diagnosis.verdicts import active

__all__ = [
    "Hill",
    "bias_words",
    "cone_words",
    "headline",
    "histogram_words",
    "named",
    "reliability_words",
    "route_words",
    "with_article",
]

Words = tuple[str, str]


class Hill(NamedTuple):
    """Mean and std of some scores."""

    mean: float
    std: float


APART = 1.0  # gap over spread from which two clouds are seen as two
WIDER = 1.3  # times as wide: a hill that then still fills the first places
TINY = 1e-12
NAMES = {"raw": "raw", "center": "centred", "shift": "shifted", "whiten": "whitened"}


def named(alignment: str) -> str:
    """Name an alignment as an adjective, where there is one."""
    return NAMES.get(alignment, f"after {alignment}")


def headline(found: Diagnosis) -> Words:
    """Say what matters most: whether the scores that are in use rank by meaning."""
    used = found.bias_in_use
    if not used:
        return (
            "There is one modality in each space",
            "Nothing is compared across modalities, so there is no gap to measure.",
        )
    worst = max(used, key=lambda b: b.lift)
    scores = f"the {named(worst.alignment)} scores"
    share = (
        f"Of the first {worst.k} answers to {worst.query_modality} queries, {worst.rate:.0%} are "
        f"{worst.query_modality}; a draw without regard to modality would give {worst.share:.0%}."
    )
    if worst.sorts_by_modality:
        return f"One ranking by {scores} sorts by modality before it sorts by meaning", share
    if worst.lift > 0.1:
        return f"One ranking by {scores} leans towards the modality of the query", share
    return f"One ranking by {scores} treats the modalities alike", share


def cone_words(raw: PairReading, after: tuple[str, float] | None, preview: bool) -> Words:
    """Say how the clouds of two modalities lie; `after` is an alignment and the gap under it."""
    first, second = raw.modalities
    over = raw.gap_over_spread
    apart = over is not None and over > APART
    title = (
        f"{first.capitalize()} and {second} lie in two clouds with a gap between them"
        if apart
        else f"{first.capitalize()} and {second} share one region"
    )
    words = f"The centres are {raw.gap:.2f} apart" + (
        "" if over is None else f", {over:.1f} times as far as a row lies from its own centre"
    )
    if after is not None:
        verb = "would bring" if preview else "brings"
        words += f"; {_noun(after[0])} {verb} that to {after[1]:.2f}"
    if raw.constancy is not None and apart:
        words += (
            f". A shift common to all explains {raw.constancy:.0%} of the way from a row to its "
            "match; the rest is its own"
        )
    return title, words + "."


def with_article(noun: str) -> str:
    """Put "a" or "an" before a noun."""
    return f"{'an' if noun[:1].lower() in 'aeiou' else 'a'} {noun}"


def _noun(alignment: str) -> str:
    nouns = {"center": "centring", "shift": "shifting", "whiten": "whitening"}
    return nouns.get(alignment, f"the alignment {alignment!r}")


def histogram_words(asker: str, other: str, hills: Sequence[Mapping[str, Hill]]) -> Words:
    """Say whether a query's own kind outscores what belongs to it.

    `hills` holds, raw and under the alignment where there is one, mean and std of the scores with
    rows of its own modality (``"own"``), of the other (``"other"``) and, where known, with its
    match (``"match"``).
    """
    own, far = hills[0]["own"].mean, hills[0]["other"].mean
    match = hills[0]["match"].mean if "match" in hills[0] else None
    query, row = f"To {with_article(asker)} query,", f"{with_article(asker)} row"
    if match is None:
        title = f"{query} any {asker} row scores about {own:.2f} and any {other} row {far:.2f}"
    elif own > match:
        title = (
            f"{query} {row} about something else ({own:.2f}) scores higher than its own {other} "
            f"({match:.2f})"
        )
    else:
        title = (
            f"{query} its own {other} ({match:.2f}) scores higher than {row} about something else "
            f"({own:.2f})"
        )
    if len(hills) == 1:
        return title, (
            "Hills that stand apart have different scales: one ranking or one threshold for both "
            "favours the hill on the right, whatever it means."
        )
    last = hills[-1]
    wide, narrow = (asker, other) if last["own"].std > last["other"].std else (other, asker)
    ratio = max(v.std for v in (last["own"], last["other"])) / max(
        TINY, min(v.std for v in (last["own"], last["other"]))
    )
    sentence = (
        "One ranking favours the hill on the right, whatever it means; the alignment is to bring "
        "the two hills of unrelated rows together"
    )
    if ratio > WIDER:
        sentence += (
            f". That of the {wide} rows stays {ratio:.1f} times as wide as that of the {narrow} "
            "rows, so it still reaches further right, where the first answers come from"
        )
    return title, sentence + "."


def bias_words(readings: tuple[BiasReading, ...]) -> Words:
    """Say how much of the first answers the query's own modality takes."""
    name = readings[-1].alignment
    used = [r for r in readings if r.alignment == name]
    worst = max(used, key=lambda r: r.lift)
    title = (
        f"Of what {worst.query_modality} queries find first, {worst.rate:.0%} is "
        f"{worst.query_modality}, where {worst.share:.0%} would be unbiased"
    )
    return title, (
        f"Each bar is the share of the first {worst.k} answers that have the query's own modality; "
        "the tick marks that modality's share of the rows."
    )


def route_words(found: Diagnosis, space: str) -> Words:
    """Say whether the scores of the routes point to the better one."""
    misled = any(
        f.code == "SIMILARITY_MISLEADS" and f"{space!r}" in f.sentence for f in found.findings
    )
    name = active(found)
    judged = [r for r in found.routes if r.alignment == name and r.recall is not None]
    if misled:
        title = "The route with the higher scores finds less"
    elif judged:
        title = "How high each route scores, and how much it finds"
    else:
        title = "How high each route scores; what it finds is not known"
    return title, (
        "A score says how loud a route is, recall how good it is: they need not agree."
        if judged
        else "Give pairs, labels or answers, and recall is shown beside the scores."
    )


def reliability_words(worst: tuple[str, float], prior: float) -> Words:
    """Say how far probabilities are off: the pair type with the greatest error, and that error."""
    name, error = worst
    title = (
        "Calibrated scores come true about as often as they say"
        if error < 0.05
        else f"The calibration of {name} is off by {error:.1%}"
    )
    return title, (
        "On the line, what is said to be 70 % likely is right 7 times out of 10; measured on pairs "
        f"that the calibration was not fitted on, with {prior:.0%} of the candidates right."
    )
