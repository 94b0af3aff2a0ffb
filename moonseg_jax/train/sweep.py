"""Many runs in one program, from the start or from where they were left, to the end."""

import logging
import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jax.sharding import Mesh
from ml_collections import ConfigDict

from moonseg_jax.train.advance import advance
from moonseg_jax.train.checkpoints import Checkpoint, Checkpoints
from moonseg_jax.train.evaluate import held_out_loss
from moonseg_jax.train.member_log import MemberLog
from moonseg_jax.train.members import Members, make_members
from moonseg_jax.train.mesh import (
    Devices,
    all_devices,
    member_sharding,
    put_state,
    sweep_mesh,
)
from moonseg_jax.train.metrics import DivergedError, StepClock, StepMetrics
from moonseg_jax.train.optimizer import cosine_schedule
from moonseg_jax.train.processes import fetch, is_main
from moonseg_jax.train.progress import TrainBar
from moonseg_jax.train.setup import Setup, open_input
from moonseg_jax.train.signals import StopRequest
from moonseg_jax.train.step import average_loss, batch_loss
from moonseg_jax.train.sweep_step import (
    compile_sweep,
    init_sweep,
    sweep_loss,
    sweep_shardings,
)
from moonseg_jax.train.workdir import open_workdir

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class MemberResult:
    """How one member ended.

    Attributes:
        name: its number, and what it changes.
        changes: fields of the config by dotted name.
        best: step and score of the parameters in its ``weights.safetensors``; None before the
            first checkpoint.
        diverged: the step whose result was not finite; None where all were.
        workdir: its folder.
    """

    name: str
    changes: dict[str, Any]
    best: tuple[int, float] | None
    diverged: int | None
    workdir: Path


@dataclass(frozen=True)
class SweepResult:
    """How a sweep ended.

    Attributes:
        step: steps done.
        steps: of the whole run; more than ``step`` where a signal stopped it.
        members: of all of them.
    """

    step: int
    steps: int
    members: list[MemberResult]


def sweep(
    config: ConfigDict,
    changes: Sequence[Mapping[str, Any]],
    cache_paths: Sequence[str | Path],
    workdir: str | Path,
    *,
    devices: Devices | None = None,
    progress: bool = True,
) -> SweepResult:
    """Trains the core several times at once, in one program that shares every batch.

    A member is what `moonseg_jax.train.train` makes of its config, with ``config.seed`` as
    ``data_seed``, to float tolerance: all members see the same clips with the same noise, and a
    member's own seed is that of its parameters. One that is no longer finite stays as it was; the
    others go on. Resumes, saves and stops as `train` does.

    Args:
        config: of the whole sweep.
        changes: of each member, fields of the config by dotted name; `SWEPT` of
            `moonseg_jax.train.members` says which.
        cache_paths: one cache a scene, all from the same backbones.
        workdir: each member has a folder in ``members/``, like that of a run by itself.
        devices: as in `train`.
        progress: show a progress bar.

    Raises:
        InputError: where config, members, caches, workdir and devices do not go together.
        DivergedError: where no member is finite any more.
    """
    members = make_members(config, changes)
    mesh = sweep_mesh(devices or all_devices(), config.data.batch_clips, len(members))
    with ExitStack() as stack:
        run = set_up_sweep(members, config, cache_paths, mesh, stack)
        info = run.input.info
        names = sorted(scene.info.scene for scene in run.input.scenes)
        files = open_workdir(Path(workdir), config, names, members.changes)
        stop = stack.enter_context(StopRequest())

        # Take up the last checkpoint.
        checkpoints = stack.enter_context(closing(Checkpoints(files.checkpoints, keep_best=False)))
        step, state = 0, run.state
        if resumed := checkpoints.restore(state):
            step, state = resumed.step, resumed.state
            run.input.loader.set_state(resumed.loader)
            logger.info("%s: resumed at step %d of %d", files.path, step, run.steps)
        diverged = np.array(state.diverged)
        state = put_state(state, sweep_shardings(mesh))

        logs = [MemberLog(files.path, members, k, info, step) for k in range(len(members))]
        pending = StepMetrics(step)
        clock = stack.enter_context(closing(StepClock()))
        bar = stack.enter_context(TrainBar(step, run.steps, progress and is_main()))
        for pause in advance(run, config, mesh, (step, state), pending, clock, bar, stop):
            # Log those that are finite.
            step, state = pause.step, pause.state
            before, diverged = diverged, fetch(state.diverged)
            for k in np.flatnonzero(diverged != before).tolist():
                logger.warning(
                    "member %s: no longer finite at step %d", members.name(k), diverged[k]
                )
            if diverged.all():
                raise DivergedError(f"no member is finite any more at step {step}")
            healthy = np.flatnonzero(diverged == 0).tolist()
            lines = pending.collect_members(healthy)
            speed = clock.lap(config.data.batch_clips, config.data.clip_frames)
            host = fetch(state) if pause.scored or pause.stopping else state
            if pause.scored:
                scores = run.judge(state) if run.judge else fetch(average_loss(state.members))
                for k in healthy:
                    if math.isfinite(scores[k]):
                        lines[k]["score"] = float(scores[k])
            for k in healthy:
                logs[k].write(step, lines[k] | speed, host.members.params)
            losses = [lines[k]["loss"] for k in healthy]
            bar.show({"loss": math.fsum(losses) / len(losses), **speed})

            # Save.
            if pause.scored or pause.stopping:
                checkpoints.save(Checkpoint(step, host, run.input.loader.get_state()), None)
    ends = [int(end) or None for end in diverged]
    results = [
        MemberResult(members.name(k), members.changes[k], log.best, ends[k], log.files.path)
        for k, log in enumerate(logs)
    ]
    return SweepResult(step, run.steps, results)


def set_up_sweep(
    members: Members,
    config: ConfigDict,
    cache_paths: Sequence[str | Path],
    mesh: Mesh,
    stack: ExitStack,
) -> Setup:
    """Opens the caches and builds the members, their loss and their step.

    Args:
        members: of the sweep.
        config: of the whole sweep.
        cache_paths: one cache a scene.
        mesh: with the axes ``member`` and ``data``.
        stack: closes what was opened.

    Raises:
        InputError: where caches and config do not go together.
    """
    source = open_input(config, cache_paths, mesh, stack)
    for member in members.configs:
        cosine_schedule(member.optimizer, source.steps)
    whole, info = members.config, source.info
    graphdef, params = members.new_params(info)
    settings = members.settings(info)
    loss = partial(batch_loss, graphdef=graphdef, config=whole, image_size=info.image_size)
    state = init_sweep(params, settings, whole, source.steps)
    settings = put_state(settings, member_sharding(mesh))
    judge = None
    if source.held_out:
        where = sweep_shardings(mesh), member_sharding(mesh)
        losses = sweep_loss(loss, mesh)
        judge = held_out_loss(losses, source.augment, source.held_out, mesh, where)
    return Setup(
        input=source,
        state=state,
        train_step=compile_sweep(loss, settings, whole, source.steps, mesh, source.augment),
        judge=judge and (lambda state: judge((state, settings))),
    )
