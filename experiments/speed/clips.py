"""Random clips of any size, and the trainer's own step for them."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from ml_collections import ConfigDict

from experiments.speed.random_caches import scene_info
from moonseg_jax.config import default_config
from moonseg_jax.models import Core, split_core
from moonseg_jax.structs import Frame, SceneInfo, pack_masks
from moonseg_jax.train.optimizer import cosine_schedule, make_optimizer
from moonseg_jax.train.step import TrainState, batch_loss, init_state, train_step

PATCH, POINT_STRIDE, MASK_STRIDE = 16, 4, 2
SIZES: dict[str, dict[str, Any]] = {
    "paper": {"c3": 768, "c2": 1024, "width": 256, "feed_forward": 1024},
    "classical": {"c3": 48, "c2": 64, "width": 128, "feed_forward": 512},
    "tiny": {"c3": 8, "c2": 8, "width": 16, "feed_forward": 32, "image_size": (96, 128)},
}
Step = Callable[[TrainState, Frame], tuple[TrainState, dict[str, jax.Array]]]


def image_size(size: str) -> tuple[int, int]:
    """Of the processed image."""
    return SIZES[size].get("image_size", (384, 512))


def random_info(size: str) -> SceneInfo:
    """Of caches with such frames."""
    c3, c2 = SIZES[size]["c3"], SIZES[size]["c2"]
    return scene_info(c3, c2, state_tokens=0, image_size=image_size(size))


def make_config(size: str, dtype: str) -> ConfigDict:
    """The default config at these widths."""
    config = default_config()
    config.model.update({name: SIZES[size][name] for name in ("width", "feed_forward")})
    config.train.dtype = dtype
    return config


def random_batch(size: str, clips: int, frames: int, masks: int, seed: int = 0) -> Frame:
    """A camera sliding along a wall, with discs for masks: every frame sees earlier ones."""
    rng = np.random.default_rng(seed)
    height, width = image_size(size)
    grid, point_size, mask_size = (
        (height // stride, width // stride) for stride in (PATCH, POINT_STRIDE, MASK_STRIDE)
    )
    lead = (clips, frames)
    x = np.linspace(0.0, 1.0, frames)[None, :, None, None]
    v, u = np.indices(point_size) * POINT_STRIDE + POINT_STRIDE / 2
    wall = np.broadcast_to(2 * (u - width / 2) / width, (*lead, *point_size)) + x
    up = np.broadcast_to(2 * (v - height / 2) / width, wall.shape)
    pose = np.tile(np.eye(4, dtype=np.float32), (*lead, 1, 1))
    pose[..., 0, 3] = x[..., 0, 0]
    camera = np.array([[width, 0, width / 2], [0, width, height / 2], [0, 0, 1]], np.float32)
    rows, columns = np.indices(mask_size)
    y0, x0 = (rng.uniform(0, n, (masks, 1, 1)) for n in mask_size)
    planes = pack_masks(
        np.hypot(rows - y0, columns - x0) < rng.uniform(0.03, 0.16, (masks, 1, 1)) * width / 2
    )
    channels = (SIZES[size][name] for name in ("c3", "c2"))
    features = [rng.standard_normal((*lead, *grid, c), np.float32) for c in channels]
    return Frame(
        features_3d=features[0].astype(np.float16),
        features_2d=features[1].astype(np.float16),
        points=np.stack([wall, up, np.full_like(wall, 2)], axis=-1).astype(np.float32),
        confidence=np.ones((*lead, *point_size), np.float32),
        colors=np.zeros((*lead, *point_size, 3), np.uint8),
        T_world_from_cam=pose,
        intrinsics=np.tile(camera, (*lead, 1, 1)),
        masks=np.tile(planes, (*lead, 1, 1, 1)),
        mask_valid=np.ones((*lead, planes.shape[-1] * 32), bool),
        mask_scores=np.ones((*lead, planes.shape[-1] * 32), np.float32),
        timestamp=np.zeros(lead, np.float32),
    )


def make_core(size: str, config: ConfigDict) -> Core:
    """An untrained core."""
    c3, c2 = SIZES[size]["c3"], SIZES[size]["c2"]
    return Core(config.model, c3, c2, rngs=nnx.Rngs(0), dtype=config.train.dtype)


def make_loss(size: str, config: ConfigDict) -> tuple[Any, Callable]:
    """Parameters, and the loss of a batch as `train_step` takes it."""
    graphdef, params = split_core(make_core(size, config))
    return params, partial(
        batch_loss, graphdef=graphdef, config=config, image_size=image_size(size)
    )


def make_step(params: Any, loss: Callable, config: ConfigDict) -> tuple[TrainState, Step]:
    """The first state on the device, and the trainer's step; it takes over the state."""
    schedule = cosine_schedule(config.optimizer, 1000)
    optimizer = make_optimizer(config.optimizer, schedule)

    def step(state: TrainState, batch: Frame) -> tuple[TrainState, dict[str, jax.Array]]:
        return train_step(state, batch, None, loss=loss, optimizer=optimizer, schedule=schedule)

    state = jax.tree.map(jnp.array, init_state(params, optimizer))
    return state, jax.jit(step, donate_argnums=0)


def lean(batch: Frame) -> Frame:
    """Without what training does not read: a byte a frame stands for colours and times."""
    none = np.zeros(batch.points.shape[:2], np.uint8)
    return dataclasses.replace(batch, colors=none, timestamp=none)
