"""From raw numbers of the heads to points, confidences and poses."""

import torch
import torch.nn.functional as F
from torch import Tensor


def decode_points(raw: Tensor, faces_forward: bool = False) -> tuple[Tensor, Tensor]:
    """Points x/|x| · (e^|x| - 1) and confidences 1 + e^c.

    Args:
        raw: ``[b 4 H W]``: x, then c.
        faces_forward: whether a point behind the camera is mirrored through it, as the linear
            head's own view is.

    Returns:
        ``[b H W 3]`` in scene units, and ``[b H W]``.
    """
    x, c = raw.movedim(1, -1).split([3, 1], dim=-1)
    if faces_forward:
        x = x * x[..., 2:].sign()
    return _expm1(x), 1 + c[..., 0].exp()


def decode_pose(raw: Tensor) -> Tensor:
    """Translation as points are, unit quaternion with w ≥ 0.

    Args:
        raw: ``[b 7]``.

    Returns:
        ``[b 7]``: translation of the camera in the world, then its rotation as w, x, y, z.
    """
    translation, quaternion = raw.split([3, 4], dim=-1)
    quaternion = F.normalize(quaternion, dim=-1)
    quaternion = torch.where(quaternion[:, :1] < 0, -quaternion, quaternion)
    return torch.cat([_expm1(translation), quaternion], dim=-1)


def pose_matrix(pose: Tensor) -> Tensor:
    """``[b 7]`` of `decode_pose` to ``T_world_from_cam [b 4 4]``."""
    translation, (w, x, y, z) = pose[:, :3], pose[:, 3:].unbind(-1)
    rows = [
        torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], dim=-1),
        torch.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], dim=-1),
        torch.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], dim=-1),
    ]
    top = torch.cat([torch.stack(rows, dim=1), translation[..., None]], dim=-1)
    return torch.cat([top, _last_row(top)], dim=1)


def _last_row(top: Tensor) -> Tensor:
    zero = torch.zeros_like(top[:, :1])
    return torch.cat([zero[..., :3], zero[..., 3:] + 1], dim=-1)


def _expm1(x: Tensor) -> Tensor:
    length = x.norm(dim=-1, keepdim=True)
    return x / length.clamp(min=1e-8) * torch.expm1(length)
