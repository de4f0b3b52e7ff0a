"""usearch, VSAG, SVS and SymphonyQG behind the calls of systems.py, each at its best settings.

A setting that is not the library's default says why beside it.
"""

from __future__ import annotations

import json
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from systems import EF_CONSTRUCTION, KINDS, Entry, Ids, Rows


class Usearch:
    """usearch.Index over bfloat16 or 8-bit rows; it keeps no others, so there is no re-ranking."""

    def __init__(self, dim: int, m: int, dtype: str) -> None:
        index = import_module("usearch.index")
        self.index: Any = index.Index(
            ndim=dim,
            metric="ip" if dtype != "i8" else "cos",  # i8 is scaled only for the cosine
            dtype=dtype,
            connectivity=m,
            expansion_add=EF_CONSTRUCTION,
        )

    def build(self, rows: Rows, threads: int) -> None:
        """Add all rows (n, dim)."""
        self.index.add(np.arange(len(rows)), rows, threads=threads)

    def search(self, queries: Rows, k: int, ef: int, threads: int) -> Ids:
        """Return ids (nq, k)."""
        self.index.expansion_search = ef
        keys = self.index.search(queries, k, threads=threads).keys
        return np.asarray(keys, np.int64).reshape(len(queries), -1)


class Vsag:
    """VSAG's hgraph over uniform 8-bit codes, re-ranked in float32; one query a call."""

    def __init__(self, dim: int, m: int) -> None:
        self.vsag = import_module("pyvsag")
        self.vsag.set_logger_off()
        self.dim, self.m = dim, m
        self.index: Any = None

    def build(self, rows: Rows, threads: int) -> None:
        """Add all rows (n, dim)."""
        settings = {
            "dtype": "float32",
            "metric_type": "ip",
            "dim": self.dim,
            "index_param": {
                "base_quantization_type": "sq8_uniform",
                "use_reorder": True,
                "precise_quantization_type": "fp32",
                "max_degree": 2 * self.m,
                "ef_construction": EF_CONSTRUCTION,
                "build_thread_count": threads,
            },
        }
        self.index = self.vsag.Index("hgraph", json.dumps(settings))
        self.index.build(rows.ravel(), np.arange(len(rows)), len(rows), self.dim)

    def search(self, queries: Rows, k: int, ef: int, threads: int) -> Ids:
        """Return ids (nq, k)."""
        effort = json.dumps({"hgraph": {"ef_search": ef}})

        def one(query: Rows) -> Ids:
            found: Ids = self.index.knn_search(query, k, effort)[0]
            return found

        if threads == 1:
            return np.stack([one(query) for query in queries])
        with ThreadPoolExecutor(threads) as pool:
            parts = np.array_split(queries, threads)
            found = pool.map(lambda part: [one(query) for query in part], parts)
            return np.concatenate([np.stack(part) for part in found if part])


class Svs:
    """SVS's Vamana over "f32" or "f16" rows, LVQ codes ("8x0": primary, residual bits) or LeanVec.

    SVS offers LVQ and LeanVec (here at half of the numbers) on Intel's processors only.
    """

    def __init__(self, dim: int, m: int, codes: str) -> None:
        if codes not in ("f32", "f16") and "GenuineIntel" not in Path("/proc/cpuinfo").read_text():
            raise RuntimeError(
                f"SVS refuses {codes} on non-Intel hardware"
            )  # by ending the process
        self.svs = import_module("svs")
        self.dim, self.m, self.codes = dim, m, codes
        self.index: Any = None

    def build(self, rows: Rows, threads: int) -> None:
        """Add all rows (n, dim); the loaders read them from a file."""
        svs = self.svs
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "rows.fvecs")
            svs.write_vecs(rows, path)
            loader = svs.VectorDataLoader(path, svs.DataType.float32, dims=self.dim)
            if self.codes == "f16":
                half = str(Path(folder) / "rows.hvecs")
                svs.convert_fvecs_to_float16(path, half)
                loader = svs.VectorDataLoader(half, svs.DataType.float16, dims=self.dim)
            elif self.codes == "leanvec":
                kind = svs.LeanVecKind.lvq8
                loader = svs.LeanVecLoader(loader, self.dim // 2, kind, kind)
            elif self.codes != "f32":
                first, second = map(int, self.codes.split("x"))
                loader = svs.LVQLoader(loader, primary=first, residual=second, padding=32)
            settings = svs.VamanaBuildParameters(
                alpha=0.95,  # what its documentation advises for inner products
                graph_max_degree=2 * self.m,
                window_size=EF_CONSTRUCTION,
            )
            self.index = svs.Vamana.build(settings, loader, svs.DistanceType.MIP, threads)

    def search(self, queries: Rows, k: int, ef: int, threads: int) -> Ids:
        """Return ids (nq, k)."""
        self.index.num_threads = threads
        settings = self.index.search_parameters
        again = max(ef, 2 * k) if self.codes in ("4x8", "leanvec") else ef  # kept to re-rank
        settings.buffer_config = self.svs.SearchBufferConfig(ef, again)
        self.index.search_parameters = settings
        return np.asarray(self.index.search(queries, k)[0], np.int64)


class Symphony:
    """SymphonyQG of rabitqlib: 1-bit codes of the neighbours beside each row, float32 rows."""

    def __init__(self, dim: int, m: int) -> None:
        self.index: Any = import_module("rabitqlib").SymqgIndex(dim, 2 * m, "ip")

    def build(self, rows: Rows, threads: int) -> None:
        """Add all rows (n, dim), by the PiPNN build."""
        self.index.build(rows, EF_CONSTRUCTION, num_threads=threads)

    def search(self, queries: Rows, k: int, ef: int, threads: int) -> Ids:
        """Return ids (nq, k)."""
        found = self.index.search_batch(queries, k, ef, num_threads=threads)[0]
        return np.asarray(found, np.int64)


KINDS |= {
    "usearch": {
        "bf16": partial(Usearch, dtype="bf16"),
        "i8": partial(Usearch, dtype="i8"),
    },
    "pyvsag": {"hgraph SQ8": Vsag},
    "scalable-vs": {
        "Vamana f32": partial(Svs, codes="f32"),
        "Vamana f16": partial(Svs, codes="f16"),
        "Vamana LVQ8": partial(Svs, codes="8x0"),
        "Vamana LVQ4x8": partial(Svs, codes="4x8"),
        "Vamana LeanVec": partial(Svs, codes="leanvec"),
    },
    "rabitqlib": {"SymphonyQG": Symphony},
}
EXACT = ("gapless", "faiss-cpu", "hnswlib")
ENTRIES = [
    *(Entry(package, "HNSW", KINDS[package]["HNSW"], 0) for package in EXACT),
    *(
        Entry(package, kind, make, m)
        for m in (16, 32)
        for package, kinds in KINDS.items()
        for kind, make in kinds.items()
    ),
]
