"""What a small CUT3R is worth on rooms it never saw."""

from contextlib import suppress
from itertools import product
from typing import NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor

from bridges.backbones.cut3r import Cut3r, Cut3rStream, UpdateRule, normalise_images
from bridges.backbones.direct_alignment import DirectAlignment
from experiments.mini_backbones.cut3r.batches import Batch, relative_poses
from experiments.mini_backbones.cut3r.clips import TRAINING_SEEDS, Clip, room_clip, stack_clips
from experiments.mini_backbones.cut3r.losses import moved, rotation_angles, unprojected
from experiments.mini_backbones.cut3r.recipe import SIZE
from experiments.mini_backbones.cut3r.rendering import render_clips
from moonseg_jax.eval.align import umeyama

FIRST_SEED = 500_000
RULES: tuple[UpdateRule, ...] = get_args(UpdateRule)


class Predicted(NamedTuple):
    """``depth [t b H W]``, ``points_world [t b H W 3]``, ``T_world_from_cam [t b 4 4]``, metres."""

    depth: Tensor
    points_world: Tensor
    T_world_from_cam: Tensor


def unseen_rooms(rooms: int, frames: int, first: int = FIRST_SEED) -> Clip:
    """The first ``rooms`` rooms from a seed on, walked through at the usual pace (8 cm a frame)."""
    clips, seed = [], first
    while len(clips) < rooms:
        assert seed < TRAINING_SEEDS
        with suppress(ValueError):  # No way to furnish this room, or to walk in it.
            clips.append(room_clip(seed, frames, SIZE))
        seed += 1
    return stack_clips(clips)


def as_batch(clips: Clip, device: torch.device) -> Batch:
    """Whole clips as sequences, plain."""
    seen = render_clips(clips, SIZE, device)
    length = seen.images.shape[1]
    images = normalise_images(seen.images.flatten(0, 1), device).unflatten(0, (-1, length))
    poses = relative_poses(seen.T_world_from_cam.movedim(1, 0))
    depth = seen.depth.movedim(1, 0)
    return Batch(images.movedim(1, 0), depth, poses, seen.intrinsics)


@torch.no_grad()
def predict(
    model: Cut3r, images: Tensor, rule: UpdateRule, reset_every: int = 0, align: bool = False
) -> Predicted:
    """Streams sequences ``[t b 3 H W]`` through a model; ``align`` corrects poses by the images."""
    stream = Cut3rStream(model, rule, reset_every, batch=images.shape[1])
    alignments = [DirectAlignment() for _ in images[0]] if align else []
    depth, points, poses = [], [], []
    for frame in images:
        output = stream(frame)
        world, T = output.points_world, output.T_world_from_cam
        if align:
            colors = frame.movedim(1, -1) / 2 + 0.5
            each = zip(alignments, colors, world, T, output.intrinsics[:, :2], strict=True)
            corrected = [alignment.correct(*told) for alignment, *told in each]
            T, world = (torch.stack(x) for x in zip(*corrected, strict=True))
        depth.append(output.points_self[..., 2])
        points.append(world)
        poses.append(T)
    return Predicted(torch.stack(depth), torch.stack(points), torch.stack(poses))


def measure(predicted: Predicted, true: Batch, length: int) -> dict[str, float]:
    """Errors over the first ``length`` frames, means over rooms.

    Returns:
        ``depth``: median over pixels of |z - z*|/z*, mean over frames, metres as told;
        ``depth_scaled``: the same after one scale a sequence, ``depth_by_frame`` after one a frame;
        ``points``: median distance of the world's points over the scene's median distance;
        ``position``: mean distance of the cameras over the length of the path, nothing aligned;
        ``position_sim3``: after a similarity; ``rotation``: mean angle in degrees; ``scale``:
        median of z*/z.
    """
    ratio = predicted.depth[:length] / true.depth[:length]
    scale = (1 / ratio).movedim(1, 0).flatten(1).median(dim=1).values
    by_frame = (1 / ratio).flatten(2).median(dim=2).values
    T, T_true = predicted.T_world_from_cam[:length], true.T_world_from_cam[:length]
    own = unprojected(true.depth[:length], true.intrinsics)
    apart = (predicted.points_world[:length] - moved(T_true, own)).norm(dim=-1).flatten(2)
    way = T_true[..., :3, 3].diff(dim=0).norm(dim=-1).sum(dim=0)
    off = (T[..., :3, 3] - T_true[..., :3, 3]).norm(dim=-1)
    rows = {
        "depth": _depth_error(ratio),
        "depth_scaled": _depth_error(ratio * scale[:, None, None]),
        "depth_by_frame": _depth_error(ratio * by_frame[..., None, None]),
        "points": apart.median(dim=-1).values / own.norm(dim=-1).flatten(2).median(dim=-1).values,
        "position": off.mean(dim=0) / way,
        "rotation": rotation_angles(T[..., :3, :3], T_true[..., :3, :3]),
        "scale": scale,
    }
    result = {name: float(values.mean()) for name, values in rows.items()}
    return result | {"position_sim3": _after_similarity(T, T_true, way)}


def _depth_error(ratio: Tensor) -> Tensor:
    return (ratio - 1).abs().flatten(2).median(dim=-1).values


def _after_similarity(T: Tensor, T_true: Tensor, way: Tensor) -> float:
    errors = []
    for room in range(T.shape[1]):
        told, true = (x[:, room, :3, 3].double().cpu().numpy() for x in (T, T_true))
        moved = umeyama(told, true).apply(told)
        errors.append(np.linalg.norm(moved - true, axis=1).mean() / float(way[room]))
    return float(np.mean(errors))


def evaluate(
    model: Cut3r, rooms: int, lengths: tuple[int, ...], first: int = FIRST_SEED
) -> list[dict[str, float | str]]:
    """A row for each update rule, poses as told and aligned, and length."""
    true = as_batch(unseen_rooms(rooms, max(lengths), first), model.initial_tokens.device)
    rows: list[dict[str, float | str]] = []
    for rule, align in product(RULES, (False, True)):
        predicted = predict(model, true.images, rule, align=align)
        name = f"{rule}, aligned" if align else rule
        rows += [
            {"rule": name, "frames": length, **measure(predicted, true, length)}
            for length in lengths
        ]
    return rows
