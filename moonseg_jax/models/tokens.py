"""Patch tokens from the frozen backbones' features, and their positions."""

import jax
import jax.numpy as jnp

NORM_EPS = 1e-6


def fuse_features(
    features_3d: jax.Array, features_2d: jax.Array, sources: str, feature_norm: str
) -> jax.Array:
    """Joins geometric and semantic features: ``F = [LN(F3d), LN(F2d)]`` (Eq. 1).

    Args:
        features_3d: ``[h w c3]``, in the dtype to compute in.
        features_2d: ``[h w c2]``.
        sources: ``both``, ``3d`` or ``2d``; a source left out takes no channels.
        feature_norm: D4: ``per_source``, ``joint`` (over the concatenation) or ``none``.

    Returns:
        ``[p c]``.
    """
    parts = {"both": (features_3d, features_2d), "3d": (features_3d,), "2d": (features_2d,)}
    chosen = [x.reshape(-1, x.shape[-1]) for x in parts[sources]]
    if feature_norm == "per_source":
        chosen = [layer_norm(x) for x in chosen]
    fused = jnp.concatenate(chosen, axis=-1)
    return layer_norm(fused) if feature_norm == "joint" else fused


def token_width(c3: int, c2: int, sources: str) -> int:
    """Channels of the tokens that `fuse_features` makes."""
    return {"both": c3 + c2, "3d": c3, "2d": c2}[sources]


def layer_norm(x: jax.Array) -> jax.Array:
    """LayerNorm over the last axis of ``[*b c]``, without scale and offset."""
    centred = x - jnp.mean(x, axis=-1, keepdims=True)
    variance = jnp.mean(jnp.square(centred), axis=-1, keepdims=True)
    return centred * jax.lax.rsqrt(variance + NORM_EPS)


def sincos_positions(grid: tuple[int, int], channels: int, dtype: jnp.dtype) -> jax.Array:
    """Sine and cosine of each patch's row and column (D6, the option).

    Channels are four equal blocks ``[sin row, cos row, sin col, cos col]`` at wavelengths from
    2π to 2π·10⁴ patches; up to three channels that remain are zero.

    Args:
        grid: ``(h, w)``.
        channels: of the tokens that the positions are added to, at least 4.
        dtype: of the result.

    Returns:
        ``[p channels]``.
    """
    quarter = channels // 4
    frequency = 1e-4 ** (jnp.arange(quarter, dtype=dtype) / quarter)
    row, col = jnp.meshgrid(*(jnp.arange(n, dtype=dtype) for n in grid), indexing="ij")
    angles = [x.reshape(-1, 1) * frequency[None] for x in (row, col)]
    blocks = [wave(angle) for angle in angles for wave in (jnp.sin, jnp.cos)]
    encoded = jnp.concatenate(blocks, axis=-1)
    return jnp.pad(encoded, ((0, 0), (0, channels - 4 * quarter)))
