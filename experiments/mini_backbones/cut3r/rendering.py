"""Rooms through the ray caster on the GPU, into PyTorch, beside the training."""

from collections.abc import Generator
from contextlib import closing
from itertools import count
from threading import Event, Lock
from typing import NamedTuple

import jax
import torch
from torch import Tensor

from experiments.mini_backbones.beside import Feed, made_ahead
from experiments.mini_backbones.cut3r.clips import Clip, stack_clips, training_clip
from experiments.mini_backbones.sharing import own_tensors
from moonseg_jax.rooms import RenderedFrame, Room, render


class Rendered(NamedTuple):
    """Clips as seen.

    Attributes:
        images: ``[r f H W 3]`` uint8.
        depth: ``[r f H W]`` along z, metres.
        T_world_from_cam: ``[r f 4 4]``.
        intrinsics: ``[r 3 3]``, pixel centres at +0.5.
    """

    images: Tensor
    depth: Tensor
    T_world_from_cam: Tensor
    intrinsics: Tensor


@jax.jit(static_argnames="size")
def _render(
    room: Room, poses: jax.Array, intrinsics: jax.Array, seed: jax.Array, size: tuple[int, int]
) -> RenderedFrame:
    def clip(room: Room, poses: jax.Array, intrinsics: jax.Array, seed: jax.Array) -> RenderedFrame:
        keys = jax.random.split(jax.random.key(seed), poses.shape[0])
        return jax.vmap(lambda pose, key: render(room, pose, intrinsics, size, key))(poses, keys)

    return jax.vmap(clip)(room, poses, intrinsics, seed)


def render_clips(clips: Clip, size: tuple[int, int], device: torch.device) -> Rendered:
    """Renders stacked clips on JAX's device; the tensors are PyTorch's own, and finished."""
    frames = _render(*jax.device_put(clips), size=size)
    poses, intrinsics = (torch.from_numpy(x).to(device) for x in (clips.poses, clips.intrinsics))
    return Rendered(*own_tensors((frames.image, frames.depth), device), poses, intrinsics)


def training_chunks(
    start: int, rooms: int, size: tuple[int, int], device: torch.device, workers: int, idle: Lock
) -> Feed[Rendered]:
    """Chunk after chunk of new rooms, rendered one ahead of the training.

    Args:
        start: chunks to leave out.
        rooms: of a chunk.
        size: ``(H, W)`` of the images.
        device: of the tensors.
        workers: processes that make rooms; 0: none.
        idle: held by others keeps the GPU free of rendering.
    """
    numbers = (range(n * rooms, (n + 1) * rooms) for n in count(start))

    def produce(stop: Event) -> Generator[Rendered, None, None]:
        with closing(made_ahead(training_clip, numbers, workers, stop)) as made:
            for clips in made:
                with idle:
                    chunk = render_clips(stack_clips(clips), size, device)
                yield chunk

    return Feed(produce, device)
