"""From predictions and ground truth, of one scene or many, to one object of numbers."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from moonseg_jax.eval.ap import THRESHOLDS, ScoreRule, average_precision
from moonseg_jax.eval.associate import ASSOCIATED, associate
from moonseg_jax.eval.foreign import read_mask_predictions
from moonseg_jax.eval.ground_truth import VOID, GroundTruth, load_ground_truth
from moonseg_jax.eval.overlaps import SceneOverlaps, count_overlaps
from moonseg_jax.eval.predictions import read_predictions
from moonseg_jax.eval.settings import EvalSettings
from moonseg_jax.eval.views import MeasuredFrames, folder_of
from moonseg_jax.structs import InputError


@dataclass(frozen=True)
class SceneScore:
    """What one scene contributes to the numbers of all.

    Attributes:
        overlaps: of its predictions with its ground truth.
        record: what was scored and how, and the scene's own numbers; JSON-serialisable.
    """

    overlaps: SceneOverlaps
    record: dict[str, Any]


def evaluate(
    predictions: Sequence[str | Path],
    ground_truth: Sequence[str | Path],
    *,
    measured: Iterable[MeasuredFrames | None] | None = None,
    **choices: Any,
) -> dict[str, Any]:
    """Scores predictions, all scenes pooled into one curve.

    Args:
        predictions: one a scene: a predictions folder, or an npz as `read_mask_predictions` takes.
        ground_truth: for each, what `load_ground_truth` takes.
        measured: for each, the recording as `associate` takes it; None: none for any.
        choices: fields of `EvalSettings`.

    Returns:
        As `pool_scores`.

    Raises:
        InputError: a file is missing or does not fit.
    """
    check_pairs(predictions, ground_truth)
    settings = EvalSettings(**choices)
    recordings = measured or [None] * len(predictions)
    pairs = zip(predictions, ground_truth, recordings, strict=True)
    return pool_scores(
        [score_scene(result, truth, settings, recording) for result, truth, recording in pairs],
        settings,
    )


def check_pairs(predictions: Sequence[str | Path], ground_truth: Sequence[str | Path]) -> None:
    """Refuses lists of different lengths."""
    if len(predictions) != len(ground_truth):
        raise InputError(
            f"{len(predictions)} predictions and {len(ground_truth)} ground truths "
            f"(first: {predictions[0]}): give one for each"
        )


def score_scene(
    result: str | Path | None,
    ground_truth: str | Path,
    settings: EvalSettings,
    measured: MeasuredFrames | None = None,
    name: str = "",
) -> SceneScore:
    """Scores one scene.

    Args:
        result: a predictions folder, or an npz as `read_mask_predictions` takes; None: no result,
            which counts as one without instances.
        ground_truth: what `load_ground_truth` takes.
        settings: how.
        measured: the recording as `associate` takes it.
        name: of the scene; default: as the ground truth says.

    Raises:
        InputError: a file is missing or does not fit.
    """
    truth = load_ground_truth(ground_truth, settings.gt_mode, folder_of(measured))
    labels, scores, record = _on_vertices(result, truth, measured, settings)
    table = count_overlaps(truth.instance, labels, scores, min_vertices=settings.min_vertices)
    record |= {"scene": name or truth.scene}
    return SceneScore(table, record | _describe(truth, labels, table, settings.thresholds))


def pool_scores(scores: Sequence[SceneScore], settings: EvalSettings) -> dict[str, Any]:
    """The numbers of all scenes, pooled into one curve as ScanNet's evaluator does.

    Returns:
        JSON-serialisable: ``ap``, ``ap50``, ``ap25`` in 0..1 with constant scores (None without
        ground truth), the same under ``ranked``, how they were made (``protocol``,
        ``association``, ``gt_mode``, ``score_rule``, ``thresholds``, ``min_vertices``, ``void``),
        and ``scenes``, one object each.
    """
    tables = [score.overlaps for score in scores]
    protocols = sorted({score.record["protocol"] for score in scores} - {None})
    return {
        **_numbers(tables, settings.thresholds, "constant"),
        "ranked": _numbers(tables, settings.thresholds, "ranked"),
        "protocol": ", ".join(protocols),
        "association": "; ".join(ASSOCIATED[protocol] for protocol in protocols),
        "gt_mode": settings.gt_mode,
        "score_rule": "constant",
        "thresholds": [round(float(t), 2) for t in THRESHOLDS[settings.thresholds]],
        "min_vertices": settings.min_vertices,
        "void": VOID[settings.gt_mode],
        "scenes": [score.record for score in scores],
    }


def _on_vertices(
    result: str | Path | None,
    truth: GroundTruth,
    measured: MeasuredFrames | None,
    settings: EvalSettings,
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Predictions on the vertices as `count_overlaps` takes them, scores, and their record."""
    if result is None:
        return (
            np.zeros(len(truth.instance), int),
            np.zeros(0),
            {"protocol": None, "predictions": None},
        )
    if Path(result).suffix == ".npz":
        masks = read_mask_predictions(result, truth)
        return masks.masks, masks.scores, {"protocol": "vertices", "predictions": str(result)}
    read = read_predictions(result)
    refined = settings.icp and settings.association != "gt"
    labels = associate(read, truth, settings.association, measured=measured, icp=settings.icp)
    record = {
        "protocol": settings.association + "+icp" * refined,
        "predictions": str(result),
        "frames": len(read.info.frame_names),
        "stride": read.info.stride,
        "poses": read.info.poses,
        "geometry": read.info.geometry.name,
        "semantics": read.info.semantics.name,
        "masks": read.info.masks.name,
        "measured_by": str(measured.path) if measured else read.cache,
        "min_observations": read.config.get("online", {}).get("min_observations"),
        "checkpoint": read.checkpoint,
    }
    return labels, read.scores, record


def _describe(
    truth: GroundTruth, labels: np.ndarray, table: SceneOverlaps, thresholds: str
) -> dict[str, Any]:
    on_instances = np.reshape(labels, (len(labels), -1))[truth.instance > 0].max(axis=1, initial=0)
    return {
        "ground_truth": str(truth.path),
        "gt_instances": int(table.gt_counts.sum()),
        "pred_instances": len(table.pred_sizes),
        "labelled_share": round(float(np.mean(on_instances > 0)), 4) if len(on_instances) else None,
        **_numbers([table], thresholds, "constant"),
        "ranked": _numbers([table], thresholds, "ranked"),
    }


def _numbers(
    tables: list[SceneOverlaps], thresholds: str, rule: ScoreRule
) -> dict[str, float | None]:
    values = average_precision(tables, thresholds, rule)
    return {name: None if math.isnan(value) else value for name, value in values.items()}
