"""The steps of a run, one after another, to the end or until it is asked to stop."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from jax.sharding import Mesh
from ml_collections import ConfigDict

from moonseg_jax.train.mesh import put_batch
from moonseg_jax.train.metrics import StepClock, StepMetrics
from moonseg_jax.train.processes import any_process, several
from moonseg_jax.train.progress import TrainBar
from moonseg_jax.train.setup import Setup
from moonseg_jax.train.signals import StopRequest


@dataclass(frozen=True)
class Pause:
    """A run between two steps, where there is something to log.

    Attributes:
        step: steps done.
        state: after them; the next step takes it over.
        scored: whether it is time for a checkpoint that competes for the best.
        stopping: whether the run ends here, asked to.
    """

    step: int
    state: Any
    scored: bool
    stopping: bool


def advance(
    run: Setup,
    config: ConfigDict,
    mesh: Mesh,
    start: tuple[int, Any],
    pending: StepMetrics,
    clock: StepClock,
    bar: TrainBar,
    stop: StopRequest,
) -> Iterator[Pause]:
    """Trains, and pauses wherever there is something to log or to save.

    Args:
        run: to be done.
        config: the whole config.
        mesh: to train on.
        start: steps done before, and the state after them.
        pending: takes the metrics of every step.
        clock: measures from now on.
        bar: advances.
        stop: asked after every step; several processes agree where they log.
    """
    step, state = start
    stopping = False
    while step < run.steps and not stopping:
        # One step; the device works on it while the next batch is fetched.
        asked = time.perf_counter()
        batch, counts = next(run.input.loader)
        clock.arrived(asked)
        state, metrics = run.train_step(state, put_batch(batch, mesh))
        clock.dispatched(metrics["loss"])
        pending.add(metrics, counts)
        step += 1
        bar.advance()

        scored = step % config.train.checkpoint_every == 0 or step == run.steps
        due = scored or step % config.train.log_every == 0
        if due or not several():
            stopping = any_process(stop.received is not None)
        if due or stopping:
            yield Pause(step, state, scored, stopping)
