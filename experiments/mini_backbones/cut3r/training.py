"""The loop: pieces of a training, each so many seconds, one after another."""

import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from bridges.backbones.cut3r import Cut3rConfig
from experiments.mini_backbones.cut3r import checkpoint
from experiments.mini_backbones.cut3r.batches import Batch, blank_batch, training_batches
from experiments.mini_backbones.cut3r.initialise import fresh_model
from experiments.mini_backbones.cut3r.losses import Errors
from experiments.mini_backbones.cut3r.recipe import SIZE, Recipe, Stage
from experiments.mini_backbones.cut3r.rendering import training_chunks
from experiments.mini_backbones.cut3r.trainer import Mode, Trainer
from experiments.mini_backbones.pieces import Clock, Piece, Spent, told_of

LOG_EVERY = 5.0  # Seconds.
SAVE_EVERY = 120.0
MODULE = "experiments.mini_backbones.train_cut3r"


def train(
    run: Path,
    config: Cut3rConfig,
    recipe: Recipe,
    piece: Piece,
    mode: Mode,
    workers: int,
    spent: Spent,
) -> Trainer:
    """Trains until the recipe or the piece is over, whichever is first; goes on where it was left.

    Leaves ``checkpoint/`` and a growing ``curve.jsonl``.

    Args:
        run: folder of this training.
        config: of the model.
        recipe: how to train.
        piece: for how long.
        mode: of `Trainer`.
        workers: processes that make rooms; 0 makes them here.
        spent: where the piece's time goes; printed before the first step and at the end.

    Raises:
        FloatingPointError: the loss is no number any more; the last checkpoint is from before.
    """
    run.mkdir(parents=True, exist_ok=True)
    torch.set_float32_matmul_precision("high")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with spent.on("model"):
        trainer = Trainer(fresh_model(config, recipe.seed).to(device), recipe, mode)
        told = checkpoint.load(trainer, run)
    trainer.spent = spent
    number = told.get("chunks", 0)
    # Rooms are made, and the ray caster is compiled, while the steps are.
    feed = training_chunks(number, recipe.rooms, SIZE, device, workers, trainer.quiet)
    try:
        clock = Clock(piece, told.get("seconds", 0.0))
        stage = recipe.stage(clock.progress)
        shape = stage.length, recipe.step_frames // stage.length
        trainer.prepare(blank_batch(*shape, SIZE, device))
        with spent.on("rooms"):
            chunk = feed.take(clock.left)
        print(f"ready after {spent}", flush=True)
        clock.start()
        log, saved = Log(run / "curve.jsonl", trainer), time.monotonic()
        while chunk is not None:
            stage = recipe.stage(clock.progress)
            with spent.on("steps"):
                errors = _learn(trainer, training_batches(chunk, stage, recipe, number), clock)
            number += 1
            over = clock.over
            log.write(errors, stage, clock, over)
            if not over and time.monotonic() - saved > SAVE_EVERY:
                _save(trainer, run, number, told, clock)
                saved = time.monotonic()
            with spent.on("rooms"):
                chunk = None if over else feed.take(clock.left)
        _save(trainer, run, number, told, clock)
    finally:
        with spent.on("end"):
            feed.close()
        print(f"spent {spent}", flush=True)
    return trainer


def _learn(trainer: Trainer, batches: Iterator[Batch], clock: Clock) -> Errors:
    """A step on each of a chunk's batches while there is time; the errors of the last."""
    for batch in batches:
        errors = trainer.step(batch, clock.progress)
        if clock.over:
            break
    if trainer.device.type == "cuda":  # The chunk's memory goes back to the renderer's stream.
        torch.cuda.current_stream().synchronize()
    return errors


def _save(trainer: Trainer, run: Path, chunks: int, before: dict[str, Any], clock: Clock) -> None:
    with trainer.spent.on("save"):
        checkpoint.save(trainer, run, {"chunks": chunks, **told_of(MODULE, before, clock)})


class Log:
    """A line now and then, to the console and to a file."""

    def __init__(self, path: Path, trainer: Trainer) -> None:
        self._path, self._trainer = path, trainer
        self._since, self._seen = time.monotonic(), trainer.seen

    def write(self, errors: Errors, stage: Stage, clock: Clock, now: bool = False) -> None:
        """A line, if the last is some seconds ago."""
        seconds = time.monotonic() - self._since
        if seconds < LOG_EVERY and not now:
            return
        numbers = dict(zip(Errors._fields, torch.stack(errors).tolist(), strict=True))
        trainer = self._trainer
        row = {
            "seconds": clock.seconds,
            "progress": clock.progress,
            "frames": trainer.seen,
            "steps": trainer.steps,
            "length": stage.length,
            "frames_per_s": (trainer.seen - self._seen) / (time.monotonic() - self._since),
            "learning_rate": trainer.recipe.rate(trainer.steps, clock.progress),
            **numbers,
        }
        row = {name: float(f"{value:.5g}") for name, value in row.items()}
        with self._path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(" ".join(f"{name} {value:g}" for name, value in row.items()), flush=True)
        if not math.isfinite(numbers["loss"]):
            raise FloatingPointError(f"the loss is no number after {trainer.seen} frames")
        self._since, self._seen = time.monotonic(), trainer.seen
