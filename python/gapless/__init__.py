"""Embedded mixed-modality vector search that closes the modality gap inside the index."""

from __future__ import annotations

from gapless import errors
from gapless._core import Alignment, FlatIndex, HnswIndex, __version__, fuse
from gapless.config import show_config

__all__ = [
    "Alignment",
    "FlatIndex",
    "HnswIndex",
    "__version__",
    "errors",
    "fuse",
    "show_config",
]
