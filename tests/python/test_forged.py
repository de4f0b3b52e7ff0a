"""Index files whose checksums are right and whose content is not: refused by name, or harmless."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import gapless
from gapless.errors import CorruptFile
from graph_kit import CODES, clustered
from segment_forge import forge, read_sections, write_sections

DIM, COUNT = 40, 90
ROWS = clustered(COUNT, DIM)
Edit = Callable[[bytearray], object]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A file of each kind of codes, with links, a chain and free slots."""
    folder = tmp_path_factory.mktemp("forged")
    made = {}
    for codes in CODES:
        index = gapless.HnswIndex(DIM, m=4, ef_construction=30, codes=codes)
        index.add(np.concatenate([ROWS, ROWS[:5], ROWS[:5]]))
        index.remove([20, 21, 22])
        index.set_alignment(gapless.Alignment(offset=np.full(DIM, 0.1, np.float32)))
        index.save(folder / codes)
        made[codes] = (folder / codes).read_bytes()
    return made


def put(offset: int, what: bytes) -> Edit:
    def edit(content: bytearray) -> None:
        content[offset : offset + len(what)] = what

    return edit


def u32(value: int) -> bytes:
    return struct.pack("<I", value)


def f32(value: float) -> bytes:
    return struct.pack("<f", value)


def longer(content: bytearray) -> bytes:
    return bytes(content) + bytes(64)


