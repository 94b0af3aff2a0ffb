"""The spatial keys of the Query Index Memory: at most one per (voxel, row), found by hashing.

Keys lie densely in the order they came; an open-addressing hash of twice their capacity says
where each (voxel, row) is. Everything runs inside `jit`, on any backend, and the same inputs give
the same table bit for bit.
"""

import jax
import jax.numpy as jnp
from flax import struct

_EMPTY = jnp.iinfo(jnp.int32).max


@struct.dataclass
class KeyTable:
    """Spatial keys (D16), bounded by the surface seen and not by time.

    Attributes:
        points: ``[k 3]`` in the world frame, the first point seen in its voxel; zero where empty.
        rows: ``[k]`` int32, the bank row each key belongs to; -1 where empty.
        slots: ``[2k]`` int32, the hash: index of a key, or the greatest int32 where empty.
        count: ``[]`` int32, keys wanted so far: more than ``k`` says that the table overflowed.
    """

    points: jax.Array
    rows: jax.Array
    slots: jax.Array
    count: jax.Array

    @property
    def capacity(self) -> int:
        """``k``: how many keys fit. The hash is then half full."""
        return self.rows.shape[0]


def empty_keys(capacity: int, dtype: jnp.dtype = jnp.float32) -> KeyTable:
    """A table without keys.

    Args:
        capacity: ``k``, a power of two.
        dtype: of the points.
    """
    if capacity & (capacity - 1):
        raise ValueError(f"a key table holds a power of two of keys, not {capacity}")
    return KeyTable(
        points=jnp.zeros((capacity, 3), dtype),
        rows=jnp.full(capacity, -1, jnp.int32),
        slots=jnp.full(2 * capacity, _EMPTY, jnp.int32),
        count=jnp.zeros((), jnp.int32),
    )


def insert_keys(table: KeyTable, points: jax.Array, rows: jax.Array, voxel: float) -> KeyTable:
    """Adds the keys whose (voxel, row) the table does not hold yet; the first one seen stays.

    Args:
        table: with room for all new keys (the caller grows it first; `KeyTable.count` tells).
        points: ``[m 3]`` finite, in the world frame.
        rows: ``[m]`` int32, the bank row of each; -1 where there is nothing to insert.
        voxel: side of a voxel in scene units.

    Returns:
        The table with the new keys behind the old ones, in the order of ``points``.
    """
    slots, place, won = _claim(table, points, rows, voxel)
    index = table.count + jnp.cumsum(won, dtype=jnp.int32) - 1
    target = jnp.where(won, index, table.capacity)
    return KeyTable(
        points=table.points.at[target].set(points, mode="drop"),
        rows=table.rows.at[target].set(rows, mode="drop"),
        slots=slots.at[jnp.where(won, place, slots.shape[0])].set(index, mode="drop"),
        count=table.count + jnp.sum(won, dtype=jnp.int32),
    )


def grow_keys(table: KeyTable, capacity: int, voxel: float) -> KeyTable:
    """The same keys in the same order in a larger table.

    Args:
        table: any table.
        capacity: the new ``k``, a power of two.
        voxel: as given to `insert_keys`.
    """
    return insert_keys(empty_keys(capacity, table.points.dtype), table.points, table.rows, voxel)


def _cells(points: jax.Array, voxel: float) -> jax.Array:
    return jnp.floor(points / voxel).astype(jnp.int32)


def _claim(
    table: KeyTable, points: jax.Array, rows: jax.Array, voxel: float
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Finds a slot for every entry, all entries at once, one probe a round.

    A claim on an empty slot is the number ``k + entry``, scattered with min: the lowest entry
    wins, whatever the order of the scatter. Equal entries probe the same slots in the same
    rounds: one claims, the others find it there.

    Returns:
        ``slots [2k]`` with the claims in, the slot of each entry ``[m]``, and whether the entry
        is a new key ``[m]``.
    """
    size, capacity = table.slots.shape[0], table.capacity
    cells = _cells(points, voxel)
    home = _hash(cells, rows)
    entry = jnp.arange(rows.shape[0], dtype=jnp.int32)

    def searching(carry: tuple[jax.Array, ...]) -> jax.Array:
        active, probe = carry[3], carry[4]
        return jnp.any(active) & (probe < size)

    def probe_once(carry: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        slots, place, won, active, probe, offset = carry
        slot = ((home + offset) & jnp.uint32(size - 1)).astype(jnp.int32)
        free = active & (slots[slot] == _EMPTY)
        slots = slots.at[slot].min(jnp.where(free, capacity + entry, _EMPTY))
        owner = slots[slot]
        mine = active & (owner == capacity + entry)
        active &= ~_same_key(table, points, rows, owner, cells, voxel)
        # Triangular steps visit every slot of a power of two.
        probe += 1
        offset += probe.astype(jnp.uint32)
        return slots, jnp.where(mine, slot, place), won | mine, active, probe, offset

    none = jnp.zeros(rows.shape, bool)
    zero = jnp.zeros((), jnp.int32)
    start = (table.slots, jnp.zeros_like(rows), none, rows >= 0, zero, zero.astype(jnp.uint32))
    slots, place, won = jax.lax.while_loop(searching, probe_once, start)[:3]
    return slots, place, won


def _same_key(
    table: KeyTable,
    points: jax.Array,
    rows: jax.Array,
    owner: jax.Array,
    cells: jax.Array,
    voxel: float,
) -> jax.Array:
    """Whether what holds each entry's slot, a key or a claim, is the entry's own (voxel, row)."""
    key = jnp.minimum(owner, table.capacity - 1)
    claim = jnp.clip(owner - table.capacity, 0, rows.shape[0] - 1)
    is_key = owner < table.capacity
    owner_points = jnp.where(is_key[:, None], table.points[key], points[claim])
    owner_rows = jnp.where(is_key, table.rows[key], rows[claim])
    return jnp.all(_cells(owner_points, voxel) == cells, axis=-1) & (owner_rows == rows)


def _hash(cells: jax.Array, rows: jax.Array) -> jax.Array:
    """Mixes a voxel and a row into 32 bits (the finaliser of MurmurHash3)."""
    x, y, z = (cells[:, i].astype(jnp.uint32) for i in range(3))
    mixed = x * jnp.uint32(0x9E3779B1) ^ y * jnp.uint32(0x85EBCA77) ^ z * jnp.uint32(0xC2B2AE3D)
    mixed ^= rows.astype(jnp.uint32) * jnp.uint32(0x27D4EB2F)
    mixed = (mixed ^ (mixed >> 16)) * jnp.uint32(0x85EBCA6B)
    mixed = (mixed ^ (mixed >> 13)) * jnp.uint32(0xC2B2AE35)
    return mixed ^ (mixed >> 16)
