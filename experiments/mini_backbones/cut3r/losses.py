"""CUT3R's objective, in metres.

Confidence-weighted regression of the points in both views and of the pose (Wang et al., 2025;
confidences after DUSt3R, Wang et al., 2024). Rooms have a known scale, so nothing is aligned: both
sides of a residual are divided by the same true size of the scene, as CUT3R does for metric data.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from bridges.backbones.cut3r.heads import Told
from bridges.backbones.cut3r.regression import pose_matrix
from experiments.mini_backbones.cut3r.batches import Batch

SHORTEST_WAY = 0.5  # Metres: errors of position count relative to the way, if it is longer.


class Errors(NamedTuple):
    """Scalars: the loss, its parts, and errors to look at.

    Attributes:
        loss: the whole objective.
        points_self, points_world: mean distance over the mean distance of the scene.
        depth: mean of |z - z*|/z* in the camera's view.
        position: mean distance of the cameras, metres, the first left out.
        rotation: mean angle, degrees, the first left out.
    """

    loss: Tensor
    points_self: Tensor
    points_world: Tensor
    depth: Tensor
    position: Tensor
    rotation: Tensor


class FrameErrors(NamedTuple):
    """Of each frame, ``[n]``; fields as in `Errors`, ``points`` the part of the loss with points.

    Positions come in metres, ``turn`` is the loss's 2|q - q*|.
    """

    points: Tensor
    points_self: Tensor
    points_world: Tensor
    depth: Tensor
    position: Tensor
    turn: Tensor
    rotation: Tensor


FrameLoss = Callable[[Told, Tensor, Tensor, Tensor, Tensor, float], FrameErrors]


def objective(
    told: Told, batch: Batch, alpha: float, pose_weight: float, frame_loss: FrameLoss
) -> Errors:
    """Σ_views mean(C·l - α log C) + w·(position + rotation).

    l is the distance of a point over the scene's mean distance, C its confidence; position errors
    are relative to the mean way from the first camera, rotation errors 2|q - q*| (radians).

    Args:
        told: of `unroll`, ``[t*b ...]``.
        batch: what is true.
        alpha: price of doubt.
        pose_weight: w.
        frame_loss: `frame_errors`, or what it was compiled to.
    """
    T = batch.T_world_from_cam
    t, b = T.shape[:2]
    size = scene_sizes(batch).expand(t, b).flatten()
    K = batch.intrinsics.expand(t, b, 3, 3).flatten(0, 1)
    frames = frame_loss(told, batch.depth.flatten(0, 1), K, T.flatten(0, 1), size, alpha)
    way = T[..., :3, 3].norm(dim=-1).mean(dim=0).clamp(min=SHORTEST_WAY)
    position = frames.position.unflatten(0, (t, b))
    pose_loss = (position / way).mean() + frames.turn.mean()
    first = b if t > 1 else 0
    means = frames.points_self, frames.points_world, frames.depth
    later = frames.position[first:], frames.rotation[first:]
    loss = frames.points.mean() + pose_weight * pose_loss
    return Errors(loss, *(x.detach().mean() for x in (*means, *later)))


def scene_sizes(batch: Batch) -> Tensor:
    """Mean distance ``[b]`` of what a sequence shows, from its cameras and the first, metres."""
    # Of every fourth pixel each way; as good a mean.
    own = unprojected(batch.depth, batch.intrinsics)[..., ::4, ::4, :]
    world = moved(batch.T_world_from_cam, own)
    return (own.norm(dim=-1).mean(dim=(0, 2, 3)) + world.norm(dim=-1).mean(dim=(0, 2, 3))) / 2


def frame_errors(
    told: Told, depth: Tensor, intrinsics: Tensor, T: Tensor, size: Tensor, alpha: float
) -> FrameErrors:
    """What is wrong with each of ``n`` frames; whose sequence they are of does not matter here.

    Args:
        told: ``[n ...]``.
        depth: ``[n H W]`` metres.
        intrinsics: ``[n 3 3]``.
        T: ``[n 4 4]`` T_world_from_cam.
        size: ``[n]`` of the scene.
        alpha: price of doubt.
    """
    own = unprojected(depth, intrinsics)
    own_error, own_loss = _weighted(told.points_self, own, told.conf_self, size, alpha)
    world_error, world_loss = _weighted(
        told.points_world, moved(T, own), told.conf_world, size, alpha
    )
    position, turn = _pose_errors(told.pose, T)
    return FrameErrors(
        own_loss + world_loss,
        own_error,
        world_error,
        ((told.points_self[..., 2] - depth).abs() / depth).mean(dim=(1, 2)),
        position,
        turn,
        rotation_angles(pose_matrix(told.pose)[:, :3, :3].detach(), T[:, :3, :3]),
    )


def moved(T: Tensor, points: Tensor) -> Tensor:
    """Points ``[*b H W 3]`` under motions ``[*b 4 4]``."""
    # Sums of products in float32: a matrix product might round to TF32, which is millimetres.
    turned = (T[..., None, None, :3, :3] * points[..., None, :]).sum(dim=-1)
    return turned + T[..., None, None, :3, 3]


def unprojected(depth: Tensor, intrinsics: Tensor) -> Tensor:
    """``[*t b H W]`` and ``[b 3 3]`` to points ``[*t b H W 3]`` in the cameras' frames."""
    height, width = depth.shape[-2:]
    y = torch.arange(height, device=depth.device, dtype=depth.dtype) + 0.5
    x = torch.arange(width, device=depth.device, dtype=depth.dtype) + 0.5
    K = intrinsics[:, :, :, None, None]
    x, y = (x - K[:, 0, 2]) / K[:, 0, 0], (y[:, None] - K[:, 1, 2]) / K[:, 1, 1]
    return torch.stack([x * depth, y * depth, depth], dim=-1)


