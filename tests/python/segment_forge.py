"""Segments rewritten on purpose, with checksums that match: damage that only content shows."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

BLOCK, ALIGN = 65536, 64
HEADER = struct.Struct("<8sII8sQQI12xI")
ENTRY = struct.Struct("<8sQQ")


def _table() -> list[int]:
    made = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        made.append(byte)
    return made


TABLE = _table()


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % ALIGN)


def read_sections(data: bytes) -> tuple[bytes, dict[str, bytes]]:
    """Kind and sections of a segment."""
    _, _, count, kind, *_ = HEADER.unpack_from(data)
    found = {}
    for i in range(count):
        name, offset, size = ENTRY.unpack_from(data, 64 + i * ENTRY.size)
        found[name.rstrip(b"\0").decode()] = data[offset : offset + size]
    return kind, found


def write_sections(kind: bytes, sections: dict[str, bytes]) -> bytes:
    start = 64 + len(padded(bytes(len(sections) * ENTRY.size)))
    table, body = b"", b""
    for name, content in sections.items():
        table += ENTRY.pack(name.encode(), start + len(body), len(content))
        body += padded(content)
    table = padded(table)
    blocks = [body[i : i + BLOCK] for i in range(0, len(body), BLOCK)]
    sums = b"".join(struct.pack("<I", crc32c(block)) for block in blocks)
    sums += struct.pack("<I", crc32c(sums))
    size = start + len(body) + len(sums)
    header = struct.pack(
        "<8sII8sQQI12x",
        *(b"\x89gapless", 1, len(sections), kind, size, start + len(body), crc32c(table)),
    )
    header = header.ljust(60, b"\0")
    return header + struct.pack("<I", crc32c(header)) + table + body + sums


def forge(path: Path, section: str, edit: Callable[[bytearray], object]) -> None:
    """Edit one section of the file in place; an edit that returns None changed its argument."""
    kind, sections = read_sections(path.read_bytes())
    content = bytearray(sections[section])
    changed = edit(content)
    sections[section] = bytes(content if changed is None else changed)  # type: ignore[call-overload]
    path.write_bytes(write_sections(kind, sections))
