"""The C++ tests, built and run as part of this suite."""

from __future__ import annotations

import re

from cpp_kit import cpp_build, run


def test_cpp_tests_pass() -> None:
    output = run(cpp_build() / "tests" / "cpp" / "gapless_cpp_tests")
    passed = re.search(r"test cases:\s+(\d+) \|\s+(\d+) passed \| 0 failed \| 0 skipped", output)
    assert passed is not None, output
    assert passed[1] == passed[2]
    assert int(passed[1]) >= 40
