"""When each point of a cloud first came into a camera's view."""

import numpy as np

_CELL = 8  # Pixels per side of a cell of the depth buffer.
_BEHIND = 1.08  # A point this much farther than the nearest of its cell is hidden.
_MOST_CAMERAS = 300
_MOST_OCCLUDERS = 100_000


def first_seen(
    points: np.ndarray,
    T_world_from_cam: np.ndarray,
    intrinsics: np.ndarray,
    image_size: tuple[int, int],
) -> np.ndarray:
    """The first frame in which a point is in the picture and nothing nearer is before it.

    The cloud itself hides what is behind it, in cells of some pixels. Of long recordings some
    hundred cameras are looked through, evenly chosen.

    Args:
        points: ``[n 3]``, world frame.
        T_world_from_cam: ``[t 4 4]``.
        intrinsics: ``[t 3 3]``, in pixels of `image_size`.
        image_size: ``(H, W)``.

    Returns:
        ``[n]`` int32; the last frame for what no camera was found to see.
    """
    frames = len(T_world_from_cam)
    seen = np.full(len(points), frames - 1, np.int32)
    unseen = np.arange(len(points))
    occluders = points[:: 1 + len(points) // _MOST_OCCLUDERS]
    for frame in np.unique(np.linspace(0, frames - 1, min(frames, _MOST_CAMERAS)).astype(int)):
        camera = (T_world_from_cam[frame], intrinsics[frame], image_size)
        cell, depth = _cells(occluders, *camera)
        nearest = np.full(_num_cells(image_size) + 1, np.inf, np.float32)
        np.minimum.at(nearest, cell, depth)
        cell, depth = _cells(points[unseen], *camera)
        in_view = (cell < _num_cells(image_size)) & (depth <= _BEHIND * nearest[cell])
        seen[unseen[in_view]] = frame
        unseen = unseen[~in_view]
    return seen


def _num_cells(size: tuple[int, int]) -> int:
    return -(-size[0] // _CELL) * -(-size[1] // _CELL)


def _cells(
    points: np.ndarray, T_world_from_cam: np.ndarray, K: np.ndarray, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """The cell each point falls into, one past the last where it is outside, and its depth."""
    R, centre = T_world_from_cam[:3, :3], T_world_from_cam[:3, 3]
    # Straight to pixels in one small product; depth is the last of its three columns.
    u, v, depth = ((points - centre) @ (R @ K.T).astype(np.float32)).T
    safe = np.where(depth > 0, depth, np.inf) * _CELL
    # What falls off the right or the lower border of the last cell is counted in: a few pixels.
    col, row = np.floor(u / safe).astype(int), np.floor(v / safe).astype(int)
    rows, cols = -(-size[0] // _CELL), -(-size[1] // _CELL)
    inside = (depth > 0) & (col >= 0) & (col < cols) & (row >= 0) & (row < rows)
    return np.where(inside, row * cols + col, rows * cols), depth
