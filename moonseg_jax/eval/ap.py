"""Class-agnostic average precision, number for number as ScanNet's evaluator computes it.

Three conventions of that evaluator, easily got wrong, are kept on purpose: a match needs an IoU
*above* the threshold; ground truth is served in order of id and takes the first prediction that
nobody has taken; and a second prediction above the threshold is a false positive whose score is
the lower of the two, and may still be taken by a later ground-truth instance (which can happen
only under 0.5).
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from moonseg_jax.eval.overlaps import SceneOverlaps

# `arange` and not round decimals: an IoU of exactly 0.6 must fall on the field's side.
THRESHOLDS = {"nine": np.arange(0.5, 0.95, 0.05), "ten": np.arange(0.5, 1.0, 0.05)}
ScoreRule = Literal["constant", "ranked"]


def average_precision(
    scenes: Sequence[SceneOverlaps], thresholds: str = "nine", score_rule: ScoreRule = "constant"
) -> dict[str, float]:
    """AP, AP50 and AP25 of all scenes pooled into one precision-recall curve.

    With one score for everything, AP at a threshold is exactly recall·(1 + precision)/2.

    Args:
        scenes: one table a scene.
        thresholds: ``nine`` (0.50, 0.55 ... 0.90: the code of ScanNet and of its descendants) or
            ``ten`` (up to 0.95: what papers often say).
        score_rule: ``constant`` gives every prediction the score 1.0, as MaskClustering and
            OnlineAnySeg do: the comparable number; ``ranked`` uses the predictions' scores.

    Returns:
        ``ap`` (mean over the thresholds), ``ap50``, ``ap25``: in 0..1, 0 without predictions, NaN
        without ground truth.
    """
    at = {t: average_precision_at(scenes, t, score_rule) for t in THRESHOLDS[thresholds]}
    return {
        "ap": float(np.mean(list(at.values()))),
        "ap50": at[THRESHOLDS[thresholds][0]],
        "ap25": average_precision_at(scenes, 0.25, score_rule),
    }


def average_precision_at(
    scenes: Sequence[SceneOverlaps], threshold: float, score_rule: ScoreRule = "constant"
) -> float:
    """AP at one IoU threshold; arguments and special cases as `average_precision`."""
    if not any(scene.gt_counts.any() for scene in scenes):
        return float("nan")
    outcomes = [match_scene(scene, threshold, score_rule) for scene in scenes]
    correct = np.concatenate([outcome[0] for outcome in outcomes])
    scores = np.concatenate([outcome[1] for outcome in outcomes])
    missed = sum(outcome[2] for outcome in outcomes)
    return area_under_curve(correct, scores, missed) if len(scores) else 0.0


def match_scene(
    scene: SceneOverlaps, threshold: float, score_rule: ScoreRule = "constant"
) -> tuple[np.ndarray, np.ndarray, int]:
    """Decides which predictions of a scene are right.

    Args:
        scene: its overlaps.
        threshold: a match has a greater IoU.
        score_rule: as in `average_precision`.

    Returns:
        ``correct [m]`` bool and ``score [m]`` of every prediction that counts, in no order, and
        the number of ground-truth instances missed.
    """
    scores = np.ones(len(scene.scores)) if score_rule == "constant" else scene.scores
    above = scene.iou > threshold
    counted = np.flatnonzero(scene.gt_counts)
    taken = np.zeros(len(scores), bool)
    hits, surplus = [], []
    for gt in counted:
        candidates = np.flatnonzero(above[gt] & ~taken)
        if len(candidates) == 0:
            continue
        taken[candidates[0]] = True
        best = scores[candidates[0]]
        for score in scores[candidates[1:]]:
            surplus.append(min(best, score))
            best = max(best, score)
        hits.append(best)
    wrong = ~above.any(axis=0) & (scene.ignored_share <= threshold)
    false = np.concatenate([surplus, scores[wrong]])
    correct = np.arange(len(hits) + len(false)) < len(hits)
    return correct, np.concatenate([hits, false]), len(counted) - len(hits)


def area_under_curve(correct: np.ndarray, scores: np.ndarray, missed: int) -> float:
    """Integrates a precision-recall curve by ScanNet's convolution rule.

    One point for every distinct score, from the lowest, and an artificial last one at precision 1
    and recall 0; each precision is weighted by half the recall between its neighbours.

    Args:
        correct: ``[m]`` bool, ``m > 0``.
        scores: ``[m]``.
        missed: ground-truth instances without a match; with the correct ones at least 1.
    """
    order = np.argsort(scores, kind="stable")
    first = np.unique(scores[order], return_index=True)[1]
    below = np.concatenate([[0], np.cumsum(correct[order])])[first]  # Correct at lower scores.
    right = np.count_nonzero(correct) - below
    precision = np.append(right / (len(scores) - first), 1.0)
    recall = np.append(right / (np.count_nonzero(correct) + missed), 0.0)
    padded = np.concatenate([recall[:1], recall, [0.0]])
    return float(precision @ (0.5 * (padded[:-2] - padded[2:])))
