"""Pictures of point clouds without a display: splats, a depth buffer and soft shading."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from moonseg_jax.viz.upright import UprightCloud

BACKGROUND = 255
_SUPERSAMPLE = 2
_MARGIN = 0.03


@dataclass(frozen=True)
class Camera:
    """Looks at the middle of what it shows.

    Attributes:
        azimuth: degrees about z, 0 = from -y.
        elevation: degrees above the floor; 90 = from above.
        distance: from the middle, in diameters of the cloud; infinite = orthographic.
    """

    azimuth: float
    elevation: float
    distance: float = np.inf

    @property
    def axes(self) -> np.ndarray:
        """``[3 3]``: right, down and forward as rows."""
        a, e = np.radians(self.azimuth), np.radians(self.elevation)
        right = np.array([np.cos(a), np.sin(a), 0.0])
        forward = np.array([-np.sin(a) * np.cos(e), np.cos(a) * np.cos(e), -np.sin(e)])
        return np.stack([right, np.cross(forward, right), forward])


def top_camera() -> Camera:
    """A floor plan."""
    return Camera(azimuth=0.0, elevation=89.9)


def doll_house_camera(cloud: UprightCloud, of_interest: np.ndarray) -> Camera:
    """From above a corner: the one of the four that shows most of what matters.

    Args:
        cloud: to look at.
        of_interest: ``[n]`` bool.
    """
    cameras = [Camera(azimuth, elevation=42.0, distance=1.6) for azimuth in (45, 135, 225, 315)]
    seen = [np.sum(front_facing(cloud, camera) & of_interest) for camera in cameras]
    return cameras[int(np.argmax(seen))]


def front_facing(cloud: UprightCloud, camera: Camera) -> np.ndarray:
    """``[n]`` bool: not the back of a wall or a ceiling, which would hide the room."""
    return cloud.normals @ camera.axes[2] < 0.1


def render(
    cloud: UprightCloud, colorings: Sequence[np.ndarray], camera: Camera, size: tuple[int, int]
) -> list[Image.Image]:
    """Draws a cloud, once for each way to colour it; what faces away is left out.

    Args:
        cloud: ``n`` points.
        colorings: each ``[n 3]`` uint8.
        camera: where from.
        size: ``(H, W)`` of the pictures.
    """
    front = np.flatnonzero(front_facing(cloud, camera))
    large = (_SUPERSAMPLE * size[0], _SUPERSAMPLE * size[1])
    row, col, depth, radius = (field[front] for field in _project(cloud, camera, large))
    point, depth = _splat(row, col, depth, radius, large)
    shade = _eye_dome(depth, float(np.median(cloud.spacing)))[..., None]
    pictures = []
    for colors in colorings:
        palette = np.concatenate([colors[front], [(BACKGROUND,) * 3]])  # Nothing is point -1.
        picture = Image.fromarray((palette[point] * shade).astype(np.uint8))
        pictures.append(picture.resize((size[1], size[0]), Image.Resampling.BOX))
    return pictures


def _project(
    cloud: UprightCloud, camera: Camera, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Pixel row and column, depth and splat radius of every point, fitted to the picture."""
    low, high = np.percentile(cloud.points, [0.2, 99.8], axis=0)
    view = (cloud.points - (low + high) / 2) @ camera.axes.T
    diameter = float(np.linalg.norm(high - low)) or 1.0
    # Depth counts from the near side; at an infinite distance everything has one scale.
    away = 1.0 + view[:, 2] / (camera.distance * diameter)
    x, y = view[:, 0] / away, view[:, 1] / away
    box = np.percentile(np.stack([x, y]), [0.2, 99.8], axis=1)
    # A handful of points is drawn as points, not as a wall of one colour.
    extent = np.maximum(box[1] - box[0], 50 * np.median(cloud.spacing))
    usable = np.array([size[1], size[0]]) * (1 - 2 * _MARGIN)
    scale = np.min(usable / extent)
    col = (x - box.mean(axis=0)[0]) * scale + size[1] / 2
    row = (y - box.mean(axis=0)[1]) * scale + size[0] / 2
    return row, col, view[:, 2] + 2 * diameter, 0.75 * scale * cloud.spacing / away


def _splat(
    row: np.ndarray, col: np.ndarray, depth: np.ndarray, radius: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Discs with a depth buffer: the point in each pixel, -1 = none, and its depth or infinity."""
    far_first = np.argsort(-depth)  # What is written last stays.
    row, col = np.floor(row[far_first]).astype(int), np.floor(col[far_first]).astype(int)
    depth = depth[far_first].astype(np.float32)
    radius = np.maximum(radius[far_first], 0.5)
    buffer = np.full(size[0] * size[1], np.inf, np.float32)
    drawn = np.full(size[0] * size[1], -1)
    around = np.arange(-int(radius.max(initial=0)), int(radius.max(initial=0)) + 1)
    for dy in around:
        for dx in around:
            point = np.flatnonzero(radius >= np.hypot(dy, dx))
            r, c = row[point] + dy, col[point] + dx
            inside = (r >= 0) & (r < size[0]) & (c >= 0) & (c < size[1])
            pixel, point = r[inside] * size[1] + c[inside], point[inside]
            nearer = depth[point] < buffer[pixel]
            buffer[pixel[nearer]] = depth[point[nearer]]
            drawn[pixel[nearer]] = far_first[point[nearer]]
    return drawn.reshape(size), buffer.reshape(size)


def _eye_dome(depth: np.ndarray, spacing: float) -> np.ndarray:
    """Darkens what lies behind its neighbours in the picture: edges and creases show.

    Source: C. Boucheny, "Visualisation scientifique de grands volumes de données", 2009.
    """
    reach = 2 * _SUPERSAMPLE
    padded = np.pad(depth, reach, constant_values=np.inf)
    behind = np.zeros_like(depth)
    with np.errstate(invalid="ignore"):
        for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)):
            top, left = reach * (1 + dy), reach * (1 + dx)
            other = padded[top : top + depth.shape[0], left : left + depth.shape[1]]
            # Beyond some spacings a step is a step.
            behind += np.nan_to_num(np.clip(depth - other, 0, 12 * spacing))
    behind = np.where(np.isfinite(depth), behind, 0.0)
    return np.exp(-behind / (40 * spacing)).clip(0.35, 1.0)
