"""The nearest surface behind every pixel, by tiles that only look at what crosses them."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from moonseg_jax.rooms.intersect import entry
from moonseg_jax.rooms.scene import Primitives, Room
from moonseg_jax.rooms.triple import Triple, split

TILE = 16
"""Pixels per side of a tile; images are multiples of it."""

_GROUPS = 8  # Tiles of similar load share a loop, so that few tiles wait for the busiest one.
_WORD = 32


def nearest(
    room: Room, T_world_from_cam: jax.Array, intrinsics: jax.Array, size: tuple[int, int]
) -> tuple[jax.Array, jax.Array]:
    """Casts one ray a pixel.

    Args:
        room: what is seen.
        T_world_from_cam: ``[4 4]``, the camera outside every primitive.
        intrinsics: ``[3 3]``, pixel centres at +0.5.
        size: ``(H, W)``, multiples of `TILE`.

    Returns:
        ``depth [H W]`` along z and ``surface [H W]`` int32: a primitive slot or, from the number
        of slots on, a face of the room in the order of `Room.materials`.
    """
    height, width = size
    if height % TILE or width % TILE:
        raise ValueError(f"an image of {height}x{width} is not made of {TILE}x{TILE} tiles")
    rows, cols = height // TILE, width // TILE
    focal, middle = (intrinsics[0, 0], intrinsics[1, 1]), intrinsics[:2, 2]
    edges = (
        jnp.arange(cols + 1, dtype=intrinsics.dtype) * TILE,
        jnp.arange(rows + 1, dtype=intrinsics.dtype) * TILE,
    )
    edges_x, edges_y = ((e - m) / f for e, m, f in zip(edges, middle, focal, strict=True))
    members = _members(room.primitives, T_world_from_cam, edges_x, edges_y)
    origin, basis = _unit_rays(room.primitives, T_world_from_cam)

    x = (jnp.arange(width, dtype=intrinsics.dtype) + 0.5 - middle[0]) / focal[0]
    y = (jnp.arange(height, dtype=intrinsics.dtype) + 0.5 - middle[1]) / focal[1]
    x = jnp.broadcast_to(x.reshape(1, cols, 1, TILE), (rows, cols, TILE, TILE))
    y = jnp.broadcast_to(y.reshape(rows, 1, TILE, 1), (rows, cols, TILE, TILE))
    flat = (rows * cols, TILE * TILE)
    cast = partial(_cast_tiles, room, T_world_from_cam, origin, basis)
    depth, surface = _by_load(cast, members, x.reshape(flat), y.reshape(flat))
    return _untile(depth, rows, cols), _untile(surface, rows, cols)


def _untile(values: jax.Array, rows: int, cols: int) -> jax.Array:
    tiles = values.reshape(rows, cols, TILE, TILE)
    return jnp.swapaxes(tiles, 1, 2).reshape(rows * TILE, cols * TILE)


def _unit_rays(primitives: Primitives, T_world_from_cam: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The camera in each primitive's unit coordinates: centre ``[n 3]``, axes ``[n 3 3]``.

    Column k of the axes is the image of the camera's k-th axis.
    """
    R, t = T_world_from_cam[:3, :3], T_world_from_cam[:3, 3]
    high = jax.lax.Precision.HIGHEST
    turn = jnp.swapaxes(primitives.rotation, 1, 2)
    origin = jnp.einsum("nij,nj->ni", turn, t[None] - primitives.centre, precision=high)
    basis = jnp.einsum("nij,jk->nik", turn, R, precision=high)
    return origin / primitives.half, basis / primitives.half[..., None]


def _members(
    primitives: Primitives, T_world_from_cam: jax.Array, edges_x: jax.Array, edges_y: jax.Array
) -> jax.Array:
    """Which primitives' bounding boxes reach into which tile: ``[rows·cols n]`` bool.

    A box lies outside a tile when it is wholly on the outer side of one of the four planes
    through the camera centre and the tile's edges, or behind the camera.
    """
    R, t = T_world_from_cam[:3, :3], T_world_from_cam[:3, 3]
    high = jax.lax.Precision.HIGHEST
    centre = jnp.einsum("ni,ij->nj", primitives.centre - t[None], R, precision=high)
    axes = jnp.einsum("ji,njk->nik", R, primitives.rotation, precision=high)
    axes = axes * primitives.half[:, None, :]

    def extent(edges: jax.Array, axis: int) -> tuple[jax.Array, jax.Array]:
        # Signed "distance" axis - edge·z of the box to each edge plane: its range.
        middle = centre[:, None, axis] - edges[None] * centre[:, None, 2]
        slack = jnp.abs(axes[:, None, axis, :] - edges[None, :, None] * axes[:, None, 2, :])
        slack = jnp.sum(slack, axis=-1)
        return middle - slack, middle + slack

    low_x, high_x = extent(edges_x, 0)
    low_y, high_y = extent(edges_y, 1)
    in_col = (high_x[:, :-1] >= 0) & (low_x[:, 1:] <= 0)
    in_row = (high_y[:, :-1] >= 0) & (low_y[:, 1:] <= 0)
    in_front = centre[:, 2] + jnp.sum(jnp.abs(axes[:, 2, :]), axis=-1) > 0
    slot = [np.arange(capacity) for capacity in primitives.capacity]
    used = jnp.concatenate([s < primitives.used[kind] for kind, s in enumerate(slot)])
    in_col = in_col & (in_front & used)[:, None]
    both = in_row[:, :, None] & in_col[:, None, :]
    return jnp.moveaxis(both, 0, -1).reshape(-1, both.shape[0])


