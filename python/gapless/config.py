"""What this build and this machine offer."""

from __future__ import annotations

from typing import Any

from gapless import _core
from gapless.errors import InvalidArgument


def show_config(mode: str = "stdout") -> dict[str, Any] | None:
    """Print the version, the instruction set in use, and CUDA or why there is none.

    Parameters
    ----------
    mode
        "stdout" prints and returns None; "dicts" returns the same as a dict.

    Raises
    ------
    InvalidArgument
        For another mode.

    Examples
    --------
    >>> import gapless
    >>> sorted(gapless.show_config(mode="dicts"))
    ['cores', 'cuda', 'simd', 'simd_available', 'version']
    """
    if mode not in ("stdout", "dicts"):
        raise InvalidArgument(f"mode is {mode!r}; use 'stdout' or 'dicts'")
    found = _core.config()
    if mode == "dicts":
        return found
    print(f"gapless {found['version']}")
    print(f"  SIMD   {found['simd']} (this machine runs {', '.join(found['simd_available'])})")
    print(f"  cores  {found['cores']}")
    print(f"  CUDA   {found['cuda']}")
    return None
