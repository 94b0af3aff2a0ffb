"""Axis-aligned boxes as ``[*b 2 3]``: least corner, greatest corner. Empty: +inf, -inf."""

import jax
import jax.numpy as jnp


def empty_box(batch: tuple[int, ...] = (), dtype: jnp.dtype = jnp.float32) -> jax.Array:
    """Boxes that hold nothing: the identity of `box_union`."""
    corner = jnp.full((*batch, 3), jnp.inf, dtype)
    return jnp.stack([corner, -corner], axis=-2)


def box_of_points(points: jax.Array, member: jax.Array) -> jax.Array:
    """The boxes of subsets of points.

    Args:
        points: ``[n 3]``.
        member: ``[q n]`` bool.

    Returns:
        ``[q 2 3]``; empty where a subset is.
    """
    corners = jnp.concatenate([-points.T, points.T])
    inside = jnp.where(member[:, None], corners[None], -jnp.inf)
    # By halves: one reduction over all points would be a scalar loop on a CPU.
    while (half := inside.shape[-1] // 2) > 32 and inside.shape[-1] % 2 == 0:
        inside = jnp.maximum(inside[..., :half], inside[..., half:])
    greatest = jnp.max(inside, axis=-1, initial=-jnp.inf)
    return jnp.stack([-greatest[:, :3], greatest[:, 3:]], axis=1)


def box_union(a: jax.Array, b: jax.Array) -> jax.Array:
    """The least box holding both: ``[*b 2 3]``."""
    low = jnp.minimum(a[..., 0, :], b[..., 0, :])
    high = jnp.maximum(a[..., 1, :], b[..., 1, :])
    return jnp.stack([low, high], axis=-2)


def box_iou(a: jax.Array, b: jax.Array, margin: float = 0.0) -> jax.Array:
    """Intersection over union of every pair of boxes.

    Args:
        a: ``[m 2 3]``.
        b: ``[n 2 3]``.
        margin: added on every side of every box first, so that flat boxes (a picture on a wall,
            one key) have a volume; in the units of the scene.

    Returns:
        ``[m n]`` in 0..1; 0 where either box is empty or both have no volume.
    """
    low_a, high_a = a[:, None, 0] - margin, a[:, None, 1] + margin
    low_b, high_b = b[None, :, 0] - margin, b[None, :, 1] + margin
    overlap = _volume(jnp.maximum(low_a, low_b), jnp.minimum(high_a, high_b))
    union = _volume(low_a, high_a) + _volume(low_b, high_b) - overlap
    return jnp.where(overlap > 0, overlap / jnp.where(union > 0, union, 1.0), 0.0)


def _volume(low: jax.Array, high: jax.Array) -> jax.Array:
    # An empty box has sides of -inf: no volume, and no inf·0.
    side = jnp.where(high > low, high - low, 0.0)
    return side[..., 0] * side[..., 1] * side[..., 2]
