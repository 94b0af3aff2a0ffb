"""Frames with their instances drawn on."""

import numpy as np

from moonseg_jax.viz.palette import instance_colors

_OPACITY = 0.55


def overlay_instances(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Tints every instance and draws its boundary.

    Args:
        image: ``[H W 3]`` uint8.
        labels: ``[H W]`` instance ids, 0 = none, left as it is.

    Returns:
        ``[H W 3]`` uint8.
    """
    colors = instance_colors(labels).astype(np.float32)
    labelled = (labels > 0)[..., None]
    tinted = np.where(labelled, (1 - _OPACITY) * image + _OPACITY * colors, image)
    return np.where(boundaries(labels)[..., None], 255, tinted).astype(np.uint8)


def boundaries(labels: np.ndarray) -> np.ndarray:
    """``[H W]`` bool: the pixels of an instance that touch something else."""
    differs = np.zeros(labels.shape, bool)
    for axis in (0, 1):
        for step in (1, -1):
            moved = np.roll(labels, step, axis)
            edge = [slice(None), slice(None)]
            edge[axis] = slice(0, 1) if step == 1 else slice(-1, None)
            moved[tuple(edge)] = labels[tuple(edge)]  # The picture's border is no boundary.
            differs |= moved != labels
    return differs & (labels > 0)
