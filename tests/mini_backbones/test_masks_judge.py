import numpy as np
import pytest

from bridges.backbones.interfaces import Masks
from experiments.mini_backbones.masks.judge import from_labels, mask_sheet, measure


@pytest.fixture
def frames():
    ids = np.zeros((64, 96), np.uint16)
    ids[4:24, 4:34], ids[30:60, 10:60], ids[0:4, 90:94] = 3, 7, 9  # 9 is too small to count.
    image = np.full((*ids.shape, 3), 90, np.uint8)
    return [(image, ids), (image, np.roll(ids, 20, axis=1))]


def test_true_masks_are_perfect(frames):
    told = measure(frames, lambda image, ids: from_labels(ids))
    assert told["ap"] == told["ap50"] == told["ar"] == 1
    assert (told["objects_small"], told["objects_medium"]) == (2, 2)
    assert told["r75_small"] == told["r75_medium"] == 1


def test_masks_on_walls_are_wrong(frames):
    def with_wall(image, ids):
        true = from_labels(ids)
        wall = (from_labels(ids == 0)).masks
        return Masks(np.concatenate([true.masks, wall]), np.ones(len(true.scores) + 1, np.float32))

    told = measure(frames, with_wall)
    assert told["ar"] == 1
    assert told["ap50"] == pytest.approx((1 + 2 / 3) / 2)


def test_nothing_found(frames):
    empty = Masks(np.zeros((0, 32, 48), bool), np.zeros(0, np.float32))
    told = measure(frames, lambda image, ids: empty)
    assert told["ap"] == told["ar"] == told["masks"] == 0


def test_small_ones_missed(frames):
    told = measure(frames, lambda image, ids: from_labels(np.where(ids == 7, ids, 0)))
    assert (told["r50_small"], told["r50_medium"]) == (0, 1)
    assert told["ap50"] == pytest.approx(0.5 * (1 + 1) / 2)


def test_pictures(frames, tmp_path):
    mask_sheet(frames, {"truth": lambda image, ids: from_labels(ids)}, tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 0
