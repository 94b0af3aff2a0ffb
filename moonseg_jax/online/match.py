"""Cross-frame match: an optimal assignment of masks to instances over the feasible pairs."""

import jax
import jax.numpy as jnp

from moonseg_jax.online.assignment import assign


def match(score: jax.Array, feasible: jax.Array, best: float) -> jax.Array:
    """Assigns masks to rows: as many feasible pairs as possible, and of those the greatest E.

    To stay without a match costs more than all that could be gained elsewhere by it.

    Args:
        score: ``[q n]``, E of Eq. 12.
        feasible: ``[q n]`` bool.
        best: the greatest value E can take, the number of its terms.

    Returns:
        ``[q]`` int32 row; -1 where a mask has no match.
    """
    q, n = score.shape
    unmatched = 2.0 * q * best
    cost = jnp.where(feasible, best - score, jnp.inf)
    # Few rows are feasible in a view of a large scene: then the solver sees only those.
    few = min(n, 2 * q)
    used = jnp.any(feasible, axis=0)
    column = jnp.argsort(~used, stable=True)[:few].astype(jnp.int32)

    def over_few() -> jax.Array:
        choice = assign(cost[:, column], unmatched)
        return jnp.where(choice >= 0, column[choice], -1)

    return jax.lax.cond(jnp.sum(used) <= few, over_few, lambda: assign(cost, unmatched))
