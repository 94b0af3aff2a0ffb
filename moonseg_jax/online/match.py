"""Cross-frame match: an optimal assignment of masks to instances over the feasible pairs (D19)."""

import jax
import jax.numpy as jnp

from moonseg_jax.online.assignment import assign


def match(score: jax.Array, candidate: jax.Array, threshold: float, rule: str) -> jax.Array:
    """Assigns masks to rows, over the pairs whose E reaches the threshold.

    Args:
        score: ``[q n]``, E of Eq. 12.
        candidate: ``[q n]`` bool, where both the mask and the row exist.
        threshold: the least feasible E.
        rule: "score" maximises the sum of E - threshold over the pairs; "count" takes as many
            pairs as possible, and of those the greatest E.

    Returns:
        ``[q]`` int32 row; -1 where a mask has no match.
    """
    q, n = score.shape
    feasible = candidate & (score >= threshold)
    cost = jnp.where(feasible, threshold - score, jnp.inf)
    alone = _cost_of_staying_alone(cost, rule)
    # Few rows are feasible in a view of a large scene: then the solver sees only those.
    few = min(n, 2 * q)
    used = jnp.any(feasible, axis=0)
    count = jnp.sum(used, dtype=jnp.int32)

    def over_few() -> jax.Array:
        column = jnp.nonzero(used, size=few, fill_value=0)[0].astype(jnp.int32)
        choice = assign(jnp.where(jnp.arange(few) < count, cost[:, column], jnp.inf), alone)
        return jnp.where(choice >= 0, column[choice], -1)

    return jax.lax.cond(count <= few, over_few, lambda: assign(cost, alone))


def _cost_of_staying_alone(cost: jax.Array, rule: str) -> float | jax.Array:
    if rule == "score":
        return 0.0
    if rule == "count":  # More than all that the others could gain by it.
        return 1.0 - len(cost) * jnp.min(cost, initial=0.0)
    raise ValueError(f"online.assignment is 'score' or 'count', not {rule!r}")
