"""How much each prediction overlaps each ground-truth instance: all that AP needs of a scene."""

from dataclasses import dataclass

import numpy as np

MIN_VERTICES = 100


@dataclass(frozen=True)
class SceneOverlaps:
    """The contingency table of one scene, small predictions already left out.

    Attributes:
        gt_sizes: ``[g]`` int64, vertices of each ground-truth instance, in order of its id; small
            instances are kept, because what falls on them is ignored, not punished.
        pred_sizes: ``[n]`` int64, vertices of each prediction, in the order given.
        scores: ``[n]`` float64.
        intersections: ``[g n]`` int64, vertices in common.
        void: ``[n]`` int64, vertices of each prediction that no ground-truth instance owns.
        min_vertices: below this an instance is small.
    """

    gt_sizes: np.ndarray
    pred_sizes: np.ndarray
    scores: np.ndarray
    intersections: np.ndarray
    void: np.ndarray
    min_vertices: int = MIN_VERTICES

    @property
    def gt_counts(self) -> np.ndarray:
        """``[g]`` bool, the ground-truth instances large enough to count."""
        return self.gt_sizes >= self.min_vertices

    @property
    def iou(self) -> np.ndarray:
        """``[g n]`` float64."""
        union = self.gt_sizes[:, None] + self.pred_sizes[None] - self.intersections
        return self.intersections / union

    @property
    def ignored_share(self) -> np.ndarray:
        """``[n]`` float64, share of each prediction on void or on small instances."""
        on_small = self.intersections[~self.gt_counts].sum(axis=0)
        return (self.void + on_small) / self.pred_sizes


def count_overlaps(
    gt_instance: np.ndarray,
    prediction: np.ndarray,
    scores: np.ndarray,
    *,
    min_vertices: int = MIN_VERTICES,
) -> SceneOverlaps:
    """Counts overlaps from one ground-truth id and any number of predictions per vertex.

    Args:
        gt_instance: ``[v]`` int, 0 = void; instances are taken in order of their ids.
        prediction: ``[v]`` int, prediction ``i`` is written ``i + 1`` and 0 is none; or ``[v n]``
            bool masks, which may overlap.
        scores: ``[n]``.
        min_vertices: predictions with fewer are left out.
    """
    n = len(scores)
    gt_ids, gt_sizes, row = _rows_of(gt_instance)
    g = len(gt_ids)
    # Row 0 of the table is void, column 0 of a label map is "no prediction".
    if prediction.ndim == 1:
        cell = row * (n + 1) + prediction
        table = np.bincount(cell, minlength=(g + 1) * (n + 1)).reshape(g + 1, n + 1)[:, 1:]
    else:
        vertex, column = np.nonzero(prediction)
        table = np.bincount(row[vertex] * n + column, minlength=(g + 1) * n).reshape(g + 1, n)
    pred_sizes = table.sum(axis=0)
    kept = pred_sizes >= min_vertices
    return SceneOverlaps(
        gt_sizes=gt_sizes,
        pred_sizes=pred_sizes[kept],
        scores=np.asarray(scores, np.float64)[kept],
        intersections=table[1:, kept],
        void=table[0, kept],
        min_vertices=min_vertices,
    )


def _rows_of(gt_instance: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ids in order, their sizes, and per vertex 1 + the place of its id (0 = void)."""
    ids, row, sizes = np.unique(gt_instance, return_inverse=True, return_counts=True)
    if len(ids) and ids[0] == 0:
        return ids[1:], sizes[1:], row
    return ids, sizes, row + 1