def _by_load(cast, members: jax.Array, x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Runs ``cast`` on groups of tiles with about equally many primitives."""
    tiles = members.shape[0]
    groups = max(g for g in range(1, _GROUPS + 1) if tiles % g == 0)
    order = jnp.argsort(jnp.sum(members, axis=-1, dtype=jnp.int32))
    split = jax.tree.map(lambda a: a[order].reshape(groups, tiles // groups, -1), (members, x, y))
    depth, surface = jax.lax.map(lambda group: cast(*group), split)
    back = jnp.argsort(order)
    return depth.reshape(tiles, -1)[back], surface.reshape(tiles, -1)[back]


def _cast_tiles(
    room: Room,
    T_world_from_cam: jax.Array,
    origin: jax.Array,
    basis: jax.Array,
    members: jax.Array,
    x: jax.Array,
    y: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Depth and surface ``[g p]`` of tiles of rays (x, y, 1), ``[g p]`` each."""
    depth, surface = _face(room, T_world_from_cam, x, y)
    for kind, slots in room.primitives.kinds():
        rays, tapers = (origin[slots], basis[slots]), room.primitives.taper[slots]
        words = _pack(members[:, slots])
        longest = jnp.max(jnp.sum(members[:, slots], axis=-1, dtype=jnp.int32))

        def visit(_, carry, kind=kind, start=slots.start, rays=rays, tapers=tapers):
            depth, surface, words = carry
            words, index, found = _pop(words)
            o, m = rays[0][index][..., None], rays[1][index][..., None]
            direction = _along(m, x, y)
            t = entry(kind, split(jnp.swapaxes(o, 1, 2)), direction, tapers[index][:, None])
            closer = found[:, None] & (t < depth)
            here = jnp.broadcast_to((index + start)[:, None], surface.shape)
            return jnp.where(closer, t, depth), jnp.where(closer, here, surface), words

        depth, surface, _ = jax.lax.fori_loop(0, longest, visit, (depth, surface, words))
    return depth, surface


def _along(m: jax.Array, x: jax.Array, y: jax.Array) -> Triple:
    return tuple(x * m[:, k, 0] + (y * m[:, k, 1] + m[:, k, 2]) for k in range(3))


def _face(
    room: Room, T_world_from_cam: jax.Array, x: jax.Array, y: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Where rays (x, y, 1) leave the room, and through which face."""
    R, t = T_world_from_cam[:3, :3], T_world_from_cam[:3, 3]
    low = jnp.stack([-room.size[0] / 2, -room.size[1] / 2, jnp.zeros_like(room.size[2])])
    depth, surface = jnp.full_like(x, jnp.inf), jnp.zeros(x.shape, jnp.int32)
    for axis in range(3):
        d = x * R[axis, 0] + (y * R[axis, 1] + R[axis, 2])
        bound = jnp.where(d > 0, low[axis] + room.size[axis], low[axis])
        out = (bound - t[axis]) / jnp.where(jnp.abs(d) < 1e-9, 1e-9, d)
        first = (out > 0) & (out < depth)
        face = sum(room.primitives.capacity) + 2 * axis + (d > 0)
        depth, surface = jnp.where(first, out, depth), jnp.where(first, face, surface)
    return depth, surface.astype(jnp.int32)


def _pack(members: jax.Array) -> jax.Array:
    """Bit sets: ``[g n]`` bool to ``[g n/32]`` uint32."""
    bits = members.reshape(members.shape[0], -1, _WORD).astype(jnp.uint32)
    return jnp.sum(
        bits << jnp.arange(_WORD, dtype=jnp.uint32)[None, None], axis=-1, dtype=jnp.uint32
    )


def _pop(words: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Takes the least member out of every set: what is left, the member, was there one."""
    which = jnp.argmax(words != 0, axis=-1)
    word = jnp.take_along_axis(words, which[:, None], axis=-1)
    lowest = word & (~word + 1)
    place = jax.lax.population_count(lowest - 1).astype(jnp.int32)[:, 0]
    taken = jnp.arange(words.shape[-1])[None] == which[:, None]
    left = jnp.where(taken, words & ~lowest, words)
    found = word[:, 0] != 0
    return left, jnp.where(found, which.astype(jnp.int32) * _WORD + place, 0), found
