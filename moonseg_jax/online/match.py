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
    feasible = candidate & (score >= threshold)
    cost = jnp.where(feasible, threshold - score, jnp.inf)
    return assign(cost, _cost_of_staying_alone(cost, rule))


def _cost_of_staying_alone(cost: jax.Array, rule: str) -> float | jax.Array:
    if rule == "score":
        return 0.0
    if rule == "count":  # More than all that the others could gain by it.
        return 1.0 - len(cost) * jnp.min(cost, initial=0.0)
    raise ValueError(f"online.assignment is 'score' or 'count', not {rule!r}")
