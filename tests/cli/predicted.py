"""A cache as a recurrent reconstruction model would leave it, made of a measured one."""

import dataclasses

import numpy as np
from scipy.spatial.transform import Rotation

from moonseg_jax.cache import CacheReader, CacheWriter


def write_predicted(cache, out, tokens=16, scale=0.5):
    """Another world of another scale, and state tokens each of which looks at one place."""
    reader = CacheReader(cache)
    R, t = Rotation.from_euler("xyz", (0.3, -0.5, 1.0)).as_matrix(), np.array([1.0, -2.0, 0.5])
    changes = {"poses": "predicted", "units": "scene", "state_tokens": tokens}
    places = None
    with CacheWriter(out, dataclasses.replace(reader.info, **changes, frame_names=())) as writer:
        for name, frame in zip(reader.info.frame_names, reader.frames(), strict=True):
            centres = patch_points(frame.points, reader.info.grid)
            if places is None:
                places = centres[np.random.default_rng(0).integers(len(centres), size=tokens)]
            near = np.exp(-np.sum((places[:, None] - centres[None]) ** 2, axis=-1)) + 1e-6
            attention = near / near.sum(axis=1, keepdims=True)
            T = frame.T_world_from_cam.astype(np.float64)
            T = np.block([[R @ T[:3, :3], scale * (R @ T[:3, 3:]) + t[:, None]], [T[3:]]])
            moved = frame.replace(
                state_attention=attention.reshape(tokens, *reader.info.grid).astype(np.float16),
                points=(scale * frame.points @ R.T + t).astype(np.float32),
                T_world_from_cam=T.astype(np.float32),
            )
            writer.append(name, moved)
    return out


def patch_points(points, grid):
    """Mean point of each patch ``[p 3]``; the frame's mean where a patch has none."""
    h, w = grid
    cells = points.reshape(h, points.shape[0] // h, w, points.shape[1] // w, 3)
    flat = cells.transpose(0, 2, 1, 3, 4).reshape(h * w, -1, 3)
    mean = np.nanmean(points.reshape(-1, 3), axis=0)
    return np.nanmean(np.where(np.isfinite(flat), flat, mean), axis=1)
