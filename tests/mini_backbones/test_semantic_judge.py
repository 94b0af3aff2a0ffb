import numpy as np
import pytest
from PIL import Image

from experiments.mini_backbones.semantic.judge import pca_sheet, separability, shrink


@pytest.fixture
def room():
    """Sixty images in which five objects wander; an object's colour is its id."""
    rng = np.random.default_rng(0)
    ids = np.zeros((60, 48, 64), int)
    for frame in ids:
        for i, place in enumerate(rng.permutation(12)[:5], start=1):
            row, column = divmod(place, 4)
            frame[16 * row : 16 * row + 12, 16 * column : 16 * column + 12] = i
    return np.repeat(ids[..., None] * 40, 3, axis=-1).astype(np.uint8), ids


def by_id(image):
    ids = image[4::8, 4::8, 0] // 40
    return np.eye(8)[ids]


def test_features_that_are_ids_find_all(room):
    found = separability([room], by_id)
    assert set(found) == {f"{kind}{gap}" for kind in ("", "centred ") for gap in (1, 8, 32)}
    assert min(found.values()) > 0.99


def test_features_of_noise_find_about_as_many_as_are_false(room):
    rng = np.random.default_rng(0)
    found = separability([room], lambda image: rng.normal(size=(6, 8, 16)))
    assert max(found.values()) < 0.06


def test_frames_without_objects_are_no_trouble(room):
    images, ids = room
    separability([(images, np.where(np.arange(60)[:, None, None] < 20, 0, ids))], by_id)


def test_pictures(room, tmp_path):
    pca_sheet(room[0][:3], by_id, tmp_path / "pca.png", scale=64)
    with Image.open(tmp_path / "pca.png") as sheet:
        assert sheet.size == (192, 96)
    assert shrink(room[0][0], (24, 32)).shape == (24, 32, 3)
