"""
The native engine of gapless: indexes, alignment and fusion over numpy arrays.
"""

from __future__ import annotations
import collections.abc
import numpy
import numpy.typing
import os
import typing

__all__: list[str] = [
    "Alignment",
    "Calibration",
    "FieldSearch",
    "Filter",
    "FlatIndex",
    "FusedBatch",
    "FusedHits",
    "HnswIndex",
    "Index",
    "RepeatedSearch",
    "config",
    "fuse",
    "normalise",
    "repeat_search",
    "search_fields",
    "search_fields_batch",
    "top_k",
]

class Alignment:
    """
    An affine map of a field's rows, applied when scoring.

    A row x is scored as if it were N(linear @ x + offset), N being normalisation; the stored rows and
    the graph stay as they are. `query` maps the queries of each modality: {modality: (offset, linear)},
    either part None. A row closer than 1e-6 to the origin after the map scores 0.

    offset is (out_dim,) and linear (out_dim, dim), float32. Raises InvalidArgument when sizes disagree
    or a number is not finite.
    """
    def __init__(
        self,
        offset: numpy.typing.ArrayLike | None = None,
        linear: numpy.typing.ArrayLike | None = None,
        query: collections.abc.Mapping[
            str, tuple[numpy.typing.ArrayLike | None, numpy.typing.ArrayLike | None]
        ]
        | None = None,
    ) -> None: ...
    @property
    def linear(self) -> numpy.typing.NDArray[numpy.float32] | None: ...
    @property
    def offset(self) -> numpy.typing.NDArray[numpy.float32] | None: ...
    @property
    def query(
        self,
    ) -> dict[
        str,
        tuple[
            numpy.typing.NDArray[numpy.float32] | None, numpy.typing.NDArray[numpy.float32] | None
        ],
    ]: ...

class Filter:
    """
    Ids that a search may return, made once for many searches; goes wherever `filter=` does.

    `allowed` is an array of ids or a packed bitset over ids (numpy.packbits(mask, bitorder="little")).
    With items=True it names items of a collection, each of which allows all its rows. What it comes to
    in an index is worked out by the first search there, and again when rows have come or gone. Safe to
    use from many threads.
    """
    def __init__(self, allowed: numpy.typing.ArrayLike, items: bool = False) -> None: ...
    def __len__(self) -> int:
        """
        How many ids it names, with a row or without.
        """
    def allows(self, id: typing.SupportsInt | typing.SupportsIndex) -> bool:
        """
        Whether it names an id, or the id's item.
        """

class Index:
    """
    What FlatIndex and HnswIndex share: unit rows under int64 ids.
    """
    def __len__(self) -> int: ...
    def add(
        self,
        vectors: numpy.typing.ArrayLike,
        ids: numpy.typing.ArrayLike | None = None,
        threads: typing.SupportsInt | typing.SupportsIndex | None = None,
    ) -> numpy.typing.NDArray[numpy.int64]:
        """
        Add rows (n, dim), normalising them, and return their ids (n,).

        Without ids, rows are numbered on from the largest id there ever was. Raises InvalidVector (wrong
        dim, or a row that is zero, NaN or infinite), DuplicateId, InvalidArgument; then nothing was added.
        """
    def contains(self, ids: numpy.typing.ArrayLike) -> numpy.typing.NDArray[numpy.bool]:
        """
        Return for each id whether it has a row.
        """
    def ids(self) -> numpy.typing.NDArray[numpy.int64]:
        """
        Return all ids, ascending.
        """
    def remove(self, ids: numpy.typing.ArrayLike) -> None:
        """
        Remove rows. Raises UnknownId or DuplicateId; then nothing was removed.
        """
    def save(self, path: str | os.PathLike[str]) -> None:
        """
        Write the index and its alignment to one checksummed file, whole or not at all.
        """
    def score(
        self,
        query: numpy.typing.ArrayLike,
        ids: numpy.typing.ArrayLike,
        query_modality: str | None = None,
    ) -> numpy.typing.NDArray[numpy.float32]:
        """
        Return the exact aligned scores (n,) of one query with given ids; NaN for absent ones.
        """
    def set_alignment(self, alignment: Alignment | None) -> None:
        """
        Score through this alignment from now on; None for raw cosines.

        One pass over the rows computes a float for each; no row and no graph is rewritten.
        """
    def update(
        self,
        ids: numpy.typing.ArrayLike,
        vectors: numpy.typing.ArrayLike,
        threads: typing.SupportsInt | typing.SupportsIndex | None = None,
    ) -> None:
        """
        Replace the rows of ids that are present. Raises UnknownId, DuplicateId, InvalidVector.
        """
    def vectors(self, ids: numpy.typing.ArrayLike) -> numpy.typing.NDArray[numpy.float32]:
        """
        Return the unit rows (n, dim) of ids. Raises UnknownId.
        """
    @property
    def alignment(self) -> Alignment | None:
        """
        The alignment in use, or None.
        """
    @property
    def dim(self) -> int:
        """
        Dimension of the rows.
        """
    @property
    def memory(self) -> dict[str, int]:
        """
        Bytes by purpose: vectors (the f32 rows), codes, graph, labels, alignment.
        """
    @property
    def memory_bytes(self) -> int:
        """
        Bytes that rows, codes, ids and graph occupy.
        """

