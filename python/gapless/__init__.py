"""Embedded mixed-modality vector search that closes the modality gap inside the index."""

from __future__ import annotations

from gapless import errors
from gapless._core import Alignment, FlatIndex, HnswIndex, __version__, fuse
from gapless.alignment import align, alpha_mix
from gapless.calibration import calibrate
from gapless.card_scores import measure_card
from gapless.cards import model_card
from gapless.collection import Collection, open
from gapless.config import show_config
from gapless.diagnostics import diagnose
from gapless.duplicates import near_duplicates
from gapless.evaluation import evaluate
from gapless.guide import recommend
from gapless.mining import mine_hard_negatives
from gapless.mixed_benchmark import mixbench, u_curve
from gapless.model_choice import recommend_model
from gapless.results import Hit, Hits
from gapless.schema import Field, Schema, Space

__all__ = [
    "Alignment",
    "Collection",
    "Field",
    "FlatIndex",
    "Hit",
    "Hits",
    "HnswIndex",
    "Schema",
    "Space",
    "__version__",
    "align",
    "alpha_mix",
    "calibrate",
    "diagnose",
    "errors",
    "evaluate",
    "fuse",
    "measure_card",
    "mine_hard_negatives",
    "mixbench",
    "model_card",
    "near_duplicates",
    "open",
    "recommend",
    "recommend_model",
    "show_config",
    "u_curve",
]
