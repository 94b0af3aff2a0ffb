"""The loss on held-out scenes."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from moonseg_jax.data import ClipLoader
from moonseg_jax.structs import Frame
from moonseg_jax.train.mesh import batch_sharding, put_batch, replicated
from moonseg_jax.train.step import Augment


@dataclass(frozen=True)
class HeldOut:
    """Held-out scenes.

    Attributes:
        loader: of their clips; endless, so that all batches are full.
        batches: to look at.
    """

    loader: ClipLoader
    batches: int


def held_out_loss(
    loss: Callable[[Any, Frame, jax.Array | None], jax.Array],
    augment: Augment,
    held_out: HeldOut,
    mesh: Mesh,
    where: Any,
) -> Callable[[Any], np.ndarray]:
    """Makes the judge of a run, who always looks at the very same clips with the same noise.

    Args:
        loss: of a state and a batch, ``[*k]``: one for each member of a sweep.
        augment: what training does to a batch; here always that of the first step.
        held_out: what to judge by.
        mesh: to compute on.
        where: shardings of the state.

    Returns:
        A function from the state to the mean loss ``[*k]``.
    """
    split = batch_sharding(mesh)
    compiled = jax.jit(loss, in_shardings=(where, split, split), out_shardings=replicated(mesh))
    loader, first = held_out.loader, np.int32(0)
    start = loader.get_state()

    def next_loss(state: Any) -> np.ndarray:
        batch = put_batch(next(loader)[0], mesh)
        return np.asarray(compiled(state, *augment(batch, first)), np.float64)

    def judge(state: Any) -> np.ndarray:
        loader.set_state(start)
        losses = [next_loss(state) for _ in range(held_out.batches)]
        return np.apply_along_axis(math.fsum, 0, losses) / held_out.batches

    return judge
