"""Tiny scenes that a tiny core can learn: a wall of panels, and a camera sliding along it."""

from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from moonseg_jax.cache import CacheWriter
from moonseg_jax.config import default_config
from moonseg_jax.structs import Backbone, Frame, SceneInfo, pack_masks

IMAGE_SIZE, PATCH, STRIDE = (48, 64), 16, 4
PANELS = 4
INTRINSICS = np.array([[64, 0, 32], [0, 64, 24], [0, 0, 1]], np.float32)
DISTANCE = 2.0


def scene_info(name: str, c3: int = 6, c2: int = 4, **changes) -> SceneInfo:
    fields = {
        "scene": name,
        "image_size": IMAGE_SIZE,
        "patch": PATCH,
        "point_stride": STRIDE,
        "mask_stride": STRIDE,
        "units": "metre",
        "poses": "sensor",
        "stride": 1,
        "geometry": Backbone("sensor", c3),
        "semantics": Backbone("classical", c2),
        "masks": Backbone("felzenszwalb"),
    }
    return SceneInfo(**{**fields, **changes})


def wall_frame(info: SceneInfo, rng: np.random.Generator, x: float, kinds: np.ndarray) -> Frame:
    """The wall at z = 2 seen from ``(x, 0, 0)``; panel i has features of kind ``kinds[i]``."""
    T_world_from_cam = np.eye(4, dtype=np.float32)
    T_world_from_cam[0, 3] = x
    fine, coarse = _wall_x(info.point_size, x), _wall_x(info.grid, x)
    v = (np.arange(info.point_size[0]) + 0.5) * STRIDE
    y = (v - INTRINSICS[1, 2]) / INTRINSICS[1, 1] * DISTANCE
    points = np.stack(np.broadcast_arrays(fine, y[:, None], np.float32(DISTANCE)), axis=-1)
    masks = np.stack([_panel(fine) == i for i in range(PANELS)])
    valid = masks.any(axis=(1, 2))

    def features(channels: int) -> np.ndarray:
        kind = kinds[_panel(coarse)]
        clean = np.eye(channels)[kind % channels] + np.eye(channels)[kind // 2 % channels]
        return (clean + 0.1 * rng.normal(size=clean.shape)).astype(np.float16)

    return Frame(
        features_3d=features(info.geometry.channels),
        features_2d=features(info.semantics.channels),
        points=points.astype(np.float32),
        confidence=np.ones(info.point_size, np.float32),
        colors=np.zeros((*info.point_size, 3), np.uint8),
        T_world_from_cam=T_world_from_cam,
        intrinsics=INTRINSICS,
        masks=pack_masks(masks),
        mask_valid=np.pad(valid, (0, 32 - PANELS)),
        mask_scores=np.pad(valid.astype(np.float32), (0, 32 - PANELS)),
        timestamp=np.float64(x),
    )


def write_room(path: Path, seed: int, frames: int = 5, **changes) -> Path:
    """Caches one scene."""
    rng = np.random.default_rng(seed)
    info, kinds = scene_info(path.name, **changes), rng.permutation(PANELS)
    with CacheWriter(path, info) as writer:
        for i in range(frames):
            writer.append(f"{i:06d}", wall_frame(info, rng, 0.2 * i - 0.4, kinds))
    return path


def tiny_config(**changes) -> ConfigDict:
    """A core of a few thousand parameters, 24 steps; ``changes`` by dotted name."""
    config = default_config()
    config.model.update(width=16, heads=2, feed_forward=32, eta_layers=1, psi_layers=2)
    config.model.refine_layers = 1
    config.data.update(clip_frames=3, batch_clips=2, max_masks=32, read_threads=2)
    config.optimizer.learning_rate = 3e-2
    config.train.update(steps=24, log_every=4, checkpoint_every=5)
    config.update_from_flattened_dict(changes)
    return config


def _wall_x(size: tuple[int, int], x: float) -> np.ndarray:
    """World x of what the cells of an image of that size see: ``[H W]``."""
    u = (np.arange(size[1]) + 0.5) * (IMAGE_SIZE[1] / size[1])
    on_wall = (u - INTRINSICS[0, 2]) / INTRINSICS[0, 0] * DISTANCE + x
    return np.broadcast_to(on_wall, size)


def _panel(x: np.ndarray) -> np.ndarray:
    """Panels are 0.6 m wide."""
    return np.clip(np.floor(x / 0.6 + PANELS / 2), 0, PANELS - 1).astype(int)
