"""Mixed corpora: documents that are held as text, as image or as both, in any proportion."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .._core import normalise
from ..batch import as_array
from ..errors import InvalidArgument, InvalidVector, SpaceMismatch
from .runs import as_qrels

__all__ = ["FORMS", "Embeddings", "MixedCorpus", "draw_corpus", "embed", "shares_of"]

FORMS = ("text", "image", "both")
QUERY = "query"
LEAST_TRAIN = 2  # pairs; one row is its own mean

Float32: TypeAlias = "npt.NDArray[np.float32]"
Encode: TypeAlias = "Callable[[Sequence[Any]], npt.ArrayLike]"


@dataclass(frozen=True, slots=True, eq=False)
class Embeddings:
    """Queries and documents as unit rows of one space.

    Attributes
    ----------
    queries : ndarray (queries, dim) float32
    texts, images : ndarray (documents, dim) float32
        Row i of both is document i.
    query_modality : str
    """

    queries: Float32
    texts: Float32
    images: Float32
    query_modality: str


@dataclass(frozen=True, slots=True, eq=False)
class MixedCorpus:
    """Documents, each held in one form, and what may be learned from.

    Attributes
    ----------
    data : Embeddings
        The test queries and documents. A ranking may look at a document in its form alone.
    forms : ndarray (documents,) of str
        ``"text"``, ``"image"`` or ``"both"``.
    qrels : sequence of mappings of document to gain
        One for each query; documents are numbered by their rows.
    train : Embeddings
        Pairs that are no part of the corpus: row i of its queries, texts and images belong
        together. Of no rows where nothing is held out.
    """

    data: Embeddings
    forms: npt.NDArray[np.str_]
    qrels: Sequence[Mapping[int, float]]
    train: Embeddings

    def held_as(self, form: str) -> npt.NDArray[np.int64]:
        """Numbers of the documents of one form, ascending."""
        return np.flatnonzero(self.forms == form).astype(np.int64)


def embed(
    queries: Any,
    images: Any,
    texts: Any,
    encode: Mapping[str, Encode] | None = None,
    query_modality: str = "text",
) -> Embeddings:
    """Bring queries and documents into one space.

    Parameters
    ----------
    queries, images, texts
        Rows (n, dim), or with `encode` sequences of whatever the encoders take. Image i and text
        i are one document.
    encode : mapping, optional
        ``{"text": f, "image": g}``: functions from a sequence to rows (n, dim) of one dim. The
        queries go through that of `query_modality`, unless there is one for ``"query"``.
    query_modality : str

    Raises
    ------
    InvalidArgument
        For as many images as texts, or a missing encoder.
    InvalidVector, SpaceMismatch
        For rows that are not (n, dim), zero, NaN or infinite; for several dims.
    """
    if not isinstance(query_modality, str) or not query_modality:
        raise InvalidArgument(f"query_modality is {query_modality!r}: name it, such as 'text'")
    for name, values in (("queries", queries), ("images", images), ("texts", texts)):
        if not hasattr(values, "__len__"):
            raise InvalidArgument(f"{name} is a {type(values).__name__}: give an array or a list")
    if len(images) != len(texts):
        raise InvalidArgument(
            f"there are {len(images)} images and {len(texts)} texts: image i and text i are one "
            "document, so give as many of each"
        )
    found = {}
    given = {QUERY: queries, "text": texts, "image": images}
    for name, values in given.items():
        rows = values if encode is None else _encoder(encode, name, query_modality)(values)
        found[name] = _rows(name, rows, len(values))
    dims = {name: rows.shape[1] for name, rows in found.items()}
    if len(set(dims.values())) > 1:
        raise SpaceMismatch(f"the rows have dims {dims}: encode all three into one space")
    return Embeddings(found[QUERY], found["text"], found["image"], query_modality)


def shares_of(ratios: Sequence[float]) -> npt.NDArray[np.float64]:
    """Scale the ratio text : image : both, such as ``(70, 20, 10)``, to shares.

    Raises
    ------
    InvalidArgument
        For anything but three finite numbers of at least 0 that are not all 0.
    """
    try:
        given = np.asarray(ratios, np.float64)
    except (TypeError, ValueError):
        given = np.zeros(0)
    if given.shape != (3,) or not np.isfinite(given).all() or (given < 0).any() or not given.any():
        raise InvalidArgument(
            f"ratios is {ratios!r}: give text : image : both as three numbers of at least 0, such "
            "as (1, 1, 1) or (70, 20, 10)"
        )
    return np.asarray(given / given.sum())


def draw_corpus(
    data: Embeddings,
    qrels: Any,
    ratios: Sequence[float] = (1, 1, 1),
    *,
    train: float = 0.2,
    seed: int = 0,
) -> MixedCorpus:
    """Hold some pairs out, and give each of the other documents one form.

    The corpora of one seed are nested: along (1 - p, p, 0) a document that has become an image
    stays one.

    Parameters
    ----------
    data : Embeddings
    qrels : mapping or sequence, or None
        {query number: {document number: gain}}, or sets; None where document i answers query i.
    ratios : (float, float, float)
        text : image : both.
    train : float
        Share of the queries that are held out with their documents, in [0, 1).
    seed : int

    Returns
    -------
    MixedCorpus
        Without the queries whose relevant documents are all held out.

    Raises
    ------
    InvalidArgument
        For bad ratios, shares and judgements, or when no query is left.
    """
    shares = shares_of(ratios)
    gains = _judgements(qrels, data)
    random = np.random.default_rng(seed)
    asking = random.permutation(np.array(sorted(gains), np.int64))
    order = random.permutation(len(data.texts))
    if not isinstance(train, (int, float, np.number)) or not 0.0 <= train < 1.0:
        raise InvalidArgument(f"train is {train!r}: give the share of the queries to hold out, < 1")
    count = round(train * len(asking))
    if train and count < LEAST_TRAIN:
        raise InvalidArgument(
            f"train is {train} of {len(asking)} queries, too few to fit anything on: raise it, or "
            "give 0 to hold nothing out"
        )
    held, tested = asking[:count], asking[count:]
    used = {document for query in held for document in gains[int(query)]}
    kept = np.array([document for document in order if document not in used], np.int64)
    number = {int(document): place for place, document in enumerate(kept)}
    left = {
        int(query): {number[d]: gain for d, gain in gains[int(query)].items() if d in number}
        for query in tested
    }
    queries = [query for query in sorted(left) if left[query]]
    if not queries:
        raise InvalidArgument("no query is left whose documents are not held out: lower train")
    ends = np.round(shares.cumsum() * len(kept)).astype(np.int64)
    best = [max(gains[int(q)], key=gains[int(q)].__getitem__) for q in held]
    return MixedCorpus(
        _take(data, queries, kept),
        np.repeat(np.array(FORMS), np.diff(ends, prepend=0)),
        [left[query] for query in queries],
        _take(data, held, best),
    )


def _take(data: Embeddings, queries: Any, documents: Any) -> Embeddings:
    asked, found = np.asarray(queries, np.int64), np.asarray(documents, np.int64)
    return Embeddings(
        data.queries[asked], data.texts[found], data.images[found], data.query_modality
    )


def _judgements(qrels: Any, data: Embeddings) -> dict[int, dict[int, float]]:
    """Relevant documents of each query that has any, by number."""
    if qrels is None:
        if len(data.queries) != len(data.texts):
            raise InvalidArgument(
                f"there are {len(data.queries)} queries and {len(data.texts)} documents: without "
                "qrels document i answers query i, so give as many of each, or qrels"
            )
        qrels = [{i} for i in range(len(data.texts))]
    found: dict[int, dict[int, float]] = {}
    for query, judged in as_qrels(qrels).items():
        own = {document: gain for document, gain in judged.items() if gain > 0}
        for name, given, limit in (
            ("query", [query], len(data.queries)),
            ("document", list(own), len(data.texts)),
        ):
            wrong = [n for n in given if not isinstance(n, int) or not 0 <= n < limit]
            if wrong:
                raise InvalidArgument(
                    f"qrels names the {name} {wrong[0]!r:.60}: give its row, from 0 to {limit - 1}"
                )
        if own:
            found[int(query)] = {int(document): gain for document, gain in own.items()}
    if not found:
        raise InvalidArgument("qrels has no relevant document: give a gain above 0 to some")
    return found


def _encoder(encode: Mapping[str, Encode], name: str, query_modality: str) -> Encode:
    wanted = (QUERY, query_modality) if name == QUERY else (name,)
    for key in wanted:
        if key in encode:
            return encode[key]
    raise InvalidArgument(
        f"encode has {list(encode)} and lacks {wanted[-1]!r}: give a function for each of 'text' "
        "and 'image', and for the modality of the queries"
    )


def _rows(name: str, given: Any, count: int) -> Float32:
    rows = as_array(f"the {name} rows", given)
    if rows.ndim != 2 or len(rows) != count:
        raise InvalidVector(
            f"the {name} rows have shape {rows.shape} and type {rows.dtype} for {count} inputs: "
            "give numbers (n, dim), or encoders that make such"
        )
    return normalise(rows)
