"""The systems under comparison, each behind the same three calls."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module, metadata
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

EF_CONSTRUCTION = 200


class System(Protocol):
    """Build once, then search with an effort; ``ef`` is ignored by an exact index."""

    def build(self, rows: NDArray[np.float32], threads: int) -> None:
        """Add all rows (n, dim)."""
        ...

    def search(
        self, queries: NDArray[np.float32], k: int, ef: int, threads: int
    ) -> NDArray[np.int64]:
        """Return ids (nq, k)."""
        ...


class Gapless:
    """gapless.HnswIndex, or FlatIndex for m = 0."""

    def __init__(self, dim: int, m: int) -> None:
        import gapless

        self.graph = m > 0
        self.index: Any = (
            gapless.HnswIndex(dim, m, EF_CONSTRUCTION) if m else gapless.FlatIndex(dim)
        )

    def build(self, rows: NDArray[np.float32], threads: int) -> None:
        """Add all rows (n, dim)."""
        self.index.add(rows, threads=threads)

    def search(
        self, queries: NDArray[np.float32], k: int, ef: int, threads: int
    ) -> NDArray[np.int64]:
        """Return ids (nq, k)."""
        effort = {"ef": ef} if self.graph else {}
        ids: NDArray[np.int64] = self.index.search(queries, k, threads=threads, **effort)[1]
        return ids


class Faiss:
    """faiss.IndexHNSWFlat, or IndexFlatIP for m = 0; inner product of unit rows is the cosine."""

    def __init__(self, dim: int, m: int) -> None:
        self.faiss = faiss = import_module("faiss")
        self.index: Any = (
            faiss.IndexHNSWFlat(dim, m, faiss.METRIC_INNER_PRODUCT) if m else faiss.IndexFlatIP(dim)
        )
        self.graph = m > 0
        if m:
            self.index.hnsw.efConstruction = EF_CONSTRUCTION

    def build(self, rows: NDArray[np.float32], threads: int) -> None:
        """Add all rows (n, dim)."""
        self.faiss.omp_set_num_threads(threads)
        self.index.add(rows)

    def search(
        self, queries: NDArray[np.float32], k: int, ef: int, threads: int
    ) -> NDArray[np.int64]:
        """Return ids (nq, k)."""
        self.faiss.omp_set_num_threads(threads)
        if self.graph:
            self.index.hnsw.efSearch = ef
        ids: NDArray[np.int64] = self.index.search(queries, k)[1]
        return ids


class Hnswlib:
    """hnswlib.Index, or BFIndex for m = 0; "ip" on unit rows skips its own normalisation."""

    def __init__(self, dim: int, m: int) -> None:
        hnswlib = import_module("hnswlib")
        self.m = m
        self.index: Any = (
            hnswlib.Index(space="ip", dim=dim) if m else hnswlib.BFIndex(space="ip", dim=dim)
        )

    def build(self, rows: NDArray[np.float32], threads: int) -> None:
        """Add all rows (n, dim)."""
        if self.m:
            self.index.init_index(len(rows), M=self.m, ef_construction=EF_CONSTRUCTION)
            self.index.add_items(rows, num_threads=threads)
        else:
            self.index.init_index(len(rows))
            self.index.add_items(rows)

    def search(
        self, queries: NDArray[np.float32], k: int, ef: int, threads: int
    ) -> NDArray[np.int64]:
        """Return ids (nq, k)."""
        if self.m:
            self.index.set_ef(ef)
            found = self.index.knn_query(queries, k, num_threads=threads)[0]
        else:
            self.index.set_num_threads(threads)
            found = self.index.knn_query(queries, k)[0]
        return np.asarray(found, np.int64)


@dataclass(frozen=True)
class Entry:
    """One row of the comparison: which package, its class, and m (0 = exact)."""

    package: str
    kind: type[Any]
    m: int

    @property
    def label(self) -> str:
        """Return the name shown in tables."""
        return f"{self.package} {f'HNSW m={self.m}' if self.m else 'exact'}"

    @property
    def version(self) -> str | None:
        """Return the installed version, None where the package is missing."""
        try:
            return metadata.version(self.package)
        except metadata.PackageNotFoundError:
            return None


KINDS: dict[str, type[Any]] = {"gapless": Gapless, "faiss-cpu": Faiss, "hnswlib": Hnswlib}
ENTRIES = [Entry(package, kind, m) for m in (0, 16, 32) for package, kind in KINDS.items()]