def shorter(content: bytearray) -> bytes:
    return bytes(content[: len(content) // 2])


def u64(value: int) -> bytes:
    return struct.pack("<Q", value)


NONE = 0xFFFFFFFF
LINKED, CHAINED = 1, 2
# Slots 90 to 99 copy slots 0 to 4, twice; 20 to 22 are free.
CASES: list[tuple[str, str, str, Edit]] = [
    ("f32", "states", "(states|links)", put(3, b"\0")),
    ("f32", "states", "(states|links)", put(3, b"\3")),
    ("f32", "states", "(states|links)", put(3, b"\xc8")),
    ("f32", "states", "state", put(20, b"\1")),
    ("f32", "states", "", put(7, bytes([CHAINED]))),
    ("f32", "states", "", put(92, bytes([LINKED]))),
    ("f32", "links", "links", put(0, u32(100))),
    ("f32", "links", "links", put(0, u32(0))),
    ("f32", "links", "links", put(0, u32(20))),
    ("f32", "links", "links", put(0, u32(92))),
    ("f32", "links", "links", put(0, u32(0x3FFFFFFF))),
    ("f32", "links", "links", put(0, u32(NONE))),
    ("f32", "links", "links", lambda content: b"\xff" * len(content)),
    ("f32", "chain", "chain", put(0, u32(100))),
    ("f32", "chain", "chain", put(0, u32(1))),
    ("f32", "chain", "chain", put(0, u32(0))),
    ("f32", "chain", "chain", put(0, u32(NONE))),
    ("f32", "chain", "chain", put(4 * 90, u32(90))),
    ("f32", "chain", "chain", put(4 * 90, u32(91))),
    ("f32", "vectors", "vectors", put(0, f32(float("nan")))),
    ("f32", "vectors", "vectors", put(0, f32(3.0))),
    ("f32", "labels", "labels", put(0, struct.pack("<q", 1))),
    ("f32", "labels", "labels", put(0, struct.pack("<q", -2))),
    ("f32", "labels", "states", put(8 * 20, struct.pack("<q", 5000))),
    ("f32", "index", "index", put(0, u64(0))),
    ("f32", "index", "index", put(0, u64(1 << 40))),
    ("f32", "index", "", put(0, u64(DIM + 16))),
    ("f32", "index", "index", put(8, u64(1 << 60))),
    ("f32", "index", "labels", put(8, u64(50))),
    ("f32", "index", "index", put(16, struct.pack("<q", -1))),
    ("f32", "graph", "graph", put(0, u64(0))),
    ("f32", "graph", "graph", put(0, u64(1 << 62))),
    ("f32", "graph", "links", put(0, u64(60))),
    ("f32", "graph", "graph", put(8, u64(0))),
    ("f32", "graph", "graph", put(24, u64(20))),
    ("f32", "graph", "graph", put(24, u64(92))),
    ("f32", "graph", "graph", put(24, u64(1 << 40))),
    ("f32", "graph", "graph", put(40, u64(0))),
    ("f32", "graph", "graph", put(48, b"zstd\0\0\0\0")),
    ("f32", "graph", "graph", put(56, b"zstd\0\0\0\0")),
    ("f32", "graph", "bf16", put(56, b"bf16\0\0\0\0")),
    ("bf16", "bf16", "bf16", put(6, b"\x80\x7f")),
    ("bf16", "bf16", "bf16", put(6, b"\xc0\xff")),
    ("i8", "mean", "mean", put(0, f32(float("nan")))),
    ("i8", "mean", "mean", put(0, f32(7.0))),
    ("i8", "scales", "scales", put(0, f32(float("inf")))),
    ("i8", "scales", "scales", put(0, f32(float("nan")))),
    ("cascade", "mean", "mean", put(4, f32(float("-inf")))),
    ("cascade", "lines", "lines", put(0, f32(float("nan")))),
    ("cascade", "lines", "lines", put(4, f32(float("inf")))),
    ("cascade", "lines", "lines", put(8, f32(1e30))),
]


@pytest.mark.parametrize(
    ("codes", "section", "named", "edit"),
    CASES,
    ids=[f"{case[1]}-{number}" for number, case in enumerate(CASES)],
)
def test_a_forged_section_is_named(
    files: dict[str, bytes], tmp_path: Path, codes: str, section: str, named: str, edit: Edit
) -> None:
    path = tmp_path / "forged.seg"
    path.write_bytes(files[codes])
    forge(path, section, edit)
    with pytest.raises(CorruptFile, match=rf"forged\.seg: section {named}"):
        gapless.HnswIndex.load(path)


@pytest.mark.parametrize("offset", [48, 56])
def test_a_name_of_codes_that_is_no_text_is_named(
    files: dict[str, bytes], tmp_path: Path, offset: int
) -> None:
    path = tmp_path / "forged.seg"
    path.write_bytes(files["f32"])
    forge(path, "graph", put(offset, b"\xff" * 8))
    with pytest.raises(CorruptFile, match="section graph"):
        gapless.HnswIndex.load(path)


SECTIONS = [
    (codes, section)
    for codes, own in {
        "f32": ["index", "labels", "vectors", "align", "graph", "states", "links", "chain"],
        "bf16": ["bf16"],
        "i8": ["mean", "bytes", "scales"],
        "cascade": ["mean", "lines", "nibbles", "bytes"],
    }.items()
    for section in own
]


@pytest.mark.parametrize(("codes", "section"), SECTIONS)
def test_sections_of_another_size_or_missing(
    files: dict[str, bytes], tmp_path: Path, codes: str, section: str
) -> None:
    path = tmp_path / "forged.seg"
    for edit in (longer, shorter):
        path.write_bytes(files[codes])
        forge(path, section, edit)
        with pytest.raises(CorruptFile, match=r"forged\.seg: section \w+"):
            gapless.HnswIndex.load(path)
    if section == "align":
        return
    kind, sections = read_sections(files[codes])
    del sections[section]
    path.write_bytes(write_sections(kind, sections))
    with pytest.raises(CorruptFile, match=f"section {section} .*is missing"):
        gapless.HnswIndex.load(path)


@pytest.mark.parametrize(("codes", "section"), SECTIONS)
def test_random_damage_is_refused_or_harmless(
    files: dict[str, bytes], tmp_path: Path, codes: str, section: str
) -> None:
    """What is loaded all the same answers well-formed lists and can be written to."""
    path = tmp_path / "forged.seg"
    random = np.random.default_rng(len(section))
    for _ in range(12):
        path.write_bytes(files[codes])

        def damage(content: bytearray) -> None:
            for at in random.integers(0, len(content), random.integers(1, 4)):
                content[at] = int(random.choice([0, 1, 0x7F, 0x80, 0xFF, random.integers(256)]))

        forge(path, section, damage)
        try:
            index = gapless.HnswIndex.load(path)
        except CorruptFile:
            continue
        scores, ids = index.search(ROWS[:5], 10, ef=20)
        assert not np.isnan(scores).any()
        assert (np.diff(scores, axis=1) <= 0).all()
        assert all(len(set(row.tolist())) == 10 for row in ids)
        index.remove(index.ids()[::2])
        index.add(ROWS[:60], ids=np.arange(5000, 5060))
        assert len(index) >= 60


def test_a_forger_that_changes_nothing_gives_the_same_file(files: dict[str, bytes]) -> None:
    for data in files.values():
        assert write_sections(*read_sections(data)) == data
