"""Soft shadows, ambient occlusion, and the distances both of them and camera paths need."""

import jax
import jax.numpy as jnp
import numpy as np

from moonseg_jax.rooms.intersect import distance, entry
from moonseg_jax.rooms.scene import Room
from moonseg_jax.rooms.triple import Triple, added, minus, scaled, split, turned

_SAMPLES = np.array(
    [[0.8, 0.1, 0.5], [-0.5, 0.7, -0.5], [-0.3, -0.8, 0.0]], np.float32
)  # Points of an area light, in its half extents.
_REACH = (0.06, 0.3)  # Metres from the surface at which nearness of others is felt.
_STRENGTH = (0.45, 0.6)
_SHADE_WIDTH = 128  # Points across an image at which shadows are found, at least.


def shadowing(room: Room, points: Triple, normals: Triple) -> tuple[jax.Array, jax.Array]:
    """How much of each light and of the ambient light reaches surface points.

    Args:
        room: lights and what is in their way.
        points: three arrays ``[*b]``, world frame.
        normals: three arrays ``[*b]``, unit length.

    Returns:
        ``visible [l *b]``, the part of each light that is seen, and ``open [*b]``, ambient light
        left over by what is near (distances a little off the surface against what an empty half
        space would give).
    """
    start = tuple(p[None] for p in added(points, scaled(normals, 0.004)))
    ends = room.lighting.position[:, None] + room.lighting.extent[:, None] * _SAMPLES[None]
    lights, samples, _ = ends.shape
    column = (lights * samples, *([1] * points[0].ndim))
    ends = split(ends.reshape(*column, 3))
    taps = [added(points, scaled(normals, reach)) for reach in _REACH]
    hit = jnp.zeros((lights * samples, *points[0].shape), bool)
    near = [_to_walls(room, tap) for tap in taps]
    primitives = room.primitives
    for kind, slots in primitives.kinds():

        def visit(i, carry, kind=kind, first=slots.start):
            hit, near = carry
            slot = first + i
            turn, centre = primitives.rotation[slot].T, split(primitives.centre[slot])
            half, taper = primitives.half[slot], primitives.taper[slot]
            unit = turn / half[:, None]
            origin = turned(unit, minus(start, centre))
            blocked = entry(kind, origin, minus(turned(unit, minus(ends, centre)), origin), taper)
            apart = [distance(kind, turned(turn, minus(tap, centre)), half, taper) for tap in taps]
            return hit | (blocked < 1), [
                jnp.minimum(*pair) for pair in zip(near, apart, strict=True)
            ]

        hit, near = jax.lax.fori_loop(0, primitives.used[kind], visit, (hit, near))
    seen = 1 - hit.astype(points[0].dtype).reshape(lights, samples, *points[0].shape)
    left = jnp.ones_like(points[0])
    for reach, strength, free in zip(_REACH, _STRENGTH, near, strict=True):
        left = left * (1 - strength * jnp.clip(1 - free / reach, 0, 1))
    return jnp.mean(seen, axis=1), left


def image_shadowing(
    room: Room, side: jax.Array, point: Triple, normal: Triple
) -> tuple[jax.Array, jax.Array]:
    """`shadowing` of an image: on a grid of about 96x128 points, spread to all pixels.

    Args:
        room: lights and what is in their way.
        side: ``[H W]`` int32, equal on pixels of one side of one surface.
        point: surface points, three ``[H W]``.
        normal: unit normals, three ``[H W]``.

    Returns:
        ``visible [l H W]`` and ``open [H W]`` as `shadowing` gives them.
    """
    height, width = side.shape
    stride = 2 ** int(np.log2(max(1, width // _SHADE_WIDTH)))

    def pick(image: jax.Array) -> jax.Array:
        return image[stride // 2 : height : stride, stride // 2 : width : stride]

    visible, free = shadowing(room, *jax.tree.map(pick, (point, normal)))
    if stride == 1:
        return visible, free
    coarse = jnp.concatenate([visible, free[None]])
    fine = _spread(coarse, pick(side), side, stride)
    return fine[:-1], fine[-1]


def _spread(coarse: jax.Array, owner: jax.Array, side: jax.Array, stride: int) -> jax.Array:
    """Bilinear interpolation that listens only to samples of a pixel's own side.

    Args:
        coarse: ``[c h w]`` samples at every ``stride``-th pixel, the first at ``stride // 2``.
        owner: ``[h w]`` sides of surfaces of the samples.
        side: ``[h·stride w·stride]`` sides of surfaces of the pixels.
        stride: pixels between samples.

    Returns:
        ``[c h·stride w·stride]``.
    """
    h, w = owner.shape
    apart = (np.arange(stride) - stride // 2) / stride
    tent = np.stack([np.maximum(1 - np.abs(apart - step), 0) for step in (-1, 0, 1)], axis=1)
    coarse = jnp.pad(coarse, [(0, 0), (1, 1), (1, 1)], mode="edge")
    owner = jnp.pad(owner, 1, mode="edge")

    def phase(row: tuple[jax.Array, jax.Array]) -> jax.Array:
        # Pixels of one row phase, [s h w]: long inner axes, which vectorise.
        pixels, row_tent = row
        weights = jnp.zeros(pixels.shape, coarse.dtype)
        total = jnp.zeros((len(coarse), *pixels.shape), coarse.dtype)
        for i in range(3):
            for j in range(3):
                weight = row_tent[i] * tent[:, j].astype(np.float32) + 1e-4
                same = owner[None, i : i + h, j : j + w] == pixels
                weight = jnp.where(same, 1.0, 1e-3) * weight[:, None, None]
                total = total + weight[None] * coarse[:, None, i : i + h, j : j + w]
                weights = weights + weight
        return total / weights[None]

    pixels = side.reshape(h, stride, w, stride).transpose(1, 3, 0, 2)
    fine = jax.lax.map(phase, (pixels, jnp.asarray(tent, coarse.dtype)))
    return fine.transpose(1, 3, 0, 4, 2).reshape(-1, *side.shape)


def clearance(room: Room, points: jax.Array) -> jax.Array:
    """Distance from points to the nearest primitive, wall, floor or ceiling.

    Args:
        room: one room.
        points: ``[*b 3]``, world frame.

    Returns:
        ``[*b]`` metres; < 0 inside a primitive or outside the room.
    """
    where = split(points)
    near = _to_walls(room, where)
    primitives = room.primitives
    for kind, slots in primitives.kinds():

        def visit(i, near, kind=kind, first=slots.start):
            slot = first + i
            offset = minus(where, split(primitives.centre[slot]))
            local = turned(primitives.rotation[slot].T, offset)
            apart = distance(kind, local, primitives.half[slot], primitives.taper[slot])
            return jnp.minimum(near, apart)

        near = jax.lax.fori_loop(0, primitives.used[kind], visit, near)
    return near


def _to_walls(room: Room, points: Triple) -> jax.Array:
    x, y, z = points
    side = jnp.minimum(room.size[0] / 2 - jnp.abs(x), room.size[1] / 2 - jnp.abs(y))
    return jnp.minimum(side, jnp.minimum(z, room.size[2] - z))