class FlatIndex(Index):
    """
    Exact search: every row is scored. Safe to use from many threads.
    """
    @staticmethod
    def load(path: str | os.PathLike[str]) -> FlatIndex:
        """
        Read a saved index. Raises CorruptFile naming file, section and offset.
        """
    def __init__(self, dim: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    def search(
        self,
        queries: numpy.typing.ArrayLike,
        k: typing.SupportsInt | typing.SupportsIndex,
        query_modality: str | None = None,
        filter: numpy.typing.ArrayLike | None = None,
        threads: typing.SupportsInt | typing.SupportsIndex | None = None,
    ) -> tuple[numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.int64]]:
        """
        Return the k best rows of each query as (scores float32 (nq, k), ids int64 (nq, k)).

        queries is (nq, dim), or (dim,) for one. Scores are aligned cosines, in [-1, 1] up to rounding, best first, ties by
        ascending id; short rows end in -inf and -1. `query_modality` picks the query map of the alignment,
        `filter` is an array of ids, a packed bitset over ids (numpy.packbits(mask, bitorder="little")) or a
        Filter, and threads=None means all cores for a batch and the calling thread for one query.

        Raises InvalidVector for a query of another dim, zero or not finite; InvalidArgument for k < 1 or a
        modality that the alignment has no map for.
        """

class HnswIndex(Index):
    """
    Approximate search in a navigable small world graph (arXiv 1603.09320, arXiv 2412.01940).

    m is half the number of links a row may have, 2 to 512; ef_construction the effort of an insertion;
    seed draws the rows that searches start from. codes is what searches read: "cascade" (sign bits, half
    a byte, a byte and a half a dim, each for fewer rows), "i8", "bf16", "f32" or "auto": the cascade from
    96 dims on where it finds what it should on a sample of the rows, else i8; f32 (bf16 without
    keep_f32) below. keep_f32=False drops the float32 rows: exact_scores is then refused, vectors() and
    score() give what the codes hold, and copies of a row added before the first 16,384 may score apart.
    Rows may be added, updated and removed at any time, beside searches. Safe to use from many
    threads.
    """
    @staticmethod
    def load(path: str | os.PathLike[str]) -> HnswIndex:
        """
        Read a saved index. Raises CorruptFile naming file, section and offset.
        """
    def __init__(
        self,
        dim: typing.SupportsInt | typing.SupportsIndex,
        m: typing.SupportsInt | typing.SupportsIndex = 32,
        ef_construction: typing.SupportsInt | typing.SupportsIndex = 200,
        codes: str = "auto",
        keep_f32: bool = True,
        seed: typing.SupportsInt | typing.SupportsIndex = 0,
    ) -> None: ...
    def _reachable(self) -> tuple[int, int]:
        """
        Rows that links of the tree lead to, and those that they should lead to.
        """
    def fit_queries(
        self,
        sample: numpy.typing.ArrayLike,
        modality: str | None = None,
        threads: typing.SupportsInt | typing.SupportsIndex | None = None,
    ) -> None:
        """
        Learn what searching for queries of one modality takes, from a sample (n, dim) of them.

        Tells the sign codes what these queries have in common, links the rows that they find together
        (up to 20,000 queries are used), and calibrates the effort for each recall on queries kept apart.
        A few hundred are enough; links want thousands. Takes seconds. Raises InvalidVector, or InvalidArgument for fewer than 100 of them or
        fewer than 1,000 rows.
        """
    def forget_queries(self) -> None:
        """
        Forget all that fit_queries() has taught, and drop the links it made.
        """
    def reindex(self, threads: typing.SupportsInt | typing.SupportsIndex | None = None) -> None:
        """
        Build the graph anew, of the rows as the alignment in use leaves them.

        Rows and answers stay what they are; searches under that alignment reach the same recall with less
        effort. Takes as long as adding all rows, and room for the rows once more; searches go on beside
        it. Links made by fit_queries() are dropped.
        """
    def search(
        self,
        queries: numpy.typing.ArrayLike,
        k: typing.SupportsInt | typing.SupportsIndex,
        ef: typing.SupportsInt | typing.SupportsIndex | None = None,
        recall: typing.SupportsFloat | typing.SupportsIndex | None = None,
        query_modality: str | None = None,
        filter: numpy.typing.ArrayLike | None = None,
        threads: typing.SupportsInt | typing.SupportsIndex | None = None,
        exact_scores: bool = False,
    ) -> tuple[numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.int64]]:
        """
        Return the k best rows of each query as (scores float32 (nq, k), ids int64 (nq, k)).

        queries is (nq, dim), or (dim,) for one. Scores are aligned cosines, in [-1, 1] up to rounding, best first, ties by
        ascending id; short rows end in -inf and -1. `query_modality` picks the query map of the alignment,
        `filter` is an array of ids, a packed bitset over ids (numpy.packbits(mask, bitorder="little")) or a
        Filter, and threads=None means all cores for a batch and the calling thread for one query.

        Raises InvalidVector for a query of another dim, zero or not finite; InvalidArgument for k < 1 or a
        modality that the alignment has no map for.

        `ef` is the effort: about how many of the nearest rows are looked at, at least k (default 64).
        More of it finds more of the true neighbours and takes longer. `recall`, between 0 and 1, takes instead
        the effort that reached such a recall at 10 when the index last learnt from its rows, or from
        fit_queries() for that modality. Scores are within 1e-3 times r of exact (i8, bf16: 5e-3); exact_scores=True computes those
        of the rows found from the f32 rows, and is InvalidArgument where keep_f32=False.
        """
    @property
    def codes(self) -> str:
        """
        The codes that searches read: f32, bf16, i8 or cascade.
        """
    @property
    def ef_construction(self) -> int: ...
    @property
    def m(self) -> int: ...

