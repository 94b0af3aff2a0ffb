"""Procedural solid textures: the albedo of a point in a primitive's own coordinates."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from moonseg_jax.rooms.scene import (
    CHECKER,
    PAINTING,
    PLANKS,
    SPECKLE,
    STRIPES,
    TILES,
    WOOD,
    Materials,
)
from moonseg_jax.rooms.triple import Triple, scaled

_SHIFT = 0.37  # Keeps faces of primitives off the borders of cells.
_PRIMES = (73856093, 19349663, 83492791)


def albedo(material: Materials, local: Triple, footprint: jax.Array) -> Triple:
    """The colour of surface points.

    Args:
        material: one row a point, its vectors split into three ``[*b]``.
        local: metres along the primitive's axes from its centre, three ``[*b]``.
        footprint: ``[*b]`` metres that a pixel covers; finer detail fades into its mean.

    Returns:
        Linear albedo, three ``[*b]``.
    """
    rate, grain = tuple(material.frequency), tuple(material.grain)
    a, b = tuple(material.color_a), tuple(material.color_b)
    cell = tuple(x * f + _SHIFT for x, f in zip(local, rate, strict=True))
    fines = tuple(c * g for c, g in zip(cell, grain, strict=True))
    coarse, fine = _noise(fines, 0), _noise(scaled(fines, 2.7), 1)
    size = _largest(rate) * footprint
    mix = _mix(material, cell, coarse, fine, size, size * _largest(grain))
    painting = material.pattern == PAINTING
    low = jnp.clip(4.0 * coarse - 1.5, 0.0, 1.0)
    high = jnp.where(painting, 0.6 * jnp.clip(6.0 * fine - 2.5, 0.0, 1.0), 0.0)
    mix = jnp.where(painting, low, mix)
    # Pictures: broad strokes of the two colours, and of the first one with its channels swapped.
    return tuple(
        (x + (y - x) * mix) * (1 - high) + high * swapped
        for x, y, swapped in zip(a, b, a[::-1], strict=True)
    )


def _mix(
    material: Materials,
    cell: Triple,
    coarse: jax.Array,
    fine: jax.Array,
    size: jax.Array,
    grain_size: jax.Array,
) -> jax.Array:
    """The share of the second colour, in 0..1; ``size`` and ``grain_size`` in cells a pixel."""
    sharp = jnp.clip(1.4 - 2.0 * size, 0.0, 1.0)
    fade = jnp.clip(1.4 - 2.0 * grain_size, 0.0, 1.0)
    cloud = 0.5 + fade * (0.65 * (coarse - 0.5) + 0.35 * (fine - 0.5))
    along = tuple(jnp.floor(c) for c in cell)
    tone = _random(along)
    rings = _wave(cell[1] + 0.6 * cell[2] + 2.5 * coarse)
    edges = [
        jnp.where(f > 0, jnp.abs(c - i - 0.5), 0.0)
        for c, i, f in zip(cell, along, material.frequency, strict=True)
    ]
    seam = jnp.clip((_largest(edges) - 0.47) / 0.02, 0.0, 1.0)
    pattern = material.pattern
    mix = 0.25 * cloud
    mix = jnp.where(pattern == CHECKER, _odd(along[0] + along[1] + along[2]), mix)
    mix = jnp.where(pattern == STRIPES, _odd(along[0] + along[1]), mix)
    mix = jnp.where(pattern == SPECKLE, jnp.clip(2.5 * cloud - 0.75, 0.0, 1.0), mix)
    mix = jnp.where(pattern == WOOD, 0.6 * rings + 0.4 * cloud, mix)
    mix = jnp.where(pattern == PLANKS, 0.5 * tone + 0.4 * cloud + 0.6 * seam, mix)
    mix = jnp.where(pattern == TILES, jnp.maximum(seam, 0.2 * cloud + 0.1 * tone), mix)
    return 0.5 + (mix - 0.5) * sharp


def _largest(values: Sequence[jax.Array]) -> jax.Array:
    return jnp.maximum(jnp.maximum(values[0], values[1]), values[2])


def _odd(values: jax.Array) -> jax.Array:
    return values - 2 * jnp.floor(values / 2)


def _wave(x: jax.Array) -> jax.Array:
    """A smooth wave of period 1 between 0 and 1, cheaper than a sine."""
    f = jnp.abs(2 * (x - jnp.floor(x)) - 1)
    return f * f * (3 - 2 * f)


def _random(points: Triple) -> jax.Array:
    """White noise in 0..1 on integer points."""
    x, y, z = (p.astype(jnp.int32) * prime for p, prime in zip(points, _PRIMES, strict=True))
    return _scramble(x ^ y ^ z)


def _scramble(h: jax.Array) -> jax.Array:
    h = h.astype(jnp.uint32)
    h = (h ^ (h >> 15)) * jnp.uint32(0x2C1B3C6D)
    h = (h ^ (h >> 12)) * jnp.uint32(0x297A2D39)
    return (h >> 8).astype(jnp.float32) * (1.0 / (1 << 24))


def _noise(points: Triple, layer: int) -> jax.Array:
    """Value noise in 0..1, one cell per unit."""
    base = [jnp.floor(p) for p in points]
    f = [p - b for p, b in zip(points, base, strict=True)]
    f = [x * x * (3 - 2 * x) for x in f]
    low = [b.astype(jnp.int32) * prime for b, prime in zip(base, _PRIMES, strict=True)]
    high = [h + prime for h, prime in zip(low, _PRIMES, strict=True)]

    def line(y: jax.Array, z: jax.Array) -> jax.Array:
        a, b = _scramble(low[0] ^ y ^ z ^ 977 * layer), _scramble(high[0] ^ y ^ z ^ 977 * layer)
        return a + (b - a) * f[0]

    def sheet(z: jax.Array) -> jax.Array:
        a, b = line(low[1], z), line(high[1], z)
        return a + (b - a) * f[1]

    a, b = sheet(low[2]), sheet(high[2])
    return a + (b - a) * f[2]
