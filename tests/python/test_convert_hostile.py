"""Files cut short and with bytes changed: rows or a typed error, and never much memory."""

from __future__ import annotations

import random
import struct
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import gapless as gl
from gapless.convert.exporting import export_collection
from gapless.convert.importing import import_collection, import_rows
from gapless.errors import CorruptFile, InvalidArgument

GOLDEN = Path(__file__).parents[1] / "golden" / "convert"
FILES = sorted(
    path.name
    for path in GOLDEN.iterdir()
    if path.suffix in (".faiss", ".hnswlib", ".npy", ".npz") and path.name != "raw.npy"
)
CHANGES = 200  # of each file, besides every truncation of its front
MOST_BYTES = 4 << 20


def damages(data: bytes, seed: int, changes: int) -> Iterator[bytes]:
    """Truncations, changed bytes and words, and parts cut out."""
    yield from (data[:length] for length in range(min(len(data), 300)))
    draw = random.Random(seed)
    words = [0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**61, 2**63 - 1, 2**63, 2**64 - 1]
    for _ in range(changes):
        at = draw.randrange(len(data))
        yield data[: draw.randrange(len(data))]
        yield data[:at] + bytes([data[at] ^ (1 << draw.randrange(8))]) + data[at + 1 :]
        yield data[:at] + bytes([draw.randrange(256)]) + data[at + 1 :]
        yield data[:at] + struct.pack("<Q", draw.choice(words)) + data[at + 8 :]
        yield data[:at] + data[at + draw.randrange(1, 16) :]


def look(path: Path) -> bool:
    """Read all rows; False when the file was refused as it may be."""
    try:
        for names, rows in import_rows(path):
            assert len(names) == len(rows)
    except (CorruptFile, InvalidArgument) as error:
        assert str(path) in str(error)
        return False
    return True


@pytest.mark.parametrize("name", FILES)
def test_damaged_files_give_rows_or_a_typed_error(name: str, tmp_path: Path) -> None:
    data = (GOLDEN / name).read_bytes()
    path = tmp_path / "damaged"
    read = refused = 0
    tracemalloc.start()
    try:
        for seen in damages(data, 1, CHANGES):
            path.write_bytes(seen)
            if look(path):
                read += 1
            else:
                refused += 1
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < MOST_BYTES
    assert read + refused >= 5 * CHANGES
    assert refused > CHANGES


@pytest.mark.parametrize("name", ["idmap_hnsw.faiss", "rows.npy", "arrays.npz", "flat_ip.faiss"])
def test_every_truncation_is_noticed(name: str, tmp_path: Path) -> None:
    data = (GOLDEN / name).read_bytes()
    path = tmp_path / "cut"
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises((CorruptFile, InvalidArgument)):
            list(import_rows(path))


def test_claims_of_terabytes_take_no_memory(tmp_path: Path) -> None:
    huge = 2**40
    header = struct.pack("<iqqqBi", 4, huge, 0, 0, 1, 0)
    shape = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({huge}, 4), }}".encode()
    level0 = struct.pack("<QQQQQQiIQQQdQ", 0, huge, huge, 40, 32, 16, 0, 0, 3, 3, 3, 0.5, 9)
    files = {
        "flat": b"IxFI" + header + struct.pack("<Q", 4 * huge),
        "map": b"IxM2" + header + b"IxFI" + header + struct.pack("<Q", 4 * huge),
        "nested": (b"IxMp" + header) * 1000,
        "graph": b"IHNf" + header + struct.pack("<Q", huge),
        "npy": b"\x93NUMPY\x01\x00" + struct.pack("<H", len(shape)) + shape,
        "header": b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1) + shape,
        "hnswlib": level0 + bytes(96),
    }
    tracemalloc.start()
    try:
        for name, data in files.items():
            (tmp_path / name).write_bytes(data)
            with pytest.raises(CorruptFile, match=f"{name} is damaged"):
                import_rows(tmp_path / name)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_damaged_tables_give_a_collection_or_a_typed_error(
    suffix: str, tmp_path: Path, schema: gl.Schema
) -> None:
    pytest.importorskip("pyarrow", reason="pyarrow is missing: pip install pyarrow")
    random_rows = np.random.default_rng(3).normal(size=(6, 8))
    with gl.open(tmp_path / "from", schema) as col:
        col.upsert(["a", 1, "c"], {"image": random_rows[:3]}, [{"x": 1}, None, {}])
        col.upsert([2, "d", 5], {"caption": random_rows[3:]}, spans={"caption": [(0, 1)] * 3})
        export_collection(col, tmp_path / f"whole.{suffix}")
    data = (tmp_path / f"whole.{suffix}").read_bytes()
    path = tmp_path / f"damaged.{suffix}"
    refused = 0
    for i, seen in enumerate(damages(data, 2, 12)):
        if i % 8:  # a collection takes its time to make
            continue
        path.write_bytes(seen)
        try:
            import_collection(path, tmp_path / f"col{i}", modality=None)
        except (CorruptFile, InvalidArgument):
            refused += 1
            assert not (tmp_path / f"col{i}").exists()
    assert refused > 20
