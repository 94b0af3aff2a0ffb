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
    padded = np.zeros((height, width, words * WORD_BITS), bool)
    padded[..., :q] = np.moveaxis(masks, 0, -1)
    packed = np.packbits(padded, axis=-1, bitorder="little")
    return np.ascontiguousarray(packed).view("<u4").astype(np.uint32, copy=False)


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
