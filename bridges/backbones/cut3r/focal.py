"""The focal length that fits a pointmap."""

import torch
from torch import Tensor, nn

ITERATIONS = 10
# Bounds in focal lengths of a 60° camera: beyond any lens, and K stays invertible.
SHORTEST, LONGEST = 0.1, 20.0


class FocalFit(nn.Module):
    """`fit_intrinsics` as a module, for what compiles modules."""

    def forward(self, points: Tensor) -> Tensor:
        """``[b H W 3]`` to ``[b 3 3]``."""
        return fit_intrinsics(points)


def fit_intrinsics(points: Tensor) -> Tensor:
    """Intrinsics with the principal point at the centre and one robust focal length.

    f minimises Σ |(u, v) - f·(x/z, y/z)|, by Weiszfeld's iterations from the least-squares fit;
    (u, v) is a pixel's centre seen from the image's.

    Args:
        points: ``[b H W 3]`` in the camera's frame.

    Returns:
        ``[b 3 3]`` in pixels, pixel centres at +0.5.

    Source: the focal estimate of DUSt3R (Wang et al., 2024), which counts pixels from 0.
    """
    height, width = points.shape[1:3]
    pixels = _centred_pixels(height, width, points)
    rays = points[..., :2] / points[..., 2:]
    rays = rays.nan_to_num(0.0, 0.0, 0.0).flatten(1, 2)
    along, square = (rays * pixels).sum(-1), rays.square().sum(-1)
    focal = along.mean(1) / square.mean(1)
    for _ in range(ITERATIONS):
        residual = (pixels - focal[:, None, None] * rays).norm(dim=-1)
        weight = residual.clamp(min=1e-8).reciprocal()
        focal = (weight * along).mean(1) / (weight * square).mean(1)
    unit = max(height, width) / (2 * 3**-0.5)
    return _camera_matrix(focal.clamp(SHORTEST * unit, LONGEST * unit), height, width)


def _centred_pixels(height: int, width: int, like: Tensor) -> Tensor:
    """``[H*W 2]``, x then y."""
    v = torch.arange(height, dtype=like.dtype, device=like.device) + 0.5 - height / 2
    u = torch.arange(width, dtype=like.dtype, device=like.device) + 0.5 - width / 2
    return torch.stack(torch.meshgrid(u, v, indexing="xy"), dim=-1).flatten(0, 1)


def _camera_matrix(focal: Tensor, height: int, width: int) -> Tensor:
    zero = torch.zeros_like(focal)
    one = torch.ones_like(focal)
    rows = [focal, zero, one * (width / 2), zero, focal, one * (height / 2), zero, zero, one]
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))
