"""The MixBench protocol: one ranking over texts, images and documents of both.

Li et al., "Closing the Modality Gap for Mixed Modality Search", 2025, arXiv 2507.19054: documents
that have a text and an image are each held in one form, texts : images : both = 1 : 1 : 1, and
queries are ranked over all of them. A ranking with a gap in it prefers one form.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..batch import whole
from ..errors import InvalidArgument
from .evaluate import evaluate
from .measures import intra_modal_bias
from .metrics import cut, metric_names
from .mixed_corpus import Embeddings, MixedCorpus, draw_corpus, embed, shares_of
from .mixed_ranking import METHODS, Ranker, rank
from .mixed_results import BIAS_AT, MixBench, UCurve

__all__ = ["DEFAULT_METHODS", "MixBench", "UCurve", "measure_corpora", "mixbench", "u_curve"]

DEFAULT_METHODS = ("raw", "center", "rrf", "cohort", "center+cohort", "calibrated", "oracle")
RANKED = 100  # at least, where a metric looks at the whole ranking

Array = npt.NDArray[np.float64]
Methods = Sequence[str] | Mapping[str, "str | Ranker"]


def mixbench(
    queries: Any,
    images: Any,
    texts: Any,
    qrels: Any = None,
    *,
    encode: Mapping[str, Callable[[Sequence[Any]], npt.ArrayLike]] | None = None,
    query_modality: str = "text",
    ratios: Sequence[float] = (1, 1, 1),
    methods: Methods = DEFAULT_METHODS,
    metrics: str | Sequence[str] = ("ndcg@10", "ndcg@100", "recall@1"),
    train: float = 0.2,
    draws: int = 1,
    alpha: float = 0.5,
    seed: int = 0,
) -> MixBench:
    """Measure an encoder, and ways to rank its vectors, on a corpus of mixed forms.

    Parameters
    ----------
    queries, images, texts
        Rows (n, dim), or with `encode` sequences of whatever the encoders take. Image i and text
        i are one document.
    qrels : mapping or sequence, optional
        {query number: {document number: gain}}, or one set of documents for each query. By default
        document i answers query i.
    encode : mapping, optional
        ``{"text": f, "image": g}``: functions from a sequence to rows (n, dim). Queries go through
        that of `query_modality`, unless there is one for ``"query"``.
    query_modality : str
    ratios : (float, float, float)
        Documents held as text : image : both, such as ``(70, 20, 10)``.
    methods : sequence of names, or mapping of name to name or function
        Of `gapless.evaluation.mixed_ranking.rank`; a function takes the corpus and k and returns
        (scores, documents), both (queries, k), an empty place being -1.
    metrics : str or sequence of str
        Those of `gapless.evaluate`.
    train : float
        Share of the queries that are held out with their documents to estimate means.
    draws : int
        Random divisions of the documents; the figures are means over them.
    alpha : float
        Weight of the text in a document of both.
    seed : int
        Of the first draw; the next ones count up.

    Returns
    -------
    MixBench

    Raises
    ------
    InvalidArgument, InvalidVector, SpaceMismatch
        For rows, ratios, judgements, methods and metrics that cannot be used.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> meaning, gap = rng.normal(size=(60, 16)), 3 * np.eye(16)[0]
    >>> found = mixbench(meaning - gap, meaning + gap, meaning - gap, ratios=(1, 1, 0))
    >>> found.mean("raw", form="text->text") > found.mean("raw", form="text->image")
    True
    """
    shares_of(ratios)  # before anything is encoded
    data = embed(queries, images, texts, encode, query_modality)
    corpora = _draws(data, qrels, ratios, train, draws, seed)
    return measure_corpora(corpora, methods, metrics, alpha=alpha)


def u_curve(
    queries: Any,
    images: Any,
    texts: Any,
    qrels: Any = None,
    *,
    shares: Sequence[float] = (0.0, 0.25, 0.5, 0.75, 1.0),
    encode: Mapping[str, Callable[[Sequence[Any]], npt.ArrayLike]] | None = None,
    query_modality: str = "text",
    methods: Methods = DEFAULT_METHODS,
    metric: str = "ndcg@10",
    train: float = 0.2,
    draws: int = 1,
    seed: int = 0,
) -> UCurve:
    """Replace more and more texts of the corpus by the images of the same documents.

    A ranking that the gap does not touch goes straight from its quality on texts alone to that on
    images alone; one that is touched falls in between, which makes a U.

    Parameters
    ----------
    shares : sequence of float
        Ascending shares of images, in [0, 1]; at least 2.
    metric : str
        One of `gapless.evaluate`.
    queries, images, texts, qrels, encode, query_modality, methods, train, draws, seed
        As of `mixbench`. The documents replaced at one share stay replaced at the next.

    Returns
    -------
    UCurve

    Raises
    ------
    InvalidArgument, InvalidVector, SpaceMismatch
        As of `mixbench`, and for other shares.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> meaning, gap = rng.normal(size=(60, 16)), 3 * np.eye(16)[0]
    >>> found = u_curve(meaning - gap, meaning + gap, meaning - gap)
    >>> found.dip("raw") > found.dip("center")
    True
    """
    try:
        given = [float(share) for share in shares]
    except (TypeError, ValueError):
        given = []
    rising = all(a < b for a, b in itertools.pairwise(given))
    if len(given) < 2 or not rising or not given[0] >= 0.0 or not given[-1] <= 1.0:
        raise InvalidArgument(
            f"shares is {shares!r:.80}: give at least 2 ascending shares of images, from 0 to 1"
        )
    data = embed(queries, images, texts, encode, query_modality)
    found = [
        measure_corpora(
            _draws(data, qrels, (1 - share, share, 0), train, draws, seed), methods, (metric,)
        )
        for share in given
    ]
    return UCurve(
        found[0].metrics[0],
        tuple(given),
        {
            method: np.array([measured.mean(method) for measured in found])
            for method in found[0].methods
        },
    )


def _draws(
    data: Embeddings, qrels: Any, ratios: Sequence[float], train: float, draws: int, seed: int
) -> Iterator[MixedCorpus]:
    seed = whole("seed", seed, 0)
    for number in range(whole("draws", draws, 0)):
        yield draw_corpus(data, qrels, ratios, train=train, seed=seed + number)


def measure_corpora(
    corpora: Iterable[MixedCorpus],
    methods: Methods = DEFAULT_METHODS,
    metrics: str | Sequence[str] = ("ndcg@10",),
    *,
    alpha: float = 0.5,
) -> MixBench:
    """Measure ways of ranking on corpora that are there already; see `mixbench`.

    Parameters
    ----------
    corpora : iterable of MixedCorpus
        At least one. They may be made one after the other.
    methods, metrics, alpha
        As of `mixbench`.
    """
    ways = _ways(methods, alpha)
    names = metric_names(metrics)
    cuts = [cut(name) for name in names]
    k = max(max(c or RANKED for c in cuts), BIAS_AT)
    values: dict[str, list[Array]] = {way: [] for way in ways}
    forms: dict[str, list[dict[str, Array]]] = {way: [] for way in ways}
    bias: dict[str, list[float]] = {way: [] for way in ways}
    first: MixedCorpus | None = None
    for corpus in corpora:
        first = first or corpus
        own = corpus.data.query_modality
        for way, ranker in ways.items():
            scores, ids = ranker(corpus, k)
            asked = dict.fromkeys(range(len(corpus.qrels)), own)
            found = evaluate(
                (np.asarray(scores), np.asarray(ids)),
                corpus.qrels,
                names,
                by=(asked, corpus.forms),
            )
            values[way].append(np.array([found[name] for name in names]))
            forms[way].append(
                {kind: np.array([g[name] for name in names]) for kind, g in found.groups.items()}
            )
            bias[way].append(_bias(ids, corpus.forms, own))
    if first is None:
        raise InvalidArgument("there is no corpus to measure on: draw at least one")
    return MixBench(
        tuple(ways),
        names,
        {
            way: {name: np.array([v[i] for v in own]) for i, name in enumerate(names)}
            for way, own in values.items()
        },
        {way: _joined(own, len(names)) for way, own in forms.items()},
        {way: np.array(own) for way, own in bias.items()},
        float((first.forms == first.data.query_modality).mean()),
        len(first.qrels),
        len(first.forms),
    )


def _ways(methods: Methods, alpha: float) -> dict[str, Ranker]:
    """Give the function of each way to rank."""
    listed = () if isinstance(methods, str) or not isinstance(methods, Iterable) else methods
    given = methods if isinstance(methods, Mapping) else {str(name): name for name in listed}
    if not given:
        raise InvalidArgument(f"methods is {methods!r}: give a list of names, of {[*METHODS]}")
    found: dict[str, Ranker] = {}
    for name, way in given.items():
        if isinstance(way, str):
            if way not in METHODS:
                raise InvalidArgument(
                    f"the method {way!r} is unknown: choose of {', '.join(METHODS)}, or give a "
                    "function as {name: function}"
                )
            found[name] = _named(way, alpha)
        elif callable(way):
            found[name] = way
        else:
            raise InvalidArgument(f"the method {name!r} is {way!r:.60}: give a name or a function")
    return found


def _named(method: str, alpha: float) -> Ranker:
    return lambda corpus, k: rank(corpus, method, k, alpha=alpha)


def _bias(ids: Any, forms: npt.NDArray[np.str_], modality: str) -> float:
    """Share of the queries' own form among the first answers."""
    own = forms == modality
    if own.all() or not own.any():  # nothing to prefer
        return float(own.all())
    return intra_modal_bias(np.asarray(ids), forms, modality, BIAS_AT).rate


def _joined(draws: Sequence[Mapping[str, Array]], metrics: int) -> dict[str, Array]:
    """One array by pair type: (draws, metrics), NaN for a draw without it."""
    kinds = sorted({kind for draw in draws for kind in draw})
    missing = np.full(metrics, np.nan)
    return {kind: np.stack([draw.get(kind, missing) for draw in draws]) for kind in kinds}
