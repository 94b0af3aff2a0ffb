"""Rays and distances against the three unit solids of `scene.Primitives`."""

import jax
import jax.numpy as jnp

from moonseg_jax.rooms.scene import BOX, ELLIPSOID, FRUSTUM
from moonseg_jax.rooms.triple import Triple

_TINY = 1e-9


def entry(kind: int, origin: Triple, direction: Triple, taper: jax.Array) -> jax.Array:
    """Where rays enter a unit solid.

    Args:
        kind: of the solid; static.
        origin: of the rays, in unit coordinates, outside the solid.
        direction: in unit coordinates; its length is the unit of the result.
        taper: ``[... 2]``, broadcastable against the rays by its leading axes; frustums only.

    Returns:
        The ray parameter at entry, > 0; +inf where the ray misses.
    """
    if kind == BOX:
        near, far = _cube(origin, direction)
    elif kind == FRUSTUM:
        near, far = _frustum(origin, direction, taper)
    else:
        near, far = _ball(origin, direction)
    return jnp.where((near < far) & (near > 0), near, jnp.inf)


def _slab(o: jax.Array, d: jax.Array) -> tuple[jax.Array, jax.Array]:
    inverse = 1 / jnp.where(jnp.abs(d) < _TINY, _TINY, d)
    middle, half = -o * inverse, jnp.abs(inverse)
    return middle - half, middle + half


def _cube(origin: Triple, direction: Triple) -> tuple[jax.Array, jax.Array]:
    (x0, x1), (y0, y1), (z0, z1) = map(_slab, origin, direction)
    return jnp.maximum(jnp.maximum(x0, y0), z0), jnp.minimum(jnp.minimum(x1, y1), z1)


def _ball(origin: Triple, direction: Triple) -> tuple[jax.Array, jax.Array]:
    (ox, oy, oz), (dx, dy, dz) = origin, direction
    a = dx * dx + dy * dy + dz * dz
    b = ox * dx + oy * dy + oz * dz
    c = ox * ox + oy * oy + oz * oz - 1
    disc = b * b - a * c
    root = jnp.sqrt(jnp.maximum(disc, 0))
    # A miss is an empty interval.
    return jnp.where(disc > 0, (-b - root) / a, jnp.inf), (-b + root) / a


def _frustum(origin: Triple, direction: Triple, taper: jax.Array) -> tuple[jax.Array, jax.Array]:
    (ox, oy, oz), (dx, dy, dz) = origin, direction
    slope = (taper[..., 1] - taper[..., 0]) / 2
    radius = (taper[..., 1] + taper[..., 0]) / 2 + slope * oz
    a = dx * dx + dy * dy - (slope * dz) ** 2
    a = jnp.where(jnp.abs(a) < _TINY, _TINY, a)
    b = ox * dx + oy * dy - slope * radius * dz
    c = ox * ox + oy * oy - radius * radius
    disc = b * b - a * c
    root = jnp.sqrt(jnp.maximum(disc, 0))
    first, second = (-b - root) / a, (-b + root) / a
    # a < 0: the ray is steeper than the side and is inside the cone before `second` or after
    # `first`, on whichever side the radius grows.
    inside_after = (a < 0) & (slope * dz > 0)
    inside_before = (a < 0) & (slope * dz <= 0)
    near = jnp.where(inside_before, -jnp.inf, first)
    far = jnp.where(inside_after, jnp.inf, second)
    missed = (disc < 0) & (a > 0)
    within = (disc < 0) & (a < 0)
    near = jnp.where(missed, jnp.inf, jnp.where(within, -jnp.inf, near))
    far = jnp.where(within, jnp.inf, far)
    z0, z1 = _slab(oz, dz)
    return jnp.maximum(near, z0), jnp.minimum(far, z1)


def unit_gradient(kind: jax.Array, unit: Triple, taper: Triple) -> Triple:
    """Outward normals at surface points, not normalised.

    Args:
        kind: ``[*b]`` int32.
        unit: points on the surface, unit coordinates, three ``[*b]``.
        taper: two ``[*b]``, radius at the bottom and at the top.

    Returns:
        Gradients of the surface in unit coordinates, three ``[*b]``.
    """
    x, y, z = unit
    ax, ay, az = jnp.abs(x), jnp.abs(y), jnp.abs(z)
    on_x, on_y = (ax >= ay) & (ax >= az), (ay > ax) & (ay >= az)
    is_box, is_frustum = kind == BOX, kind == FRUSTUM
    cap = is_frustum & (az > 1 - 1e-4)
    slope = (taper[1] - taper[0]) / 2
    radius = (taper[1] + taper[0]) / 2 + slope * z
    gx = jnp.where(jnp.where(is_box, on_x, ~cap), x, 0.0)
    gy = jnp.where(jnp.where(is_box, on_y, ~cap), y, 0.0)
    gz = jnp.where(is_frustum & ~cap, -slope * radius, z)
    return gx, gy, jnp.where(is_box & (on_x | on_y), 0.0, gz)


def distance(kind: int, local: Triple, half: jax.Array, taper: jax.Array) -> jax.Array:
    """Signed distance to a solid: exact for boxes, close for the others.

    Args:
        kind: of the solid; static.
        local: coordinates along the solid's axes from its centre, metres.
        half: ``[3]`` half extents, metres.
        taper: ``[2]``.

    Returns:
        Metres, < 0 inside.
    """
    x, y, z = local
    if kind == BOX:
        dx, dy, dz = jnp.abs(x) - half[0], jnp.abs(y) - half[1], jnp.abs(z) - half[2]
        outside = jnp.sqrt(sum(jnp.maximum(d, 0) ** 2 for d in (dx, dy, dz)))
        return outside + jnp.minimum(jnp.maximum(jnp.maximum(dx, dy), dz), 0)
    ux, uy, uz = x / half[0], y / half[1], z / half[2]
    if kind == ELLIPSOID:
        k0 = jnp.sqrt(ux * ux + uy * uy + uz * uz)
        k1 = jnp.sqrt((ux / half[0]) ** 2 + (uy / half[1]) ** 2 + (uz / half[2]) ** 2)
        return k0 * (k0 - 1) / jnp.maximum(k1, _TINY)
    height = jnp.clip(uz, -1, 1)
    radius = (taper[0] + taper[1]) / 2 + (taper[1] - taper[0]) / 2 * height
    dr = (jnp.sqrt(ux * ux + uy * uy) - radius) * jnp.minimum(half[0], half[1])
    dz = jnp.abs(z) - half[2]
    outside = jnp.sqrt(jnp.maximum(dr, 0) ** 2 + jnp.maximum(dz, 0) ** 2)
    return outside + jnp.minimum(jnp.maximum(dr, dz), 0)
