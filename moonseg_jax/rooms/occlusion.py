"""Soft shadows and ambient occlusion, on a coarse grid of surface points."""

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
    start = added(points, scaled(normals, 0.004))
    ends = room.lighting.position[:, None] + room.lighting.extent[:, None] * _SAMPLES
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
