import jax
import jax.numpy as jnp
import numpy as np

from moonseg_jax.structs import Frame
from moonseg_jax.train.augment import jitter_features

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
    # Four disturbances of 0.2 deviations each.
    np.testing.assert_allclose(moved.std(axis=(0, 1, 2, 3)), [0.4, 4.0, 0.0], rtol=0.15)
    for name in NOT_FEATURES:
        assert getattr(noisy, name) is getattr(clean, name)


def test_noise_depends_on_the_key_alone():
    clean = batch()
    first, again = (jitter_features(clean, jax.random.key(1), 0.2) for _ in range(2))
    other = jitter_features(clean, jax.random.key(2), 0.2)
    np.testing.assert_array_equal(first.features_2d, again.features_2d)
    assert not np.array_equal(first.features_2d, other.features_2d)
