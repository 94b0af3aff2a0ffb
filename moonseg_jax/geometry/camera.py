"""Pinhole cameras and rigid transforms."""

import jax
import jax.numpy as jnp


def invert_pose(T: jax.Array) -> jax.Array:
    """Inverts rigid transforms ``[*b 4 4]`` without a general matrix inverse."""
    R_inv = jnp.swapaxes(T[..., :3, :3], -1, -2)
    t_inv = -(R_inv @ T[..., :3, 3:])
    top = jnp.concatenate([R_inv, t_inv], axis=-1)
    return jnp.concatenate([top, T[..., 3:, :]], axis=-2)


def transform(T_b_from_a: jax.Array, points_a: jax.Array) -> jax.Array:
    """Moves points ``[*n 3]`` from frame a to frame b by one ``[4 4]`` transform."""
    # Multiply-adds instead of a matmul: full float32 on every backend (no TF32).
    x, y, z = points_a[..., 0], points_a[..., 1], points_a[..., 2]
    rows = [row[0] * x + row[1] * y + row[2] * z + row[3] for row in T_b_from_a[:3]]
    return jnp.stack(rows, axis=-1)


def project(points_cam: jax.Array, intrinsics: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Projects points in the camera frame.

    Args:
        points_cam: ``[*n 3]``.
        intrinsics: ``[3 3]``.

    Returns:
        ``uv [*n 2]`` in pixels (pixel centres at +0.5) and depth ``z [*n]``. Points at or behind
        the camera have ``z <= 0`` and a meaningless but finite ``uv``.
    """
    z = points_cam[..., 2]
    safe_z = jnp.where(z > 1e-6, z, 1.0)
    u = intrinsics[0, 0] * points_cam[..., 0] / safe_z + intrinsics[0, 2]
    v = intrinsics[1, 1] * points_cam[..., 1] / safe_z + intrinsics[1, 2]
    return jnp.stack([u, v], axis=-1), z


def unproject(depth: jax.Array, intrinsics: jax.Array) -> jax.Array:
    """Lifts a depth map to points in the camera frame.

    Args:
        depth: ``[H W]`` along z; NaN stays NaN.
        intrinsics: ``[3 3]`` of an image of that size.

    Returns:
        ``[H W 3]``.
    """
    height, width = depth.shape
    u = jnp.arange(width, dtype=depth.dtype) + 0.5
    v = jnp.arange(height, dtype=depth.dtype) + 0.5
    x = (u[None, :] - intrinsics[0, 2]) / intrinsics[0, 0] * depth
    y = (v[:, None] - intrinsics[1, 2]) / intrinsics[1, 1] * depth
    return jnp.stack([x, y, depth], axis=-1)
