"""Cameras, patch grids and boxes. OpenCV axes, `T_world_from_cam` poses, pixel centres at +0.5."""

from moonseg_jax.geometry.boxes import box_iou, box_of_points, box_union, empty_box
from moonseg_jax.geometry.camera import invert_pose, project, transform, unproject
from moonseg_jax.geometry.grid import area_pool, cell_index, cell_points, pool_points
from moonseg_jax.geometry.planes import plane_coverage, unite_planes

__all__ = [
    "area_pool",
    "box_iou",
    "box_of_points",
    "box_union",
    "cell_index",
    "cell_points",
    "empty_box",
    "invert_pose",
    "plane_coverage",
    "pool_points",
    "project",
    "transform",
    "unite_planes",
    "unproject",
]
