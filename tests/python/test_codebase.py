"""Rules of the code base that a reader may rely on."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import shutil
import sys
from pathlib import Path

import pytest

import gapless
from cpp_kit import ROOT, cpp_build, run
from gapless import _core

SOURCE_SUFFIXES = {".h", ".cpp", ".cu", ".cuh", ".inc", ".py"}
LAYERS = ("core", "kernels", "index", "store", "query", "bindings")
CPP_FILES = sorted(
    path for path in (ROOT / "cpp").rglob("*") if path.suffix in SOURCE_SUFFIXES - {".py"}
)


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def sources() -> list[Path]:
    return [
        path
        for folder in ("cpp", "python", "tests", "bench")
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in SOURCE_SUFFIXES and not any(part.startswith(".") for part in path.parts)
    ]


def matches(pattern: str, files: list[Path]) -> list[str]:
    """Places "file:line: text" in the files that match the pattern."""
    return [
        f"{name(path)}:{number}: {line.strip()}"
        for path in files
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if re.search(pattern, line)
    ]


def test_files_are_small() -> None:
    lines = {name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in sources()}
    assert len(lines) > 50
    assert {file: count for file, count in lines.items() if count > 600} == {}
    large = {file: count for file, count in lines.items() if count > 400}
    assert len(large) <= 0.1 * len(lines), large


def test_layers_include_only_what_stands_left_of_them() -> None:
    wrong = []
    for path in CPP_FILES:
        layer = path.relative_to(ROOT / "cpp").parts[0]
        allowed = LAYERS[: LAYERS.index(layer) + 1]
        for included in re.findall(r'^#\s*include "([^"]+)"', path.read_text(), re.MULTILINE):
            if included.split("/")[0] not in allowed:
                wrong.append(f"{name(path)} includes {included}")
            elif not (ROOT / "cpp" / included).is_file():
                wrong.append(f"{name(path)} includes {included} by a path that is not full")
    assert wrong == []


@pytest.mark.parametrize(
    ("pattern", "only_in"),
    [
        (r"pybind11", "cpp/bindings/"),
        (r"immintrin\.h|arm_neon\.h|\b_mm\d*_|\bvld1q?_", "cpp/kernels/cpu/"),
        (r"\bgetenv\b", "cpp/core/runtime.cpp"),
        (r"\b(fopen|ofstream|ifstream|O_RDONLY|O_WRONLY|O_CREAT)\b", "cpp/store/file.cpp"),
    ],
)
def test_one_place_for_each_concern(pattern: str, only_in: str) -> None:
    inside = [path for path in CPP_FILES if name(path).startswith(only_in)]
    outside = [path for path in CPP_FILES if not name(path).startswith(only_in)]
    assert matches(pattern, inside), "the pattern finds nothing where it must"
    assert matches(pattern, outside) == []


def test_the_core_never_prints_or_aborts() -> None:
    pattern = r"<iostream>|\bstd::(cout|cerr|abort|exit)\b|\b(printf|fprintf|puts)\("
    assert matches(pattern, CPP_FILES) == []


def test_nothing_is_left_for_later() -> None:
    assert matches(r"\b(" + "TO" + r"DO|FIX" + r"ME|XX" + r"X)\b", sources()) == []


def test_versions_agree() -> None:
    declared = re.search(r'^version = "([^"]+)"', (ROOT / "pyproject.toml").read_text(), re.M)
    assert declared is not None
    installed = importlib.metadata.version("gapless")
    assert declared[1] == installed == gapless.__version__ == _core.config()["version"]


def test_ruff_finds_nothing() -> None:
    pytest.importorskip("ruff", reason="ruff is missing: pip install 'gapless[test]'")
    folders = ("python", "tests", "bench")  # the README lays its examples out by hand
    run(sys.executable, "-m", "ruff", "check", *folders)
    run(sys.executable, "-m", "ruff", "format", "--check", *folders)


def test_mypy_strict_finds_nothing() -> None:
    pytest.importorskip("mypy", reason="mypy is missing: pip install 'gapless[test]'")
    run(sys.executable, "-m", "mypy")


def test_stub_is_what_the_module_says(tmp_path: Path) -> None:
    """Regenerate a stale one with these two commands and copy it to python/gapless."""
    pytest.importorskip("pybind11_stubgen", reason="missing: pip install 'gapless[test]'")
    run(
        *(sys.executable, "-m", "pybind11_stubgen", "gapless._core", "-o", tmp_path),
        *("--numpy-array-use-type-var", "--exit-code"),
    )
    fresh = tmp_path / "gapless" / "_core.pyi"
    run(sys.executable, "-m", "ruff", "format", "--config", ROOT / "pyproject.toml", fresh)
    assert fresh.read_text() == (ROOT / "python" / "gapless" / "_core.pyi").read_text()


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="x86 objects only")
def test_vector_code_stays_in_its_objects() -> None:
    """Code for a newer CPU that the linker can pick up elsewhere kills the older CPU."""
    if shutil.which("objdump") is None or shutil.which("nm") is None:
        pytest.skip("objdump and nm are missing: apt-get install binutils")
    objects = sorted((cpp_build() / "cpp" / "CMakeFiles" / "gapless_core.dir").rglob("*.o"))
    assert len(objects) > 15
    tables = {
        "avx2.cpp.o": ["kAvx2Kernels"],
        "avx512.cpp.o": ["kAvx512Kernels", "kAvx512VnniKernels"],
        "codes_avx2.cpp.o": ["kAvx2CodeKernels"],
        "codes_avx512vnni.cpp.o": ["kAvx512VnniCodeKernels"],
        "scan_avx2.cpp.o": ["kAvx2Scan"],
        "scan_avx512vnni.cpp.o": ["kAvx512VnniScan"],
    }
    assert tables.keys() <= {path.name for path in objects}
    for path in objects:
        wide = set(re.findall(r"%([yz]mm)\d", run("objdump", "-d", path)))
        if path.name not in tables:
            assert wide == set(), path.name
            continue
        assert wide, path.name
        exported = run("nm", "--demangle", "--defined-only", "--extern-only", path).splitlines()
        symbols = [line.split(maxsplit=2)[2] for line in exported if line]
        assert symbols == [f"gapless::{table}" for table in tables[path.name]], path.name
