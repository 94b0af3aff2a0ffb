"""From a number to a room with a camera path: what processor cores do."""

from itertools import count
from typing import NamedTuple

import jax
import numpy as np

from experiments.mini_backbones.cut3r.recipe import CLIP_FRAMES, SIZE
from moonseg_jax.rooms import Room, camera_path, default_intrinsics, sample_room

TRAINING_SEEDS = 10_000_000  # From here on; evaluation and everything else stay below.
ANOTHER_TRY = 1 << 40
STRIDES, SHARES = (1, 2), (0.7, 0.3)  # Path frames from frame to frame.
# In image widths. Recordings of rooms have 0.9; how far things are is told by it, so that a wider
# range would cost precision in metres.
FOCAL = (0.85, 0.95)


class Clip(NamedTuple):
    """A room and where it is seen from; leaves are NumPy arrays.

    Attributes:
        room: one room, or several stacked.
        poses: ``[*r f 4 4]`` T_world_from_cam.
        intrinsics: ``[*r 3 3]``.
        seed: ``[*r]`` of the sensor noise.
    """

    room: Room
    poses: np.ndarray
    intrinsics: np.ndarray
    seed: np.ndarray


def training_clip(index: int, frames: int = CLIP_FRAMES, size: tuple[int, int] = SIZE) -> Clip:
    """The ``index``-th room of a training: no two are the same, none is used elsewhere."""
    rng = np.random.default_rng([index, 0x43])
    stride = int(rng.choice(STRIDES, p=SHARES))
    focal = float(np.exp(rng.uniform(*np.log(FOCAL))))
    for attempt in count():
        try:
            seed = TRAINING_SEEDS + index + attempt * ANOTHER_TRY
            return room_clip(seed, frames, size, focal, stride)
        except ValueError:  # No way to furnish this room, or to walk in it.
            continue
    raise AssertionError


def room_clip(
    seed: int, frames: int, size: tuple[int, int], focal: float = 0.9, stride: int = 1
) -> Clip:
    """A room seen from every ``stride``-th pose of a path of its own.

    Raises:
        ValueError: this seed gives no room, or none to walk in.
    """
    room = sample_room(seed)
    poses = camera_path(room, seed, (frames - 1) * stride + 1)[::stride]
    intrinsics = default_intrinsics(size, focal).astype(np.float32)
    return Clip(
        jax.tree.map(np.asarray, room), poses, intrinsics, np.array(seed % (1 << 32), np.uint32)
    )


def stack_clips(clips: list[Clip]) -> Clip:
    """Clips of equally many frames as one."""
    return jax.tree.map(lambda *leaves: np.stack(leaves), *clips)
