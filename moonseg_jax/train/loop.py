"""Training, from the start or from where it was left, to the end."""

import logging
import math
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from ml_collections import ConfigDict

from moonseg_jax.models.weights import save_weights, weights_metadata
from moonseg_jax.train.advance import advance
from moonseg_jax.train.checkpoints import Checkpoint, Checkpoints
from moonseg_jax.train.mesh import Devices, all_devices, data_mesh, put_state, replicated
from moonseg_jax.train.metrics import DivergedError, MetricsFile, StepClock, StepMetrics
from moonseg_jax.train.processes import is_main
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
    devices: Devices | None = None,
    data_seed: int | None = None,
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
        devices: to spread the clips of a batch over; by default all, of all processes that
            `moonseg_jax.train.processes` joined.
        data_seed: of the clips' order and the noise on them, where it is not ``config.seed``; a
            sweep's member, whose input is that of the whole sweep, is so trained by itself.
        progress: show a progress bar.

    Raises:
        InputError: where config, caches, workdir and devices do not go together.
        DivergedError: where loss, gradient or parameters are no longer finite; the checkpoints
            and weights are from before.
    """
    mesh = data_mesh(devices or all_devices(), config.data.batch_clips)
    with ExitStack() as stack:
        run = set_up(config, cache_paths, mesh, stack, data_seed)
        names = sorted(scene.info.scene for scene in run.input.scenes)
        files = open_workdir(Path(workdir), config, names)
        stop = stack.enter_context(StopRequest())

        # Take up the last checkpoint.
        checkpoints = stack.enter_context(closing(Checkpoints(files.checkpoints)))
        step, state, best = 0, run.state, checkpoints.best
        if resumed := checkpoints.restore(state):
            step, state = resumed.step, resumed.state
            run.input.loader.set_state(resumed.loader)
            logger.info("%s: resumed at step %d of %d", files.path, step, run.steps)
        state = put_state(state, replicated(mesh))

        log, pending = MetricsFile(files.metrics, step), StepMetrics(step)
        clock = stack.enter_context(closing(StepClock()))
        bar = stack.enter_context(TrainBar(step, run.steps, progress and is_main()))
        for pause in advance(run, config, mesh, (step, state), pending, clock, bar, stop):
            # Log. Whatever is saved below has been found finite here.
            step, state = pause.step, pause.state
            line = pending.collect() | clock.lap(config.data.batch_clips, config.data.clip_frames)
            score = None
            if pause.scored:
                score = float(run.judge(state) if run.judge else average_loss(state))
                if not math.isfinite(score):
                    raise DivergedError(f"the loss on held-out scenes is {score} at step {step}")
                line["score"] = score
            log.write(step, line)
            bar.show(line)

            # Save. Weights first: killed in between, the run comes by here again.
            if score is not None and (best is None or score < best[1]):
                best = (step, score)
                told = weights_metadata(
                    config.model, run.input.info, step=step, score=score, recipe=config.to_dict()
                )
                if is_main():
                    save_weights(files.weights, state.params, told)
            if pause.scored or pause.stopping:
                loader = run.input.loader.get_state()
                checkpoints.save(Checkpoint(step, state, loader), score)
    return TrainResult(step, run.steps, best, files.weights)
