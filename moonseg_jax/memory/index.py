"""Retrieval from the Query Index Memory (Eq. 7-9): which bank rows a view sees, and where."""

import jax
import jax.numpy as jnp

from moonseg_jax.geometry import cell_points, invert_pose


def clip_index_maps(
    points: jax.Array,
    point_valid: jax.Array,
    member: jax.Array,
    T_world_from_cam: jax.Array,
    intrinsics: jax.Array,
    image_size: tuple[int, int],
    grid: tuple[int, int],
    *,
    occlusion: float = 0.0,
) -> jax.Array:
    """Index maps of a training clip; row ``t·q + i`` is mask i of frame t.

    From geometry alone, so once per clip and outside the scan over frames.

    Args:
        points: ``[t p 3]``, the pooled pointmaps (the keys), in the world frame.
        point_valid: ``[t p]`` bool.
        member: ``[t q p]`` bool, the masks each key lies in.
        T_world_from_cam: ``[t 4 4]``.
        intrinsics: ``[t 3 3]`` of the processed image.
        image_size: ``(H, W)``.
        grid: ``(h, w)``, with ``p = h·w``.
        occlusion: D18: keys deeper than the view's own surface by more are hidden; 0 = off.

    Returns:
        ``[t p t·q]`` bool: in frame t, patch p sees that row; only rows of earlier frames.
    """
    frames, masks, patches = member.shape
    payload = jnp.swapaxes(member, 1, 2)

    def view(
        index: jax.Array, own_valid: jax.Array, T_cam_from_world: jax.Array, K: jax.Array
    ) -> jax.Array:
        cell, z = cell_points(points, T_cam_from_world, K, image_size, grid)
        seen = point_valid & (jnp.arange(frames) < index)[:, None]
        if occlusion > 0:
            surface = jnp.where(own_valid, z[index], jnp.inf)
            seen &= ~_hidden(cell, z, surface, occlusion)
        # One scatter of whole rows per earlier frame: a patch takes the union of its keys' masks.
        scatter = jax.vmap(lambda c, m: jnp.zeros((patches, masks), bool).at[c].max(m, mode="drop"))
        marked = scatter(jnp.where(seen, cell, patches), payload)
        return jnp.swapaxes(marked, 0, 1).reshape(patches, frames * masks)

    T_cam_from_world = invert_pose(T_world_from_cam)
    return jax.vmap(view)(jnp.arange(frames), point_valid, T_cam_from_world, intrinsics)


def key_index_map(
    points: jax.Array,
    rows: jax.Array,
    T_cam_from_world: jax.Array,
    intrinsics: jax.Array,
    image_size: tuple[int, int],
    grid: tuple[int, int],
    num_rows: int,
    *,
    surface_depth: jax.Array | None = None,
    occlusion: float = 0.0,
) -> jax.Array:
    """The index map of one view of the key table.

    Args:
        points: ``[k 3]``, keys in the world frame.
        rows: ``[k]`` int32, the bank row each key carries; -1 for an empty slot.
        T_cam_from_world: ``[4 4]``.
        intrinsics: ``[3 3]`` of the processed image.
        image_size: ``(H, W)``.
        grid: ``(h, w)``.
        num_rows: n, the capacity of the bank.
        surface_depth: ``[p]``, the view's own surface as `surface_depth` gives it; needed for
            the occlusion test only.
        occlusion: D18: keys deeper than the surface by more are hidden; 0 = off.

    Returns:
        ``[p n]`` bool. A set per patch: two keys of one row in one patch count once.
    """
    patches = grid[0] * grid[1]
    cell, z = cell_points(points, T_cam_from_world, intrinsics, image_size, grid)
    seen = (rows >= 0) & (cell < patches)
    if occlusion > 0 and surface_depth is not None:
        seen &= ~_hidden(cell, z, surface_depth, occlusion)
    entry = jnp.where(seen, cell * num_rows + rows, patches * num_rows)
    flat = jnp.zeros(patches * num_rows, bool).at[entry].set(True, mode="drop")
    return flat.reshape(patches, num_rows)


def surface_depth(
    points: jax.Array, point_valid: jax.Array, T_cam_from_world: jax.Array
) -> jax.Array:
    """Depth of a view's own pooled surface, what the occlusion test compares with.

    Args:
        points: ``[p 3]``, the view's pooled pointmap in the world frame.
        point_valid: ``[p]`` bool.
        T_cam_from_world: ``[4 4]``.

    Returns:
        ``[p]``; +inf where there is no surface, which hides nothing.
    """
    z = jnp.sum(points * T_cam_from_world[None, 2, :3], axis=-1) + T_cam_from_world[2, 3]
    return jnp.where(point_valid, z, jnp.inf)


def gather_context(
    index_map: jax.Array, bank: jax.Array, bank_valid: jax.Array | None = None
) -> tuple[jax.Array, jax.Array]:
    """Context features of every patch: ``F_ctx = I·bank / Σ_n I`` (Eq. 9).

    Args:
        index_map: ``[p n]`` bool.
        bank: ``[n d]``, the queries in memory.
        bank_valid: ``[n]`` bool, rows that count; None = all.

    Returns:
        ``F_ctx [p d]``, zero where no row is seen, and ``M_ind [p]`` bool, where some row is.
    """
    if bank_valid is not None:
        index_map = index_map & bank_valid[None]
    count = jnp.sum(index_map, axis=-1, keepdims=True)
    weight = index_map.astype(bank.dtype) / jnp.maximum(count, 1).astype(bank.dtype)
    return weight @ bank, count[:, 0] > 0


def _hidden(cell: jax.Array, z: jax.Array, surface: jax.Array, occlusion: float) -> jax.Array:
    """Whether keys ``[*n]`` lie behind the surface ``[p]`` of the patch they fall into."""
    return z > jnp.take(surface, cell, mode="fill", fill_value=jnp.inf) + occlusion
