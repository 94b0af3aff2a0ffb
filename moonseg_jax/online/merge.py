"""Intra-frame merge: masks of one frame whose queries say "one object" become one (D12)."""

import math

import jax
import jax.numpy as jnp

from moonseg_jax.geometry import plane_coverage, unite_planes
from moonseg_jax.online.observe import Observation
from moonseg_jax.online.similarity import cosine


def merge_groups(queries: jax.Array, valid: jax.Array, threshold: float, rule: str) -> jax.Array:
    """Which masks are one object.

    Args:
        queries: ``[q d]``.
        valid: ``[q]`` bool.
        threshold: two masks are alike where the cosine of their queries reaches it.
        rule: "components" joins everything connected by likeness; "greedy" joins pairs, the most
            alike first, each mask at most once.

    Returns:
        ``[q]`` int32, the lowest index in each mask's group: its own where it stays alone.
    """
    likeness = jnp.where(valid[:, None] & valid[None], cosine(queries, queries), -jnp.inf)
    if rule == "components":
        return _components(likeness >= threshold)
    if rule == "greedy":
        return _greedy_pairs(likeness, threshold)
    raise ValueError(f"online.merge_rule is 'components' or 'greedy', not {rule!r}")


def merge_observations(observed: Observation, group: jax.Array) -> Observation:
    """One observation a group, at the group's lowest index; the others are no longer valid.

    Args:
        observed: masks ``[q ...]``.
        group: ``[q]`` as `merge_groups` gives it.

    Returns:
        Mean query, mean token, union of boxes and best score of each group.
    """
    member = group_members(group, observed.valid)
    share = member.astype(observed.queries.dtype)
    share /= jnp.maximum(jnp.sum(share, axis=1, keepdims=True), 1.0)
    low = jnp.where(member[..., None], observed.boxes[None, :, 0], jnp.inf)
    high = jnp.where(member[..., None], observed.boxes[None, :, 1], -jnp.inf)
    return Observation(
        queries=jnp.matmul(share, observed.queries, precision=jax.lax.Precision.HIGHEST),
        tokens=jnp.matmul(share, observed.tokens, precision=jax.lax.Precision.HIGHEST),
        boxes=jnp.stack([jnp.min(low, axis=1), jnp.max(high, axis=1)], axis=1),
        scores=jnp.max(jnp.where(member, observed.scores[None], 0.0), axis=1),
        valid=jnp.any(member, axis=1),
    )


def group_members(group: jax.Array, valid: jax.Array) -> jax.Array:
    """``[q q]`` bool: row g holds the masks of group g, nothing where g leads no group."""
    leader = jnp.arange(group.shape[0], dtype=group.dtype)
    return (group[None] == leader[:, None]) & valid[None]


def union_coverage(planes: jax.Array, member: jax.Array, grid: tuple[int, int]) -> jax.Array:
    """The fraction of each patch inside the union of a group's masks.

    Args:
        planes: ``[Hm Wm words]`` uint32 bit planes.
        member: ``[q q]`` bool as `group_members` gives it, ``q = words·32``.
        grid: ``(h, w)``.

    Returns:
        ``[q p]``.
    """
    return plane_coverage(unite_planes(planes, member), grid)


def _components(alike: jax.Array) -> jax.Array:
    """Connected components by squaring reachability log2(q) times."""
    q = alike.shape[0]
    reach = alike | jnp.eye(q, dtype=bool)
    for _ in range(math.ceil(math.log2(max(q, 2)))):
        steps = reach.astype(jnp.float32)
        reach = (steps @ steps) > 0
    return jnp.argmax(reach, axis=1).astype(jnp.int32)


def _greedy_pairs(likeness: jax.Array, threshold: float) -> jax.Array:
    q = likeness.shape[0]
    index = jnp.arange(q, dtype=jnp.int32)
    above_diagonal = index[:, None] < index[None]

    def likely(carry: tuple[jax.Array, jax.Array]) -> jax.Array:
        return jnp.any(carry[0] >= threshold)

    def join_best(carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        open_pairs, group = carry
        first, second = jnp.divmod(jnp.argmax(open_pairs).astype(jnp.int32), q)
        taken = (index == first) | (index == second)
        open_pairs = jnp.where(taken[:, None] | taken[None], -jnp.inf, open_pairs)
        return open_pairs, jnp.where(index == second, first, group)

    start = jnp.where(above_diagonal, likeness, -jnp.inf)
    return jax.lax.while_loop(likely, join_best, (start, index))[1]
