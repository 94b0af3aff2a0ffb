"""Noise on the frozen features, so that the core does not lean on what only its rooms have."""

import dataclasses

import jax
import jax.numpy as jnp

from moonseg_jax.structs import Frame


def jitter_features(batch: Frame, key: jax.Array, sigma: float) -> Frame:
    """Disturbs both kinds of features; geometry, masks and poses stay as they are.

    Four Gaussian disturbances of ``sigma`` times each channel's own deviation in the clip: a gain
    and an offset of the clip (another camera, other materials), an offset of each frame
    (exposure), and noise of each patch.

    Args:
        batch: ``[b t ...]``.
        key: of the noise.
        sigma: relative standard deviation.

    Returns:
        The batch with other ``features_3d`` and ``features_2d``, in float32.
    """
    key_3d, key_2d = jax.random.split(key)
    return dataclasses.replace(
        batch,
        features_3d=_jitter(batch.features_3d, key_3d, sigma),
        features_2d=_jitter(batch.features_2d, key_2d, sigma),
    )


def _jitter(features: jax.Array, key: jax.Array, sigma: float) -> jax.Array:
    """``[b t h w c]`` -> the same, disturbed."""
    x = features.astype(jnp.float32)
    b, t, _, _, c = x.shape
    deviation = jnp.std(x, axis=(1, 2, 3), keepdims=True)
    shapes = ((b, 1, 1, 1, c), (b, 1, 1, 1, c), (b, t, 1, 1, c), x.shape)
    keys = jax.random.split(key, len(shapes))
    gain, *offsets = (jax.random.normal(k, s) for k, s in zip(keys, shapes, strict=True))
    return x * (1 + sigma * gain) + sigma * deviation * sum(offsets)
