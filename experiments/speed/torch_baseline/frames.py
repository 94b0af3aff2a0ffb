"""Frames as tensors on a device, and what masks and pointmaps say on the patch grid."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from moonseg_jax.structs import Frame


def to_device(frame: Frame, device: str) -> dict[str, Tensor]:
    """Every field of a frame (of any leading axes) but time and colours; planes as int32."""
    fields = {}
    for name in frame.__dataclass_fields__:
        value = getattr(frame, name)
        if value is not None and name not in ("timestamp", "colors"):
            array = np.ascontiguousarray(value)
            array = array.view(np.int32) if array.dtype == np.uint32 else array
            fields[name] = torch.from_numpy(array.copy()).to(device)
    return fields


def unpack(planes: Tensor) -> Tensor:
    """``[*b H W words]`` int32 -> ``[*b q H W]`` bool."""
    shifts = torch.arange(32, device=planes.device, dtype=torch.int32)
    bits = (planes.unsqueeze(-1) >> shifts) & 1
    return bits.flatten(-2).movedim(-1, -3).bool()


def pool(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Mean over equal cells: ``[*b H W]`` -> ``[*b h w]`` float32."""
    window = x.shape[-2] // size[0], x.shape[-1] // size[1]
    flat = x.reshape(-1, 1, *x.shape[-2:]).float()
    return functional.avg_pool2d(flat, window).reshape(*x.shape[:-2], *size)


def pool_points(points: Tensor, confidence: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """``[*b Hp Wp 3]``, ``[*b Hp Wp]`` -> mean trusted points ``[*b p 3]``, bool ``[*b p]``."""
    trusted = points.isfinite().all(-1) & (confidence > 0)
    clean = torch.where(trusted[..., None], points, 0.0)
    share = pool(trusted, grid)
    mean = pool(clean.movedim(-1, -3), grid).movedim(-3, -1) / share.clamp(min=1e-6)[..., None]
    valid = share > 0
    return torch.where(valid[..., None], mean, 0.0).flatten(-3, -2), valid.flatten(-2)


def patch_of(
    points: Tensor, T: Tensor, K: Tensor, image: tuple[int, int], grid: tuple[int, int]
) -> Tensor:
    """The patch each world point ``[*b n 3]`` falls into in a view; ``p`` = none. int64."""
    R, t = T[..., :3, :3], T[..., :3, 3]
    cam = ((points - t.unsqueeze(-2)).unsqueeze(-1) * R.unsqueeze(-3)).sum(-2)  # Rᵀ(x - t)
    z = cam[..., 2]
    safe = torch.where(z > 1e-6, z, 1.0)
    u = K[..., 0, 0, None] * cam[..., 0] / safe + K[..., 0, 2, None]
    v = K[..., 1, 1, None] * cam[..., 1] / safe + K[..., 1, 2, None]
    column, row = (u * (grid[1] / image[1])).floor(), (v * (grid[0] / image[0])).floor()
    inside = (z > 1e-6) & (column >= 0) & (column < grid[1]) & (row >= 0) & (row < grid[0])
    return torch.where(inside, row * grid[1] + column, grid[0] * grid[1]).long()
