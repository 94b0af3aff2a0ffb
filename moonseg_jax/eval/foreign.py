"""Predictions of other projects: one npz a scene, masks over the ground truth's vertices."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from moonseg_jax.eval.ground_truth import GroundTruth
from moonseg_jax.eval.npz import read_npz
from moonseg_jax.structs import InputError


@dataclass(frozen=True)
class MaskPredictions:
    """What MaskClustering and OnlineAnySeg write.

    Attributes:
        path: the file.
        masks: ``[v n]`` bool; they may overlap.
        scores: ``[n]``.
    """

    path: Path
    masks: np.ndarray
    scores: np.ndarray


def read_mask_predictions(path: str | Path, truth: GroundTruth) -> MaskPredictions:
    """Reads ``pred_masks [v n]``, ``pred_score [n]`` (``pred_classes`` does not matter here).

    Args:
        path: the npz.
        truth: whose vertices the masks are on.

    Raises:
        InputError: not such a file, or of another number of vertices.
    """
    path = Path(path)
    data = read_npz(
        path,
        ("pred_masks", "pred_score"),
        "predictions are an npz with pred_masks [N n] and pred_score [n], or a predictions folder",
    )
    masks, scores = data["pred_masks"].astype(bool), data["pred_score"]
    if masks.ndim != 2 or scores.shape != masks.shape[1:]:
        raise InputError(
            f"{path} has pred_masks {masks.shape} and pred_score {scores.shape}: "
            "expected [N n] and [n]"
        )
    if len(masks) != len(truth.instance):
        raise InputError(
            f"{path} has masks over {len(masks)} vertices and {truth.path} has "
            f"{len(truth.instance)}: predictions must be on the ground truth's vertices"
        )
    return MaskPredictions(path, masks, scores)
