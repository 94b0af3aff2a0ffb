"""Cross-frame match: an optimal assignment of masks to instances over the feasible pairs."""

import jax
import jax.numpy as jnp
from optax.assignment import hungarian_algorithm


def match(score: jax.Array, feasible: jax.Array, best: float) -> jax.Array:
    """Assigns masks to rows: as many feasible pairs as possible, and of those the greatest E.

    Every mask also has a column of its own that means "no match", far dearer than any feasible
    pair and cheaper than any infeasible one. It keeps all costs finite, and without it the solver
    walks through tied infeasible columns: 25 ms instead of 1 at 64 masks and 1,024 rows.

    Args:
        score: ``[q n]``, E of Eq. 12.
        feasible: ``[q n]`` bool.
        best: the greatest value E can take, the number of its terms.

    Returns:
        ``[q]`` int32 row; -1 where a mask has no match.
    """
    q, n = score.shape
    unmatched = 2.0 * q * best
    cost = jnp.where(feasible, best - score, 2 * unmatched)
    # Few rows are feasible in a view of a large scene: then the solver sees only those.
    few = min(n, 2 * q)
    used = jnp.any(feasible, axis=0)
    column = jnp.argsort(~used, stable=True)[:few]

    def over_few(cost: jax.Array) -> jax.Array:
        choice = _assign(cost[:, column], unmatched)
        return jnp.where(choice >= 0, column[choice], -1).astype(jnp.int32)

    def over_all(cost: jax.Array) -> jax.Array:
        return _assign(cost, unmatched)

    return jax.lax.cond(jnp.sum(used) <= few, over_few, over_all, cost)


def _assign(cost: jax.Array, unmatched: float) -> jax.Array:
    """``[q]`` int32, the column of each row of ``cost [q n]``; -1 where it took its own."""
    q, n = cost.shape
    own = jnp.where(jnp.eye(q, dtype=bool), unmatched, 2 * unmatched).astype(cost.dtype)
    row, column = hungarian_algorithm(jnp.concatenate([cost, own], axis=1))
    choice = jnp.zeros(q, jnp.int32).at[row].set(column.astype(jnp.int32))
    return jnp.where(choice < n, choice, -1)
