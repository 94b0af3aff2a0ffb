"""Which patches a mask covers, and which of them its query may look at."""

import jax
import jax.numpy as jnp

from moonseg_jax.geometry import area_pool


def mask_coverage(masks: jax.Array, grid: tuple[int, int]) -> jax.Array:
    """The fraction of each patch inside each mask: ``m = area_pool(M)``.

    Args:
        masks: ``[*b q Hm Wm]`` bool.
        grid: ``(h, w)`` of the patch grid, dividing ``(Hm, Wm)``.

    Returns:
        ``[*b q p]`` float32 in 0..1.
    """
    pooled = area_pool(masks, grid)
    return pooled.reshape(*pooled.shape[:-2], grid[0] * grid[1])


def attended_patches(coverage: jax.Array, min_coverage: float) -> jax.Array:
    """The patches a query sees, and whose points carry its row in memory (D3).

    Args:
        coverage: ``[*b q p]`` in 0..1, as `mask_coverage` gives it.
        min_coverage: a patch is seen when more than this fraction of it is inside the mask.

    Returns:
        ``[*b q p]`` bool: the patches over the threshold; where there is none, the first of the
        best covered; nothing for a mask without any pixel.
    """
    over = coverage > min_coverage
    patches = jnp.arange(coverage.shape[-1]).reshape((1,) * (coverage.ndim - 1) + (-1,))
    best = patches == jnp.argmax(coverage, axis=-1, keepdims=True)
    fallback = best & (coverage > 0) & ~jnp.any(over, axis=-1, keepdims=True)
    return over | fallback