def quaternions(R: Tensor) -> Tensor:
    """Rotations ``[*b 3 3]`` to unit quaternions ``[*b 4]``, w x y z, w ≥ 0.

    Of the four ways to write one, that which divides by the largest component.
    """
    a, b, c, d, e, f, g, h, i = R.flatten(-2).unbind(-1)
    rows = [
        torch.stack([1 + a + e + i, h - f, c - g, d - b], dim=-1),
        torch.stack([h - f, 1 + a - e - i, b + d, c + g], dim=-1),
        torch.stack([c - g, b + d, 1 - a + e - i, f + h], dim=-1),
        torch.stack([d - b, c + g, f + h, 1 - a - e + i], dim=-1),
    ]
    ways = torch.stack(rows, dim=-2)
    best = ways.diagonal(dim1=-2, dim2=-1).argmax(dim=-1)
    chosen = ways.gather(-2, best[..., None, None].expand(*best.shape, 1, 4))[..., 0, :]
    chosen = torch.nn.functional.normalize(chosen, dim=-1)
    return torch.where(chosen[..., :1] < 0, -chosen, chosen)


def _weighted(
    points: Tensor, true: Tensor, confidence: Tensor, size: Tensor, alpha: float
) -> tuple[Tensor, Tensor]:
    error = (points - true).norm(dim=-1) / size[:, None, None]
    loss = confidence * error - alpha * confidence.log()
    return error.mean(dim=(1, 2)), loss.mean(dim=(1, 2))


def _pose_errors(pose: Tensor, T: Tensor) -> tuple[Tensor, Tensor]:
    """Metres and (nearly) radians, ``[n]`` each."""
    true = quaternions(T[:, :3, :3])
    # q and -q are one rotation; near half a turn the sign of w is a matter of chance.
    sign = torch.where((pose[:, 3:] * true).sum(dim=-1, keepdim=True) < 0, -1.0, 1.0)
    position = (pose[:, :3] - T[:, :3, 3]).norm(dim=-1)
    return position, 2 * (pose[:, 3:] - sign * true).norm(dim=-1)


def rotation_angles(A: Tensor, B: Tensor) -> Tensor:
    """Angles between rotations ``[*b 3 3]``, degrees."""
    # By the chord: the arc cosine of a trace loses small angles in float32.
    chord = (A - B).flatten(-2).norm(dim=-1) / 8**0.5
    return 2 * torch.rad2deg(torch.asin(chord.clamp(max=1)))
