"""Small random clips: a wavy surface before a camera that moves sideways."""

import numpy as np

from moonseg_jax.config import default_config
from moonseg_jax.structs import Frame, pack_masks

FRAMES, GRID, PATCH, C3, C2, MASKS = 4, (3, 4), 16, 6, 7, 5
IMAGE = (GRID[0] * PATCH, GRID[1] * PATCH)


def small_config():
    config = default_config()
    config.model.update(width=8, heads=2, feed_forward=12, refine_layers=1)
    return config


def make_clip(seed=0, frames=FRAMES, masks=MASKS):
    """A clip of ``frames`` with ``masks`` random overlapping masks each; numpy, one word."""
    rng = np.random.default_rng(seed)
    height, width = IMAGE[0] // 4, IMAGE[1] // 4
    poses = np.tile(np.eye(4, dtype=np.float32), (frames, 1, 1))
    poses[:, 0, 3] = 0.31 * np.arange(frames)
    poses[:, 1, 3] = 0.07 * np.arange(frames)
    K = np.array([[50, 0, IMAGE[1] / 2], [0, 50, IMAGE[0] / 2], [0, 0, 1]], np.float32)
    depth = 2 + 0.3 * rng.random((frames, height, width))
    v, u = np.meshgrid(np.arange(height) * 4 + 2, np.arange(width) * 4 + 2, indexing="ij")
    rays = np.stack([(u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], np.ones_like(u)], -1)
    points = rays * depth[..., None] + poses[:, None, None, :3, 3]
    points[:, :6, :5] = np.nan  # No surface in the first patch.
    confidence = (rng.random((frames, height, width)) < 0.8).astype(np.float32)
    blocks = rng.random((frames, masks, IMAGE[0] // 8, IMAGE[1] // 8)) < 0.5
    planes = np.stack([pack_masks(x.repeat(4, 1).repeat(4, 2)) for x in blocks])
    valid = np.tile(np.arange(planes.shape[-1] * 32) < masks, (frames, 1))
    valid[:, masks - 1] = np.arange(frames) % 2  # Its bits are set, and yet it does not count.
    return Frame(
        features_3d=rng.normal(size=(frames, *GRID, C3)).astype(np.float16),
        features_2d=rng.normal(size=(frames, *GRID, C2)).astype(np.float16),
        points=points.astype(np.float32),
        confidence=confidence,
        colors=np.zeros(points.shape, np.uint8),
        T_world_from_cam=poses,
        intrinsics=np.tile(K, (frames, 1, 1)),
        masks=planes,
        mask_valid=valid,
        mask_scores=valid.astype(np.float32),
        timestamp=np.arange(frames, dtype=np.float32),
    )
