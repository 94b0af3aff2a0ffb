"""The spatial keys of the Query Index Memory: at most one per (voxel, row), found by hashing.

Keys lie densely in the order they came; an open-addressing hash of twice their capacity says
where each (voxel, row) is. Everything runs inside `jit`, on any backend, and the same inputs give
the same table bit for bit.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import struct

_EMPTY = jnp.iinfo(jnp.int32).max
_PROBES = 8  # Slots looked at in one round: half full, hardly any key needs a second one.
_PIECE = 1 << 14  # Keys moved at once into a larger table.


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
    total = jnp.full((), len(rows), jnp.int32)
    return insert_in_turns(table, lambda start: (points, rows), total, voxel)


def insert_in_turns(
    table: KeyTable,
    entries: Callable[[jax.Array], tuple[jax.Array, jax.Array]],
    total: jax.Array,
    voxel: float,
) -> KeyTable:
    """`insert_keys` of so many entries at a time as ``entries`` gives.

    One loop for what is left over: on a GPU the host waits wherever a loop might end, and nearly
    always the first look at the first entries is all there is to do.

    Args:
        table: as for `insert_keys`.
        entries: from the number of the first entry ``[]`` to ``points [m 3]`` and ``rows [m]``.
        total: ``[]`` int32, how many entries there are.
        voxel: as for `insert_keys`.

    Returns:
        As `insert_keys`.
    """

    def begin(table: KeyTable, start: jax.Array) -> _Turn:
        points, rows = entries(start)
        none = jnp.zeros(rows.shape, jnp.int32)
        return _Turn(table, start, points, rows, none, none > 0, rows >= 0, none.astype(jnp.uint32))

    def unfinished(turn: _Turn) -> jax.Array:
        return jnp.any(turn.active) | (turn.start + len(turn.rows) < total)

    def go_on(turn: _Turn) -> _Turn:
        settled = ~jnp.any(turn.active)
        following = begin(turn.table, turn.start + len(turn.rows))
        following = jax.tree.map(
            lambda new, old: jnp.where(settled, new, old),
            dataclasses.replace(following, table=None),
            dataclasses.replace(turn, table=None),
        )
        written = _write(dataclasses.replace(turn, won=turn.won & settled))
        return _look(dataclasses.replace(following, table=written), voxel)

    turn = _look(begin(table, jnp.zeros((), jnp.int32)), voxel)
    return _write(jax.lax.while_loop(unfinished, go_on, turn))


def grow_keys(table: KeyTable, capacity: int, voxel: float) -> KeyTable:
    """The same keys in the same order in a larger table.

    Args:
        table: any table.
        capacity: the new ``k``, a power of two.
        voxel: as given to `insert_keys`.
    """
    piece = min(_PIECE, table.capacity)

    def move(i: jax.Array, grown: KeyTable) -> KeyTable:
        points, rows = (
            jax.lax.dynamic_slice_in_dim(x, i * piece, piece) for x in (table.points, table.rows)
        )
        return insert_keys(grown, points, rows, voxel)

    larger = empty_keys(capacity, table.points.dtype)
    return jax.lax.fori_loop(0, table.capacity // piece, move, larger)


def _cells(points: jax.Array, voxel: float) -> jax.Array:
    return jnp.floor(points / voxel).astype(jnp.int32)


@struct.dataclass
class _Turn:
    """Entries that look for their slots, all at once.

    Attributes:
        table: whose slots hold claims, too.
        start: ``[]`` int32, the number of the first entry.
        points, rows: ``[m 3]``, ``[m]`` int32.
        place: ``[m]`` int32, the slot of each new key.
        won: ``[m]`` bool, whether the entry is a new key.
        active: ``[m]`` bool, whether it is still looking.
        probe: ``[m]`` uint32, how many slots it has passed.
    """

    table: KeyTable
    start: jax.Array
    points: jax.Array
    rows: jax.Array
    place: jax.Array
    won: jax.Array
    active: jax.Array
    probe: jax.Array


def _look(turn: _Turn, voxel: float) -> _Turn:
    """Every active entry looks at its next few slots.

    An entry stops at the first slot that is empty or holds its own key. A claim on an empty slot is
    the number ``k + entry``, scattered with min: the lowest entry wins, whatever the order of the
    scatter. Equal entries stop at the same slot: one claims it, the others find it there.
    """
    table, points, rows = turn.table, turn.points, turn.rows
    size, capacity = table.slots.shape[0], table.capacity
    cells = _cells(points, voxel)
    entry = jnp.arange(rows.shape[0], dtype=jnp.int32)
    # Triangular steps visit every slot of a power of two.
    step = turn.probe[:, None] + jnp.arange(_PROBES, dtype=jnp.uint32)[None]
    triangle = (step | 1) * ((step + 1) // 2)  # Half of step·(step + 1), without overflow.
    seen = (_hash(cells, rows)[:, None] + triangle) & jnp.uint32(size - 1)
    owner = table.slots[seen]
    held = _same_key(table, points, rows, owner, cells, voxel)
    stop = held | (owner == _EMPTY)
    first = jnp.argmax(stop, axis=1)[:, None]
    stops, held, slot = (
        jnp.take_along_axis(x, first, axis=1)[:, 0] for x in (stop, held, seen.astype(jnp.int32))
    )
    claims = turn.active & stops & ~held
    slots = table.slots.at[jnp.where(claims, slot, size)].min(capacity + entry, mode="drop")
    owner = slots[slot][:, None]
    mine = claims & (owner[:, 0] == capacity + entry)
    found = stops & _same_key(table, points, rows, owner, cells, voxel)[:, 0]
    probe = jnp.where(stops, turn.probe, turn.probe + _PROBES)
    return dataclasses.replace(
        turn,
        table=dataclasses.replace(table, slots=slots),
        place=jnp.where(mine, slot, turn.place),
        won=turn.won | mine,
        active=turn.active & ~found & (probe < size),
        probe=probe,
    )


def _write(turn: _Turn) -> KeyTable:
    """The table with the keys that won a slot."""
    table, won = turn.table, turn.won
    index = table.count + jnp.cumsum(won, dtype=jnp.int32) - 1
    target = jnp.where(won, index, table.capacity)
    place = jnp.where(won, turn.place, table.slots.shape[0])
    return KeyTable(
        points=table.points.at[target].set(turn.points, mode="drop"),
        rows=table.rows.at[target].set(turn.rows, mode="drop"),
        slots=table.slots.at[place].set(index, mode="drop"),
        count=table.count + jnp.sum(won, dtype=jnp.int32),
    )


def _same_key(
    table: KeyTable,
    points: jax.Array,
    rows: jax.Array,
    owner: jax.Array,
    cells: jax.Array,
    voxel: float,
) -> jax.Array:
    """Whether what holds a slot, a key or a claim ``[m n]``, is the entry's own (voxel, row)."""
    key = jnp.minimum(owner, table.capacity - 1)
    claim = jnp.clip(owner - table.capacity, 0, rows.shape[0] - 1)
    is_key = owner < table.capacity
    owner_points = jnp.where(is_key[..., None], table.points[key], points[claim])
    owner_rows = jnp.where(is_key, table.rows[key], rows[claim])
    same = jnp.all(_cells(owner_points, voxel) == cells[:, None], axis=-1)
    return same & (owner_rows == rows[:, None]) & (owner != _EMPTY)


def _hash(cells: jax.Array, rows: jax.Array) -> jax.Array:
    """Mixes a voxel and a row into 32 bits (the finaliser of MurmurHash3)."""
    x, y, z = (cells[:, i].astype(jnp.uint32) for i in range(3))
    mixed = x * jnp.uint32(0x9E3779B1) ^ y * jnp.uint32(0x85EBCA77) ^ z * jnp.uint32(0xC2B2AE3D)
    mixed ^= rows.astype(jnp.uint32) * jnp.uint32(0x27D4EB2F)
    mixed = (mixed ^ (mixed >> 16)) * jnp.uint32(0x85EBCA6B)
    mixed = (mixed ^ (mixed >> 13)) * jnp.uint32(0xC2B2AE35)
    return mixed ^ (mixed >> 16)
