"""Light on surfaces: Lambert and a highlight under two area lights and ambient light."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from moonseg_jax.rooms.intersect import unit_gradient
from moonseg_jax.rooms.occlusion import image_shadowing
from moonseg_jax.rooms.scene import BOX, Room
from moonseg_jax.rooms.texture import albedo
from moonseg_jax.rooms.triple import (
    Triple,
    added,
    dot,
    minus,
    normalised,
    scaled,
    split,
    turned,
)

_BANDS = 8
_FALLOFF = 2.2  # Metres at which a light has lost half of its strength.


def radiance(
    room: Room,
    T_world_from_cam: jax.Array,
    intrinsics: jax.Array,
    depth: jax.Array,
    surface: jax.Array,
) -> Triple:
    """Light from each surface point towards the camera.

    Shadows and ambient occlusion are found on a grid of about 96x128 points whatever the image's
    size, and spread to the pixels of the same surface.

    Args:
        room: lights, materials and what casts shadows.
        T_world_from_cam: ``[4 4]``.
        intrinsics: ``[3 3]``, pixel centres at +0.5.
        depth: ``[H W]`` along z, metres.
        surface: ``[H W]`` int32 as `cast.nearest` gives it.

    Returns:
        Linear red, green and blue, ``[H W]`` each.
    """
    ray = _rays(T_world_from_cam, intrinsics, depth.shape)
    eye = split(T_world_from_cam[:3, 3])
    normal, local, side = _in_bands(partial(_surface, room, eye), surface, depth, ray)
    visible, free = image_shadowing(room, side, added(eye, scaled(ray, depth)), normal)
    footprint = depth / intrinsics[0, 0]
    color = _in_bands(partial(_color, room), surface, local, footprint)
    seen = (surface, depth, ray, normal, color, tuple(visible), free)
    return _in_bands(partial(_light, room, eye), *seen)


def _rays(T_world_from_cam: jax.Array, intrinsics: jax.Array, size: tuple[int, ...]) -> Triple:
    """Directions in the world frame that advance by one along the camera's z."""
    x = (jnp.arange(size[1], dtype=intrinsics.dtype) + 0.5 - intrinsics[0, 2]) / intrinsics[0, 0]
    y = (jnp.arange(size[0], dtype=intrinsics.dtype) + 0.5 - intrinsics[1, 2]) / intrinsics[1, 1]
    plane = (jnp.broadcast_to(x, size), jnp.broadcast_to(y[:, None], size))
    return turned(T_world_from_cam[:3, :3], (*plane, jnp.ones(size, intrinsics.dtype)))


def _in_bands(stage: Callable[..., Any], *images: Any) -> Any:
    """Runs a per-pixel stage band by band.

    The loop's edges are where XLA must stop fusing: without them the CPU backend recomputes
    whole earlier stages inside every channel of the later ones. Bands also stay in the cache.
    """
    shape = jax.tree.leaves(images)[0].shape
    split_up = jax.tree.map(lambda a: a.reshape(_BANDS, -1), images)
    out = jax.lax.map(lambda band: stage(*band), split_up)
    return jax.tree.map(lambda a: a.reshape(shape), out)


def _color(room: Room, surface: jax.Array, local: Triple, footprint: jax.Array) -> Triple:
    materials = room.materials
    columns = replace(
        materials,
        color_a=split(materials.color_a),
        color_b=split(materials.color_b),
        frequency=split(materials.frequency),
        grain=split(materials.grain),
    )
    return albedo(jax.tree.map(lambda column: column[surface], columns), local, footprint)


def _light(
    room: Room,
    eye: Triple,
    surface: jax.Array,
    depth: jax.Array,
    ray: Triple,
    normal: Triple,
    color: Triple,
    visible: Sequence[jax.Array],
    free: jax.Array,
) -> Triple:
    """What surfaces of these colours send back."""
    point = added(eye, scaled(ray, depth))
    diffuse, glossy = _arriving(room, point, normal, normalised(ray), visible, free)
    gloss, emission = room.materials.gloss[surface], room.materials.emission[surface]
    glow = (column[surface] * emission for column in split(room.materials.color_a))
    return tuple(
        c * d + g * gloss + e for c, d, g, e in zip(color, diffuse, glossy, glow, strict=True)
    )


