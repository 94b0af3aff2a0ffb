"""Update: the bank's running means and boxes, and the spatial keys of what was seen."""

import jax
import jax.numpy as jnp

from moonseg_jax.geometry import box_union
from moonseg_jax.memory.table import KeyTable, insert_in_turns
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
    weight = (1 / (bank.observations[source] + 1).astype(bank.queries.dtype))[:, None]
    # What is small is written whole: one scatter, of who is seen, instead of five.
    mask = jnp.full(bank.capacity, -1, jnp.int32)
    mask = mask.at[target].set(jnp.arange(len(rows), dtype=jnp.int32), mode="drop")
    seen = mask >= 0

    def mean(old: jax.Array, new: jax.Array) -> jax.Array:
        return old.at[target].set(old[source] + weight * (new - old[source]), mode="drop")

    boxes = box_union(bank.boxes, observed.boxes[mask])
    return Bank(
        queries=mean(bank.queries, observed.queries),
        tokens=mean(bank.tokens, observed.tokens),
        boxes=jnp.where(seen[:, None, None], boxes, bank.boxes),
        observations=bank.observations + seen,
        score_sum=bank.score_sum + jnp.where(seen, observed.scores[mask], 0.0),
        first_frame=jnp.where(seen & (bank.observations == 0), frame, bank.first_frame),
        last_frame=jnp.where(seen, frame, bank.last_frame),
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

    def some(start: jax.Array) -> tuple[jax.Array, jax.Array]:
        wanted = start + 1 + jnp.arange(2 * p, dtype=jnp.int32)
        mask, patch = jnp.divmod(jnp.searchsorted(rank, wanted, method="scan_unrolled"), p)
        return points[patch], jnp.where(wanted <= rank[-1], rows[mask], -1)

    return insert_in_turns(keys, some, rank[-1], voxel)
