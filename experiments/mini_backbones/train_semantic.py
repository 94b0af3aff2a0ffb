"""Trains the mini semantic encoder on rooms rendered as it goes, some seconds at a time.

    python -m experiments.mini_backbones.train_semantic --run=RUN --seconds=300 --last

Run it again to go on, with the recipe it began with; `--last` ends the schedule with this piece.
The recipe's fields are options (``--rooms=64``).
"""

import argparse
import dataclasses
import json
import math
import os
import time
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any

SAVE_EVERY = 120.0
MODULE = "experiments.mini_backbones.train_semantic"


def main() -> None:
    began = time.monotonic()  # The imports below take seconds of the piece.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    import torch

    from experiments.mini_backbones.pieces import Piece, Spent, leave_in_time

    arguments = _parser(torch.cuda.is_available()).parse_args()
    torch.set_float32_matmul_precision("high")
    piece = Piece(began + arguments.seconds, arguments.total, arguments.last)
    leave_in_time(piece)
    train(arguments, piece, Spent(began, "start"))


def train(arguments: argparse.Namespace, piece: Any, spent: Any) -> None:
    """Trains until the schedule or the piece is over, whichever is first."""
    import torch

    from experiments.mini_backbones.pieces import Clock, spare_cores, told_of
    from experiments.mini_backbones.semantic.feed import chunks
    from experiments.mini_backbones.semantic.learner import save

    with spent.on("model"):
        learner, before = _begin_or_go_on(arguments)
    recipe, run = learner.recipe, Path(arguments.run)
    clock, cooling = Clock(piece, before.get("seconds", 0.0)), Event()
    workers = spare_cores() if arguments.workers is None else arguments.workers
    number, device = recipe.chunk_of(learner.step)[0], torch.device(arguments.device)
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
            if due or learner.step % arguments.log_every == 0:
                log.write(told, clock)
            if due:
                with spent.on("save"):
                    save(learner, run, told_of(MODULE, before, clock))
                saved = time.monotonic()
        log.write(told, clock)
        with spent.on("save"):
            save(learner, run, told_of(MODULE, before, clock))
    print(f"spent {spent}", flush=True)


def _finish(device: Any) -> None:
    if device.type == "cuda":
        import torch

        torch.cuda.synchronize()


class Log:
    """Lines of ``curve.jsonl``, also printed."""

    def __init__(self, run: Path, learner: Any) -> None:
        run.mkdir(parents=True, exist_ok=True)
        self._path, self._learner = run / "curve.jsonl", learner
        self._since, self._step = time.monotonic(), learner.step

    def write(self, told: dict[str, Any], clock: Any) -> None:
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


def _begin_or_go_on(arguments: argparse.Namespace) -> tuple[Any, dict[str, Any]]:
    from experiments.mini_backbones.semantic.learner import STATE, Learner, load
    from experiments.mini_backbones.semantic.recipe import Recipe

    given = _recipe_options(arguments, Recipe)
    compiled = arguments.device != "cpu" and not arguments.no_compile
    if not (Path(arguments.run) / STATE).exists():
        return Learner(Recipe(**given), arguments.device, compiled), {}
    if given:
        raise SystemExit(f"{arguments.run} goes on with its own recipe: leave out {given}")
    return load(Path(arguments.run), arguments.device, compiled)


def _recipe_options(arguments: argparse.Namespace, recipe: type) -> dict[str, Any]:
    """The fields of the recipe that were given."""
    names = (field.name for field in dataclasses.fields(recipe))
    given = {name: getattr(arguments, name) for name in names}
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in given.items()
        if value is not None
    }


def _parser(on_gpu: bool) -> argparse.ArgumentParser:
    from experiments.mini_backbones.semantic.recipe import Recipe

    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--run", required=True, help="folder of the run's state")
    parser.add_argument("--seconds", type=float, default=300.0, help="of this piece, all in all")
    parser.add_argument("--total", type=float, default=300.0, help="seconds of all steps")
    parser.add_argument("--last", action="store_true", help="the training ends with this piece")
    parser.add_argument("--no-compile", action="store_true", help="run the model as it is")
    parser.add_argument("--workers", type=int, help="processes that make rooms; 0: none")
    parser.add_argument("--device", default="cuda" if on_gpu else "cpu")
    parser.add_argument("--log-every", type=int, default=50, help="steps")
    for field in dataclasses.fields(Recipe):
        name, kind = f"--{field.name.replace('_', '-')}", type(field.default)
        if kind is bool:
            parser.add_argument(name, action=argparse.BooleanOptionalAction)
        elif kind is tuple:
            parser.add_argument(name, type=int, nargs=2)
        else:
            parser.add_argument(name, type=kind)
    return parser


if __name__ == "__main__":
    main()
