import jax.numpy as jnp
import numpy as np
import pytest

from moonseg_jax.online.observe import mask_boxes, state_tokens
from moonseg_jax.online.paint import paint
from tests.reference import online as twin


def scene(seed, size=(12, 16)):
    rng = np.random.default_rng(seed)
    points = rng.normal(loc=[30, -20, 5], size=(*size, 3))
    points[rng.random(size) < 0.1] = np.nan
    confidence = np.where(rng.random(size) < 0.1, 0, 1.0)
    return points.astype(np.float32), confidence.astype(np.float32)


@pytest.mark.parametrize("sigma", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("finer", [1, 2])
def test_boxes_match_the_twin(sigma, finer):
    points, confidence = scene(0)
    rng = np.random.default_rng(1)
    masks = rng.random((9, 12 * finer, 16 * finer)) < np.linspace(0, 1, 9)[:, None, None]
    ours = mask_boxes(jnp.asarray(masks), jnp.asarray(points), jnp.asarray(confidence), sigma)
    for box, mask in zip(np.asarray(ours), masks, strict=True):
        expected = twin.clipped_box(mask, points.astype(float), confidence, sigma)
        np.testing.assert_allclose(box, expected, atol=1e-4)


def test_masks_coarser_than_the_pointmap():
    points, confidence = scene(2)
    masks = np.zeros((1, 6, 8), bool)
    masks[0, 2, 3] = True
    ours = mask_boxes(jnp.asarray(masks), jnp.asarray(points), jnp.asarray(confidence), 0)
    fine = np.kron(masks[0], np.ones((2, 2), bool))
    expected = twin.clipped_box(fine, points.astype(float), confidence, 0)
    np.testing.assert_allclose(ours[0], expected, rtol=1e-6)


def test_a_flat_mask_has_a_flat_box_and_a_flying_pixel_does_not_stretch_it():
    points = np.ones((8, 8, 3), np.float32)
    points[..., :2] = np.mgrid[:8, :8].transpose(1, 2, 0) / 10
    points[3, 3] = [0.3, 0.3, 40.0]
    everything = jnp.ones((1, 8, 8), bool)
    clipped = mask_boxes(everything, jnp.asarray(points), jnp.ones((8, 8)), 2.5)
    assert float(clipped[0, 1, 2]) < 15
    points[3, 3, 2] = 1
    flat = mask_boxes(everything, jnp.asarray(points), jnp.ones((8, 8)), 2.5)
    np.testing.assert_allclose(flat[0], [[0, 0, 1], [0.7, 0.7, 1]], atol=1e-6)


def test_state_tokens_sum_attention_under_the_mask():
    rng = np.random.default_rng(3)
    attention, coverage = rng.random((7, 4, 6)).astype(np.float16), rng.random((5, 24))
    ours = state_tokens(jnp.asarray(attention, jnp.float32), jnp.asarray(coverage))
    expected = [attention.reshape(7, 24).astype(float) @ m for m in coverage]
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


def test_paint_matches_the_twin():
    rng = np.random.default_rng(4)
    for _ in range(5):
        masks = rng.random((12, 9, 11)) < 0.4
        rows = rng.integers(-1, 6, 12).astype(np.int32)
        scores = rng.integers(0, 3, 12).astype(np.float32)
        ours = paint(jnp.asarray(masks), jnp.asarray(rows), jnp.asarray(scores))
        np.testing.assert_array_equal(ours, twin.paint(masks, rows, scores))
