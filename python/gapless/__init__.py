"""Embedded mixed-modality vector search that closes the modality gap inside the index."""

from __future__ import annotations

from gapless import errors
from gapless._core import Alignment, FlatIndex, HnswIndex, __version__, fuse
from gapless.alignment.align import align, alpha_mix
from gapless.calibration.calibrate import calibrate
from gapless.collection import Collection, open
from gapless.config import show_config
from gapless.diagnosis.diagnose import diagnose
from gapless.diagnosis.guide import recommend
from gapless.evaluation.evaluate import evaluate
from gapless.evaluation.mixbench import mixbench, u_curve
from gapless.filters.builder import F
from gapless.mining.duplicates import near_duplicates
from gapless.mining.mine import mine_hard_negatives
from gapless.models.cards import model_card
from gapless.models.choice import recommend_model
from gapless.models.scores import measure_card
from gapless.query.fusion import Fuse
from gapless.query.parts import Part
from gapless.rerank.how import Rerank
from gapless.results.hits import Hit, Hits
from gapless.schema import Field, Schema, Space

__all__ = [
    "Alignment",
    "Collection",
    "F",
    "Field",
    "FlatIndex",
    "Fuse",
    "Hit",
    "Hits",
    "HnswIndex",
    "Part",
    "Rerank",
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
