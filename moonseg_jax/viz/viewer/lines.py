"""Boxes and camera paths as line segments."""

import numpy as np

# Corners are numbered by their bits: x + 2y + 4z.
_EDGES = np.array([(a, a | bit) for bit in (1, 2, 4) for a in range(8) if not a & bit])


def box_edges(boxes: np.ndarray) -> np.ndarray:
    """Edges of axis-aligned boxes.

    Args:
        boxes: ``[n 2 3]``, lowest and highest corner.

    Returns:
        ``[n 12 2 3]``, the ends of each edge.
    """
    bits = np.arange(8)[:, None] >> np.arange(3) & 1
    corners = np.where(bits, boxes[:, 1:], boxes[:, :1])
    return corners[:, _EDGES]


def path_segments(T_world_from_cam: np.ndarray) -> np.ndarray:
    """``[t-1 2 3]``: from each camera's centre to the next one's."""
    centres = T_world_from_cam[:, :3, 3]
    return np.stack([centres[:-1], centres[1:]], axis=1)


def vertical_fov(intrinsics: np.ndarray, image_size: tuple[int, int]) -> float:
    """Opening angle of a camera from top to bottom, radians."""
    return float(2 * np.arctan(image_size[0] / (2 * intrinsics[1, 1])))
