"""Where to look at a scene from: its up, a first viewpoint, a height to cut it open at."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import KDTree
from scipy.spatial.transform import Rotation

from moonseg_jax.viz.render import doll_house_camera
from moonseg_jax.viz.upright import NEIGHBOURS, stand_up
from moonseg_jax.viz.viewer.scene import ShownScene

_ENOUGH = 30_000
_NEAR = 5
_ELEVATION = 56.0  # Steep enough to look over the near walls.
_DISTANCE = 0.9  # Of the first viewpoint, in diameters of the cloud.


@dataclass(frozen=True)
class Viewpoint:
    """A first view of a scene, world frame.

    Attributes:
        up: ``[3]`` unit.
        position, look_at: ``[3]``, of the first view.
        heights: lowest and highest point along `up`.
        cut: height between the cameras and the ceiling, so that a room can be seen into.
        diameter: of the cloud.
        spacing: between neighbouring points.
    """

    up: np.ndarray
    position: np.ndarray
    look_at: np.ndarray
    heights: tuple[float, float]
    cut: float
    diameter: float
    spacing: float


def first_viewpoint(scene: ShownScene) -> Viewpoint:
    """From above the corner that shows most instances; from behind the camera if there is little.

    Args:
        scene: with at least one frame.
    """
    points, T = scene.points, scene.T_world_from_cam
    if len(points) < NEIGHBOURS:
        up, forward = -T[0, :3, 1], T[0, :3, 2]
        position, look_at = T[0, :3, 3] - forward, T[0, :3, 3] + forward
        return Viewpoint(up, position, look_at, (0.0, 0.0), np.inf, 1.0, 0.02)
    up, forward = _standing(scene)
    low, high = np.percentile(points, [1, 99], axis=0)
    diameter = float(np.linalg.norm(high - low))
    heights = points @ up
    eyes = float((T[:, :3, 3] @ up).max())
    return Viewpoint(
        up=up,
        position=(low + high) / 2 - _DISTANCE * diameter * forward,
        look_at=(low + high) / 2,
        heights=(float(heights.min()), float(heights.max())),
        cut=min(eyes + 0.05 * diameter, float(heights.max())),
        diameter=diameter,
        spacing=_spacing(points),
    )


def _standing(scene: ShownScene) -> tuple[np.ndarray, np.ndarray]:
    """Up, and the direction of the first view."""
    some = slice(None, None, 1 + len(scene.points) // _ENOUGH)
    points = scene.points[some].astype(np.float64)
    cloud = stand_up(points, scene.T_world_from_cam.astype(np.float64))
    R_upright_from_world = Rotation.align_vectors(cloud.points, points)[0].as_matrix()
    camera = doll_house_camera(cloud, scene.instance[some] > 0)
    camera = replace(camera, elevation=_ELEVATION)
    return R_upright_from_world[2], camera.axes[2] @ R_upright_from_world


def _spacing(points: np.ndarray) -> float:
    some = points[:: 1 + len(points) // 2000]
    return float(np.median(KDTree(points).query(some, _NEAR + 1)[0][:, _NEAR]))
