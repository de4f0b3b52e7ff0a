"""One build of the C++ tests for all the test files that want it."""

from __future__ import annotations

import atexit
import functools
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CMAKE_WANTED = (3, 28)


def run(*command: str | Path) -> str:
    """Run a command and return what it prints; fail the test with its output if it fails."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.fail(f"{' '.join(map(str, command))}\n{done.stdout[-8000:]}", pytrace=False)
    return done.stdout


def find_cmake() -> str:
    """Path of a recent enough CMake: the one from PyPI if installed, else the system's."""
    try:
        import cmake
    except ImportError:
        found = shutil.which("cmake")
    else:
        found = str(Path(cmake.CMAKE_BIN_DIR) / "cmake")
    if found is not None:
        version = re.search(r"version (\d+)\.(\d+)", run(found, "--version"))
        if version and tuple(map(int, version.groups())) >= CMAKE_WANTED:
            return found
    pytest.skip("CMake >= 3.28 is missing: pip install cmake")


@functools.cache
def _build_folder() -> Path:
    cmake = find_cmake()
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
    if compiler is None:
        pytest.skip("a C++20 compiler is missing: apt-get install g++")
    doctest = [Path(root) / "include" / "doctest" / "doctest.h" for root in ("/usr", "/usr/local")]
    if "GAPLESS_DOCTEST_DIR" not in os.environ and not any(header.is_file() for header in doctest):
        pytest.skip("doctest.h is missing: apt-get install doctest-dev")
    folder = Path(tempfile.mkdtemp(prefix="gapless-cpp-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    options = ["-DGAPLESS_PYTHON=OFF", "-DGAPLESS_TESTS=ON", "-DGAPLESS_CUDA=OFF"]
    if "GAPLESS_DOCTEST_DIR" in os.environ:
        options.append(f"-DGAPLESS_DOCTEST_DIR={os.environ['GAPLESS_DOCTEST_DIR']}")
    run(cmake, "-S", ROOT, "-B", folder, *options)
    run(cmake, "--build", folder, "--target", "gapless_cpp_tests", "--parallel", "2")
    return folder


def cpp_build() -> Path:
    """Folder of a fresh Release build of the core and its tests, made once per run."""
    return _build_folder()
