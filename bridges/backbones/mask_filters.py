"""What mask models share after their network: boxes, duplicates, stability, the smallest masks."""

import torch
from torch import Tensor

from bridges.backbones.interfaces import MASK_STRIDE, Masks


def box_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU of every box of ``a [n 4]`` with every one of ``b [m 4]``: ``[n m]``.

    Boxes are x0, y0, x1, y1 with x1, y1 outside; an empty box has IoU 0.
    """
    low = torch.maximum(a[:, None, :2], b[None, :, :2])
    high = torch.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    area_a, area_b = ((box[:, 2:] - box[:, :2]).clamp(min=0).prod(-1) for box in (a, b))
    union = area_a[:, None] + area_b - shared
    return shared / union.clamp(min=torch.finfo(union.dtype).tiny)


def nms(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """Non-maximum suppression: a box goes where a better one that stays has IoU > threshold.

    The greedy rule as a fixed point, a whole pass at once: after i passes the best i boxes are
    settled, and in practice after a handful all are. Memory grows with the square of n.

    Args:
        boxes: ``[n 4]``, see `box_iou`.
        scores: ``[n]``; of equal ones the first counts as better.
        threshold: on IoU.

    Returns:
        Indices of those that stay, best first.
    """
    order = scores.argsort(descending=True, stable=True)
    suppresses = (box_iou(boxes[order], boxes[order]) > threshold).triu(1)
    keep = torch.ones_like(order, dtype=torch.bool)
    while True:
        updated = ~(suppresses & keep[:, None]).any(0)
        if torch.equal(updated, keep):
            return order[keep]
        keep = updated


def boxes_of(masks: Tensor) -> Tensor:
    """Tight boxes ``[n 4]`` float32 of ``masks [n H W]`` bool; all zero for an empty mask."""
    sides = []
    for along in (masks.any(1), masks.any(2)):
        length = along.shape[1]
        first = along.int().argmax(1)
        end = length - along.flip(1).int().argmax(1)
        sides.append(torch.stack([first, end], 1) * along.any(1, keepdim=True))
    x, y = sides
    return torch.stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]], 1).float()


def stability_score(logits: Tensor, offset: float) -> Tensor:
    """How little a mask depends on its threshold: IoU of logits > offset and > -offset.

    Args:
        logits: ``[n H W]``.
        offset: to either side of 0.

    Returns:
        ``[n]`` float32 in 0..1; 0 where nothing exceeds -offset.

    Source: Kirillov et al., "Segment Anything", 2023, appendix B.
    """
    inner = (logits > offset).sum((1, 2))
    outer = (logits > -offset).sum((1, 2))
    return inner / outer.clamp(min=1)


def to_masks(masks: Tensor, scores: Tensor, min_area: int) -> Masks:
    """Leaves out masks that are empty or small, and brings the others to NumPy.

    Args:
        masks: ``[q Hm Wm]`` bool at ``MASK_STRIDE``.
        scores: ``[q]``.
        min_area: pixels of the processed image.
    """
    area = masks.sum((1, 2)) * MASK_STRIDE**2
    large = area >= max(min_area, 1)
    return Masks(masks[large].cpu().numpy(), scores[large].float().clamp(0, 1).cpu().numpy())
