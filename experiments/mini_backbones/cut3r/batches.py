"""From rendered clips to sequences to train on."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from experiments.mini_backbones.cut3r.recipe import CLIP_FRAMES, Recipe, Stage
from experiments.mini_backbones.cut3r.rendering import Rendered

# Standard deviations of logarithms: exposure, colour balance and gamma of a sequence, and the
# exposure from frame to frame.
EXPOSURE, BALANCE, GAMMA, FLICKER = 0.12, 0.04, 0.1, 0.03


class Batch(NamedTuple):
    """Sequences, time first.

    Attributes:
        images: ``[t b 3 H W]`` in -1..1.
        depth: ``[t b H W]`` along z, metres.
        T_world_from_cam: ``[t b 4 4]``, the world being the first frame's camera.
        intrinsics: ``[b 3 3]``.
    """

    images: Tensor
    depth: Tensor
    T_world_from_cam: Tensor
    intrinsics: Tensor


def training_batches(chunk: Rendered, stage: Stage, recipe: Recipe, number: int) -> Iterator[Batch]:
    """The sequences of a chunk, told by its number.

    As many of each room; mirrored or not, forwards or backwards, as chance has it.
    """
    rng = np.random.default_rng([number, 0x42])
    total = recipe.steps_per_chunk * recipe.step_frames // stage.length
    rooms = rng.permutation(np.arange(total) % len(chunk.images))
    for room in rooms.reshape(recipe.steps_per_chunk, -1):
        frame, mirrored = _windows(rng, stage, len(room))
        batch = take_sequences(chunk, room, frame, mirrored)
        yield batch._replace(images=_photographed(batch.images, rng))


def _windows(rng: np.random.Generator, stage: Stage, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Frames ``[t b]`` of clips, and which sequences to mirror ``[b]``."""
    gaps = max(stage.length - 1, 1)
    pace = rng.integers(1, min(stage.reach, (CLIP_FRAMES - 1) // gaps), number, endpoint=True)
    start = rng.integers(0, CLIP_FRAMES - (stage.length - 1) * pace)
    frame = start + pace * np.arange(stage.length)[:, None]
    backwards, mirrored = rng.random((2, number)) < 0.5
    return np.where(backwards, frame[::-1], frame), mirrored


def take_sequences(
    chunk: Rendered, room: np.ndarray, frame: np.ndarray, mirrored: np.ndarray
) -> Batch:
    """Some sequences.

    Args:
        chunk: what was rendered.
        room: ``[b]`` the clips.
        frame: ``[t b]`` the frames of them.
        mirrored: ``[b]`` whether left and right change places: images, poses, intrinsics.
    """
    device = chunk.images.device
    at = torch.from_numpy(np.ascontiguousarray(frame)).to(device)
    of = torch.from_numpy(np.ascontiguousarray(room)).to(device)
    flip = torch.from_numpy(np.ascontiguousarray(mirrored)).to(device)
    images = chunk.images[of, at].movedim(-1, 2).float() / 255 * 2 - 1
    depth = chunk.depth[of, at]
    images = torch.where(flip[:, None, None, None], images.flip(-1), images)
    depth = torch.where(flip[:, None, None], depth.flip(-1), depth)
    side = torch.where(flip, -1.0, 1.0)
    mirror = torch.diag_embed(torch.stack([side, *[torch.ones_like(side)] * 3], dim=-1))
    poses = mirror @ relative_poses(chunk.T_world_from_cam[of, at]) @ mirror
    intrinsics = chunk.intrinsics[of].clone()
    width = images.shape[-1]
    intrinsics[:, 0, 2] = torch.where(flip, width - intrinsics[:, 0, 2], intrinsics[:, 0, 2])
    return Batch(images.contiguous(), depth, poses, intrinsics)


def blank_batch(length: int, sequences: int, size: tuple[int, int], device: torch.device) -> Batch:
    """Sequences of nothing, to compile with before there are rooms."""
    T = torch.eye(4, device=device).expand(length, sequences, 4, 4).contiguous()
    K = torch.eye(3, device=device).expand(sequences, 3, 3).contiguous()
    images = torch.zeros(length, sequences, 3, *size, device=device)
    return Batch(images, torch.ones(length, sequences, *size, device=device), T, K)


def relative_poses(T: Tensor) -> Tensor:
    """Poses ``[t b 4 4]`` seen from the first."""
    first = T[0].double()
    R = first[:, :3, :3].transpose(1, 2)
    inverse = torch.cat([torch.cat([R, -R @ first[:, :3, 3:]], dim=-1), first[:, 3:]], dim=1)
    return (inverse @ T.double()).float()


def _photographed(images: Tensor, rng: np.random.Generator) -> Tensor:
    """As other cameras might have taken them."""
    t, b = images.shape[:2]
    gain = EXPOSURE * rng.normal(size=(1, b, 1)) + FLICKER * rng.normal(size=(t, b, 1))
    gain = np.exp(gain + BALANCE * rng.normal(size=(1, b, 3)))
    gamma = np.exp(GAMMA * rng.normal(size=(1, b, 1, 1, 1)))
    gain, gamma = (torch.from_numpy(x.astype(np.float32)).to(images.device) for x in (gain, gamma))
    seen = (images * 0.5 + 0.5).pow(gamma) * gain[..., None, None]
    return seen.clamp(0, 1) * 2 - 1
