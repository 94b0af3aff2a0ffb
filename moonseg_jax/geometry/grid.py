"""Between pixels and the patch grid."""

import jax
import jax.numpy as jnp

from moonseg_jax.geometry.camera import project, transform


def area_pool(x: jax.Array, grid: tuple[int, int]) -> jax.Array:
    """Averages ``[*b H W]`` over equal cells; of a mask, the fraction of each cell inside it.

    Args:
        x: ``[*b H W]``, bool or float.
        grid: ``(h, w)``, dividing ``(H, W)``.

    Returns:
        ``[*b h w]`` float.
    """
    (height, width), (h, w) = x.shape[-2:], grid
    if height % h or width % w:
        raise ValueError(f"cells of {height}x{width} over {h}x{w} would not be equal")
    dtype = x.dtype if jnp.issubdtype(x.dtype, jnp.floating) else jnp.float32
    cells = x.reshape(*x.shape[:-2], h, height // h, w, width // w)
    return jnp.mean(cells, axis=(-3, -1), dtype=dtype)


def pool_points(
    points: jax.Array, confidence: jax.Array, grid: tuple[int, int]
) -> tuple[jax.Array, jax.Array]:
    """Averages a pointmap over patches, leaving out what is not finite or not trusted.

    Args:
        points: ``[Hp Wp 3]``, NaN where invalid.
        confidence: ``[Hp Wp]``, > 0 where trusted.
        grid: ``(h, w)``.

    Returns:
        ``points [h w 3]`` (zero where invalid) and ``valid [h w]`` bool.
    """
    trusted = jnp.all(jnp.isfinite(points), axis=-1) & (confidence > 0)
    clean = jnp.where(trusted[..., None], points, 0.0)
    share = area_pool(trusted.astype(points.dtype), grid)
    total = area_pool(jnp.moveaxis(clean, -1, 0), grid)
    mean = jnp.moveaxis(total, 0, -1) / jnp.maximum(share, 1e-6)[..., None]
    valid = share > 0
    return jnp.where(valid[..., None], mean, 0.0), valid


def cell_index(
    uv: jax.Array, z: jax.Array, image_size: tuple[int, int], grid: tuple[int, int]
) -> jax.Array:
    """The patch each projected point falls into.

    Args:
        uv: ``[*n 2]`` in pixels.
        z: ``[*n]`` depth.
        image_size: ``(H, W)``.
        grid: ``(h, w)``.

    Returns:
        ``[*n]`` int32 in ``0..h·w``; ``h·w`` means "not in this view" (outside or behind).
    """
    h, w = grid
    col = jnp.floor(uv[..., 0] * (w / image_size[1]))
    row = jnp.floor(uv[..., 1] * (h / image_size[0]))
    inside = (z > 1e-6) & (col >= 0) & (col < w) & (row >= 0) & (row < h)
    index = row * w + col
    return jnp.where(inside, index, h * w).astype(jnp.int32)


def cell_points(
    points: jax.Array,
    T_cam_from_world: jax.Array,
    intrinsics: jax.Array,
    image_size: tuple[int, int],
    grid: tuple[int, int],
) -> tuple[jax.Array, jax.Array]:
    """Projects world points into a view's patch grid.

    Args:
        points: ``[*n 3]`` in the world frame.
        T_cam_from_world: ``[4 4]``.
        intrinsics: ``[3 3]`` of the processed image.
        image_size: ``(H, W)``.
        grid: ``(h, w)``.

    Returns:
        ``cell [*n]`` int32 as `cell_index` gives it, and depth ``z [*n]``.
    """
    uv, z = project(transform(T_cam_from_world, points), intrinsics)
    return cell_index(uv, z, image_size, grid), z