def _arriving(
    room: Room,
    point: Triple,
    normal: Triple,
    view: Triple,
    visible: Sequence[jax.Array],
    free: jax.Array,
) -> tuple[Triple, Triple]:
    """Light on white matt paint, and the highlight on a perfect gloss."""
    lighting = room.lighting
    up = 0.5 + 0.5 * normal[2]
    sky, ground = split(lighting.ambient_up), split(lighting.ambient_down)
    diffuse = added(scaled(sky, up * free), scaled(ground, (1 - up) * free))
    glossy = (jnp.zeros_like(up),) * 3
    for source in range(lighting.position.shape[0]):
        to_light = minus(split(lighting.position[source]), point)
        square = dot(to_light, to_light)
        to_light = normalised(to_light)
        cosine = jnp.maximum(dot(to_light, normal), 0)
        mirror = jnp.maximum(dot(normalised(minus(to_light, view)), normal), 0)
        strength = 2.0 * visible[source] / (1 + square / _FALLOFF**2)
        tint = split(lighting.color[source])
        highlight = jax.lax.integer_pow(mirror, 32) * (cosine > 0)
        diffuse = added(diffuse, scaled(tint, strength * cosine))
        glossy = added(glossy, scaled(tint, strength * highlight))
    return diffuse, glossy


def _surface(
    room: Room, eye: Triple, surface: jax.Array, depth: jax.Array, ray: Triple
) -> tuple[Triple, Triple, jax.Array]:
    """Unit normals towards the camera, points in the surfaces' own coordinates, metres, and a
    number for each side of each surface.
    """
    primitives = room.primitives
    slots = sum(primitives.capacity)
    middle = jnp.stack([jnp.zeros_like(room.size[0])] * 2 + [room.size[2] / 2])

    def with_faces(column: jax.Array, face: jax.Array) -> jax.Array:
        return jnp.concatenate([column, jnp.broadcast_to(face, (6, *face.shape))])

    kind = np.append(np.repeat([0, 1, 2], primitives.capacity), np.full(6, BOX)).astype(np.int32)
    centre = with_faces(primitives.centre, middle)
    half = with_faces(primitives.half, room.size / 2)
    rotation = with_faces(primitives.rotation, jnp.eye(3, dtype=centre.dtype))
    taper = with_faces(primitives.taper, jnp.ones(2, centre.dtype))

    def own(column: jax.Array) -> jax.Array:
        return column[surface]

    size = tuple(own(half[:, k]) for k in range(3))
    R = [[own(rotation[:, i, j]) for j in range(3)] for i in range(3)]
    point = added(eye, scaled(ray, depth))
    offset = minus(point, tuple(own(centre[:, k]) for k in range(3)))
    local = tuple(R[0][k] * offset[0] + R[1][k] * offset[1] + R[2][k] * offset[2] for k in range(3))
    unit = tuple(c / h for c, h in zip(local, size, strict=True))
    gradient = unit_gradient(own(jnp.asarray(kind)), unit, (own(taper[:, 0]), own(taper[:, 1])))
    gradient = tuple(g / h for g, h in zip(gradient, size, strict=True))
    normal = normalised(tuple(dot(tuple(row), gradient) for row in R))
    normal = scaled(normal, jnp.where(surface >= slots, -1.0, 1.0))
    return normal, local, surface * 6 + _facing(normal)


def _facing(normal: Triple) -> jax.Array:
    """Which way a surface faces, 0..5, so that the sides of one box are told apart."""
    sizes = [jnp.abs(n) for n in normal]
    axis = jnp.where(sizes[0] > sizes[1], 0, 1)
    axis = jnp.where(sizes[2] > jnp.maximum(sizes[0], sizes[1]), 2, axis)
    sign = jnp.where(axis == 0, normal[0], jnp.where(axis == 1, normal[1], normal[2])) > 0
    return 2 * axis + sign.astype(axis.dtype)
