import numpy as np
import pytest
import torch

from bridges.backbones.mask_filters import box_iou, boxes_of, nms, stability_score, to_masks


def _boxes(n, seed):
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(n, 2, generator=generator) * 8
    return torch.cat([corner, corner + 1 + torch.rand(n, 2, generator=generator) * 6], 1)


def _greedy(boxes, scores, threshold):
    """The rule as it is usually written: one box at a time."""
    left, kept = scores.argsort(descending=True, stable=True).tolist(), []
    while left:
        best = left.pop(0)
        kept.append(best)
        left = [i for i in left if box_iou(boxes[[best]], boxes[[i]]).item() <= threshold]
    return kept


@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.7, 0.9])
@pytest.mark.parametrize("seed", range(3))
def test_nms_is_the_greedy_rule(threshold, seed):
    boxes = _boxes(150, seed)
    scores = torch.rand(150, generator=torch.Generator().manual_seed(seed)).round(decimals=1)
    assert nms(boxes, scores, threshold).tolist() == _greedy(boxes, scores, threshold)


def test_nms_settles_long_chains():
    # Each overlaps the next only: every second one stays.
    left = torch.arange(40.0) * 0.4
    boxes = torch.stack([left, torch.zeros(40), left + 1, torch.ones(40)], 1)
    assert nms(boxes, torch.linspace(1, 0, 40), 0.3).tolist() == list(range(0, 40, 2))


def test_nms_of_nothing():
    assert nms(torch.zeros(0, 4), torch.zeros(0), 0.5).shape == (0,)


def test_box_iou():
    a = torch.tensor([[0.0, 0, 2, 2], [5, 5, 5, 5]])
    b = torch.tensor([[1.0, 0, 3, 2], [0, 0, 2, 2], [5, 5, 5, 5]])
    np.testing.assert_allclose(box_iou(a, b), [[1 / 3, 1, 0], [0, 0, 0]])


def test_boxes_of():
    masks = torch.zeros(3, 6, 9, dtype=torch.bool)
    masks[0, 2:4, 3:8] = True
    masks[1, 5, 8] = True
    np.testing.assert_array_equal(boxes_of(masks), [[3, 2, 8, 4], [8, 5, 9, 6], [0, 0, 0, 0]])
    assert boxes_of(masks[:0]).shape == (0, 4)


def test_stability():
    logits = torch.full((3, 4, 4), -9.0)
    logits[0, 0] = 9.0
    logits[1, 0], logits[1, 1] = 9.0, 0.5
    np.testing.assert_allclose(stability_score(logits, 1.0), [1, 0.5, 0])


def test_empty_and_small_masks_go():
    masks = torch.zeros(3, 4, 4, dtype=torch.bool)
    masks[0, 0, :2] = True
    masks[1, :2] = True
    scores = torch.tensor([0.5, 1.2, 0.3])
    kept = to_masks(masks, scores, 9)
    assert kept.masks.shape == (1, 4, 4) and kept.scores.tolist() == [1.0]
    assert kept.masks.dtype == bool and kept.scores.dtype == np.float32
    assert len(to_masks(masks, scores, 0).masks) == 2
