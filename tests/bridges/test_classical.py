import numpy as np
import pytest
from skimage.color import rgb2lab

from bridges.backbones.classical import ANCHORS, CHANNELS, ClassicalSemantics
from bridges.backbones.color import lab_image

ORIENTATION = slice(18 + 2 * len(ANCHORS), 24 + 2 * len(ANCHORS))


def _noise(seed, size=(128, 160)):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def _describe(image):
    return ClassicalSemantics()(image).astype(np.float32)


def test_lab_is_skimages():
    image = _noise(0)
    np.testing.assert_allclose(lab_image(image), rgb2lab(image), atol=2e-3)
    flat = np.full((8, 8, 3), (200, 60, 20), np.uint8)
    np.testing.assert_allclose(lab_image(flat, 2), lab_image(flat)[::2, ::2], atol=1e-3)


@pytest.mark.parametrize("image", [_noise(1), np.zeros((64, 64, 3), np.uint8)])
def test_finite_and_of_comparable_scale(image):
    features = ClassicalSemantics()(image)
    assert features.dtype == np.float16
    assert features.shape == (image.shape[0] // 16, image.shape[1] // 16, CHANNELS)
    assert np.isfinite(features).all() and np.abs(features).max() < 8


def test_does_not_depend_on_position():
    image = _noise(2, (384, 384))
    shifted = np.roll(image, (32, 48), axis=(0, 1))
    # Contexts reach three patches, filters one pixel beyond.
    a = _describe(image)[4:-8, 4:-8]
    b = _describe(shifted)[6:-6, 7:-5]
    np.testing.assert_allclose(a, b, atol=2e-2)


def test_colours_differ_and_border_does_not_matter():
    red = _describe(np.full((96, 96, 3), (180, 30, 30), np.uint8))
    blue = _describe(np.full((96, 96, 3), (30, 30, 180), np.uint8))
    # A flat image looks the same everywhere, the border included.
    np.testing.assert_allclose(red, np.broadcast_to(red[3, 3], red.shape), atol=2e-2)
    assert np.linalg.norm(red[3, 3] - blue[3, 3]) > 2


def test_orientation_of_stripes():
    stripes = np.zeros((96, 96, 3), np.uint8)
    stripes[:, np.arange(96) % 8 < 4] = 255
    upright = _describe(stripes)[3, 3, ORIENTATION]
    lying = _describe(np.swapaxes(stripes, 0, 1))[3, 3, ORIENTATION]
    assert upright.argmax() == 0 and lying.argmax() == 3
    assert upright.max() > 1.5 and np.sort(upright)[-2] < 0.1


def test_contexts_see_further_than_the_patch():
    image = np.full((176, 176, 3), 90, np.uint8)
    changed = image.copy()
    changed[16:32, 80:96] = (250, 200, 0)  # Three patches and more above the middle one.
    difference = np.abs(_describe(image) - _describe(changed))
    assert (difference[4, 5, 12:18] > 0).any() and (difference[4, 5, :12] == 0).all()
    assert (difference[8, 5] == 0).all()
