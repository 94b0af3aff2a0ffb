"""The distillation loss (Eq. 6): ψ(F) keeps the similarity structure of both backbones."""

import jax
import jax.numpy as jnp

from moonseg_jax.losses.segmentation import normalize, products


def dist_loss(
    reference: jax.Array, features_3d: jax.Array, features_2d: jax.Array, reduction: str = "mean"
) -> jax.Array:
    """``L_dist = ‖G - G2d‖²_F + ‖G - G3d‖²_F`` with cosine Gram matrices (Eq. 6).

    Args:
        reference: ``[p d]``, ψ(F).
        features_3d: ``[p c3]``, F3d as cached.
        features_2d: ``[p c2]``, F2d as cached.
        reduction: D8: ``mean`` over the p² entries, or ``sum`` as the formula is printed.

    Returns:
        ``[]``.
    """
    features = (x.astype(reference.dtype) for x in (features_3d, features_2d))
    G, G3d, G2d = (cosine_gram(x) for x in (reference, *features))
    squared = jnp.square(G - G2d) + jnp.square(G - G3d)
    return jnp.sum(squared) if reduction == "sum" else jnp.mean(squared)


def cosine_gram(x: jax.Array) -> jax.Array:
    """Cosine of every pair of rows: ``[p c]`` -> ``[p p]``, float32 at least."""
    unit = normalize(x)
    return products(unit, unit)
