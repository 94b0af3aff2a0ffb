"""The loop of the semantic encoder's training and of the masks': pieces of so many seconds."""

import json
import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, Protocol

import torch
from torch import Tensor

from experiments.mini_backbones.pieces import Clock, Piece, Spent, told_of
from experiments.mini_backbones.single_frames.feed import Chunk, chunks
from experiments.mini_backbones.single_frames.schedule import Schedule
from experiments.mini_backbones.single_frames.state import STATE

SAVE_EVERY = 120.0  # Seconds.


class Learns(Protocol):
    """All state of a run; ``step`` counts the steps done."""

    step: int

    @property
    def recipe(self) -> Schedule:
        """Of the run."""
        ...

    def learn(self, chunk: Chunk, progress: float) -> dict[str, Tensor]:
        """One step; what is told holds the ``loss``."""
        ...


@dataclass(frozen=True)
class Kind:
    """What is trained.

    Attributes:
        module: that is run, ``python -m ...``.
        begin: a new learner, of fields of its recipe, a device and whether to compile.
        load: the learner of a run's folder, of device and whether to compile, and what `save`
            was told.
        save: writes a learner to a folder, with what is told.
    """

    module: str
    begin: Callable[[dict[str, Any], str, bool], Any]
    load: Callable[[Path, str, bool], tuple[Any, dict[str, Any]]]
    save: Callable[[Any, Path, dict[str, Any]], None]


def train(
    kind: Kind,
    run: Path,
    given: dict[str, Any],
    device: torch.device,
    compiled: bool,
    workers: int,
    log_every: int,
    piece: Piece,
    spent: Spent,
) -> Learns:
    """Trains until the schedule or the piece is over, whichever is first; goes on where it was.

    Leaves the run's state and a growing ``curve.jsonl``.

    Args:
        kind: of training.
        run: folder of this run.
        given: fields of its recipe, where it begins.
        device: of everything.
        compiled: whether the model is.
        workers: processes that make rooms; 0 makes them here.
        log_every: steps.
        piece: for how long.
        spent: where the piece's time goes; printed before the first step and at the end.

    Raises:
        SystemExit: fields are given to a run that has begun, no rooms came in time, or the loss is
            no number any more; what was saved stands.
    """
    with spent.on("model"):
        learner, before = _begin_or_go_on(kind, run, given, device, compiled)
    recipe, number = learner.recipe, learner.recipe.chunk_of(learner.step)[0]
    clock, cooling = Clock(piece, before.get("seconds", 0.0)), Event()
    if recipe.cools(clock.progress):
        cooling.set()
    with closing(chunks(recipe, number, workers, device, cooling)) as feed:
        with spent.on("rooms"):
            chunk = feed.take(clock.left)
        if chunk is None:
            raise SystemExit(f"no rooms came in time: {spent}")
        with spent.on("compile"):
            told = learner.learn(chunk, clock.progress)
            _finish(device)
        print(f"ready after {spent}", flush=True)
        clock.start()
        log, saved = Log(run, learner), time.monotonic()
        while not clock.over:
            if recipe.cools(clock.progress):
                cooling.set()
            if recipe.chunk_of(learner.step)[0] != number:
                with spent.on("steps"):
                    _finish(device)  # The chunk's memory goes back to the feed's stream.
                with spent.on("rooms"):
                    chunk, number = feed.take(clock.left), recipe.chunk_of(learner.step)[0]
                if chunk is None:
                    break
            with spent.on("steps"):
                told = learner.learn(chunk, clock.progress)
            due = time.monotonic() - saved > SAVE_EVERY
            if due or learner.step % log_every == 0:
                log.write(told, clock)
            if due:
                with spent.on("save"):
                    kind.save(learner, run, told_of(kind.module, before, clock))
                saved = time.monotonic()
        log.write(told, clock)
        with spent.on("save"):
            kind.save(learner, run, told_of(kind.module, before, clock))
    print(f"spent {spent}", flush=True)
    return learner


def _begin_or_go_on(
    kind: Kind, run: Path, given: dict[str, Any], device: torch.device, compiled: bool
) -> tuple[Learns, dict[str, Any]]:
    if not (run / STATE).exists():
        return kind.begin(given, str(device), compiled), {}
    if given:
        raise SystemExit(f"{run} goes on with its own recipe: leave out {given}")
    return kind.load(run, str(device), compiled)


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


class Log:
    """Lines of ``curve.jsonl``, also printed."""

    def __init__(self, run: Path, learner: Learns) -> None:
        run.mkdir(parents=True, exist_ok=True)
        self._path, self._learner = run / "curve.jsonl", learner
        self._since, self._step = time.monotonic(), learner.step

    def write(self, told: dict[str, Tensor], clock: Clock) -> None:
        """A line; a loss that is no number ends the run, and nothing is saved."""
        learner, now = self._learner, time.monotonic()
        images = (learner.step - self._step) * learner.recipe.rooms * learner.recipe.views
        row = {"step": learner.step, "seconds": clock.seconds, "progress": clock.progress}
        row |= {name: float(value) for name, value in told.items()}
        row["images_per_s"] = images / max(now - self._since, 1e-9)
        line = json.dumps({name: float(f"{value:.5g}") for name, value in row.items()})
        with self._path.open("a") as file:
            file.write(line + "\n")
        print(line, flush=True)
        if not math.isfinite(row["loss"]):
            raise SystemExit(f"the loss is no number at step {learner.step}: nothing is saved")
        self._since, self._step = now, learner.step
