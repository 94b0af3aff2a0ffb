"""How far a pooled AP would move if other scenes had been drawn."""

from collections.abc import Sequence

import numpy as np

from moonseg_jax.eval.ap import THRESHOLDS, match_scene
from moonseg_jax.eval.overlaps import SceneOverlaps


def bootstrap(
    scenes: Sequence[SceneOverlaps], thresholds: str = "nine", samples: int = 2000, seed: int = 0
) -> dict[str, np.ndarray]:
    """AP of as many scenes, drawn from these with replacement, each draw pooled.

    The same seed draws the same scenes: the draws of two methods on the same scenes can be
    subtracted. With constant scores, AP at a threshold is recall·(1 + precision)/2.

    Args:
        scenes: one table a scene.
        thresholds: as in `average_precision`.
        samples: how many draws, ``b``.
        seed: of the draws.

    Returns:
        ``ap``, ``ap50``, ``ap25``: ``[b]`` with constant scores; NaN where a draw has no ground
        truth.
    """
    at = [0.25, *THRESHOLDS[thresholds]]
    counts = np.array([[_counts(scene, t) for t in at] for scene in scenes])
    drawn = np.random.default_rng(seed).multinomial(
        len(scenes), np.full(len(scenes), 1 / len(scenes)), size=samples
    )
    right, wrong, missed = np.moveaxis(np.tensordot(drawn, counts, axes=1), -1, 0)
    precision = right / np.maximum(right + wrong, 1)
    with np.errstate(invalid="ignore"):
        ap = right / (right + missed) * (1 + precision) / 2
    return {"ap": ap[:, 1:].mean(axis=1), "ap50": ap[:, 1], "ap25": ap[:, 0]}


def interval(draws: np.ndarray, level: float = 0.95) -> tuple[float, float]:
    """The middle share of the draws, those without ground truth left out."""
    low, high = np.nanquantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _counts(scene: SceneOverlaps, threshold: float) -> tuple[int, int, int]:
    correct, _, missed = match_scene(scene, threshold)
    return int(np.count_nonzero(correct)), int(np.count_nonzero(~correct)), missed
