"""Update: the bank's running means and boxes, and the spatial keys of what was seen."""

import jax
import jax.numpy as jnp

from moonseg_jax.geometry import box_union
from moonseg_jax.memory.table import KeyTable, insert_keys
from moonseg_jax.online.observe import Observation
from moonseg_jax.online.state import Bank


def allocate_rows(
    matched: jax.Array, valid: jax.Array, num_rows: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Gives each unmatched mask the next free row, in order.

    Args:
        matched: ``[q]`` int32 row, -1 where a mask has no match.
        valid: ``[q]`` bool.
        num_rows: ``[]`` rows in use.

    Returns:
        ``rows [q]`` int32, -1 where not valid, and ``is_new [q]`` bool.
    """
    is_new = valid & (matched < 0)
    fresh = num_rows + jnp.cumsum(is_new, dtype=jnp.int32) - 1
    return jnp.where(valid, jnp.where(is_new, fresh, matched), -1), is_new


def update_bank(bank: Bank, observed: Observation, rows: jax.Array, frame: jax.Array) -> Bank:
    """Merges one observation into each of its rows.

    Args:
        bank: rows ``[n ...]``.
        observed: masks ``[q ...]``.
        rows: ``[q]`` int32, all different; -1 where there is nothing to merge.
        frame: ``[]`` int32, the number of this frame.

    Returns:
        The bank with running means by the number of observations, unions of boxes, and counts.
    """
    source = jnp.maximum(rows, 0)
    target = jnp.where(rows >= 0, rows, bank.capacity)
    seen = bank.observations[source]
    weight = (1 / (seen + 1).astype(bank.queries.dtype))[:, None]

    def mean(old: jax.Array, new: jax.Array) -> jax.Array:
        return old.at[target].set(old[source] + weight * (new - old[source]), mode="drop")

    first = jnp.where(seen > 0, bank.first_frame[source], frame)
    boxes = box_union(bank.boxes[source], observed.boxes)
    return Bank(
        queries=mean(bank.queries, observed.queries),
        tokens=mean(bank.tokens, observed.tokens),
        boxes=bank.boxes.at[target].set(boxes, mode="drop"),
        observations=bank.observations.at[target].add(1, mode="drop"),
        score_sum=bank.score_sum.at[target].add(observed.scores, mode="drop"),
        first_frame=bank.first_frame.at[target].set(first, mode="drop"),
        last_frame=bank.last_frame.at[target].set(frame, mode="drop"),
    )


def add_keys(
    keys: KeyTable, points: jax.Array, attended: jax.Array, rows: jax.Array, voxel: float
) -> KeyTable:
    """Inserts a key for every pair of a patch and a mask that attends to it.

    There may be ``q·p`` pairs and there are hardly ever more than ``2p``, so they are inserted
    ``2p`` at a time, as often as it takes.

    Args:
        keys: with room for all pairs.
        points: ``[p 3]`` patch points in the world frame.
        attended: ``[q p]`` bool, only patches with a valid point.
        rows: ``[q]`` int32, -1 where a mask is not valid.
        voxel: side of a voxel in scene units.
    """
    p = points.shape[0]
    pairs = (attended & (rows >= 0)[:, None]).reshape(-1)
    rank = jnp.cumsum(pairs, dtype=jnp.int32)

    def unfinished(carry: tuple[KeyTable, jax.Array]) -> jax.Array:
        return carry[1] < rank[-1]

    def insert_some(carry: tuple[KeyTable, jax.Array]) -> tuple[KeyTable, jax.Array]:
        keys, done = carry
        wanted = done + 1 + jnp.arange(2 * p, dtype=jnp.int32)
        mask, patch = jnp.divmod(jnp.searchsorted(rank, wanted, method="scan_unrolled"), p)
        row = jnp.where(wanted <= rank[-1], rows[mask], -1)
        return insert_keys(keys, points[patch], row, voxel), done + 2 * p

    return jax.lax.while_loop(unfinished, insert_some, (keys, jnp.zeros((), jnp.int32)))[0]
