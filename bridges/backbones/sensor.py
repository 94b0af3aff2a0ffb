"""Geometry as the sensor measured it: pointmap, pose, intrinsics, and descriptors of both."""

from typing import Any

import numpy as np

from bridges.backbones.interfaces import POINT_STRIDE, Geometry
from bridges.backbones.patch_geometry import CHANNELS, describe_patches
from bridges.preprocess import PATCH, ImageTransform
from moonseg_jax.structs import SourceFrame

DESCRIPTOR_STRIDE = 2


class SensorGeometry:
    """Points in metres in the source's world frame; descriptors in the first camera's frame.

    Args:
        transform: of the source's images.
        flying: a pixel that lies between both neighbours in a row or a column, further from each
            than this share of its depth, is no surface but the sensor's mean of two (a "flying
            pixel") and is dropped; 0 keeps all.
    """

    name = "sensor"
    threaded = True
    weights_sha256 = ""
    channels = CHANNELS
    state_tokens = 0
    units = "metre"
    poses = "sensor"

    def __init__(self, transform: ImageTransform, flying: float = 0.03) -> None:
        self.transform = transform
        self.flying = flying
        self._T_first_from_world: np.ndarray | None = None

    @property
    def config(self) -> dict[str, Any]:
        """What defines the numbers, for the cache's provenance."""
        return {"flying": self.flying, "descriptor_stride": DESCRIPTOR_STRIDE}

    def begin(self, first: SourceFrame) -> None:
        """Descriptors are told in the frame of this camera."""
        if first.T_world_from_cam is not None:
            self._T_first_from_world = np.linalg.inv(first.T_world_from_cam)

    def __call__(self, frame: SourceFrame, image: np.ndarray) -> Geometry:
        """Lifts a frame that has depth, pose and intrinsics."""
        T, T_first_from_world = frame.T_world_from_cam, self._T_first_from_world
        if (
            frame.depth is None
            or frame.intrinsics is None
            or T is None
            or T_first_from_world is None
        ):
            raise ValueError("sensor geometry needs depth, poses and intrinsics")
        depth = drop_flying_pixels(frame.depth, self.flying) if self.flying else frame.depth
        points = camera_points(depth, frame.intrinsics, self.transform, POINT_STRIDE)
        points = points @ T[:3, :3].T + T[:3, 3]
        dense = camera_points(depth, frame.intrinsics, self.transform, DESCRIPTOR_STRIDE)
        return Geometry(
            points=points.astype(np.float32),
            confidence=np.isfinite(points[..., 2]).astype(np.float32),
            features_3d=describe_patches(dense, T_first_from_world @ T, PATCH // DESCRIPTOR_STRIDE),
            T_world_from_cam=T.astype(np.float32),
            intrinsics=self.transform.intrinsics(frame.intrinsics).astype(np.float32),
        )


def camera_points(
    depth: np.ndarray, K: np.ndarray, transform: ImageTransform, stride: int
) -> np.ndarray:
    """Points in the camera frame at the centres of cells of the processed image.

    A sampled depth pixel is lifted along its own ray, not its cell's: the point lies on the
    surface, and projects within a pixel of the depth map from the centre of its cell.

    Args:
        depth: ``[Hd Wd]`` metres, NaN where invalid, showing what the source's image shows.
        K: ``[3 3]`` of the source's image.
        transform: of the source's image.
        stride: pixels of the processed image per cell.

    Returns:
        ``[H/stride W/stride 3]`` float64.
    """
    rows, cols = transform.nearest(depth.shape, stride)
    height, width = transform.source_size
    x = ((cols + 0.5) * (width / depth.shape[1]) - K[0, 2]) / K[0, 0]
    y = ((rows + 0.5) * (height / depth.shape[0]) - K[1, 2]) / K[1, 1]
    z = depth[rows[:, None], cols].astype(np.float64)
    return np.stack([x[None, :] * z, y[:, None] * z, z], axis=-1)


def drop_flying_pixels(depth: np.ndarray, share: float) -> np.ndarray:
    """Replaces by NaN what lies between the depths of opposite neighbours, far from both.

    Args:
        depth: ``[H W]`` float32, NaN where invalid.
        share: of its depth, which a pixel must be away from either neighbour.
    """
    clean = depth.copy()
    for axis in (0, 1):
        d = np.swapaxes(depth, 0, axis)
        limit = share * d[1:-1]
        step = np.diff(d, axis=0)
        before, after = step[:-1], step[1:]
        # Comparisons with NaN are False: a pixel beside a hole stays.
        flying = (np.minimum(before, after) > limit) | (np.maximum(before, after) < -limit)
        np.swapaxes(clean, 0, axis)[1:-1][flying] = np.nan
    return clean
