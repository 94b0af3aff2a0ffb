"""Paint: the bank row of every pixel of a frame."""

import jax
import jax.numpy as jnp


def paint(masks: jax.Array, rows: jax.Array, scores: jax.Array) -> jax.Array:
    """Lays the masks on top of each other: the better score on top, then the smaller mask.

    Args:
        masks: ``[q Hm Wm]`` bool.
        rows: ``[q]`` int32, bank row of each mask; -1 leaves it out.
        scores: ``[q]``.

    Returns:
        ``[Hm Wm]`` int32, bank row + 1; 0 where there is no mask.
    """
    q = rows.shape[0]
    index = jnp.arange(q, dtype=jnp.int32)
    area = jnp.sum(jnp.sum(masks, axis=1, dtype=jnp.int16), axis=1, dtype=jnp.int32)
    larger = (area[None] > area[:, None]) | (
        (area[None] == area[:, None]) & (index[None] > index[:, None])
    )
    below = (scores[None] < scores[:, None]) | ((scores[None] == scores[:, None]) & larger)
    layer = 1 + jnp.sum(below, axis=1, dtype=jnp.int32)
    layer = jnp.where(rows >= 0, layer, 0)
    top = jnp.max(jnp.where(jnp.moveaxis(masks, 0, -1), layer[None, None], 0), axis=-1)
    number = jnp.arange(q + 1, dtype=jnp.int32)
    row_of_layer = jnp.max(jnp.where(layer[None] == number[:, None], rows[None], -1), axis=1)
    return row_of_layer[top] + 1
