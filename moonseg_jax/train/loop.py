"""Training, from the start or from where it was left, to the end."""

import logging
import math
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import jax
from ml_collections import ConfigDict

from moonseg_jax.models.weights import save_weights, weights_metadata
from moonseg_jax.train.checkpoints import Checkpoint, Checkpoints
from moonseg_jax.train.mesh import batch_sharding, data_mesh, replicated
from moonseg_jax.train.metrics import DivergedError, MetricsFile, StepClock, StepMetrics
from moonseg_jax.train.progress import TrainBar
from moonseg_jax.train.setup import set_up
from moonseg_jax.train.signals import StopRequest
from moonseg_jax.train.step import average_loss
from moonseg_jax.train.workdir import open_workdir

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainResult:
    """How a run ended.

    Attributes:
        step: steps done.
        steps: of the whole run; more than ``step`` where a signal stopped it.
        best: step and score of the best checkpoint, whose parameters are in ``weights``; None
            where the run was stopped before the first.
        weights: path of ``weights.safetensors``.
    """

    step: int
    steps: int
    best: tuple[int, float] | None
    weights: Path


def train(
    config: ConfigDict,
    cache_paths: Sequence[str | Path],
    workdir: str | Path,
    *,
    devices: Sequence[jax.Device] | None = None,  # pyright: ignore[reportInvalidTypeForm]
    progress: bool = True,
) -> TrainResult:
    """Trains η, φ and ψ on clips of cached scenes: AdamW on Eq. 5, 6 and 10.

    Started again in its workdir, a run goes on from its last checkpoint; on CPU one that was
    killed ends with the very bits of one that was not. SIGTERM and Ctrl-C save first. A run that
    is complete returns at once.

    A checkpoint's score, the lower the better, is the loss on the held-out scenes, or without
    any the training loss smoothed over about 100 steps.

    Args:
        config: `moonseg_jax.config.default_config`, changed as the experiment wants.
        cache_paths: one cache a scene, all from the same backbones.
        workdir: `moonseg_jax.train.workdir` says what lies in it.
        devices: to spread the clips of a batch over; all of this process by default.
        progress: show a progress bar.

    Raises:
        InputError: where config, caches, workdir and devices do not go together.
        DivergedError: where loss, gradient or parameters are no longer finite; the checkpoints
            and weights are from before.
    """
    mesh = data_mesh(devices or jax.devices(), config.data.batch_clips)
    with ExitStack() as stack:
        run = set_up(config, cache_paths, mesh, stack)
        names = sorted(scene.info.scene for scene in run.scenes)
        files = open_workdir(Path(workdir), config, names)
        stop = stack.enter_context(StopRequest())

        # Take up the last checkpoint.
        checkpoints = stack.enter_context(closing(Checkpoints(files.checkpoints)))
        step, state, best = 0, run.state, checkpoints.best
        if resumed := checkpoints.restore(state):
            step, state = resumed.step, resumed.state
            run.loader.set_state(resumed.loader)
            logger.info("%s: resumed at step %d of %d", files.path, step, run.steps)
        state = jax.device_put(state, replicated(mesh))

        log, pending = MetricsFile(files.metrics, step), StepMetrics(step)
        clock = stack.enter_context(closing(StepClock()))
        bar = stack.enter_context(TrainBar(step, run.steps, progress))
        stopping = False
        while step < run.steps and not stopping:
            # One step; the device works on it while the next batch is fetched.
            asked = time.perf_counter()
            batch, counts = next(run.loader)
            clock.arrived(asked)
            state, metrics = run.train_step(state, jax.device_put(batch, batch_sharding(mesh)))
            clock.dispatched(metrics["loss"])
            pending.add(metrics, counts)
            step += 1
            bar.advance()

            # Log. Whatever is saved below has been found finite here.
            stopping = stop.received is not None
            saving = step % config.train.checkpoint_every == 0 or step == run.steps
            if not (saving or stopping or step % config.train.log_every == 0):
                continue
            line = pending.collect() | clock.lap(config.data.batch_clips, config.data.clip_frames)
            score = None
            if saving:
                score = run.judge(state.params) if run.judge else float(average_loss(state))
                if not math.isfinite(score):
                    raise DivergedError(f"the loss on held-out scenes is {score} at step {step}")
                line["score"] = score
            log.write(step, line)
            bar.show(line)

            # Save. Weights first: killed in between, the run comes by here again.
            if score is not None and (best is None or score < best[1]):
                best = (step, score)
                told = weights_metadata(
                    config.model, run.info, step=step, score=score, recipe=config.to_dict()
                )
                save_weights(files.weights, state.params, told)
            if saving or stopping:
                checkpoints.save(Checkpoint(step, state, run.loader.get_state()), score)
    return TrainResult(step, run.steps, best, files.weights)
