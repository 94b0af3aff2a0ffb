"""Standing a scene up for a picture: surface normals, which way is up, how the walls run."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import KDTree

NEIGHBOURS = 12
_NEAR = 5
_CHUNK = 50_000


@dataclass(frozen=True)
class UprightCloud:
    """A cloud turned so that z is up and the walls run along x and y.

    Attributes:
        points: ``[n 3]``.
        normals: ``[n 3]`` unit, on the side the camera was on.
        spacing: ``[n]`` distance to the near neighbours, at most twice the median.
    """

    points: np.ndarray
    normals: np.ndarray
    spacing: np.ndarray


def stand_up(points: np.ndarray, T_world_from_cam: np.ndarray) -> UprightCloud:
    """Turns a cloud upright from its own surfaces, starting from how the camera was held.

    Args:
        points: ``[n 3]``, at least `NEIGHBOURS`, all different, world frame.
        T_world_from_cam: ``[t 4 4]``, ``t > 0``.
    """
    normals, spacing = _normals(points, T_world_from_cam[:, :3, 3])
    up = _refined_up(-T_world_from_cam[:, :3, 1].mean(axis=0), normals)
    side = np.cross(up, T_world_from_cam[:, :3, 2].mean(axis=0) + 1e-6)
    side /= np.linalg.norm(side)
    R = np.stack([side, np.cross(up, side), up])
    R = _yaw(normals @ R.T) @ R
    return UprightCloud(points @ R.T, normals @ R.T, spacing)


def _normals(points: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    tree = KDTree(points)
    normals = np.empty_like(points)
    spacing = np.empty(len(points))
    for start in range(0, len(points), _CHUNK):
        chunk = points[start : start + _CHUNK]
        distance, near = tree.query(chunk, NEIGHBOURS)
        offset = points[near] - points[near].mean(axis=1, keepdims=True)
        scatter = np.einsum("nki,nkj->nij", offset, offset)
        normals[start : start + _CHUNK] = np.linalg.eigh(scatter)[1][..., 0]
        spacing[start : start + _CHUNK] = distance[:, _NEAR]
    # A surface is seen from its front, most likely by the camera nearest to it.
    to_camera = centres[KDTree(centres).query(points)[1]] - points
    facing = np.sum(normals * to_camera, axis=-1, keepdims=True)
    normals = np.where(facing < 0, -normals, normals)
    return normals, np.minimum(spacing, 2 * np.median(spacing))


def _refined_up(up: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Floors and table tops know better than the hand, within ever narrower cones."""
    up = up / np.linalg.norm(up)
    for degrees in (45, 20, 10, 5):
        level = normals[np.abs(normals @ up) > np.cos(np.radians(degrees))]
        if len(level) < 3:
            break
        axis = np.linalg.eigh(level.T @ level)[1][:, -1]
        up = axis * np.sign(axis @ up)
    return up


def _yaw(normals: np.ndarray) -> np.ndarray:
    """The turn about z that brings most upright surfaces onto the axes."""
    wall = normals[np.abs(normals[:, 2]) < 0.2]
    # Four times the angle is the same for all four walls of a room.
    angle = np.angle(np.sum((wall[:, 0] + 1j * wall[:, 1]) ** 4)) / 4
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])