class Calibration:
    """
    A map from an aligned score to a probability.

    p = 1 / (1 + exp(-(f(s) + background * level))), where level is the `quantile` of the query's scores
    against background rows. It never falls as s grows: InvalidArgument for numbers that would make it
    fall, or that are not finite.
    """
    @staticmethod
    def beta(
        a: typing.SupportsFloat | typing.SupportsIndex,
        b: typing.SupportsFloat | typing.SupportsIndex,
        c: typing.SupportsFloat | typing.SupportsIndex,
        *,
        background: typing.SupportsFloat | typing.SupportsIndex = 0.0,
        quantile: typing.SupportsFloat | typing.SupportsIndex = 0.9,
    ) -> Calibration:
        """
        f = a ln t - b ln(1 - t) + c, t = (1 + s) / 2, a and b >= 0 (Kull et al. 2017).
        """
    @staticmethod
    def isotonic(
        scores: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex],
        log_odds: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex],
        *,
        background: typing.SupportsFloat | typing.SupportsIndex = 0.0,
        quantile: typing.SupportsFloat | typing.SupportsIndex = 0.9,
    ) -> Calibration:
        """
        f is linear between ascending scores and constant beyond the ends.
        """
    @staticmethod
    def platt(
        a: typing.SupportsFloat | typing.SupportsIndex,
        c: typing.SupportsFloat | typing.SupportsIndex,
        *,
        background: typing.SupportsFloat | typing.SupportsIndex = 0.0,
        quantile: typing.SupportsFloat | typing.SupportsIndex = 0.9,
    ) -> Calibration:
        """
        f = a s + c with a >= 0 (Platt 1999).
        """
    def apply(
        self,
        scores: numpy.typing.ArrayLike,
        level: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    ) -> numpy.typing.NDArray[numpy.float64]:
        """
        Return the probabilities (float64, the shape of scores). Raises InvalidArgument for NaN.
        """

