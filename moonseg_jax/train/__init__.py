"""Training of the core: optimiser, step, checkpoints, loop; one run, or a sweep of many."""

from moonseg_jax.train.loop import TrainResult, train
from moonseg_jax.train.metrics import DivergedError, read_metrics
from moonseg_jax.train.processes import is_main, join_processes
from moonseg_jax.train.sweep import MemberResult, SweepResult, sweep

__all__ = [
    "DivergedError",
    "MemberResult",
    "SweepResult",
    "TrainResult",
    "is_main",
    "join_processes",
    "read_metrics",
    "sweep",
    "train",
]
