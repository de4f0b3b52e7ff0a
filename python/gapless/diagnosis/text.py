"""A diagnosis as plain text: findings first, then the tables."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..table import columns

if TYPE_CHECKING:
    from .result import BiasReading, Diagnosis

__all__ = ["diagnosis_text"]

WIDTH = 92


def diagnosis_text(diagnosis: Diagnosis) -> str:
    """Write the diagnosis for a terminal; ``print(diagnosis)`` does."""
    parts = [
        _findings(diagnosis),
        _table(
            "Modalities",
            ("space", "alignment", "modality", "rows", "spread", "cosine within", "uniformity",
             "effective rank"),
            [
                (r.space, r.alignment, r.modality, str(r.rows), f"{r.spread:.3f}",
                 _spread(r.cosine_mean, r.cosine_std), f"{r.uniformity:.2f}",
                 f"{r.effective_rank:.0f}")
                for r in diagnosis.modalities
            ],
        ),
        _table(
            "Gap between modalities",
            ("space", "alignment", "pair", "gap", "cosine", "gap/spread", "random pairs",
             "matched pairs"),
            [
                (r.space, r.alignment, " - ".join(r.modalities), f"{r.gap:.3f}",
                 f"{r.gap_cosine:.3f}", _number(r.gap_over_spread, 2),
                 _spread(r.random_mean, r.random_std), _spread(r.matched_mean, r.matched_std))
                for r in diagnosis.pairs
            ],
        ),
        _table(
            "Shape of the gap",
            ("space", "alignment", "pair", "constancy", "offset cosine", "RMG", "alignment loss",
             "separability", "LISI", "NAS"),
            [
                (r.space, r.alignment, " - ".join(r.modalities), _number(r.constancy),
                 _spread(r.offset_cosine_mean, r.offset_cosine_std), _number(r.rmg),
                 _number(r.alignment_loss), _number(r.separability), _number(r.lisi),
                 _number(r.neighbour_agreement))
                for r in diagnosis.pairs
            ],
        ),
        _table(
            "Intra-modal bias: share of the first k with the query's own modality",
            ("space", "alignment", "query", "k", "rate", "expected", "lift", ""),
            [_bias(r) for r in diagnosis.bias],
        ),
        _table(
            "The same over all rows of the collection",
            ("space", "alignment", "query", "k", "rate", "expected", "lift", ""),
            [_bias(r) for r in diagnosis.whole],
        ),
        _table(
            "Routes: mean score of the first k beside their recall",
            ("space", "alignment", "route", "asked by", "k", "score", "recall", "hub skew",
             "never found"),
            [
                (r.space, r.alignment, f"{r.query_modality} → {r.target_modality}", r.source,
                 str(r.k), f"{r.mean_score:+.3f}", _number(r.recall), f"{r.hub_skew:.2f}",
                 f"{r.antihub_share:.1%}")
                for r in diagnosis.routes
            ],
        ),
        _table(
            "Queries unlike anything in the collection",
            ("space", "modality", "queries", "share", "expected"),
            [
                (r.space, r.modality, str(r.queries), f"{r.share:.3f}", f"{r.expected:.3f}")
                for r in diagnosis.outliers
            ],
        ),
        list(diagnosis.notes),
    ]  # fmt: skip
    return "\n\n".join("\n".join(part) for part in parts if part)


def _findings(diagnosis: Diagnosis) -> list[str]:
    lines = ["Findings"] if diagnosis.findings else []
    for found in diagnosis.findings:
        lines += textwrap.wrap(f"{found.code}: {found.sentence}", WIDTH, subsequent_indent="  ")
        lines += textwrap.wrap(found.remedy, WIDTH, initial_indent="  → ", subsequent_indent="    ")
    return lines


def _table(title: str, header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    return [title, *columns(header, rows)] if rows else []


def _bias(r: BiasReading) -> tuple[str, ...]:
    return (
        r.space, r.alignment, r.query_modality, str(r.k), f"{r.rate:.3f}", f"{r.share:.3f}",
        f"{r.lift:+.3f}", "sorts by modality" if r.sorts_by_modality else "",
    )  # fmt: skip


def _number(value: float | None, digits: int = 3) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _spread(mean: float | None, std: float | None) -> str:
    return "-" if mean is None or std is None else f"{mean:+.3f} ± {std:.3f}"