class FieldSearch:
    """
    One list of a mixed-modality search.

    A query vector (dim,), or one for each question of a batch (nq, dim), against an index, with its
    weight, effort, query modality and filter. `depth` is how many items this list retrieves, where it
    is not as many as the search says; a list of negative weight retrieves none and scores those of the
    others. With several=True the labels of the index are ordinal << 40 | item, the filter names items,
    and `rule` makes one score of an item's rows: "max", "mean" (of all its rows), or "maxsim" (late
    interaction: the query is (tokens, dim), for a batch (nq, tokens, dim) or (rows, dim) with the
    number of rows of each question as `tokens`, and the score is the mean over these rows of the best
    that one of the item's reaches). For the method "cohort", `cohort` are the ids of background items
    (those no longer present are skipped). The method "calibrated" wants a Calibration, and background
    items where that has a background; `field` is the name that messages call this list by.
    """
    def __init__(
        self,
        index: Index,
        query: numpy.typing.ArrayLike,
        *,
        weight: typing.SupportsFloat | typing.SupportsIndex = 1.0,
        depth: typing.SupportsInt | typing.SupportsIndex | None = None,
        ef: typing.SupportsInt | typing.SupportsIndex | None = None,
        query_modality: str | None = None,
        filter: numpy.typing.ArrayLike | None = None,
        several: bool = False,
        rule: str = "max",
        tokens: numpy.typing.ArrayLike | None = None,
        cohort: numpy.typing.ArrayLike | None = None,
        calibration: typing.Any = None,
        field: str = "",
    ) -> None: ...

class FusedHits:
    """
    A fused ranking of n items, and what each list said of each item.
    """
    def __len__(self) -> int: ...
    @property
    def ids(self) -> numpy.typing.NDArray[numpy.int64]:
        """
        Ids of the items (n,).
        """
    @property
    def normalised(self) -> numpy.typing.NDArray[numpy.float64]:
        """
        What each list gave before its weight (n, lists), of "calibrated" the probability; NaN for nothing.
        """
    @property
    def ranks(self) -> numpy.typing.NDArray[numpy.int32]:
        """
        Ranks (n, lists) from 1; 0 where the list did not retrieve the item.
        """
    @property
    def raw(self) -> numpy.typing.NDArray[numpy.float32]:
        """
        Aligned scores (n, lists), completed; NaN where there is no row.
        """
    @property
    def rows(self) -> numpy.typing.NDArray[numpy.int32]:
        """
        Ordinals (n, lists) of the item's best row in each list; -1 where there is none.
        """
    @property
    def scores(self) -> numpy.typing.NDArray[numpy.float64]:
        """
        Fused scores (n,), best first.
        """

class FusedBatch:
    """
    The fused rankings of a batch of questions.

    batch[i] are the FusedHits of question i. The arrays hold those of all questions one behind another:
    question i has the places offsets[i] to offsets[i + 1].
    """
    def __getitem__(self, question: typing.SupportsInt | typing.SupportsIndex) -> FusedHits: ...
    def __len__(self) -> int: ...
    @property
    def ids(self) -> numpy.typing.NDArray[numpy.int64]:
        """
        Ids of the items (n,).
        """
    @property
    def normalised(self) -> numpy.typing.NDArray[numpy.float64]:
        """
        What each list gave before its weight (n, lists), of "calibrated" the probability; NaN for nothing.
        """
    @property
    def offsets(self) -> numpy.typing.NDArray[numpy.int64]:
        """
        Where the places of each question begin and the last one's end (questions + 1,).
        """
    @property
    def ranks(self) -> numpy.typing.NDArray[numpy.int32]:
        """
        Ranks (n, lists) from 1; 0 where the list did not retrieve the item.
        """
    @property
    def raw(self) -> numpy.typing.NDArray[numpy.float32]:
        """
        Aligned scores (n, lists), completed; NaN where there is no row.
        """
    @property
    def rows(self) -> numpy.typing.NDArray[numpy.int32]:
        """
        Ordinals (n, lists) of the item's best row in each list; -1 where there is none.
        """
    @property
    def scores(self) -> numpy.typing.NDArray[numpy.float64]:
        """
        Fused scores (n,), best first.
        """

class RepeatedSearch:
    """
    A search to be asked again with other query vectors alone.
    """
    def ask(
        self, queries: collections.abc.Sequence[numpy.typing.ArrayLike]
    ) -> tuple[
        numpy.typing.NDArray[numpy.float64],
        numpy.typing.NDArray[numpy.int64],
        numpy.typing.NDArray[numpy.int32],
        numpy.typing.NDArray[numpy.float32],
        numpy.typing.NDArray[numpy.float64],
        numpy.typing.NDArray[numpy.int32],
    ]:
        """
        Search with a query (dim,) for each FieldSearch, in place of its own.

        Returns the arrays of FusedHits: (scores, ids, ranks, raw, normalised, rows).
        """

