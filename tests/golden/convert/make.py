"""Write the golden files of other libraries, with those libraries.

    python tests/golden/convert/make.py

Needs faiss-cpu, hnswlib and pyarrow. The files in this folder were made with faiss 1.15.1, hnswlib
0.8.0, numpy 2.4.6 and pyarrow 26.0.1. ``rows.npy`` (12 unit rows of dimension 5) and ``raw.npy``
(the same before they were normalised) say what is in all the others, ``ids.npy`` under which ids.
"""

from __future__ import annotations

from pathlib import Path

import faiss
import hnswlib
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).parent
DELETED = (3, 7)


def main() -> None:
    """Write every file."""
    raw = np.random.default_rng(6).normal(size=(12, 5)).astype(np.float32)
    rows = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    ids = np.array([70, 3, 2**62, -4, 5, 6, 7, 8, 9, 1000, 11, 12], np.int64)
    np.save(HERE / "raw.npy", raw)
    np.save(HERE / "rows.npy", rows)
    np.save(HERE / "ids.npy", ids)
    np.save(HERE / "fortran16.npy", np.asfortranarray(rows.astype(np.float16)))
    np.save(HERE / "objects.npy", np.array([{"a": 1}, None], object), allow_pickle=True)
    np.savez(HERE / "arrays.npz", vectors=rows, ids=ids, other=np.arange(3))
    names = np.array([f"ü{i}" for i in range(12)])
    np.savez_compressed(HERE / "compressed.npz", embeddings=raw.astype(np.float64), ids=names)
    write_faiss(rows, raw, ids)
    write_hnswlib(rows, raw)
    table = pa.table(
        {
            "id": [f"n{i}" for i in range(12)],
            "embedding": pa.array(raw.tolist(), pa.list_(pa.float32())),
            "year": list(range(12)),
        }
    )
    pq.write_table(table, HERE / "foreign.parquet")


def write_faiss(
    rows: npt.NDArray[np.float32], raw: npt.NDArray[np.float32], ids: npt.NDArray[np.int64]
) -> None:
    """Write flat indexes, maps and graphs over them, and one that keeps no float rows."""
    inner, distance = faiss.METRIC_INNER_PRODUCT, faiss.METRIC_L2
    for name, index, given in (
        ("flat_ip", faiss.IndexFlatIP(5), rows),
        ("flat_l2", faiss.IndexFlatL2(5), raw),
        ("hnsw", faiss.IndexHNSWFlat(5, 4, inner), rows),
        ("hnsw_l2", faiss.IndexHNSWFlat(5, 4, distance), raw),
        ("sq", faiss.IndexScalarQuantizer(5, faiss.ScalarQuantizer.QT_fp16), rows),
        ("l1", faiss.IndexFlat(5, faiss.METRIC_L1), rows),
    ):
        index.train(given)
        index.add(given)
        faiss.write_index(index, str(HERE / f"{name}.faiss"))
    for name, index in (
        ("idmap", faiss.IndexIDMap(faiss.IndexFlatL2(5))),
        ("idmap2", faiss.IndexIDMap2(faiss.IndexFlatIP(5))),
        ("idmap_hnsw", faiss.IndexIDMap(faiss.IndexHNSWFlat(5, 4, inner))),
    ):
        index.add_with_ids(rows, ids)
        faiss.write_index(index, str(HERE / f"{name}.faiss"))


def write_hnswlib(rows: npt.NDArray[np.float32], raw: npt.NDArray[np.float32]) -> None:
    """Write an index of each space, with the rows `DELETED` marked, under the ids 100 to 111."""
    for space in ("cosine", "ip", "l2"):
        index = hnswlib.Index(space, 5)
        index.init_index(20, ef_construction=20, M=3, random_seed=1)
        index.add_items(rows if space == "ip" else raw, np.arange(100, 112), num_threads=1)
        for row in DELETED:
            index.mark_deleted(100 + row)
        index.save_index(str(HERE / f"{space}.hnswlib"))


if __name__ == "__main__":
    main()
