"""Patches that show one point of a room shall be alike, and unlike patches of anything else."""

import torch
from torch import Tensor

from experiments.mini_backbones.semantic.recipe import Recipe

REACH = 1.0  # Spacings of patches up to which two middles show about the same point.


def point_contrast(
    student: Tensor,
    teacher: Tensor,
    query: tuple[Tensor, Tensor],
    key: tuple[Tensor, Tensor],
    others: Tensor,
    recipe: Recipe,
) -> tuple[Tensor, Tensor]:
    """Divergence of likeness of features from nearness in the room.

    L = Σ_j w_ij (log w_ij - log softmax_j(z_i·z'_j / τ)), w_ij ∝ exp(-2 (|P_i - P_j| / s_ij)²) up
    to ``REACH`` spacings s_ij, j over the room's patches that show the same point or one at least
    ``apart`` metres away, and over patches of other rooms.

    Args:
        student: ``[r q c]`` of unit length, queries of each room.
        teacher: ``[r k c]`` of unit length, all patches of the room's views.
        query: points ``[r q 3]`` and spacing ``[r q]`` of the student's patches.
        key: the same of the teacher's, ``[r k 3]`` and ``[r k]``.
        others: ``[m]`` indices into the ``r·k`` patches of all rooms.
        recipe: ``apart`` and ``temperature``.

    Returns:
        The mean loss, and the part of queries that has a positive.
    """
    offset = query[0][:, :, None] - key[0][:, None]
    distance = offset.square().sum(dim=-1).sqrt()
    spacing = (query[1][:, :, None] + key[1][:, None]) / 2
    near = distance / spacing
    exponent = -2 * near.square()
    weight = torch.where(near < REACH, torch.exp(exponent), 0.0)
    total = weight.sum(dim=-1).clamp(min=1e-6)
    counted = (near < REACH) | (distance > torch.clamp(2 * spacing, min=recipe.apart))

    inside = (student @ teacher.transpose(1, 2)).float() / recipe.temperature
    outside = (student @ teacher.flatten(0, 1)[others].T).float() / recipe.temperature
    room = torch.arange(len(student), device=student.device)
    foreign = others // teacher.shape[1] != room[:, None]
    lowest = torch.finfo(torch.float32).min
    normaliser = torch.logaddexp(
        torch.where(counted, inside, lowest).logsumexp(dim=-1),
        torch.where(foreign[:, None], outside, lowest).logsumexp(dim=-1),
    )
    gain = (weight * (exponent - inside)).sum(dim=-1) / total - total.log()
    valid = total > 1e-3
    loss = torch.where(valid, normaliser + gain, 0.0).sum() / valid.sum().clamp(min=1)
    return loss, valid.float().mean()
