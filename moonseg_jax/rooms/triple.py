"""Vectors as three arrays: XLA fuses these into vectorised loops where ``[... 3]`` would not."""

import jax
import jax.numpy as jnp

Triple = tuple[jax.Array, ...]
"""x, y and z, each ``[*b]``; or a single vector's three numbers."""


def split(vectors: jax.Array) -> Triple:
    """``[*b 3]`` to three ``[*b]``."""
    return vectors[..., 0], vectors[..., 1], vectors[..., 2]


def dot(a: Triple, b: Triple) -> jax.Array:
    """Inner products."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def scaled(a: Triple, factor: jax.Array | float) -> Triple:
    """Each vector times its own factor."""
    return a[0] * factor, a[1] * factor, a[2] * factor


def added(a: Triple, b: Triple) -> Triple:
    """Sums; one of the two may be a single vector."""
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]


def minus(a: Triple, b: Triple) -> Triple:
    """Differences; one of the two may be a single vector."""
    return a[0] - b[0], a[1] - b[1], a[2] - b[2]


def normalised(a: Triple) -> Triple:
    """Unit vectors."""
    return scaled(a, jax.lax.rsqrt(jnp.maximum(dot(a, a), 1e-20)))


def turned(matrix: jax.Array, a: Triple) -> Triple:
    """One matrix ``[3 3]`` times every vector."""
    return tuple(m[0] * a[0] + m[1] * a[1] + m[2] * a[2] for m in matrix)
