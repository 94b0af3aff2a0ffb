"""What lies between adjacent regions of an image: steps of depth, folds of the surface."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import uniform_filter

REACH = 3  # Pixels from a border at which its two sides are looked at: beyond blur and noise.
NORMAL_WINDOW = 5  # Pixels over which points are averaged before normals are taken.


@dataclass(frozen=True)
class BorderCosts:
    """How strong an edge must be to keep two regions apart on its own (cost 1).

    Attributes:
        fold: concave turn of the normal across the border, 2·sin of half the angle. Convex
            turns cost nothing: parts of an object meet convexly, an object and what it stands
            on concavely.
        step: distance of either side from the other's plane, over its depth.
        unknown: cost where depth is missing on either side, as it is where one thing hides
            another from the sensor.
    """

    fold: float = 0.7
    step: float = 0.015
    unknown: float = 0.7


@dataclass(frozen=True)
class Borders:
    """Pairs of adjacent regions.

    Attributes:
        pairs: ``[e 2]`` int, the smaller label first.
        length: ``[e]``, in pixels.
        cost: ``[e]``, added up along the border.
    """

    pairs: np.ndarray
    length: np.ndarray
    cost: np.ndarray


def find_borders(labels: np.ndarray, points: np.ndarray | None, costs: BorderCosts) -> Borders:
    """Finds the borders between regions and what geometry says about them.

    Args:
        labels: ``[H W]`` int, 0..n-1.
        points: ``[H W 3]`` in the camera frame, NaN where invalid; None: all costs are 0.
        costs: see `BorderCosts`.
    """
    n = int(labels.max()) + 1
    normals = None if points is None else surface_normals(points)
    keys, cost = [], []
    for axis in (0, 1):
        before, after, a, b = _crossings(labels, axis)
        keys.append(np.minimum(a, b) * n + np.maximum(a, b))
        if points is None or normals is None:
            cost.append(np.zeros(len(a)))
        else:
            cost.append(_crossing_costs(points, normals, before, after, costs))
    pairs, index = np.unique(np.concatenate(keys), return_inverse=True)
    return Borders(
        pairs=np.stack([pairs // n, pairs % n], axis=-1),
        length=np.bincount(index, minlength=len(pairs)).astype(float),
        cost=np.bincount(index, np.concatenate(cost), minlength=len(pairs)),
    )


def surface_normals(points: np.ndarray) -> np.ndarray:
    """Unit normals ``[H W 3]`` towards the camera of points in its frame; NaN where unknown."""
    valid = np.isfinite(points[..., 2])
    clean = np.where(valid[..., None], points, 0.0).astype(np.float32)
    share = np.where(valid, uniform_filter(valid.astype(np.float32), NORMAL_WINDOW), np.nan)
    smooth = uniform_filter(clean, NORMAL_WINDOW, axes=(0, 1)) / share[..., None]
    padded = np.pad(smooth, ((2, 2), (2, 2), (0, 0)), mode="edge")
    right = padded[2:-2, 4:] - padded[2:-2, :-4]
    down = padded[4:, 2:-2] - padded[:-4, 2:-2]
    normal = np.cross(down, right)
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-12)
    away = np.sum(normal * smooth, axis=-1, keepdims=True) > 0
    return np.where(away, -normal, normal)


def _crossings(labels: np.ndarray, axis: int) -> tuple:
    """Where the label changes along an axis: pixels ``REACH`` before and after; both labels."""
    size = labels.shape[axis]
    here = np.take(labels, np.arange(size - 1), axis)
    there = np.take(labels, np.arange(1, size), axis)
    at = np.nonzero(here != there)
    before, after = list(at), list(at)
    before[axis] = np.maximum(at[axis] - REACH, 0)
    after[axis] = np.minimum(at[axis] + 1 + REACH, size - 1)
    return tuple(before), tuple(after), here[at].astype(np.int64), there[at].astype(np.int64)


def _crossing_costs(
    points: np.ndarray, normals: np.ndarray, before: tuple, after: tuple, costs: BorderCosts
) -> np.ndarray:
    apart = points[after] - points[before]
    # The nearer of the two planes: across a fold one side still lies close to it, and on a floor
    # seen at a grazing angle depth jumps from pixel to pixel while the plane does not.
    off_plane = np.minimum(
        np.abs(np.sum(normals[before] * apart, axis=-1)),
        np.abs(np.sum(normals[after] * apart, axis=-1)),
    )
    step = off_plane / np.minimum(points[before][:, 2], points[after][:, 2])
    distance = np.maximum(np.linalg.norm(apart, axis=-1), 1e-6)
    turn = np.sum((normals[after] - normals[before]) * apart, axis=-1) / distance
    cost = np.maximum(step / costs.step, -turn / costs.fold)
    return np.clip(np.nan_to_num(cost, nan=costs.unknown), 0.0, 2.0)
