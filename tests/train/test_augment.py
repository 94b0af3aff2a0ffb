import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from moonseg_jax.structs import Frame, pack_masks, unpack_masks
from moonseg_jax.train.augment import cut_masks, jitter_features

NOT_FEATURES = ("points", "confidence", "colors", "T_world_from_cam", "intrinsics", "masks")


def batch():
    rng = np.random.default_rng(0)
    spread = np.array([1.0, 10.0, 0.0])
    features = rng.normal(size=(64, 3, 4, 5, 3)) * spread
    others = {name: jnp.zeros((64, 3)) for name in NOT_FEATURES}
    return Frame(
        features_3d=jnp.asarray(features, jnp.float16),
        features_2d=jnp.asarray(features[..., :2], jnp.float16),
        mask_valid=jnp.zeros((64, 3, 32), bool),
        mask_scores=jnp.zeros((64, 3, 32)),
        timestamp=jnp.zeros((64, 3)),
        **others,
    )


def test_noise_follows_each_channel_and_leaves_constant_ones():
    clean = batch()
    noisy = jitter_features(clean, jax.random.key(0), 0.2)
    moved = np.asarray(noisy.features_3d) - np.asarray(clean.features_3d, np.float32)
    # Three disturbances of 0.2 deviations each.
    np.testing.assert_allclose(moved.std(axis=(0, 1, 2, 3)), [0.35, 3.5, 0.0], rtol=0.15)
    for name in NOT_FEATURES:
        assert getattr(noisy, name) is getattr(clean, name)


def test_noise_depends_on_the_key_alone():
    clean = batch()
    first, again = (jitter_features(clean, jax.random.key(1), 0.2) for _ in range(2))
    other = jitter_features(clean, jax.random.key(2), 0.2)
    np.testing.assert_array_equal(first.features_2d, again.features_2d)
    assert not np.array_equal(first.features_2d, other.features_2d)


def masks_batch(q=34):
    """One clip of two frames; the last three masks of a frame are padding."""
    clean = batch()
    rng = np.random.default_rng(1)
    masks = np.zeros((1, 2, 64, 24, 32), bool)
    for t in range(2):
        for i in range(q):
            y, x = rng.integers(0, (16, 22))
            masks[0, t, i, y : y + 8, x : x + 10] = True
    planes = np.stack([pack_masks(m) for m in masks[0]])[None]
    valid = np.broadcast_to(np.arange(64) < q, (1, 2, 64))
    return dataclasses.replace(
        clean,
        masks=jnp.asarray(planes),
        mask_valid=jnp.asarray(valid),
        mask_scores=jnp.asarray(valid, jnp.float32),
    )


def test_parts_make_up_the_whole_that_they_are_to_predict():
    whole = masks_batch()
    shown, targets = cut_masks(whole, jax.random.key(0), 0.5)
    before, after = unpack_masks(whole.masks), unpack_masks(shown.masks)
    first, second = after[:, :, :64], after[:, :, 64:]
    assert not (first & second).any()
    np.testing.assert_array_equal(first | second, before)
    np.testing.assert_array_equal(unpack_masks(targets), np.concatenate([before] * 2, axis=2))
    np.testing.assert_array_equal(shown.mask_valid[..., :64], whole.mask_valid)
    np.testing.assert_array_equal(shown.mask_valid[..., 64:], second.any((-2, -1)))
    # Both parts are there, of about half the masks, and neither is a sliver.
    share = first.sum((-2, -1)) / np.maximum(before.sum((-2, -1)), 1)
    cut = np.asarray(shown.mask_valid[..., 64:])
    assert 0.3 < cut[..., :34].mean() < 0.7
    assert share[cut].min() > 0.01 and share[cut].max() < 0.99
    assert not cut[..., 34:].any()


@pytest.mark.parametrize(("share", "cuts"), [(0.0, 0), (1.0, 68)])
def test_share_of_cut_masks(share, cuts):
    shown, _ = cut_masks(masks_batch(), jax.random.key(0), share)
    assert int(shown.mask_valid[..., 64:].sum()) == cuts
