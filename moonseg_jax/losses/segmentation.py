"""The two mask losses (Eq. 5, 10): binary cross-entropy on query-feature products. One frame."""

import jax
import jax.numpy as jnp

# Cosine logits are `COSINE_SCALE · (cos - COSINE_MIDDLE)`: ±5 at the same and at unrelated
# directions, and zero below the threshold at which the online loop merges.
COSINE_SCALE, COSINE_MIDDLE = 10.0, 0.5


def seg_loss(
    reference: jax.Array,
    queries: jax.Array,
    target: jax.Array,
    valid: jax.Array,
    grid: tuple[int, int],
    *,
    logits: str = "dot",
) -> jax.Array:
    """``L_seg = BCE(σ(ψ(F)·q'), M)`` (Eq. 5), mean over valid queries and pixels.

    The logit is linear in ψ(F), so the logits are upsampled (bilinear) and not the features.

    Args:
        reference: ``[p d]``, ψ(F).
        queries: ``[q d]``, q'.
        target: ``[q Ht Wt]`` in 0..1, the masks pooled to the size at which to compare.
        valid: ``[q]`` bool.
        grid: ``(h, w)`` of the patches.
        logits: D7: ``dot`` or ``cosine``.

    Returns:
        ``[]``; zero without valid queries.
    """
    coarse = mask_logits(reference, queries, logits).reshape(-1, *grid)
    fine = jax.image.resize(coarse, target.shape, "bilinear")
    return masked_mean(binary_cross_entropy(fine, target), valid[:, None, None])


def xseg_loss(
    context: jax.Array,
    in_context: jax.Array,
    queries: jax.Array,
    coverage: jax.Array,
    valid: jax.Array,
    *,
    logits: str = "dot",
) -> jax.Array:
    """``L_xseg = BCE(σ(F_ctx·q'), M)`` over M_ind (Eq. 10), on the patch grid.

    Deviation: the default logit is the scaled cosine, not the plain product (D7). The product
    has no bias, and most pairs of a query and a patch are negative; trained on it, the queries of
    a frame agree on a direction of their own that is opposed to every earlier frame's. The loss
    falls, yet within a frame everything is alike and across frames nothing is.

    Args:
        context: ``[p d]``, F_ctx.
        in_context: ``[p]`` bool, M_ind.
        queries: ``[q d]``, q'.
        coverage: ``[q p]`` in 0..1, the masks on the patch grid.
        valid: ``[q]`` bool.
        logits: D7: ``dot`` or ``cosine``.

    Returns:
        ``[]``, mean over valid queries and patches in M_ind; zero where there are none.
    """
    loss = binary_cross_entropy(mask_logits(context, queries, logits), coverage)
    return masked_mean(loss, valid[:, None] & in_context[None])


def mask_logits(features: jax.Array, queries: jax.Array, kind: str) -> jax.Array:
    """Logits of "this patch belongs to this query" (D7).

    Args:
        features: ``[p d]``.
        queries: ``[q d]``.
        kind: ``dot``, the plain product, or ``cosine``, centred and scaled as said above.

    Returns:
        ``[q p]``, float32 at least.
    """
    if kind == "cosine":
        features, queries = normalize(features), normalize(queries)
    product = products(queries.astype(features.dtype), features)
    return COSINE_SCALE * (product - COSINE_MIDDLE) if kind == "cosine" else product


@jax.custom_vjp
def products(a: jax.Array, b: jax.Array) -> jax.Array:
    """Dot products of all rows, ``[n d]``, ``[m d]`` -> ``[n m]``, float32 at least.

    Their cotangent goes on in the dtype of the rows, so that the backward pass multiplies in it.
    """
    exact = jnp.promote_types(a.dtype, jnp.float32)
    return jnp.einsum("nd,md->nm", a, b, preferred_element_type=exact)


def _products_backward(rows: tuple, cotangent: jax.Array) -> tuple[jax.Array, jax.Array]:
    a, b = rows
    cotangent = cotangent.astype(a.dtype)
    return cotangent @ b, cotangent.T @ a


products.defvjp(lambda a, b: (products(a, b), (a, b)), _products_backward)


def binary_cross_entropy(logits: jax.Array, target: jax.Array) -> jax.Array:
    """``-t·log σ(x) - (1-t)·log σ(-x)`` without overflow; shapes equal."""
    return jax.nn.softplus(logits) - logits * target.astype(logits.dtype)


def masked_mean(x: jax.Array, mask: jax.Array) -> jax.Array:
    """Mean of ``x`` where the mask (broadcast to it) holds; zero where it nowhere does."""
    mask = jnp.broadcast_to(mask, x.shape)
    return jnp.sum(jnp.where(mask, x, 0.0)) / jnp.maximum(jnp.sum(mask), 1).astype(x.dtype)


def normalize(x: jax.Array) -> jax.Array:
    """Unit vectors along the last axis, computed in float32 at least; zero stays zero."""
    exact = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    squared = jnp.sum(jnp.square(exact), axis=-1, keepdims=True)
    return (exact * jax.lax.rsqrt(jnp.maximum(squared, 1e-12))).astype(x.dtype)
