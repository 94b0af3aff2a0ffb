"""How alike two observations are: the cosine, and the score E of Eq. 12."""

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from moonseg_jax.geometry import box_iou
from moonseg_jax.online.observe import Observation
from moonseg_jax.online.state import Bank


def cosine(a: jax.Array, b: jax.Array) -> jax.Array:
    """Cosine of every pair of vectors; 0 where one of them is zero.

    Args:
        a: ``[m d]``.
        b: ``[n d]``.

    Returns:
        ``[m n]``.
    """
    product = jnp.matmul(a, b.T, precision=jax.lax.Precision.HIGHEST)
    return product / _length(a)[:, None] / _length(b)[None]


def terms_in_use(config: ConfigDict, state_tokens: int) -> tuple[str, ...]:
    """The terms of Eq. 12 (D11): those of ``config.online.terms`` that the frames can feed."""
    terms = tuple(config.online.terms.split(","))
    return tuple(term for term in terms if term != "state" or state_tokens > 0)


def match_threshold(config: ConfigDict, terms: tuple[str, ...]) -> float:
    """The least feasible E: the threshold for three terms, scaled to those in use (D11)."""
    return config.online.match_threshold * len(terms) / 3


def match_scores(
    observed: Observation,
    bank: Bank,
    terms: tuple[str, ...],
    box_margin: float,
    overlap: jax.Array,
) -> jax.Array:
    """``E = cos(q) + cos(s) + IoU(bbox)`` of every mask and every row, Eq. 12.

    Deviation, where ``terms`` says "view" instead of "box": the overlap in this view, `view_iou`.

    Args:
        observed: masks ``[q ...]``.
        bank: rows ``[n ...]``.
        terms: of "query", "state", "box" and "view", as `terms_in_use` gives them.
        box_margin: added to every side of the boxes, in scene units.
        overlap: ``[q n]``, as `view_iou` gives it.

    Returns:
        ``[q n]``.
    """
    score = jnp.zeros((observed.valid.shape[0], bank.capacity), observed.queries.dtype)
    if "query" in terms:
        score += cosine(observed.queries, bank.queries)
    if "state" in terms:
        score += cosine(observed.tokens, bank.tokens)
    if "box" in terms:
        score += box_iou(observed.boxes, bank.boxes, box_margin)
    if "view" in terms:
        score += overlap.astype(score.dtype)
    return score


def view_iou(attended: jax.Array, index_map: jax.Array) -> jax.Array:
    """How well each mask and each remembered instance cover each other in this view.

    A partial view of a large object overlaps the box of the whole only little; what the memory
    shows of it from here, it overlaps well.

    Args:
        attended: ``[q p]`` bool, the patches of each mask.
        index_map: ``[p n]`` bool, the binary index map I of this view (Eq. 7, 8).

    Returns:
        ``[q n]`` intersection over union in patches, 0 where both are empty.
    """
    dtype = jnp.result_type(float)
    masks, rows = attended.astype(dtype), index_map.astype(dtype)
    both = masks @ rows
    either = jnp.sum(masks, axis=1)[:, None] + jnp.sum(rows, axis=0)[None] - both
    return both / jnp.maximum(either, 1.0)


def _length(x: jax.Array) -> jax.Array:
    norm = jnp.linalg.norm(x, axis=-1)
    return jnp.where(norm > 0, norm, 1.0)
