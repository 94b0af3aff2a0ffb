"""What several trainings of one row come to: means, their spread, and draws for intervals."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from moonseg_jax.eval import EvalSettings, SceneScore, bootstrap, pool_scores

APS = ("ap", "ap50", "ap25")
SAMPLES = 2000


def mean_metrics(trainings: Sequence[list[SceneScore]], settings: EvalSettings) -> dict[str, Any]:
    """As `pool_scores`, of which the numbers are means over the trainings.

    Returns:
        Also ``deviation`` by AP, of the trainings (0 where there is one), and ``trainings``, the
        weights and APs of each.
    """
    pooled = [pool_scores(scores, settings) for scores in trainings]
    each = [
        {"weights": scores[0].record["checkpoint"], **{name: metrics[name] for name in APS}}
        for scores, metrics in zip(trainings, pooled, strict=True)
    ]
    return {
        **pooled[0],
        **_means(pooled),
        "ranked": _means([metrics["ranked"] for metrics in pooled]),
        "scenes": [scene for metrics in pooled for scene in metrics["scenes"]],
        "deviation": {name: _deviation([one[name] for one in each]) for name in APS},
        "trainings": each,
    }


def draw_ap(trainings: Sequence[list[SceneScore]]) -> dict[str, np.ndarray]:
    """AP of as many scenes and as many trainings, both drawn with replacement: ``[b]`` by name.

    Every row's draws are of the same scenes and, where it has as many trainings, of the same
    positions among them, so that two rows' draws can be subtracted.
    """
    draws = [
        bootstrap([score.overlaps for score in scores], samples=SAMPLES) for scores in trainings
    ]
    count = len(trainings)
    chosen = np.random.default_rng(0).integers(count, size=(count, SAMPLES))
    return {
        name: np.take_along_axis(np.stack([d[name] for d in draws]), chosen, axis=0).mean(axis=0)
        for name in APS
    }


def _means(numbers: Sequence[dict[str, Any]]) -> dict[str, float]:
    return {name: float(np.mean([one[name] for one in numbers])) for name in APS}


def _deviation(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
