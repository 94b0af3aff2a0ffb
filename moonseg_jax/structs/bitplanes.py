"""Overlapping masks as bit planes: bit ``i % 32`` of word ``i // 32`` says "mask i covers this"."""

import jax
import jax.numpy as jnp
import numpy as np

WORD_BITS = 32


def pack_masks(masks: np.ndarray) -> np.ndarray:
    """Packs boolean masks into bit planes, on the host.

    Args:
        masks: ``[q H W]`` bool; ``q`` may be zero.

    Returns:
        ``[H W max(1, ceil(q/32))]`` uint32.
    """
    q, height, width = masks.shape
    words = max(1, -(-q // WORD_BITS))
    planes = np.zeros((words, height, width), np.uint32)
    for i, mask in enumerate(masks):  # Plane by plane: `np.packbits` takes twenty times as long.
        planes[i // WORD_BITS] |= mask.astype(np.uint32) << np.uint32(i % WORD_BITS)
    return np.ascontiguousarray(np.moveaxis(planes, 0, -1))


def unpack_masks(planes: jax.Array) -> jax.Array:
    """Unpacks bit planes into boolean masks; the inverse of `pack_masks`, padding included.

    Args:
        planes: ``[*b H W words]`` uint32.

    Returns:
        ``[*b words·32 H W]`` bool.
    """
    shifts = jnp.arange(WORD_BITS, dtype=jnp.uint32).reshape(*(1,) * planes.ndim, WORD_BITS)
    bits = (jnp.asarray(planes)[..., None] >> shifts) & jnp.uint32(1)
    bits = bits.reshape(*planes.shape[:-1], planes.shape[-1] * WORD_BITS)
    return jnp.moveaxis(bits, -1, -3).astype(bool)
