"""`moonseg eval`: predictions of one scene or many, ground truth, and one object of numbers."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from moonseg_jax.eval.ap import THRESHOLDS, average_precision
from moonseg_jax.eval.associate import ASSOCIATIONS, associate
from moonseg_jax.eval.foreign import read_mask_predictions
from moonseg_jax.eval.ground_truth import GT_MODES, GroundTruth, load_ground_truth
from moonseg_jax.eval.overlaps import MIN_VERTICES, SceneOverlaps, count_overlaps
from moonseg_jax.eval.predictions import read_predictions
from moonseg_jax.eval.views import MeasuredFrames
from moonseg_jax.structs import InputError

AP_NAMES = ("ap", "ap50", "ap25")


def evaluate(
    predictions: Sequence[str | Path],
    ground_truth: Sequence[str | Path],
    *,
    measured: Iterable[MeasuredFrames | None] | None = None,
    gt_mode: str = "onlineanyseg",
    association: str = "gt",
    thresholds: str = "nine",
    min_vertices: int = MIN_VERTICES,
    icp: bool = False,
) -> dict[str, Any]:
    """Scores predictions, all scenes pooled into one curve.

    Args:
        predictions: one a scene: a predictions folder, or an npz as `read_mask_predictions` takes.
        ground_truth: for each, what `load_ground_truth` takes.
        measured: for each, the recording as `associate` takes it; None: none for any.
        gt_mode: which instances count, as in `counted_instances`.
        association: how a folder's result reaches the vertices, as in `associate`; an npz is on
            them already.
        thresholds: ``nine`` or ``ten``, as in `average_precision`.
        min_vertices: smaller instances and predictions do not count.
        icp: refine ``sim3`` on the points.

    Returns:
        JSON-serialisable: ``ap``, ``ap50``, ``ap25`` in 0..1 with constant scores (None without
        ground truth), the same under ``ranked``, how they were made (``protocol``, ``gt_mode``,
        ``score_rule``, ``thresholds``, ``min_vertices``), and ``scenes``, one object each.

    Raises:
        InputError: a file is missing or does not fit.
    """
    if len(predictions) != len(ground_truth):
        raise InputError(
            f"{len(predictions)} predictions and {len(ground_truth)} ground truths "
            f"(first: {predictions[0]}): give one for each"
        )
    _check_choice("gt-mode", gt_mode, GT_MODES)
    _check_choice("association", association, ASSOCIATIONS)
    _check_choice("thresholds", thresholds, tuple(THRESHOLDS))
    overlaps: list[SceneOverlaps] = []
    scenes: list[dict[str, Any]] = []
    recordings = measured or [None] * len(predictions)
    for result, path, recording in zip(predictions, ground_truth, recordings, strict=True):
        truth = load_ground_truth(path, gt_mode)
        labels, scores, record = _on_vertices(result, truth, recording, association, icp)
        table = count_overlaps(truth.instance, labels, scores, min_vertices=min_vertices)
        overlaps.append(table)
        scenes.append(record | _describe(truth, labels, table, thresholds))
    return {
        **_numbers(overlaps, thresholds, "constant"),
        "ranked": _numbers(overlaps, thresholds, "ranked"),
        "protocol": _common([scene["protocol"] for scene in scenes]),
        "gt_mode": gt_mode,
        "score_rule": "constant",
        "thresholds": [round(float(t), 2) for t in THRESHOLDS[thresholds]],
        "min_vertices": min_vertices,
        "scenes": scenes,
    }


def format_metrics(metrics: dict[str, Any]) -> str:
    """The numbers for people: one line a scene, one for all, and how they were made."""
    width = max(len("all scenes"), *(len(scene["scene"]) for scene in metrics["scenes"]))
    lines = [f"{'':{width}}     AP   AP50   AP25 | ranked: AP   AP50   AP25 | instances gt pred"]
    for scene in metrics["scenes"]:
        counts = f" | {scene['gt_instances']:12d} {scene['pred_instances']:4d}"
        lines.append(f"{scene['scene']:{width}} {_row(scene)}{counts}")
    if len(metrics["scenes"]) > 1:
        lines.append(f"{'all scenes':{width}} {_row(metrics)}")
    lines.append(
        f"protocol {metrics['protocol']}, gt mode {metrics['gt_mode']}, "
        f"IoU {metrics['thresholds'][0]:.2f}-{metrics['thresholds'][-1]:.2f} "
        f"({len(metrics['thresholds'])} thresholds), at least {metrics['min_vertices']} vertices; "
        "the first three columns score every prediction 1.0"
    )
    return "\n".join(lines)


def _on_vertices(
    result: str | Path,
    truth: GroundTruth,
    measured: MeasuredFrames | None,
    association: str,
    icp: bool,
) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Predictions on the vertices as `count_overlaps` takes them, scores, and their record."""
    if Path(result).suffix == ".npz":
        masks = read_mask_predictions(result, truth)
        return masks.masks, masks.scores, {"protocol": "vertices", "predictions": str(result)}
    read = read_predictions(result)
    labels = associate(read, truth, association, measured=measured, icp=icp)
    record = {
        "protocol": f"{association}+icp" if icp and association == "sim3" else association,
        "predictions": str(result),
        "frames": len(read.info.frame_names),
        "stride": read.info.stride,
        "poses": read.info.poses,
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
        "scene": truth.scene,
        "ground_truth": str(truth.path),
        "gt_instances": int(table.gt_counts.sum()),
        "pred_instances": len(table.pred_sizes),
        "labelled_share": round(float(np.mean(on_instances > 0)), 4) if len(on_instances) else None,
        **_numbers([table], thresholds, "constant"),
        "ranked": _numbers([table], thresholds, "ranked"),
    }


def _numbers(tables: list[SceneOverlaps], thresholds: str, rule: str) -> dict[str, float | None]:
    values = average_precision(tables, thresholds, rule)
    return {name: None if math.isnan(value) else value for name, value in values.items()}


def _row(numbers: dict[str, Any]) -> str:
    return f"{_three(numbers)} |      {_three(numbers['ranked'])}"


def _three(numbers: dict[str, Any]) -> str:
    values = [numbers[name] for name in AP_NAMES]
    return " ".join("     -" if v is None else f"{100 * v:6.1f}" for v in values)


def _common(protocols: list[str]) -> str:
    return ", ".join(sorted(set(protocols)))


def _check_choice(flag: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise InputError(f"--{flag} {value} is unknown: choose from {', '.join(choices)}")
