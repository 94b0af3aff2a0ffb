"""The loss on held-out scenes."""

import math
from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import Mesh

from moonseg_jax.data import ClipLoader
from moonseg_jax.train.mesh import batch_sharding, replicated
from moonseg_jax.train.step import Loss


def held_out_loss(
    loss: Loss, loader: ClipLoader, batches: int, mesh: Mesh
) -> Callable[[Any], float]:
    """Makes the judge of a run, who always looks at the very same clips.

    Args:
        loss: of a batch.
        loader: of the held-out scenes; endless, so that all batches are full.
        batches: to look at.
        mesh: to compute on.

    Returns:
        A function from parameters to the mean loss.
    """
    same, split = replicated(mesh), batch_sharding(mesh)
    compiled = jax.jit(lambda params, batch: loss(params, batch)[0], in_shardings=(same, split))
    start = loader.get_state()

    def judge(params: Any) -> float:
        loader.set_state(start)
        total = [
            float(compiled(params, jax.device_put(next(loader)[0], split))) for _ in range(batches)
        ]
        return math.fsum(total) / batches

    return judge
