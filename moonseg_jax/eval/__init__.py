"""Average precision against ground truth, and the formats around it."""

from moonseg_jax.eval.ap import average_precision
from moonseg_jax.eval.bootstrap import bootstrap, interval
from moonseg_jax.eval.datasets import Dataset, SceneFiles, find_dataset, place_of
from moonseg_jax.eval.evaluate import SceneScore, evaluate, pool_scores, score_scene
from moonseg_jax.eval.export import export_predictions
from moonseg_jax.eval.ground_truth import GroundTruth, load_ground_truth
from moonseg_jax.eval.overlaps import SceneOverlaps, count_overlaps
from moonseg_jax.eval.predictions import (
    Predictions,
    check_writable,
    read_predictions,
    write_metrics,
    write_predictions,
)
from moonseg_jax.eval.protocols import PROTOCOLS, Protocol
from moonseg_jax.eval.report import definition_of, describe_dataset, format_metrics
from moonseg_jax.eval.settings import EvalSettings

__all__ = [
    "PROTOCOLS",
    "Dataset",
    "EvalSettings",
    "GroundTruth",
    "Predictions",
    "Protocol",
    "SceneFiles",
    "SceneOverlaps",
    "SceneScore",
    "average_precision",
    "bootstrap",
    "check_writable",
    "count_overlaps",
    "definition_of",
    "describe_dataset",
    "evaluate",
    "export_predictions",
    "find_dataset",
    "format_metrics",
    "interval",
    "load_ground_truth",
    "place_of",
    "pool_scores",
    "read_predictions",
    "score_scene",
    "write_metrics",
    "write_predictions",
]
