"""The systems under comparison, each behind the same calls; others.py holds the less common ones.

A graph degree ``m`` means m links upward and 2 m on the base level, as in HNSW; libraries with one
level (VSAG, SVS, SymphonyQG) get 2 m, so that every system has as many links to walk.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib import import_module, metadata
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

EF_CONSTRUCTION = 200
Rows = NDArray[np.float32]
Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Means:
    """What centring takes from rows and from queries before they are compared."""

    rows: Rows
    queries: Rows


class System(Protocol):
    """Build once, then search with an effort; ``ef`` is ignored by an exact index.

    A system may also have ``learn(queries)``, called before ``build`` with queries that are like
    the test queries (held out, never the same), and ``efforts``, its own list of efforts. One
    with ``align(means)`` centres rows and queries itself and is given them as they are.
    """

    def build(self, rows: Rows, threads: int) -> None:
        """Add all rows (n, dim)."""
        ...

    def search(self, queries: Rows, k: int, ef: int, threads: int) -> Ids:
        """Return ids (nq, k)."""
        ...


class Gapless:
    """gapless.HnswIndex, or FlatIndex for m = 0.

    ``codes`` names the compressed form that is walked, where this version has one ("" = its
    default). ``exact`` scores what was found again in float32. ``asked`` states efforts as the
    recall wanted, in thousandths, instead of ``ef``. ``taught``: learns from sample queries, where
    there are any. ``anew``: links the rows anew under the alignment.
    """

    def __init__(
        self,
        dim: int,
        m: int,
        codes: str = "",
        asked: bool = False,
        exact: bool = False,
        taught: bool = True,
        anew: bool = False,
    ) -> None:
        import gapless

        self.graph, self.asked, self.modality = m > 0, asked, ""
        self.taught, self.anew = taught and m > 0, anew
        self.sample: Rows | None = None
        self.means: Means | None = None
        self.options: dict[str, Any] = {"exact_scores": True} if exact else {}
        if asked:
            self.efforts = (800, 850, 900, 925, 950, 970, 980, 990, 995)
        options: dict[str, Any] = {"codes": codes} if codes else {}
        self.index: Any = (
            gapless.HnswIndex(dim, m, EF_CONSTRUCTION, **options) if m else gapless.FlatIndex(dim)
        )

    def learn(self, queries: Rows) -> None:
        """Keep a sample of the queries, to be fitted to them."""
        self.sample = queries if self.taught else None

    def align(self, means: Means) -> None:
        """Search under ``center`` by these means."""
        self.means, self.modality = means, "query"

    def build(self, rows: Rows, threads: int) -> None:
        """Add all rows (n, dim)."""
        import gapless

        self.index.add(rows, threads=threads)
        if self.means is not None:
            query = {self.modality: (-self.means.queries, None)}
            self.index.set_alignment(gapless.Alignment(offset=-self.means.rows, query=query))
            if self.anew:
                self.index.reindex()
        if self.sample is not None:
            self.modality = "query"
            self.index.fit_queries(self.sample, modality=self.modality)

    def search(self, queries: Rows, k: int, ef: int, threads: int) -> Ids:
        """Return ids (nq, k)."""
        options = dict(self.options)
        if self.modality:
            options["query_modality"] = self.modality
        if self.graph:
            options |= {"recall": ef / 1000} if self.asked else {"ef": ef}
        ids: Ids = self.index.search(queries, k, threads=threads, **options)[1]
        return ids


class Faiss:
    """faiss.IndexHNSWFlat, or IndexFlatIP for m = 0; inner product of unit rows is the cosine.

    ``refine``: the graph walks 8-bit codes, and the 2 k best are scored again in float32.
    """

    def __init__(self, dim: int, m: int, refine: bool = False) -> None:
        self.faiss = faiss = import_module("faiss")
        metric = faiss.METRIC_INNER_PRODUCT
        self.graph: Any = None
        if m == 0:
            self.index: Any = faiss.IndexFlatIP(dim)
        elif refine:
            self.graph = faiss.IndexHNSWSQ(dim, faiss.ScalarQuantizer.QT_8bit, m, metric)
            self.index = faiss.IndexRefineFlat(self.graph)
            self.index.k_factor = 2.0
        else:
            self.graph = self.index = faiss.IndexHNSWFlat(dim, m, metric)
        if self.graph is not None:
            self.graph.hnsw.efConstruction = EF_CONSTRUCTION

    def build(self, rows: Rows, threads: int) -> None:
        """Add all rows (n, dim)."""
        self.faiss.omp_set_num_threads(threads)
        if not self.index.is_trained:
            self.index.train(rows)
        self.index.add(rows)

    def search(self, queries: Rows, k: int, ef: int, threads: int) -> Ids:
        """Return ids (nq, k)."""
        self.faiss.omp_set_num_threads(threads)
        if self.graph is not None:
            self.graph.hnsw.efSearch = ef
        ids: Ids = self.index.search(queries, k)[1]
        return ids


class Hnswlib:
    """hnswlib.Index, or BFIndex for m = 0; "ip" on unit rows skips its own normalisation."""

    def __init__(self, dim: int, m: int) -> None:
        hnswlib = import_module("hnswlib")
        self.m = m
        self.index: Any = (
            hnswlib.Index(space="ip", dim=dim) if m else hnswlib.BFIndex(space="ip", dim=dim)
        )

    def build(self, rows: Rows, threads: int) -> None:
        """Add all rows (n, dim)."""
        if self.m:
            self.index.init_index(len(rows), M=self.m, ef_construction=EF_CONSTRUCTION)
            self.index.add_items(rows, num_threads=threads)
        else:
            self.index.init_index(len(rows))
            self.index.add_items(rows)

    def search(self, queries: Rows, k: int, ef: int, threads: int) -> Ids:
        """Return ids (nq, k)."""
        if self.m:
            self.index.set_ef(ef)
            found = self.index.knn_query(queries, k, num_threads=threads)[0]
        else:
            self.index.set_num_threads(threads)
            found = self.index.knn_query(queries, k)[0]
        return np.asarray(found, np.int64)


@lru_cache(maxsize=64)
def _version(package: str, python: str) -> str | None:
    if not python:
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            return None
    code = f"from importlib.metadata import version; print(version({package!r}))"
    found = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return found.stdout.strip() or None


@dataclass(frozen=True)
class Entry:
    """One row of the comparison: package, what of it, how to make it, and m (0 = exact)."""

    package: str
    kind: str
    make: Callable[[int, int], System]
    m: int

    @property
    def label(self) -> str:
        """Return the name shown in tables."""
        return f"{self.package} {f'{self.kind} m={self.m}' if self.m else 'exact'}"

    @property
    def version(self) -> str | None:
        """Return the installed version, None where the package is missing."""
        return _version(self.package, "")

    def version_in(self, python: str) -> str | None:
        """Return the version that another interpreter has."""
        return _version(self.package, python)


def gapless_has(word: str) -> bool:
    """Return whether this version of gapless.HnswIndex knows an option or method."""
    try:
        from gapless import HnswIndex
    except ImportError:
        return False
    texts = (HnswIndex.__init__.__doc__, HnswIndex.search.__doc__, HnswIndex.__doc__)
    return any(f"{word}:" in (text or "") for text in texts[:2]) or hasattr(HnswIndex, word)


def _gapless() -> dict[str, Callable[[int, int], System]]:
    kinds: dict[str, Callable[[int, int], System]] = {"HNSW": Gapless}
    if gapless_has("codes"):
        for codes in ("cascade", "i8", "bf16", "f32"):
            kinds[f"HNSW {codes}"] = partial(Gapless, codes=codes)
        kinds["HNSW i8 exact"] = partial(Gapless, codes="i8", exact=True)
    if gapless_has("recall"):
        kinds["HNSW recall="] = partial(Gapless, asked=True)
        kinds["HNSW untaught"] = partial(Gapless, taught=False)
        kinds["HNSW reindexed"] = partial(Gapless, anew=True)
    return kinds


KINDS: dict[str, dict[str, Callable[[int, int], System]]] = {
    "gapless": _gapless(),
    "faiss-cpu": {"HNSW": Faiss, "HNSW SQ8": partial(Faiss, refine=True)},
    "hnswlib": {"HNSW": Hnswlib},
}
