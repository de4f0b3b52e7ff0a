"""Ways to rank a mixed corpus with the engine, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from .._core import Alignment, Calibration, FieldSearch, FlatIndex, fuse, search_fields
from ..alignment.align import alpha_mix, center, mean_direction
from ..calibration.calibrate import calibrate
from ..cohorts import draw
from ..errors import InvalidArgument
from .mixed_corpus import FORMS, Embeddings, MixedCorpus

__all__ = ["METHODS", "Ranker", "Ranking", "rank"]

DEPTH = 100  # candidates from each field

Float32: TypeAlias = "npt.NDArray[np.float32]"
Float64: TypeAlias = "npt.NDArray[np.float64]"
Ids: TypeAlias = "npt.NDArray[np.int64]"
Ranking: TypeAlias = "tuple[Float64, Ids]"
Ranker: TypeAlias = "Callable[[MixedCorpus, int], Ranking]"


@dataclass(frozen=True, slots=True)
class _Field:
    index: FlatIndex
    background: Ids
    calibration: Calibration | None = None


def rank(
    corpus: MixedCorpus, method: str, k: int = 10, *, alpha: float = 0.5, depth: int | None = None
) -> Ranking:
    """Rank the whole corpus for every query.

    Texts, images and documents of both are three fields, searched exactly. The last hold GR-CLIP's
    mix N(a t + (1 - a) i), centred by the mix of the means (Li et al. 2025, arXiv 2507.19054).

    =================== =======================================================================
    ``raw``             one ranking by cosine
    ``center``          the same after centring by the three means of the held-out pairs: GR-CLIP
    ``rrf``             the fields' rankings merged by rank (k = 60)
    ``minmax``          their scores between least and largest
    ``dbsf``            their scores over mean plus and minus 3 standard deviations of the list
    ``cohort``          each field's scores on the scale of background rows
    ``center+cohort``   the same after centring: the default of a collection without pairs
    ``calibrated``      the probabilities that calibrations make of the scores, fitted by pair type
                        on the held-out pairs: the default of a collection with pairs
    ``center+calibrated`` the same of centred scores
    ``oracle``          by cosine, but only in the fields that hold a relevant document: what a
                        router would do that knows where to look
    =================== =======================================================================

    Parameters
    ----------
    corpus : MixedCorpus
    method : str
    k : int
    alpha : float
        Weight a of the text in a document of both, in [0, 1].
    depth : int, optional
        Candidates from each field; by default 100, or k if that is more.

    Returns
    -------
    (scores, documents)
        float64 and int64 (queries, k), best first; short rows end in -inf and -1.

    Raises
    ------
    InvalidArgument
        For an unknown method, bad numbers, centring without held-out pairs, calibrating with fewer
        than 10, or a background of a field with one document.
    """
    if method not in METHODS:
        raise InvalidArgument(f"the method {method!r} is unknown: choose of {', '.join(METHODS)}")
    if not isinstance(alpha, (int, float, np.number)) or not 0.0 <= alpha <= 1.0:
        raise InvalidArgument(f"alpha is {alpha!r}: give the weight of the text, in [0, 1]")
    aligned, fusion = METHODS[method]
    fields = _fields(corpus, aligned, fusion == "calibrated", alpha)
    scores = np.full((len(corpus.qrels), k), -np.inf)
    ids = np.full((len(corpus.qrels), k), -1, np.int64)
    for place, query in enumerate(corpus.data.queries):
        searched = fields
        if method == "oracle":
            wanted = {str(corpus.forms[document]) for document in corpus.qrels[place]}
            searched = {form: fields[form] for form in wanted}
        own, found = _search(searched, query, corpus, fusion, k, depth or max(k, DEPTH))
        scores[place, : len(own)], ids[place, : len(own)] = own, found
    return scores, ids


def _search(
    fields: Mapping[str, _Field],
    query: Float32,
    corpus: MixedCorpus,
    fusion: str,
    k: int,
    depth: int,
) -> Ranking:
    modality = corpus.data.query_modality
    if fusion == "dbsf":
        lists = []
        for field in fields.values():
            scores, ids = field.index.search(query[None], depth, query_modality=modality)
            there = ids[0] >= 0
            lists.append((_dbsf(scores[0, there]), ids[0, there]))
        own, found = fuse(lists, k, "combmax")
        return own[found >= 0], found[found >= 0]
    hits = search_fields(
        [
            FieldSearch(
                field.index,
                query,
                query_modality=modality,
                cohort=field.background if fusion in ("cohort", "calibrated") else None,
                calibration=field.calibration,
                field=form,
            )
            for form, field in fields.items()
        ],
        k,
        fusion,
        depth=depth,
    )
    return hits.scores, hits.ids


def _dbsf(scores: Float32) -> Float64:
    """(s - (mean - 3 std)) / (6 std), std with n - 1; .5 without spread (Qdrant's definition)."""
    given = scores.astype(np.float64)
    deviation = given.std(ddof=1) if len(given) > 1 else 0.0
    if deviation == 0.0:
        return np.full(len(given), 0.5)
    return np.asarray((given - given.mean()) / (6 * deviation) + 0.5)


def _fields(
    corpus: MixedCorpus, aligned: bool, calibrated: bool, alpha: float
) -> dict[str, _Field]:
    """Index the documents of each form; forms that no document has are left out."""
    data, train = corpus.data, corpus.train
    held = {form: corpus.held_as(form) for form in FORMS if (corpus.forms == form).any()}
    if (aligned or calibrated) and not len(train.texts):
        raise InvalidArgument(
            "no pairs are held out to fit on: draw the corpus with train above 0, or rank without "
            "centring and calibrating"
        )
    maps = _centred(train) if aligned else {}
    rows = _rows(data, held, aligned, alpha, train)
    calibrations: dict[str, Calibration | None] = dict.fromkeys(held)
    if calibrated:
        learned = _rows(train, dict.fromkeys(held, np.arange(len(train.texts))), aligned, alpha)
        found = calibrate(
            {(data.query_modality, form): (train.queries, learned[form]) for form in held},
            alignment=maps,
        )
        calibrations = {form: found[data.query_modality, form].native() for form in held}
    fields = {}
    for form, documents in held.items():
        index = FlatIndex(data.texts.shape[1])
        index.add(rows[form], documents)
        index.set_alignment(maps.get(form))
        fields[form] = _Field(index, draw(index)[1], calibrations[form])
    return fields


def _centred(train: Embeddings) -> dict[str, Alignment]:
    """Centre every form by the three means of the held-out pairs."""
    maps = center(
        {"text": train.texts, "image": train.images},
        {"text": "text", "image": "image"},
        {train.query_modality: train.queries},
    )
    # What is mixed is centred already, so that only the queries are left to do.
    return {**maps, "both": Alignment(query=maps["text"].query)}


def _rows(
    data: Embeddings,
    chosen: Mapping[str, Ids],
    aligned: bool,
    alpha: float,
    train: Embeddings | None = None,
) -> dict[str, Float32]:
    """Give the chosen documents of each form as rows; means are of `train`, by default `data`."""
    found = {
        form: (data.images if form == "image" else data.texts)[numbers]
        for form, numbers in chosen.items()
    }
    if "both" in chosen:
        own = train or data
        means = [
            mean_direction(rows) if aligned else np.zeros(rows.shape[1])
            for rows in (own.texts, own.images)
        ]
        numbers = chosen["both"]
        found["both"] = alpha_mix(data.texts[numbers], data.images[numbers], alpha, *means)
    return found


METHODS = {
    "raw": (False, "combmax"),
    "center": (True, "combmax"),
    "rrf": (False, "rrf"),
    "minmax": (False, "minmax"),
    "dbsf": (False, "dbsf"),
    "cohort": (False, "cohort"),
    "center+cohort": (True, "cohort"),
    "calibrated": (False, "calibrated"),
    "center+calibrated": (True, "calibrated"),
    "oracle": (False, "combmax"),
}
