"""Embedded mixed-modality vector search that closes the modality gap inside the index."""

from __future__ import annotations

from gapless import errors
from gapless._core import Alignment, FlatIndex, HnswIndex, __version__, fuse
from gapless.adaptive.retriever import AdaptiveRetriever
from gapless.adaptive.router import KeywordRouter, Route
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
from gapless.rerank.scorers import EncoderScorer, VectorScorer, register_reranker
from gapless.results.hits import Hit, Hits
from gapless.results.row import Row
from gapless.schema import Field, Schema, Space
from gapless.stages.stages import Diversify, Filter, GroupBy, Limit, MinConfidence, VectorSearch
from gapless.stages.text import stages_from_json, stages_to_json

__all__ = [
    "AdaptiveRetriever",
    "Alignment",
    "Collection",
    "Diversify",
    "EncoderScorer",
    "F",
    "Field",
    "Filter",
    "FlatIndex",
    "Fuse",
    "GroupBy",
    "Hit",
    "Hits",
    "HnswIndex",
    "KeywordRouter",
    "Limit",
    "MinConfidence",
    "Part",
    "Rerank",
    "Route",
    "Row",
    "Schema",
    "Space",
    "VectorScorer",
    "VectorSearch",
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
    "register_reranker",
    "show_config",
    "stages_from_json",
    "stages_to_json",
    "u_curve",
]
