"""Predictions in the formats that other projects' evaluators and benchmarks read."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from moonseg_jax.cache import disk_errors, whole_file
from moonseg_jax.eval.associate import associate
from moonseg_jax.eval.ground_truth import load_ground_truth
from moonseg_jax.eval.predictions import Predictions, read_predictions
from moonseg_jax.eval.views import MeasuredFrames, folder_of
from moonseg_jax.structs import InputError
from moonseg_jax.viz.palette import instance_colors
from moonseg_jax.viz.ply import write_ply

FORMATS = ("npz", "scannet", "ply")
CLASS_AGNOSTIC = 1  # Readers want a class; class-agnostic ones do not look at it.


@dataclass(frozen=True)
class _Labelled:
    points: np.ndarray
    instance: np.ndarray
    scores: np.ndarray


def export_predictions(
    predictions: str | Path,
    out: str | Path,
    format: str,
    *,
    ground_truth: str | Path | None = None,
    association: str = "gt",
    measured: MeasuredFrames | None = None,
) -> None:
    """Writes predictions in another format.

    - ``npz``: one file, ``pred_masks [v N]`` bool, ``pred_score [N]``, ``pred_classes [N]`` and
      the ``points [v 3]``, as MaskClustering and OnlineAnySeg have it.
    - ``scannet``: a folder, ``<scene>.txt`` of lines ``predicted_masks/<scene>_000.txt class
      score``, and those masks, one 0 or 1 per vertex.
    - ``ply``: one file, the points coloured by instance.

    Scores are the ranked ones.

    Args:
        predictions: folder.
        out: file or folder to write.
        format: one of `FORMATS`.
        ground_truth: write over these vertices, in their order; None: over the result's own points.
        association: how the result reaches the vertices, as in `associate`.
        measured: what measured the result's frames, as in `associate`.

    Raises:
        InputError: unusable input, or `out` cannot be written or is a folder with something in it.
    """
    if format not in FORMATS:
        raise InputError(f"--format {format} is unknown: choose from {', '.join(FORMATS)}")
    read, out = read_predictions(predictions), Path(out)
    if format != "scannet" and out.is_dir():
        raise InputError(f"{out} is a folder: --out must name a file")
    labelled = _on_points(read, ground_truth, association, measured)
    with disk_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        if format == "scannet":
            _write_scannet(out, read.info.scene, labelled)
            return
    with whole_file(out) as file:
        if format == "npz":
            _write_npz(file, labelled)
        else:
            write_ply(file, labelled.points, instance_colors(labelled.instance), labelled.instance)


def _on_points(
    read: Predictions,
    ground_truth: str | Path | None,
    association: str,
    measured: MeasuredFrames | None,
) -> _Labelled:
    if ground_truth is None:
        return _Labelled(read.points, read.instance, read.scores)
    truth = load_ground_truth(ground_truth, mesh_folder=folder_of(measured))
    labels = associate(read, truth, association, measured=measured)
    return _Labelled(truth.require_points(), labels, read.scores)


def _write_npz(out: Path, labelled: _Labelled) -> None:
    n = len(labelled.scores)
    with out.open("wb") as file:  # A path without .npz would get one appended.
        np.savez_compressed(
            file,
            pred_masks=labelled.instance[:, None] == np.arange(1, n + 1),
            pred_score=labelled.scores,
            pred_classes=np.full(n, CLASS_AGNOSTIC, np.int32),
            points=labelled.points,
        )


def _write_scannet(out: Path, scene: str, labelled: _Labelled) -> None:
    if out.exists() and (not out.is_dir() or (out / f"{scene}.txt").exists()):
        raise InputError(f"{out} exists and would be overwritten: choose another --out")
    masks = out / "predicted_masks"
    masks.mkdir(parents=True, exist_ok=True)
    lines = []
    for i, score in enumerate(labelled.scores):
        name = f"{scene}_{i:03d}.txt"
        np.savetxt(masks / name, labelled.instance == i + 1, "%d")
        lines.append(f"{masks.name}/{name} {CLASS_AGNOSTIC} {score:.6f}\n")
    (out / f"{scene}.txt").write_text("".join(lines))
