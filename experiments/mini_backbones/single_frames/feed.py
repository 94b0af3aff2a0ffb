"""Rooms made by processes, rendered by JAX, handed to PyTorch on the same device.

The content of a chunk depends on the recipe, its image size and its number alone, so that training
goes on where it stopped.
"""

from collections.abc import Generator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from itertools import count
from threading import Event, Thread

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch import Tensor

from experiments.mini_backbones.beside import Feed, made_ahead
from experiments.mini_backbones.sharing import own_tensors
from experiments.mini_backbones.single_frames.cameras import sample_cameras
from experiments.mini_backbones.single_frames.schedule import Schedule
from moonseg_jax.rooms import Room, render, sample_room

# Rooms below this seed are for judging, those from it on for training.
FIRST_SEED = 1_000_000
TOGETHER = 8  # Rooms made by one call of a process.
RENDERED = 64  # Rooms in one call of the ray caster.


@dataclass(frozen=True)
class Chunk:
    """Pictures of new rooms, ``f`` cameras in each, group after group.

    Attributes:
        images: ``[r f H W 3]`` uint8.
        depth: ``[r f H W]`` along z, metres.
        poses: ``[r f 4 4]`` T_world_from_cam.
        focal: ``[r]`` in image widths.
        instance: ``[r f H W]`` uint8 ids of the objects of each room, 0 = walls, floor, ceiling.
    """

    images: Tensor
    depth: Tensor
    poses: Tensor
    focal: Tensor
    instance: Tensor


def chunks(
    recipe: Schedule, first: int, workers: int, device: torch.device, cooling: Event
) -> Feed[Chunk]:
    """Chunks from number ``first`` on, made in the background until closed.

    Args:
        recipe: of the run.
        first: number of the first.
        workers: processes that make rooms; 0 makes them in this one.
        device: of the tensors.
        cooling: images are of the fine size once it is set.
    """
    seeds = (_seeds(recipe, number) for number in count(first))

    def produce(stop: Event) -> Generator[Chunk, None, None]:
        with (
            closing(made_ahead(make_rooms, seeds, workers, stop)) as made,
            ExitStack() as compiling,
        ):
            for number, parts in enumerate(made, first):
                rooms = jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
                if number == first:  # Compiles beside the training what it will need later.
                    later = recipe, number, rooms, recipe.fine, device
                    thread = Thread(target=render_chunk, args=later, daemon=True)
                    thread.start()
                    compiling.callback(thread.join)  # Python cannot end in the middle of it.
                size = recipe.fine if cooling.is_set() else recipe.coarse
                yield render_chunk(recipe, number, rooms, size, device)

    return Feed(produce, device)


def render_chunk(
    recipe: Schedule, number: int, rooms: Room, size: tuple[int, int], device: torch.device
) -> Chunk:
    """Renders a chunk of stacked rooms; ready when it returns."""
    parts = []
    for start in range(0, recipe.rooms, RENDERED):
        some = jax.tree.map(lambda leaf, start=start: leaf[start : start + RENDERED], rooms)
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(recipe.seed), number), start)
        parts.append(_render(some, key, recipe.groups, recipe.views, size))
    frames = tuple(jnp.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return Chunk(*own_tensors(frames, device))


@partial(jax.jit, static_argnums=(2, 3, 4))
def _render(
    rooms: Room, key: jax.Array, groups: int, views: int, size: tuple[int, int]
) -> tuple[jax.Array, ...]:
    number = len(rooms.count)
    place, noise = jax.random.split(key)
    poses, focal = jax.vmap(lambda room, key: sample_cameras(room, key, groups, views))(
        rooms, jax.random.split(place, number)
    )
    poses = poses.reshape(number, groups * views, 4, 4)
    zero, one = jnp.zeros_like(focal), jnp.ones_like(focal)
    f, (cy, cx) = focal * size[1], (one * side / 2 for side in size)
    K = jnp.stack([f, zero, cx, zero, f, cy, zero, zero, one], axis=-1).reshape(-1, 3, 3)

    def cameras(room: Room, poses: jax.Array, K: jax.Array, keys: jax.Array):
        return jax.vmap(lambda pose, key: render(room, pose, K, size, key))(poses, keys)

    keys = jax.random.split(noise, (number, groups * views))
    frames = jax.vmap(cameras)(rooms, poses, K, keys)
    return frames.image, frames.depth, poses, focal, frames.instance.astype(jnp.uint8)


def _seeds(recipe: Schedule, number: int) -> list[list[int]]:
    """Of a chunk's rooms, in parts of as many as are made together."""
    start = FIRST_SEED + (recipe.seed << 32) + number * recipe.rooms
    seeds = list(range(start, start + recipe.rooms))
    return [seeds[i : i + TOGETHER] for i in range(0, len(seeds), TOGETHER)]


def make_rooms(seeds: list[int]) -> Room:
    """Rooms of these seeds, stacked, in NumPy."""
    return jax.tree.map(lambda *leaves: np.stack(leaves), *map(_room, seeds))


def _room(seed: int) -> Room:
    try:
        return sample_room(seed)
    except ValueError:  # One in thousands cannot be furnished.
        return _room(seed + (1 << 60))
