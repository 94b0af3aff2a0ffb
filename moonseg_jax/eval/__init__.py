"""Average precision against ground truth, and the formats around it."""

from moonseg_jax.eval.ap import average_precision
from moonseg_jax.eval.evaluate import evaluate, format_metrics
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

__all__ = [
    "GroundTruth",
    "Predictions",
    "SceneOverlaps",
    "average_precision",
    "check_writable",
    "count_overlaps",
    "evaluate",
    "export_predictions",
    "format_metrics",
    "load_ground_truth",
    "read_predictions",
    "write_metrics",
    "write_predictions",
]
