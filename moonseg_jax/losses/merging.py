"""The merge loss: masks of one object in a frame have one direction. Not of the paper."""

import jax
import jax.numpy as jnp

from moonseg_jax.losses.segmentation import binary_cross_entropy, mask_logits, masked_mean

# Two goals are one where they differ by less than this share, and lie apart where they share less.
ALIKE, APART = 0.01, 0.1


def merge_loss(queries: jax.Array, goals: jax.Array, valid: jax.Array) -> jax.Array:
    """``L_merge = ½·mean₊ BCE(σ(cos(q'ᵢ, q'ⱼ)), 1) + ½·mean₋ BCE(σ(cos(q'ᵢ, q'ⱼ)), 0)``.

    Over pairs of a frame's queries: of one object (the same goal, ``+``) and of two (goals that lie
    apart, ``-``); the cosine is scaled as in Eq. 10 (D7). Pairs that overlap otherwise, as a part
    and its whole, do not count.

    Not in the paper, whose losses compare queries with patches only, never with each other, while
    the online loop merges masks by the cosine of their queries.

    Args:
        queries: ``[q d]``, q'.
        goals: ``[q p]`` in 0..1, on the patch grid, what each query should predict.
        valid: ``[q]`` bool.

    Returns:
        ``[]``; a mean without pairs is zero.
    """
    same, other = pairs(goals, valid)
    logits = mask_logits(queries, queries, "cosine")
    losses = (
        masked_mean(binary_cross_entropy(logits, jnp.full_like(logits, target)), counted)
        for target, counted in ((1.0, same), (0.0, other))
    )
    return 0.5 * sum(losses, jnp.zeros((), logits.dtype))


def pairs(goals: jax.Array, valid: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Which pairs of valid masks have the same goal, and which have goals that lie apart.

    Args:
        goals: ``[q p]``.
        valid: ``[q]`` bool.

    Returns:
        Two ``[q q]`` bool, symmetric; a mask is no pair with itself.
    """
    inner = jnp.matmul(goals, goals.T, precision=jax.lax.Precision.HIGHEST)
    norm = jnp.diagonal(inner)
    together = norm[:, None] + norm[None]
    distance = together - 2 * inner
    counted = valid[:, None] & valid[None] & ~jnp.eye(len(goals), dtype=bool)
    smaller = jnp.minimum(norm[:, None], norm[None])
    return counted & (distance <= ALIKE * together), counted & (inner < APART * smaller)
