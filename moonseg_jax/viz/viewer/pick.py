"""Which point of a cloud was clicked."""

import numpy as np

_BESIDE = 0.006  # Radians beside the click that still hit.


def picked_point(
    points: np.ndarray, origin: np.ndarray, direction: np.ndarray, radius: float
) -> int | None:
    """The nearest point that a ray passes.

    Args:
        points: ``[n 3]``.
        origin: ``[3]``, of the ray.
        direction: ``[3]``, of any length.
        radius: of a drawn point; far points are hit within some pixels all the same.

    Returns:
        Its index; None where the ray meets nothing.
    """
    direction = direction / np.linalg.norm(direction)
    offset = points - origin.astype(np.float32)
    along = offset @ direction.astype(np.float32)
    aside_squared = np.einsum("ni,ni->n", offset, offset) - along**2
    hit = np.flatnonzero((along > 0) & (aside_squared < (radius + _BESIDE * along) ** 2))
    return int(hit[np.argmin(along[hit])]) if len(hit) else None
