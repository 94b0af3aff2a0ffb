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
    return jnp.matmul(_unit(a), _unit(b).T, precision=jax.lax.Precision.HIGHEST)


def terms_in_use(config: ConfigDict, state_tokens: int) -> tuple[str, ...]:
    """The terms of Eq. 12 (D11): those of ``config.online.terms`` that the frames can feed."""
    terms = tuple(config.online.terms.split(","))
    return tuple(term for term in terms if term != "state" or state_tokens > 0)


def match_threshold(config: ConfigDict, terms: tuple[str, ...]) -> float:
    """The least feasible E: the threshold for three terms, scaled to those in use (D11)."""
    return config.online.match_threshold * len(terms) / 3


def match_scores(
    observed: Observation, bank: Bank, terms: tuple[str, ...], box_margin: float
) -> jax.Array:
    """``E = cos(q) + cos(s) + IoU(bbox)`` of every mask and every row, Eq. 12.

    Args:
        observed: masks ``[q ...]``.
        bank: rows ``[n ...]``.
        terms: of "query", "state" and "box", as `terms_in_use` gives them.
        box_margin: added to every side of the boxes, in scene units.

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
    return score


def _unit(x: jax.Array) -> jax.Array:
    norm = jnp.linalg.norm(x, axis=-1, keepdims=True)
    return x / jnp.where(norm > 0, norm, 1.0)
