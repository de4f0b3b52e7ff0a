"""Damaged index files: CorruptFile or the same answers, never a crash."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gapless as gl
from gapless.errors import CorruptFile, InvalidArgument

DIM = 5
HEADER = 64
BLOCK = 65536
KINDS = {"flat": gl.FlatIndex, "hnsw": gl.HnswIndex}

PLACES = st.integers(0, 2**20)
VALUES = st.one_of(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]), st.integers(0, 255))

in_function_folder = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def crc_table() -> list[int]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return table


CRC_TABLE = crc_table()


def crc32c(data: bytes | bytearray) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def reseal(content: bytes) -> bytes:
    """The bytes with every checksum made right, as FORMAT.md says where they are."""
    data = bytearray(content)
    (count,) = struct.unpack_from("<I", data, 12)
    (sums,) = struct.unpack_from("<Q", data, 32)
    body = (HEADER + 24 * count + 63) // 64 * 64
    crcs = [crc32c(data[at : min(at + BLOCK, sums)]) for at in range(body, sums, BLOCK)]
    packed = struct.pack(f"<{len(crcs)}I", *crcs)
    data[sums:] = packed + struct.pack("<I", crc32c(packed))
    struct.pack_into("<I", data, 40, crc32c(data[HEADER:body]))
    struct.pack_into("<I", data, 60, crc32c(data[:60]))
    return bytes(data)


def make_index(kind: str) -> Any:
    rows = np.random.default_rng(3).normal(size=(60, DIM)).astype(np.float32)
    index = gl.FlatIndex(DIM) if kind == "flat" else gl.HnswIndex(DIM, m=4, ef_construction=20)
    index.add(rows)
    index.remove(np.array([7, 11]))
    text = (rows[2], None)
    index.set_alignment(gl.Alignment(offset=0.1 * rows[0], query={"text": text}))
    return index


def answers(index: Any) -> bytes:
    queries = np.random.default_rng(4).normal(size=(6, DIM)).astype(np.float32)
    scores, ids = index.search(queries, 12, query_modality="text")
    return bytes(scores.tobytes() + ids.tobytes() + index.ids().tobytes())


@pytest.fixture(scope="module", params=sorted(KINDS))
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """(kind, bytes of a saved index, its answers)."""
    path = tmp_path_factory.mktemp("saved") / "index"
    index = make_index(request.param)
    index.save(path)
    return request.param, path.read_bytes(), answers(index)


def load(kind: str, content: bytes, folder: Path) -> Any:
    path = folder / "damaged"
    path.write_bytes(content)
    return KINDS[kind].load(path)  # type: ignore[attr-defined]


def section_bounds(content: bytes) -> dict[str, tuple[int, int]]:
    (count,) = struct.unpack_from("<I", content, 12)
    bounds = {}
    for i in range(count):
        name, offset, size = struct.unpack_from("<8sQQ", content, HEADER + 24 * i)
        bounds[name.rstrip(b"\0").decode()] = (offset, size)
    return bounds


def test_reseal_knows_the_format(saved: Any) -> None:
    _, content, _ = saved
    assert reseal(content) == content


def test_saved_index_answers_as_before(saved: Any, tmp_path: Path) -> None:
    kind, content, expected = saved
    assert answers(load(kind, content, tmp_path)) == expected


@in_function_folder
@given(
    edits=st.lists(st.tuples(PLACES, VALUES), min_size=1, max_size=4),
    cut=st.sampled_from([0, 0, 1, 4, 64, 1000]),
    tail=st.binary(max_size=8),
)
def test_any_mutation_is_noticed(
    saved: Any, tmp_path: Path, edits: list[tuple[int, int]], cut: int, tail: bytes
) -> None:
    kind, content, expected = saved
    damaged = bytearray(content)
    for place, value in edits:
        damaged[place % len(damaged)] = value
    damaged = damaged[: len(damaged) - cut] + tail
    try:
        index = load(kind, bytes(damaged), tmp_path)
    except CorruptFile as error:
        assert str(tmp_path / "damaged") in str(error)
        assert "section " in str(error)
        assert " at byte " in str(error)
    else:
        assert answers(index) == expected


@in_function_folder
@given(which=PLACES, edits=st.lists(st.tuples(PLACES, VALUES), min_size=1, max_size=8))
def test_forged_sections_never_crash(
    saved: Any, tmp_path: Path, which: int, edits: list[tuple[int, int]]
) -> None:
    """With right checksums the damage reaches the index: refused, or an index that still works."""
    kind, content, _ = saved
    forged = bytearray(content)
    sections = [bounds for bounds in section_bounds(content).values() if bounds[1] > 0]
    offset, size = sections[which % len(sections)]
    for place, value in edits:
        forged[offset + place % size] = value
    try:
        index = load(kind, reseal(bytes(forged)), tmp_path)
    except CorruptFile as error:
        assert " at byte " in str(error)
        return
    # The forged alignment may take other queries than the one that was saved.
    with contextlib.suppress(InvalidArgument):
        answers(index)
    index.set_alignment(None)
    scores, ids = index.search(np.ones((2, index.dim), np.float32), 100)
    assert scores.shape == ids.shape == (2, 100)
    index.remove(index.ids()[:3])
    index.add(np.eye(2, index.dim, dtype=np.float32), ids=[10**9, 10**9 + 1])


@pytest.mark.parametrize("section", ["index", "labels", "vectors"])
def test_damage_names_the_section_it_is_in(saved: Any, tmp_path: Path, section: str) -> None:
    """A section of another length than it must have, with right checksums."""
    kind, content, _ = saved
    forged = bytearray(content)
    names = list(section_bounds(content))
    entry = HEADER + 24 * names.index(section)
    _, size = section_bounds(content)[section]
    padding = -size % 64
    if padding:
        struct.pack_into("<Q", forged, entry + 16, size + min(padding, 4))
    else:
        struct.pack_into("<Q", forged, entry + 16, size - 4)
        last = section_bounds(content)[section][0] + size
        forged[last - 4 : last] = bytes(4)
    with pytest.raises(CorruptFile, match=f"section {section} at byte"):
        load(kind, reseal(bytes(forged)), tmp_path)
