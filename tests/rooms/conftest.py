from functools import partial

import jax
import numpy as np
import pytest

from moonseg_jax.rooms import camera_path, default_intrinsics, render, sample_room

SIZE = (48, 64)


@pytest.fixture(scope="session")
def room():
    return sample_room(1)


@pytest.fixture(scope="session")
def path(room):
    return camera_path(room, 1, 60)


@pytest.fixture(scope="session")
def intrinsics():
    return default_intrinsics(SIZE).astype(np.float32)


@pytest.fixture(scope="session")
def camera(intrinsics):
    """``(room, pose, key) -> RenderedFrame`` at `SIZE`, compiled once."""
    one = jax.jit(partial(render, size=SIZE))
    return lambda room, pose, key: jax.device_get(one(room, pose, intrinsics, key=key))