def config() -> dict[str, typing.Any]:
    """
    Return what this build and machine use: version, simd, simd_available, cores, cuda.
    """

def fuse(
    lists: collections.abc.Sequence[tuple[numpy.typing.ArrayLike, numpy.typing.ArrayLike]],
    k: typing.SupportsInt | typing.SupportsIndex,
    method: str = "rrf",
    weights: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex] | None = None,
    *,
    cohorts: collections.abc.Sequence[numpy.typing.ArrayLike] | None = None,
    calibrations: collections.abc.Sequence[typing.Any] | None = None,
    rrf_k: typing.SupportsFloat | typing.SupportsIndex = 60.0,
    rank_base: typing.SupportsInt | typing.SupportsIndex = 1,
    lower: typing.SupportsFloat | typing.SupportsIndex = -1.0,
    norm: str | None = None,
    phi: typing.SupportsFloat | typing.SupportsIndex = 0.8,
    gamma: typing.SupportsFloat | typing.SupportsIndex = 0.5,
    sigma: typing.SupportsFloat | typing.SupportsIndex = 0.01,
    complete_ranks: bool = False,
    combine: str = "max",
) -> tuple[numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.int64]]:
    """
    Merge ranked lists [(scores, ids), ...], each best first, into the k best.

    Lists are (n,), or (nq, n) for a batch; an id of -1 ends a row. Returns (scores float64, ids int64);
    equal scores rank by ascending id.

    A method makes values of each list's ranks or scores and merges an item's. Below, s is a list's score
    of an item, r its rank from 1, w the list's weight, n the list's length, N the number of all items, m
    the number of lists that hold the item; sums and means are over these, and min, max, mean, std over
    the list. A list that lacks an item says nothing of it, but in borda.

    rrf         sum w / (rrf_k + r - 1 + rank_base)                      (Cormack et al. 2009)
    rrf_qdrant  sum 1 / (r / w + rrf_k - 1)                              (Qdrant, where rrf_k is 2)
    isr         m sum w / r^2;  log_isr: ln m for m;  logn_isr: ln(m + sigma)     (Mourao et al. 2015)
    borda       sum w (N - r + 1); where it is missing w (N - n + 1) / 2
    rbc         sum w (1 - phi) phi^(r - 1)                              (Bailey et al. 2017)
    convex      sum w (s - lower) / (max - lower) / sum of all |w|       (TM2C2, arXiv 2210.11934)
    minmax      sum w (s - min) / (max - min), 1 in a list without spread
    zscore      sum w (s - mean) / std
    dbsf        sum w (s - mean + 3 std) / (6 std), std with n - 1; 1/2 without spread    (Qdrant)
    cohort      (s - mean) / std of `cohorts`, the query's scores against a background sample, by list;
                the mean over the lists, weighted by w
    calibrated  the probability that `calibrations`, one for each list, make of s; `combine` makes one of
                an item's: "max" the largest 1 - (1 - p)^w, "noisy_or" 1 - product of (1 - p)^w,
                "mean_logit" the mean log-odds, weighted by w. One that has a background needs `cohorts`
    combsum     sum w v;  combmnz: m sum w v;  gmnz: m^gamma sum w v;  combanz: sum w v / sum |w|
    combmax     the largest w v;  combmin: the smallest;  combmed: the median      (Fox and Shaw 1993)

    where v is s after `norm`: "none" (the default of combmax: what one index would do), "minmax" (the
    default of the others; 0 without spread), "minmax_inverted", "max" s / max, "sum" (s - min) / sum of
    (s - min), "zmuv" the z-score, "rank" 1 - (r - 1) / n, "borda" 1 - (r - 1) / N, where it is missing
    1/2 - (n - 1) / 2N, as ranx has them, denominators at least 1e-9; and "l2" s / root of the sum of s^2,
    "dbsf", "cosine" (1 + s) / 2, "atan" 1/2 + atan(s) / pi.

    Weights are 0 (the list says nothing) or 1e-6 to 1e6 in size. A negative one says "not like this", in
    convex, dbsf, minmax, zscore, cohort, combsum and combanz by score, and "mean_logit"; what only such
    lists hold is left out. complete_ranks is for searches, which complete lists.

    Raises InvalidArgument for unsorted lists, NaN, scores above 1e100 in size, an id twice in a list, or
    unusable numbers.
    """

