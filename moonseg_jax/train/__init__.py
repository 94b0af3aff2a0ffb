"""Training of the core: optimiser, step, checkpoints, loop."""

from moonseg_jax.train.loop import TrainResult, train
from moonseg_jax.train.metrics import DivergedError

__all__ = ["DivergedError", "TrainResult", "train"]
