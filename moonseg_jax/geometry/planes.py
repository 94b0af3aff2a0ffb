"""Arithmetic on bit planes as they are: counting and uniting masks 32 at a time."""

import jax
import jax.numpy as jnp

from moonseg_jax.structs.bitplanes import WORD_BITS

# Fields of a word in which counts are summed: their width, and the lowest field.
_FIELDS = ((4, 0x11111111), (8, 0x0F0F0F0F), (16, 0x00FF00FF), (32, 0x0000FFFF))


def plane_coverage(planes: jax.Array, grid: tuple[int, int]) -> jax.Array:
    """The fraction of each cell inside each mask, as `mask_coverage` gives it of unpacked masks.

    Args:
        planes: ``[Hm Wm words]`` uint32 bit planes.
        grid: ``(h, w)``, dividing ``(Hm, Wm)`` or, where it is finer, a multiple of it.

    Returns:
        ``[q h·w]`` float32 in 0..1, ``q = words·32``.
    """
    finer = max(1, grid[0] // planes.shape[0])
    planes = jnp.repeat(jnp.repeat(planes, finer, axis=0), finer, axis=1)
    (height, width, words), (h, w) = planes.shape, grid
    if height % h or width % w:
        raise ValueError(f"cells of {height}x{width} over {h}x{w} would not be equal")
    cells = planes.reshape(h, height // h, w, width // w, words)
    cells = jnp.moveaxis(cells, (1, 3), (0, 1)).reshape(-1, h, w, words)
    count = jnp.moveaxis(_count(cells), -1, 0).reshape(words * WORD_BITS, h * w)
    return count.astype(jnp.float32) / len(cells)


def unite_planes(planes: jax.Array, member: jax.Array) -> jax.Array:
    """The union of the masks of each group.

    Args:
        planes: ``[Hm Wm words]`` uint32 bit planes.
        member: ``[q q]`` bool, ``q = words·32``: row g holds the masks of group g.

    Returns:
        Bit planes of the same shape; plane g is group g.
    """
    q, words = member.shape[0], planes.shape[-1]
    bit = jnp.left_shift(jnp.uint32(1), jnp.arange(WORD_BITS, dtype=jnp.uint32))
    bits = jnp.where(member.reshape(q, words, WORD_BITS), bit[None, None], 0)
    bits = jnp.sum(bits, axis=-1, dtype=jnp.uint32)
    inside = jnp.zeros((*planes.shape[:2], q), bool)
    for word in range(words):
        inside |= (planes[..., word, None] & bits[None, None, :, word]) != 0
    inside = inside.reshape(*planes.shape, WORD_BITS)
    return jnp.sum(jnp.where(inside, bit[None, None, None], 0), axis=-1, dtype=jnp.uint32)


def _count(words: jax.Array) -> jax.Array:
    """How often each bit is set in ``[n *b]`` words: ``[32 *b]`` uint32.

    Bits are summed in fields of a word, which widen before they could overflow.
    """
    fields, most, width = words[None], 1, 1
    for wider, lowest in _FIELDS:
        shifts = range(0, wider, width)
        split = jnp.stack([(fields >> shift) & jnp.uint32(lowest) for shift in shifts])
        split = split.reshape(-1, *fields.shape[1:])
        n = split.shape[1]
        together = max(g for g in range(1, n + 1) if n % g == 0 and g * most < 1 << wider)
        fields = jnp.sum(split.reshape(len(split), -1, together, *split.shape[2:]), 2, jnp.uint32)
        most, width = most * together, wider
    return fields[:, 0]