def normalise(vectors: numpy.typing.ArrayLike) -> numpy.typing.NDArray[numpy.float32]:
    """
    Return float32 (n, dim) rows scaled to unit length.

    Raises InvalidVector, naming the row, for a row that is zero or holds NaN or infinity.
    """

def repeat_search(
    searches: collections.abc.Sequence[FieldSearch],
    k: typing.SupportsInt | typing.SupportsIndex,
    method: str = "rrf",
    *,
    depth: typing.SupportsInt | typing.SupportsIndex | None = None,
    timeout: typing.SupportsFloat | typing.SupportsIndex | None = None,
    rrf_k: typing.SupportsFloat | typing.SupportsIndex = 60.0,
    rank_base: typing.SupportsInt | typing.SupportsIndex = 1,
    lower: typing.SupportsFloat | typing.SupportsIndex = -1.0,
    norm: str | None = None,
    phi: typing.SupportsFloat | typing.SupportsIndex = 0.8,
    gamma: typing.SupportsFloat | typing.SupportsIndex = 0.5,
    sigma: typing.SupportsFloat | typing.SupportsIndex = 0.01,
    complete_ranks: bool = False,
    combine: str = "max",
) -> RepeatedSearch:
    """
    Keep a search of search_fields() to ask it again; returns a RepeatedSearch.
    """

def search_fields(
    searches: collections.abc.Sequence[FieldSearch],
    k: typing.SupportsInt | typing.SupportsIndex,
    method: str = "rrf",
    *,
    depth: typing.SupportsInt | typing.SupportsIndex | None = None,
    exclude: numpy.typing.ArrayLike | None = None,
    timeout: typing.SupportsFloat | typing.SupportsIndex | None = None,
    threads: typing.SupportsInt | typing.SupportsIndex | None = None,
    rrf_k: typing.SupportsFloat | typing.SupportsIndex = 60.0,
    rank_base: typing.SupportsInt | typing.SupportsIndex = 1,
    lower: typing.SupportsFloat | typing.SupportsIndex = -1.0,
    norm: str | None = None,
    phi: typing.SupportsFloat | typing.SupportsIndex = 0.8,
    gamma: typing.SupportsFloat | typing.SupportsIndex = 0.5,
    sigma: typing.SupportsFloat | typing.SupportsIndex = 0.01,
    complete_ranks: bool = False,
    combine: str = "max",
) -> FusedHits:
    """
    Search several fields, complete and fuse in one native call; returns FusedHits.

    Each field retrieves `depth` items (default max(k, 100)). An item found in one field gets its exact
    score in every other where it has a row; "rrf" ignores these completed scores, and lists' means,
    deviations and ranges come from what was retrieved. `exclude` are ids of items that are not found;
    the lists are as long without them. `timeout` is in seconds. Methods and errors are those of fuse(),
    and Timeout.
    """

def search_fields_batch(
    searches: collections.abc.Sequence[FieldSearch],
    k: typing.SupportsInt | typing.SupportsIndex,
    method: str = "rrf",
    *,
    depth: typing.SupportsInt | typing.SupportsIndex | None = None,
    exclude: collections.abc.Sequence[numpy.typing.ArrayLike | None] | None = None,
    timeout: typing.SupportsFloat | typing.SupportsIndex | None = None,
    threads: typing.SupportsInt | typing.SupportsIndex | None = None,
    rrf_k: typing.SupportsFloat | typing.SupportsIndex = 60.0,
    rank_base: typing.SupportsInt | typing.SupportsIndex = 1,
    lower: typing.SupportsFloat | typing.SupportsIndex = -1.0,
    norm: str | None = None,
    phi: typing.SupportsFloat | typing.SupportsIndex = 0.8,
    gamma: typing.SupportsFloat | typing.SupportsIndex = 0.5,
    sigma: typing.SupportsFloat | typing.SupportsIndex = 0.01,
    complete_ranks: bool = False,
    combine: str = "max",
) -> FusedBatch:
    """
    search_fields() for many questions at once; returns a FusedBatch.

    Every FieldSearch has a query for each question. `exclude` are ids (or None) for each. threads=None
    means all cores. Each ranking is the one that search_fields() gives for its question alone.
    """

def top_k(
    scores: numpy.typing.ArrayLike, k: typing.SupportsInt | typing.SupportsIndex
) -> tuple[numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.int64]]:
    """
    Return the k largest of (n,) scores and their positions, best first.

    Equal scores rank by ascending position; k above n gives n results. Raises InvalidArgument for NaN.
    """

__version__: str = "0.1.0"
