"""From a symptom to its cause: four recipes that look at the data before they advise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..errors import InvalidArgument
from .conflicts import near_duplicate_shares
from .readings import View
from .result import Diagnosis
from .sampling import Sample
from .verdicts import APART, COLLAPSED_STD, active, separation

__all__ = ["SYMPTOMS", "Prescription", "check_symptom", "examine"]

SYMPTOMS = {
    "same_scores": "all results have about the same score",
    "cross_modal": "search across modalities gives irrelevant results, within one it works",
    "rare_queries": "common queries work, rare or specific ones fail",
    "more_data": "adding data made the search worse",
}
CONFLICTS = 0.01  # share of rows with a conflicting near-duplicate that is worth repair
RARER = 0.10  # recall that rows in sparse regions lose, beside two standard errors
NEAR = 5  # neighbours whose distance tells how sparse a region is

Float64: TypeAlias = "npt.NDArray[np.float64]"


@dataclass(frozen=True, slots=True)
class Prescription:
    """What one recipe found.

    Attributes
    ----------
    symptom : str
        A key of `SYMPTOMS`.
    present : bool
        Whether the data has the cause that the recipe looks for.
    cause : str
        What was found, or that it was not.
    evidence : mapping of str to float
        The figures it rests on; only what could be measured.
    fix : str
        What to do; where the cause is absent, where to look next.
    """

    symptom: str
    present: bool
    cause: str
    evidence: Mapping[str, float]
    fix: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        figures = ", ".join(f"{name} {value:.3f}" for name, value in self.evidence.items())
        return (
            f"{SYMPTOMS[self.symptom]}: {'found' if self.present else 'not found'}\n"
            f"  cause: {self.cause}\n  evidence: {figures or 'none'}\n  fix: {self.fix}"
        )


def examine(
    found: Diagnosis,
    symptom: str | None = None,
    beside: Sequence[tuple[Sample, Sample]] | None = None,
) -> tuple[Prescription, ...]:
    """Apply the recipe of `symptom`, or all four.

    Parameters
    ----------
    found : Diagnosis
        With its samples, as `gapless.diagnose` makes it.
    symptom : str, optional
        ``"same_scores"``, ``"cross_modal"``, ``"rare_queries"`` or ``"more_data"``.
    beside : sequence of (Sample, Sample), optional
        Rows of each sample, and the sample with rows near those added, as
        `gapless.diagnosis.conflicts.with_neighbours` gives them: a near-duplicate that is not in
        the sample is not seen without.

    Raises
    ------
    InvalidArgument
        For another symptom, or a diagnosis without samples.

    Examples
    --------
    >>> from gapless.diagnosis.diagnose import diagnose
    >>> rows = np.random.default_rng(0).normal(size=(60, 8))
    >>> [p.present for p in examine(diagnose({"text": rows + 1e5}), "same_scores")]
    [True]
    """
    check_symptom(symptom)
    if not found.samples:
        raise InvalidArgument("the diagnosis has no samples: make one with diagnose")
    recipes: dict[str, Callable[[], Prescription]] = {
        "same_scores": lambda: _same_scores(found),
        "cross_modal": lambda: _cross_modal(found),
        "rare_queries": lambda: _rare_queries(found),
        "more_data": lambda: _more_data(
            [(s, s) for s in found.samples] if beside is None else beside
        ),
    }
    return tuple(recipe() for name, recipe in recipes.items() if symptom in (None, name))


def check_symptom(symptom: object) -> None:
    """Refuse anything but a key of `SYMPTOMS` or None, with InvalidArgument."""
    if symptom is not None and not (isinstance(symptom, str) and symptom in SYMPTOMS):
        choices = "; ".join(f"{name!r} ({words})" for name, words in SYMPTOMS.items())
        raise InvalidArgument(f"symptom is {symptom!r}: choose one of {choices}")


def _same_scores(found: Diagnosis) -> Prescription:
    stds = {
        f"{r.space} {r.modality}": r.cosine_std
        for r in found.modalities
        if r.alignment == "raw" and r.cosine_std is not None
    } | {
        f"{p.space} {' - '.join(p.modalities)}": p.random_std
        for p in found.pairs
        if p.alignment == "raw" and p.random_std is not None
    }
    evidence = {f"std of {name}": value for name, value in stds.items()}
    ranks = [r.effective_rank for r in found.modalities if r.alignment == "raw"]
    evidence["lowest effective rank"] = min(ranks)
    worst = min(stds, key=lambda name: stds[name], default=None)
    if worst is not None and stds[worst] < COLLAPSED_STD:
        return Prescription(
            "same_scores",
            True,
            f"Embedding collapse: random pairs of {worst} have a std of {stds[worst]:.4f}, below "
            f"{COLLAPSED_STD}; everything is mapped into one spot.",
            evidence,
            "Check preprocessing and that the right checkpoint is loaded; if both are right, train "
            "with a higher temperature, fewer hard negatives and cleaner data, or take another "
            "model.",
        )
    return Prescription(
        "same_scores",
        False,
        "No collapse: random pairs spread as they should. Scores of image-text pairs lie in a "
        "narrow band by nature.",
        evidence,
        "Rank instead of thresholding raw scores, or calibrate them: col.calibrate().",
    )


def _cross_modal(found: Diagnosis) -> Prescription:
    name = active(found)
    evidence: dict[str, float] = {}
    pairs = [p for p in found.pairs if p.alignment == name]
    lifts = [b.lift for b in found.bias_in_use]
    if pairs:
        evidence["widest gap (cosine distance)"] = max(
            p.gap_cosine for p in found.pairs if p.alignment == "raw"
        )
        evidence["highest bias lift"] = max(lifts)
    judged = [r for r in found.routes if r.alignment == name and r.recall is not None]
    for what, same in (("within", True), ("across", False)):
        recalls = [
            r.recall or 0.0
            for r in judged
            if (r.query_modality == r.target_modality) == same and r.source == "items"
        ]
        if recalls:
            evidence[f"recall {what} modalities"] = float(np.mean(recalls))
    every = [separation(p) for p in found.pairs if p.alignment == "raw"]
    apart = [value for value in every if value is not None]
    if apart:
        evidence["stds between matched and random pairs"] = min(apart)
    if apart and min(apart) < APART / 2:
        return Prescription(
            "cross_modal",
            True,
            "The two encoders do not agree: matched pairs score hardly above random ones, so this "
            "is no matter of the gap.",
            evidence,
            "Check that both are halves of one model with their own preprocessing, and that rows "
            "belong to the items they stand at.",
        )
    if any(b.sorts_by_modality for b in found.bias_in_use):
        align = "" if name != "raw" else "col.align('center'), then "
        return Prescription(
            "cross_modal",
            True,
            "The modality gap: rankings that mix modalities, and thresholds taken from one pair "
            "of modalities, are decided by the modality and not by the meaning.",
            evidence,
            f"{align}col.calibrate() per query type; or learn a projection on matched pairs, "
            "col.align('ridge'), which is kept only if held-out recall does not fall.",
        )
    return Prescription(
        "cross_modal",
        False,
        "Neither a gap that sorts by modality nor encoders that disagree were found."
        if pairs
        else "The collection has one modality per space: nothing is compared across modalities.",
        evidence,
        "Give labels, to compare recall within and across modalities."
        if pairs
        else "Store both modalities in one space of a dual encoder.",
    )


def _rare_queries(found: Diagnosis) -> Prescription:
    evidence: dict[str, float] = {}
    outlying = False
    for r in found.outliers:
        evidence[f"outlying {r.modality} queries"] = r.share
        noise = 2.0 * (r.expected * (1.0 - r.expected) / r.queries) ** 0.5
        outlying |= r.share > 2.0 * r.expected + noise
    sparse_fails = False
    for sample in found.samples:
        for route, (rare, common, count) in _recall_by_density(sample).items():
            evidence[f"recall {route} in sparse regions"] = rare
            evidence[f"recall {route} elsewhere"] = common
            noise = 2.0 * (rare * (1 - rare) / count + common * (1 - common) / (2 * count)) ** 0.5
            sparse_fails |= common - rare > RARER + noise
    causes = []
    if outlying:
        causes.append("many queries are unlike anything of their modality in the collection")
    if sparse_fails:
        causes.append("rows with few neighbours are found less often than the rest")
    if causes:
        return Prescription(
            "rare_queries",
            True,
            "The model has not seen this kind of content: " + "; ".join(causes) + ".",
            evidence,
            "Fine-tune on 1,000 to 10,000 (query, positive, negative) triples of the domain, or "
            "add a field of exact words beside the vectors.",
        )
    return Prescription(
        "rare_queries",
        False,
        "Rare content is found as often as common content."
        if evidence
        else "Nothing to judge by: there are neither queries nor matched pairs.",
        evidence,
        "Give queries of real users, and answers where they are known."
        if not found.outliers
        else "Look at the failing queries one by one.",
    )


def _recall_by_density(sample: Sample) -> dict[str, tuple[float, float, int]]:
    """Recall@10 across modalities of the sparsest third of the queries, and of the others."""
    view = View(sample, aligned=bool(sample.maps))
    results = {}
    for i, asker in enumerate(sample.modalities):
        for j, target in enumerate(sample.modalities):
            mine, there = view.code == i, view.code == j
            right = view.right[np.ix_(mine, there)]
            judged = right.any(axis=1)
            if i == j or judged.sum() < 30 or there.sum() <= 20 or mine.sum() <= NEAR:
                continue
            own = view.scores[np.ix_(mine, mine)]
            near = np.partition(own, -NEAR, axis=1)[:, -NEAR:].mean(axis=1)[judged]
            scores = view.scores[np.ix_(mine, there)][judged]
            first = np.argsort(-scores, axis=1, kind="stable")[:, :10]
            found = np.take_along_axis(right[judged], first, axis=1)
            hit: Float64 = found.max(axis=1).astype(np.float64)
            order = np.argsort(near, kind="stable")
            count = len(order) // 3
            results[f"{asker} → {target}"] = (
                float(hit[order[:count]].mean()),
                float(hit[order[count:]].mean()),
                count,
            )
    return results


def _more_data(samples: Sequence[tuple[Sample, Sample]]) -> Prescription:
    evidence: dict[str, float] = {}
    worst = 0.0
    judged = False
    for asking, near in samples:
        for field, (copies, conflicts) in near_duplicate_shares(asking, near).items():
            evidence[f"near-duplicates in {field}"] = copies
            if conflicts is not None:
                judged = True
                evidence[f"conflicting ones in {field}"] = conflicts
                worst = max(worst, conflicts)
    if worst >= CONFLICTS:
        return Prescription(
            "more_data",
            True,
            f"Near-duplicates with different labels or partners: {worst:.1%} of the rows have one. "
            "Each makes the other a wrong answer, and a false negative in training.",
            evidence,
            "Merge near-duplicates into one item, or remove them: gapless.near_duplicates lists "
            "them.",
        )
    return Prescription(
        "more_data",
        False,
        "Near-duplicates that contradict each other are rare."
        if judged
        else "No labels and no matched pairs tell which near-duplicates contradict each other.",
        evidence,
        "Compare recall before and after, on the same queries and with effort (ef) raised."
        if judged
        else "Give labels.",
    )
