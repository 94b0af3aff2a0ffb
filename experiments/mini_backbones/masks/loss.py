"""A picked cell's mask shall be its object, and every cell's score the IoU that it will have."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from bridges.backbones.mini_mask_net import Told, mask_logits


class Losses(NamedTuple):
    """``loss`` is what is minimised; ``iou`` the mean of picked cells, ``fit`` of IoU >= 0.75."""

    loss: Tensor
    mask: Tensor
    score: Tensor
    iou: Tensor
    fit: Tensor


def mask_loss(told: Told, ids: Tensor, objects: Tensor, picked: Tensor) -> Losses:
    """L = (1 - Dice) + BCE of picked masks, + BCE(s, IoU) of their scores and BCE(s, 0) of none.

    Five times as much cross entropy, as sampled points take it elsewhere, empties all masks first:
    most pixels of a picture lie outside.

    Args:
        told: by the network, of ``b`` pictures.
        ids: ``[b H W]`` int64.
        objects: ``[b h w]``, see `cell_objects`.
        picked: ``[b k]``, see `pick_cells`.

    Source: Dice and cross entropy together after Cheng et al., "Mask2Former", 2022; scores that
    tell IoU after Huang et al., "Mask scoring R-CNN", 2019.
    """
    wanted = objects.flatten(1).gather(1, picked)
    valid = (wanted > 0).float()
    count = valid.sum().clamp(min=1)
    at = torch.stack([picked // objects.shape[2], picked % objects.shape[2]], dim=-1)
    kernels = told.kernels.flatten(1, 2)
    chosen = kernels.gather(1, picked[..., None].expand(-1, -1, kernels.shape[2]))
    logits = mask_logits(chosen, at, told.features)
    target = _shares(ids, wanted)
    pixelwise = F.binary_cross_entropy_with_logits(logits, target, reduction="none").mean((2, 3))
    likely = logits.sigmoid()
    shared = (likely * target).sum((2, 3))
    dice = (2 * shared + 1) / (likely.square().sum((2, 3)) + target.square().sum((2, 3)) + 1)
    mask = ((1 - dice + pixelwise) * valid).sum() / count

    with torch.no_grad():
        iou = _iou(logits > 0, target >= 0.5)
    scores = told.scores.float().flatten(1)
    ours = F.binary_cross_entropy_with_logits(scores.gather(1, picked), iou, reduction="none")
    empty = (objects.flatten(1) == 0).float()
    others = F.softplus(scores) * empty
    score = (ours * valid).sum() / count + others.sum() / empty.sum().clamp(min=1)
    mean, fit = ((x * valid).sum() / count for x in (iou, (iou >= 0.75).float()))
    return Losses(mask + score, mask.detach(), score.detach(), mean, fit)


def _shares(ids: Tensor, wanted: Tensor) -> Tensor:
    """The part of each 2x2 pixels of ``ids [b H W]`` on objects ``wanted [b k]``."""
    total = torch.zeros((), device=ids.device)
    for y in (0, 1):
        for x in (0, 1):
            total = total + (ids[:, None, y::2, x::2] == wanted[:, :, None, None]).float()
    return total / 4


def _iou(a: Tensor, b: Tensor) -> Tensor:
    """Of masks ``[b k h w]`` bool: ``[b k]``."""
    return (a & b).sum((2, 3)) / (a | b).sum((2, 3)).clamp(min=1)
