"""What the core should not depend on, varied in training: how masks are cut, and features."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from moonseg_jax.structs import Frame, unpack_masks
from moonseg_jax.structs.bitplanes import WORD_BITS

CUTS = (0.2, 0.8)  # Where a cut lies between the two ends of a mask.


def cut_masks(
    batch: Frame, key: jax.Array, share: float, order: np.ndarray | None = None
) -> tuple[Frame, jax.Array]:
    """Shows some masks as the two parts on either side of a line, as mask models give them.

    Twice the masks come back, the second parts in the second half; whoever predicts the whole from
    either part has learnt that they are one object.

    Args:
        batch: ``[b t ...]``; its masks are taken for whole objects.
        key: of the lines.
        share: of the masks that are cut.
        order: where in the noise each clip's lies, as `stream_order` says; None: as they lie.

    Returns:
        The batch with ``2q`` masks, and bit planes ``[b t Hm Wm 2·words]`` of the wholes.
    """
    masks = unpack_masks(batch.masks)
    which, where = jax.random.split(key)
    cut = _ordered(jax.random.bernoulli(which, share, batch.mask_valid.shape), order)
    cut &= batch.mask_valid
    first = masks & (_before_line(masks, where, order) | ~cut[..., None, None])
    second = masks & ~first
    has_second = jnp.any(second, axis=(-2, -1))
    planes = jnp.concatenate([_pack(first), _pack(second)], axis=-1)
    shown = dataclasses.replace(
        batch,
        masks=planes,
        mask_valid=jnp.concatenate([batch.mask_valid, has_second], axis=-1),
        mask_scores=jnp.concatenate([batch.mask_scores] * 2, axis=-1),
    )
    return shown, jnp.concatenate([batch.masks] * 2, axis=-1)


def stream_order(clips: int, processes: int) -> np.ndarray | None:
    """Where in the stream of clips those of a batch come, that processes took in turn.

    With it the noise is the same whatever the number of processes.

    Args:
        clips: of the batch.
        processes: each has its clips side by side.

    Returns:
        ``[b]``; None for one process, where it is as they lie.
    """
    if processes == 1:
        return None
    return np.arange(clips).reshape(-1, processes).T.ravel()


def _ordered(noise: jax.Array, order: np.ndarray | None) -> jax.Array:
    return noise if order is None else noise[order]


def _before_line(masks: jax.Array, key: jax.Array, order: np.ndarray | None) -> jax.Array:
    """``[*b q H W]`` -> what lies on one side of a random line through each mask."""
    direction, position = jax.random.split(key)
    angle = jax.random.uniform(direction, (*masks.shape[:-2], 1, 1), maxval=2 * jnp.pi)
    at = jax.random.uniform(position, angle.shape, minval=CUTS[0], maxval=CUTS[1])
    angle, at = _ordered(angle, order), _ordered(at, order)
    y, x = (jnp.arange(size, dtype=jnp.float32) for size in masks.shape[-2:])
    lead = (1,) * (masks.ndim - 2)
    along = jnp.cos(angle) * x.reshape(*lead, 1, -1) + jnp.sin(angle) * y.reshape(*lead, -1, 1)
    ends = (
        jnp.min(along, axis=(-2, -1), keepdims=True, where=masks, initial=jnp.inf),
        jnp.max(along, axis=(-2, -1), keepdims=True, where=masks, initial=-jnp.inf),
    )
    return along < ends[0] * (1 - at) + ends[1] * at


def _pack(masks: jax.Array) -> jax.Array:
    """The inverse of `unpack_masks`."""
    *lead, q, height, width = masks.shape
    bits = masks.reshape(*lead, q // WORD_BITS, WORD_BITS, height, width).astype(jnp.uint32)
    shifts = jnp.arange(WORD_BITS, dtype=jnp.uint32).reshape(*(1,) * (masks.ndim - 2), -1, 1, 1)
    words = jnp.sum(bits << shifts, axis=-3, dtype=jnp.uint32)
    return jnp.moveaxis(words, -3, -1)


def jitter_features(
    batch: Frame, key: jax.Array, sigma: float, order: np.ndarray | None = None
) -> Frame:
    """Disturbs both kinds of features; geometry, masks and poses stay as they are.

    Gaussian disturbances of ``sigma`` times each channel's own deviation in the clip: a gain and an
    offset of the clip (another camera, other materials), and an offset of each frame (exposure).
    Noise of single patches would average out in the prototypes.

    Args:
        batch: ``[b t ...]``.
        key: of the noise.
        sigma: relative standard deviation.
        order: as in `cut_masks`.

    Returns:
        The batch with other ``features_3d`` and ``features_2d``, in float32.
    """
    key_3d, key_2d = jax.random.split(key)
    return dataclasses.replace(
        batch,
        features_3d=_jitter(batch.features_3d, key_3d, sigma, order),
        features_2d=_jitter(batch.features_2d, key_2d, sigma, order),
    )


def _jitter(
    features: jax.Array, key: jax.Array, sigma: float, order: np.ndarray | None
) -> jax.Array:
    """``[b t h w c]`` -> the same, disturbed."""
    x = features.astype(jnp.float32)
    b, t, _, _, c = x.shape
    deviation = jnp.std(x, axis=(1, 2, 3), keepdims=True)
    shapes = ((b, 1, 1, 1, c), (b, 1, 1, 1, c), (b, t, 1, 1, c))
    keys = jax.random.split(key, len(shapes))
    noise = (jax.random.normal(k, s) for k, s in zip(keys, shapes, strict=True))
    gain, *offsets = (_ordered(x, order) for x in noise)
    return x * (1 + sigma * gain) + sigma * deviation * sum(offsets)
