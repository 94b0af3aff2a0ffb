"""The loss on held-out scenes."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from moonseg_jax.data import ClipLoader
from moonseg_jax.train.mesh import batch_sharding, replicated
from moonseg_jax.train.step import Augment, Loss


def held_out_loss(
    loss: Loss, augment: Augment, loader: ClipLoader, batches: int, mesh: Mesh
) -> Callable[[Any], float]:
    """Makes the judge of a run, who always looks at the very same clips with the same noise.

    Args:
        loss: of a batch.
        augment: what training does to a batch; here always that of the first step.
        loader: of the held-out scenes; endless, so that all batches are full.
        batches: to look at.
        mesh: to compute on.

    Returns:
        A function from parameters to the mean loss.
    """
    same, split = replicated(mesh), batch_sharding(mesh)
    compiled = jax.jit(
        lambda params, batch, targets: loss(params, batch, targets)[0],
        in_shardings=(same, split, split),
    )
    start = loader.get_state()

    def next_loss(params: Any) -> float:
        batch = jax.device_put(next(loader)[0], split)
        return float(compiled(params, *augment(batch, jnp.int32(0))))

    def judge(params: Any) -> float:
        loader.set_state(start)
        return math.fsum(next_loss(params) for _ in range(batches)) / batches

    return judge
