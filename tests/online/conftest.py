import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from moonseg_jax.config import default_config
from moonseg_jax.models import Core
from moonseg_jax.online import init, step
from moonseg_jax.structs import pack_masks, unpack_masks
from tests.reference.box_room import BoxRoom
from tests.reference.parity import random_core


def small_config():
    config = default_config()
    config.model.update(width=16, heads=2, feed_forward=24, refine_layers=1)
    config.memory.update({"row_capacity": 128, "key_capacity": 1024, "voxel": 0.2})
    return config


@pytest.fixture
def config():
    return small_config()


@pytest.fixture
def room():
    return BoxRoom()


@pytest.fixture(scope="session")
def loop():
    """A compiled step and a first state: compiling is what takes the time in these tests."""
    room, config = BoxRoom(), small_config()
    step, state = make_step(config, room, make_core(config, room))
    return jax.jit(step), state


def make_core(config, room, dtype=jnp.float32, seed=0):
    """``(graphdef, params)`` with random weights, biases and scales included."""
    kinds = {"dtype": dtype, "param_dtype": dtype}
    return random_core(
        lambda: Core(config.model, room.c3, room.c2, rngs=nnx.Rngs(0), **kinds), seed
    )


def make_step(config, room, core):
    """``step(state, frame)`` of a core, and the state before the first frame."""
    merged = nnx.merge(*core)
    advance = functools.partial(step, merged, config=config, image_size=room.image_size)
    return advance, init(config, merged.width, room.state_tokens, jnp.dtype(room.dtype))


def worsen(frame, seed):
    """Adds overlapping, tiny, empty and shifted masks and holes in the pointmap."""
    rng = np.random.default_rng(seed)
    masks = np.asarray(unpack_masks(jnp.asarray(frame.masks))).copy()
    free = np.flatnonzero(~frame.mask_valid)
    height, width = masks.shape[1:]
    for kind, i in enumerate(free[:5]):
        row, col = rng.integers(height - 8), rng.integers(width - 8)
        size = (8, 6, 2, 1, 0)[kind]
        masks[i, row : row + size, col : col + size] = True
    valid, scores = frame.mask_valid.copy(), frame.mask_scores.copy()
    valid[free[:5]] = True
    scores[free[:5]] = rng.uniform(0.3, 0.9, len(free[:5]))
    points, confidence = frame.points.copy(), frame.confidence.copy()
    points[rng.random(points.shape[:2]) < 0.1] = np.nan
    confidence[:4, :4] = 0
    return frame.replace(
        masks=pack_masks(masks),
        mask_valid=valid,
        mask_scores=scores,
        points=points,
        confidence=confidence,
    )


def without_masks(frame):
    return frame.replace(
        masks=np.zeros_like(frame.masks),
        mask_valid=np.zeros_like(frame.mask_valid),
        mask_scores=np.zeros_like(frame.mask_scores),
    )
