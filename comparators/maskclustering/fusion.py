"""MaskClustering: collects masks as points of the scene, and clusters them at the end."""

import numpy as np

from comparators.clouds import (
    density_clusters,
    neighbors_in_box,
    voxel_means,
    without_outliers,
)
from comparators.maskclustering.config import MaskClusteringConfig
from comparators.maskclustering.graph import cluster, observe_masks, observer_thresholds
from comparators.maskclustering.objects import ScannedObject, extract_objects
from comparators.results import LabelledCloud, one_label_each
from comparators.views import View


class MaskClustering:
    """The masks so far.

    Args:
        points: ``[v 3]`` of the scene.
        colors: ``[v 3]`` uint8.
        config: of the method.
    """

    def __init__(self, points: np.ndarray, colors: np.ndarray, config: MaskClusteringConfig):
        self.config = config
        self._points, self._colors = points, colors
        self._masks: list[np.ndarray] = []
        self._frames: list[int] = []

    @property
    def nbytes(self) -> int:
        """Of masks, and of the matrices (points × frames, masks²) that they are clustered with."""
        frames = self._frames[-1] + 1 if self._frames else 0
        matrices = 4 * len(self._points) * frames + len(self._masks) ** 2
        return matrices + sum(m.nbytes for m in self._masks)

    def add(self, view: View) -> None:
        """Takes in a frame."""
        for mask in range(view.num_masks):
            cells = (view.labels == mask + 1) & view.seen
            near = self._scene_points(view.points[cells].astype(np.float64))
            if len(near):
                self._masks.append(near)
                self._frames.append(view.index)

    def finish(self) -> LabelledCloud:
        """Clusters all masks."""
        objects = cluster_masks(self._masks, np.array(self._frames, int), self._points, self.config)
        instance = one_label_each([o.points for o in objects], len(self._points))
        views = np.array([len(o.masks) for o in objects], np.int32)
        return LabelledCloud(self._points, self._colors, instance, views, self.config.reach)

    def _scene_points(self, points: np.ndarray) -> np.ndarray:
        """Sorted indices of the scene points of a mask; none where it is too small or off."""
        config, none = self.config, np.zeros(0, np.int64)
        if len(points) < config.min_points:
            return none
        points = without_specks(voxel_means(points, config.radius), config)
        if len(points) < config.min_points:
            return none
        near, coverage = neighbors_in_box(points, self._points, config.radius)
        return near if coverage >= config.min_coverage else none


def cluster_masks(
    masks: list[np.ndarray], frames: np.ndarray, scene: np.ndarray, config: MaskClusteringConfig
) -> list[ScannedObject]:
    """Objects from masks.

    Args:
        masks: of each, sorted indices of scene points.
        frames: ``[m]``, ascending.
        scene: ``[v 3]``.
        config: of the method.
    """
    nodes, visible = observe_masks(masks, frames, len(scene), config)
    nodes = cluster(nodes, observer_thresholds(visible), config.consensus)
    return extract_objects(nodes, masks, frames, scene, config)


def without_specks(points: np.ndarray, config: MaskClusteringConfig) -> np.ndarray:
    """Drops small parts (loose points count as one), then outliers."""
    part = density_clusters(points, config.denoise_radius, min_points=4) + 1
    count = np.bincount(part)
    points = points[count[part] >= config.denoise_share * len(points)]
    return points[without_outliers(points)]
