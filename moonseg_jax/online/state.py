"""What the online loop remembers: the query bank, the spatial keys, and a frame counter."""

import dataclasses

import jax
import jax.numpy as jnp
from flax import struct
from ml_collections import ConfigDict

from moonseg_jax.geometry import empty_box
from moonseg_jax.memory.table import KeyTable, empty_keys, grow_keys


@struct.dataclass
class Bank:
    """One row per instance; rows are never reused, and rows past ``num_rows`` are blank.

    Attributes:
        queries: ``[n d]``, running mean of the merged queries.
        tokens: ``[n s]``, running mean of the state distribution tokens; ``s`` may be 0.
        boxes: ``[n 2 3]`` in the world frame, union over frames; empty until a point is seen.
        observations: ``[n]`` int32, frames in which the instance was seen.
        score_sum: ``[n]``, sum over those frames of the 2D mask score.
        first_frame: ``[n]`` int32, counting from 0; -1 where blank.
        last_frame: ``[n]`` int32, likewise.
    """

    queries: jax.Array
    tokens: jax.Array
    boxes: jax.Array
    observations: jax.Array
    score_sum: jax.Array
    first_frame: jax.Array
    last_frame: jax.Array

    @property
    def capacity(self) -> int:
        """``n``: how many rows fit."""
        return self.observations.shape[0]


@struct.dataclass
class OnlineState:
    """Everything `step` carries from frame to frame: fixed shapes, bounded by the surface seen.

    Attributes:
        bank: the query bank.
        keys: the spatial keys of the Query Index Memory.
        num_rows: ``[]`` int32, rows wanted so far: more than ``n`` says that the bank overflowed.
        frame: ``[]`` int32, frames seen.
    """

    bank: Bank
    keys: KeyTable
    num_rows: jax.Array
    frame: jax.Array


def init(
    config: ConfigDict, width: int, state_tokens: int, dtype: jnp.dtype = jnp.float32
) -> OnlineState:
    """The state before the first frame.

    Args:
        config: with ``memory.row_capacity`` and ``memory.key_capacity``, the first capacities.
        width: ``d`` of the core.
        state_tokens: ``s``; 0 where the frames carry no state attention.
        dtype: of everything that is not a count.
    """
    zero = jnp.zeros((), jnp.int32)
    return OnlineState(
        bank=_blank_bank(config.memory.row_capacity, width, state_tokens, dtype),
        # By index: a ConfigDict has a method of that name.
        keys=empty_keys(config.memory.key_capacity, dtype),
        num_rows=zero,
        # Not the same array as `num_rows`: a donated buffer may appear only once.
        frame=jnp.zeros((), jnp.int32),
    )


def grow(state: OnlineState, rows: int, keys: int, voxel: float) -> OnlineState:
    """The same contents with larger capacities.

    Args:
        state: any state.
        rows: the new ``n``, at least the old one.
        keys: the new ``k``, a power of two, at least the old one.
        voxel: ``memory.voxel`` of the config.
    """
    bank = state.bank
    if rows > bank.capacity:
        width, tokens = bank.queries.shape[1], bank.tokens.shape[1]
        blank = _blank_bank(rows - bank.capacity, width, tokens, bank.queries.dtype)
        bank = jax.tree.map(lambda old, new: jnp.concatenate([old, new]), bank, blank)
    table = state.keys
    if keys > table.capacity:
        table = grow_keys(table, keys, voxel)
    return dataclasses.replace(state, bank=bank, keys=table)


def _blank_bank(rows: int, width: int, state_tokens: int, dtype: jnp.dtype) -> Bank:
    return Bank(
        queries=jnp.zeros((rows, width), dtype),
        tokens=jnp.zeros((rows, state_tokens), dtype),
        boxes=empty_box((rows,), dtype),
        observations=jnp.zeros(rows, jnp.int32),
        score_sum=jnp.zeros(rows, dtype),
        first_frame=jnp.full(rows, -1, jnp.int32),
        last_frame=jnp.full(rows, -1, jnp.int32),
    )
