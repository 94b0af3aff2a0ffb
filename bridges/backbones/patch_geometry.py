"""Classical geometric descriptors of patches: the weight-free stand-in for F3d.

Where a patch lies, how its surface stands, what shape it has and where its edges are. Weak beside
a learned backbone: it knows places and planes, not objects.
"""

from dataclasses import dataclass

import numpy as np

WAVELENGTHS = (0.4, 0.8, 1.6, 3.2, 6.4)  # Metres.
POSITION_SCALE = 3.2  # Metres per unit of the plain position channels.
SURFACE_BAND = 0.05  # Share of the median depth within which points belong to the main surface.
MIN_POINTS = 4
CHANNELS = 2 + 3 + 6 * len(WAVELENGTHS) + 3 + 1 + 4 + 2 + 2 + 4 + 4


@dataclass(frozen=True)
class Surface:
    """The main surface of each patch, in the camera frame; zeros where not valid.

    Attributes:
        valid: ``[h w]`` bool.
        share: ``[h w]``, of the patch's pixels that have a depth.
        nearer, farther: ``[h w]``, of those with a depth, in front of or behind the surface.
        spread: ``[h w]``, range of depth within the surface, over its depth.
        mean: ``[h w 3]``.
        normal: ``[h w 3]``, unit, towards the camera.
        variances: ``[h w 3]``, along the principal axes, ascending, metres squared.
    """

    valid: np.ndarray
    share: np.ndarray
    nearer: np.ndarray
    farther: np.ndarray
    spread: np.ndarray
    mean: np.ndarray
    normal: np.ndarray
    variances: np.ndarray


def describe_patches(points: np.ndarray, T_first_from_cam: np.ndarray, cell: int) -> np.ndarray:
    """Describes the geometry of each patch.

    Args:
        points: ``[Hs Ws 3]`` in the camera frame, metres, NaN where invalid.
        T_first_from_cam: ``[4 4]``; positions and normals are told in the first camera's frame.
        cell: samples per side of a patch.

    Returns:
        ``[h w CHANNELS]`` float16, every channel within a few units; where a patch has no
        depth, zeros throughout. In order: valid, share of pixels with depth, position, its
        Fourier features, normal, cosine of the view angle, shape (linear, planar, scattered, log
        residual), log depth and its spread, shares of nearer and farther pixels, steps of depth
        and turns of the normal to the right, lower, left and upper neighbour.
    """
    surface = find_surfaces(points, cell)
    R, t = T_first_from_cam[:3, :3], T_first_from_cam[:3, 3]
    position = surface.mean @ R.T + t
    phase = position[..., None] * (2 * np.pi / np.array(WAVELENGTHS))
    waves = np.concatenate([np.sin(phase), np.cos(phase)], axis=-1).reshape(*phase.shape[:2], -1)
    depth = np.where(surface.valid, surface.mean[..., 2], 1.0)
    channels = [
        np.stack([surface.valid, surface.share], axis=-1),
        np.clip(position / POSITION_SCALE, -3, 3),
        waves,
        surface.normal @ R.T,
        _view_cosine(surface)[..., None],
        _shape(surface, depth),
        np.stack([np.clip(np.log(depth), -3, 3), surface.spread], axis=-1),
        np.stack([surface.nearer, surface.farther], axis=-1),
        _depth_steps(surface, depth),
        _normal_turns(surface),
    ]
    features = np.concatenate(channels, axis=-1) * surface.valid[..., None]
    return features.astype(np.float16)


