"""Turn the readings of a diagnosis into findings: what to mind, with figures, and what to do.

Every threshold is a named constant with its source. Bounds of the articles on contrastive models
were stated for CLIP; those on the width of scores hold for pairs of two modalities only, since
rows of one modality spread wider (.10 where image-text pairs spread .05).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

from ..findings import Finding
from .result import Diagnosis, PairReading, RouteReading

__all__ = ["COLLAPSED_STD", "WIDE_GAP", "active", "judge", "separation"]

COLLAPSED_STD = 0.01  # std of random-pair cosines; the contrastive-learning guide's bound
HEALTHY_STD = 0.04  # lower end of the same guide's band for CLIP; cross-modal pairs only
WIDE_GAP = 0.5  # cosine distance of the centroids; the same guide: "unreliable without calibration"
APART = 2.0  # stds between matched and random pairs: one random pair in forty reaches a match
HUB_SKEW = 1.4  # Feldbauer & Flexer 2019: high hubness
NEVER_FOUND = 0.10  # with it, a tenth of the rows that no query finds
MISLED = 0.02  # recall by which the route of lower scores must win, beside two standard errors
TOLERANCE = 0.01  # recall an alignment may cost, beside two standard errors; as `align` has it
OUTLYING = 2.0  # times the expected share of outlying queries
FEW_PAIRS = 50  # below, Platt scaling is worse than a cohort (measured on CLIP, COCO captions)
FEW_ROWS = 30  # below, a mean or a rank over them says little
MATCHED = 10  # pairs from which a mean says anything

Rule = Callable[[Diagnosis], Iterator[Finding]]


def judge(diagnosis: Diagnosis) -> tuple[Finding, ...]:
    """Judge the readings of one space under the active alignment, or raw where there is none.

    Codes: ``COLLAPSED``, ``NARROW_SCORES``, ``PAIRS_UNRELATED``, ``SORTS_BY_MODALITY``,
    ``WIDE_GAP``, ``SIMILARITY_MISLEADS``, ``ALIGNMENT_COSTS_RECALL``, ``HUBS``,
    ``QUERIES_OUT_OF_DISTRIBUTION``, ``FEW_PAIRS``, ``FEW_ROWS``; the gravest first.
    """
    return tuple(itertools.chain.from_iterable(rule(diagnosis) for rule in RULES))


def active(diagnosis: Diagnosis) -> str:
    """Name of the alignment that scores: the last one read."""
    return diagnosis.modalities[-1].alignment if diagnosis.modalities else "raw"


def _in(space: str, alignment: str) -> str:
    return f"In space {space!r}, {'raw' if alignment == 'raw' else f'under {alignment}'},"


def _collapsed(found: Diagnosis) -> Iterator[Finding]:
    for r in found.modalities:
        if r.alignment == "raw" and r.cosine_std is not None and r.cosine_std < COLLAPSED_STD:
            yield _collapse(r.space, f"{r.modality} rows", r.cosine_mean, r.cosine_std)
    for p in found.pairs:
        if p.alignment == "raw" and p.random_std is not None and p.random_std < COLLAPSED_STD:
            yield _collapse(p.space, " and ".join(p.modalities), p.random_mean, p.random_std)


def _collapse(space: str, what: str, mean: float | None, std: float) -> Finding:
    return Finding(
        "COLLAPSED",
        f"In space {space!r}, random pairs of {what} all score {mean:.3f} ± {std:.4f}: "
        f"a std below {COLLAPSED_STD} leaves nothing to rank by.",
        "Check that preprocessing feeds the encoder what it was trained on; if it does, the model "
        "has collapsed: take another checkpoint, or train with a higher temperature and fewer "
        "hard negatives.",
    )


def _narrow(found: Diagnosis) -> Iterator[Finding]:
    for p in found.pairs:
        std = p.random_std
        if p.alignment != "raw" or std is None or not COLLAPSED_STD <= std < HEALTHY_STD:
            continue
        if p.matched < MATCHED or (separation(p) or 0.0) < APART:
            yield Finding(
                "NARROW_SCORES",
                f"In space {p.space!r}, random pairs of {' and '.join(p.modalities)} have a std of "
                f"{std:.3f}, below the {HEALTHY_STD} to .08 usual for two modalities, and no "
                "matched pairs show that this is enough to tell them apart.",
                "Give pairs, or fill both fields of some items, to see whether matches stand out.",
            )


def separation(p: PairReading) -> float | None:
    """Stds of the random pairs by which matched ones score higher."""
    if p.matched_mean is None or p.random_mean is None or not p.random_std:
        return None
    return (p.matched_mean - p.random_mean) / p.random_std


def _unrelated(found: Diagnosis) -> Iterator[Finding]:
    for p in found.pairs:
        apart = separation(p)
        if p.alignment == "raw" and p.matched >= MATCHED and apart is not None and apart < 1.0:
            yield Finding(
                "PAIRS_UNRELATED",
                f"In space {p.space!r}, {p.matched} matched pairs of {' and '.join(p.modalities)} "
                f"score {p.matched_mean:.3f} and random ones {p.random_mean:.3f} ± "
                f"{p.random_std:.3f}: matches hardly stand out.",
                "Check that both encoders are the two halves of one model and that rows are "
                "paired with the right items.",
            )


def _sorts(found: Diagnosis) -> Iterator[Finding]:
    name = active(found)
    sorted_ = [r for r in found.bias_in_use if r.sorts_by_modality]
    if not sorted_:
        return
    raw = {r.query_modality: r.rate for r in found.bias if r.alignment == "raw"}
    shares = [
        f"{r.rate:.1%} of the first {r.k} answers to {r.query_modality} queries are "
        f"{r.query_modality} (unbiased: {r.share:.1%}"
        + ("" if name == "raw" or found.whole else f"; raw: {raw[r.query_modality]:.1%}")
        + ")"
        for r in sorted_
    ]
    yield Finding(
        "SORTS_BY_MODALITY",
        f"{_in(sorted_[0].space, name)} {'; '.join(shares)}: one ranking by score is mostly a "
        "sort by modality.",
        "Search each field by itself and fuse: fusion='auto' does, by calibration where pairs "
        "are known and else by cohort. Do not compare scores across modalities.",
    )


def _wide(found: Diagnosis) -> Iterator[Finding]:
    name = active(found)
    for p in found.pairs:
        if p.alignment != name or p.gap_cosine <= WIDE_GAP or p.gap_over_spread is None:
            continue
        if name != "raw" and p.gap_over_spread < WIDE_GAP:
            continue  # two short centroids near the origin may point anywhere
        constant = (
            ""
            if p.constancy is None
            else f" One constant offset explains {p.constancy:.0%} of the distance of matched "
            "pairs; the rest depends on the item."
        )
        yield Finding(
            "WIDE_GAP",
            f"{_in(p.space, name)} the centroids of {' and '.join(p.modalities)} are "
            f"{p.gap_cosine:.2f} apart in cosine distance (above {WIDE_GAP}) and "
            f"{p.gap_over_spread:.1f} times the spread of each.{constant}",
            "Align the fields with col.align('center') and calibrate before setting a threshold."
            if name == "raw"
            else "Estimate the alignment anew, with queries like the real ones.",
        )


def _misled(found: Diagnosis) -> Iterator[Finding]:
    name = active(found)
    judged = [
        r for r in found.routes if r.alignment == name and r.recall is not None
        and r.judged >= MATCHED
    ]  # fmt: skip
    for a, b in itertools.permutations(judged, 2):
        if (a.space, a.query_modality, a.source) == (b.space, b.query_modality, b.source):
            yield from _disagreement(a, b)


def _disagreement(louder: RouteReading, better: RouteReading) -> Iterator[Finding]:
    low, high = louder.recall or 0.0, better.recall or 0.0
    if louder.mean_score > better.mean_score and high - low > MISLED + _noise(louder, better):
        yield Finding(
            "SIMILARITY_MISLEADS",
            f"{_in(louder.space, louder.alignment)} {louder.query_modality} queries score "
            f"{louder.mean_score:.3f} with {louder.target_modality} and {better.mean_score:.3f} "
            f"with {better.target_modality}, yet find {low:.1%} of the right rows there and "
            f"{high:.1%} here: the higher score is the worse route.",
            "Do not choose a route or a winner by mean or best raw score: fuse by calibration or "
            "rank, or rerank candidates of both routes.",
        )


def _noise(a: RouteReading, b: RouteReading) -> float:
    """Two standard errors of the difference of two recalls, as if hits were independent."""
    return 2.0 * math.sqrt(sum(r * (1.0 - r) / n for r, n in _recalls(a, b)))


def _recalls(*routes: RouteReading) -> list[tuple[float, int]]:
    return [(r.recall or 0.0, r.judged) for r in routes]


def _costs(found: Diagnosis) -> Iterator[Finding]:
    name = active(found)
    if name == "raw":
        return
    raw = {_of(r): r for r in found.routes if r.alignment == "raw"}
    for r in found.routes:
        before = raw.get(_of(r))
        if r.alignment != name or before is None or r.recall is None or before.recall is None:
            continue
        if r.judged >= MATCHED and before.recall - r.recall > TOLERANCE + _noise(r, before):
            yield Finding(
                "ALIGNMENT_COSTS_RECALL",
                f"{_in(r.space, name)} {r.query_modality} queries find {r.recall:.1%} of the "
                f"right {r.target_modality} rows among the first {r.k}, and {before.recall:.1%} "
                "raw.",
                "Compare with col.align('center') or go back with col.align('raw').",
            )


def _of(r: RouteReading) -> tuple[str, str, str, str]:
    return r.space, r.query_modality, r.target_modality, r.source


def _hubs(found: Diagnosis) -> Iterator[Finding]:
    name = active(found)
    for r in found.routes:
        if (
            r.alignment == name
            and r.hub_skew > HUB_SKEW
            and r.antihub_share >= NEVER_FOUND
            and r.queries * r.k >= r.documents
        ):
            yield Finding(
                "HUBS",
                f"{_in(r.space, name)} a few {r.target_modality} rows answer many "
                f"{r.query_modality} queries (skewness {r.hub_skew:.1f} of how often a row is "
                f"among the first {r.k}) and {r.antihub_share:.0%} of the rows answer none.",
                "Centre the field, or fuse with fusion='cohort'; look at the hubs for empty or "
                "generic content.",
            )


def _outlying(found: Diagnosis) -> Iterator[Finding]:
    for r in found.outliers:
        noise = 2.0 * (r.expected * (1.0 - r.expected) / r.queries) ** 0.5
        if r.share > OUTLYING * r.expected + noise:
            yield Finding(
                "QUERIES_OUT_OF_DISTRIBUTION",
                f"In space {r.space!r}, {r.share:.0%} of {r.queries} {r.modality} queries are "
                f"farther from the {r.modality} rows than {1 - r.expected:.0%} of those are from "
                "each other.",
                "Index content of that kind, or fine-tune on 1,000 to 10,000 (query, positive, "
                "negative) triples of the domain; meanwhile give query samples to col.align.",
            )


def _few(found: Diagnosis) -> Iterator[Finding]:
    for p in found.pairs:
        if p.alignment == "raw" and p.matched < FEW_PAIRS:
            yield Finding(
                "FEW_PAIRS",
                f"In space {p.space!r}, {p.matched} matched pairs of {' and '.join(p.modalities)} "
                f"were seen: recall and calibration cannot be trusted below {FEW_PAIRS}.",
                "Fill both fields of some items, or give pairs.",
            )


def _scarce(found: Diagnosis) -> Iterator[Finding]:
    for r in found.modalities:
        if r.alignment == "raw" and r.rows < FEW_ROWS:
            lone = (
                "; one row has no spread, and what is read off it (0, or nothing) has no meaning"
                if r.rows == 1
                else ""
            )
            yield Finding(
                "FEW_ROWS",
                f"In space {r.space!r}, {r.rows} {r.modality} rows were seen: readings are rough "
                f"below {FEW_ROWS}{lone}.",
                f"Add {r.modality} vectors, some hundreds if the readings are to be steady.",
            )


RULES: tuple[Rule, ...] = (
    _collapsed, _unrelated, _narrow, _sorts, _wide, _misled, _costs, _hubs, _outlying, _few,
    _scarce,
)  # fmt: skip