def find_surfaces(points: np.ndarray, cell: int) -> Surface:
    """Fits a plane to the main surface of each patch: the points near its median depth."""
    h, w = points.shape[0] // cell, points.shape[1] // cell
    p = points.reshape(h, cell, w, cell, 3).swapaxes(1, 2).reshape(h, w, cell * cell, 3)
    z = p[..., 2]
    count = np.isfinite(z).sum(axis=-1)
    ordered = np.sort(z, axis=-1)  # NaN last.
    middle = np.take_along_axis(ordered, np.maximum(count[..., None] - 1, 0) // 2, axis=-1)
    band = SURFACE_BAND * middle
    inside = np.abs(z - middle) <= band
    number = inside.sum(axis=-1)
    valid = number >= MIN_POINTS
    weight = inside / np.maximum(number, 1)[..., None]
    p = np.where(inside[..., None], p, 0.0)
    mean = np.einsum("hwn,hwnc->hwc", weight, p)
    offset = p - mean[..., None, :]
    covariance = np.swapaxes(offset * weight[..., None], -1, -2) @ offset
    variances, axes = np.linalg.eigh(np.where(valid[..., None, None], covariance, 0.0))
    normal = axes[..., 0]
    away = np.sum(normal * mean, axis=-1) > 0
    z_low = np.where(inside, z, np.inf).min(axis=-1)
    z_high = np.where(inside, z, -np.inf).max(axis=-1)
    seen = np.maximum(count, 1)
    return Surface(
        valid=valid,
        share=count / z.shape[-1],
        nearer=np.sum(z < middle - band, axis=-1) / seen,
        farther=np.sum(z > middle + band, axis=-1) / seen,
        spread=np.where(valid, (z_high - z_low) / (2 * SURFACE_BAND * middle[..., 0]), 0.0),
        mean=np.where(valid[..., None], mean, 0.0),
        normal=np.where(away, -1.0, 1.0)[..., None] * normal * valid[..., None],
        variances=np.maximum(variances, 0.0),
    )


def _view_cosine(surface: Surface) -> np.ndarray:
    distance = np.linalg.norm(surface.mean, axis=-1)
    return -np.sum(surface.normal * surface.mean, axis=-1) / np.maximum(distance, 1e-6)


def _shape(surface: Surface, depth: np.ndarray) -> np.ndarray:
    """Linear, planar and scattered shares of the extent; log residual of the plane."""
    low, mid, high = np.sqrt(np.moveaxis(surface.variances, -1, 0))
    extent = np.maximum(high, 1e-6)
    # A residual of 0.1 % of the depth is what a good sensor measures on a plane.
    residual = np.log10(np.clip(low / depth, 1e-5, 1e-1)) + 3.0
    return np.stack([(high - mid) / extent, (mid - low) / extent, low / extent, residual], axis=-1)


def _depth_steps(surface: Surface, depth: np.ndarray) -> np.ndarray:
    """Relative change of depth to the four neighbours, -1..1; 0 where either is missing."""
    steps = []
    for axis, shift in ((1, -1), (0, -1), (1, 1), (0, 1)):
        both = _both(surface.valid, axis, shift)
        steps.append(np.where(both, np.tanh(4 * (np.roll(depth, shift, axis) / depth - 1)), 0.0))
    return np.stack(steps, axis=-1)


def _normal_turns(surface: Surface) -> np.ndarray:
    """How the surface turns to the four neighbours: > 0 convex, < 0 concave, 0 flat or unknown."""
    turns = []
    for axis, shift in ((1, -1), (0, -1), (1, 1), (0, 1)):
        both = _both(surface.valid, axis, shift)
        apart = np.roll(surface.mean, shift, axis) - surface.mean
        apart /= np.maximum(np.linalg.norm(apart, axis=-1, keepdims=True), 1e-6)
        turn = np.sum((np.roll(surface.normal, shift, axis) - surface.normal) * apart, axis=-1)
        turns.append(np.where(both, turn, 0.0))
    return np.stack(turns, axis=-1)


def _both(valid: np.ndarray, axis: int, shift: int) -> np.ndarray:
    neighbour = np.roll(valid, shift, axis)
    edge = [slice(None)] * 2
    edge[axis] = slice(-1, None) if shift < 0 else slice(0, 1)
    neighbour[tuple(edge)] = False
    return valid & neighbour
