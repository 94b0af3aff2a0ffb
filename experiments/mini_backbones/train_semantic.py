"""Trains the mini semantic encoder on rooms rendered as it goes, some seconds at a time.

    python -m experiments.mini_backbones.train_semantic --run=RUN --seconds=300 --last

Run it again to go on, with the recipe it began with; `--last` ends the schedule with this piece.
The recipe's fields are options (``--rooms=64``).
"""

import argparse
import dataclasses
import os
import time
from pathlib import Path
from typing import Any


def main() -> None:
    began = time.monotonic()  # The imports below take seconds of the piece.
    # Before JAX is imported: the GPU's memory is PyTorch's, but for what rendering takes.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    import torch

    from experiments.mini_backbones.pieces import Piece, Spent, leave_in_time, spare_cores
    from experiments.mini_backbones.semantic.recipe import Recipe
    from experiments.mini_backbones.semantic.training import train

    arguments = _parser(Recipe, torch.cuda.is_available()).parse_args()
    torch.set_float32_matmul_precision("high")
    piece = Piece(began + arguments.seconds, arguments.total, arguments.last)
    leave_in_time(piece)
    train(
        arguments.run,
        _recipe_options(arguments, Recipe),
        torch.device(arguments.device),
        compiled=arguments.device != "cpu" and not arguments.no_compile,
        workers=spare_cores() if arguments.workers is None else arguments.workers,
        log_every=arguments.log_every,
        piece=piece,
        spent=Spent(began, "start"),
    )


def _recipe_options(arguments: argparse.Namespace, recipe: type) -> dict[str, Any]:
    """The fields of the recipe that were given."""
    names = (field.name for field in dataclasses.fields(recipe))
    given = {name: getattr(arguments, name) for name in names}
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in given.items()
        if value is not None
    }


def _parser(recipe: type, on_gpu: bool) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--run", type=Path, required=True, help="folder of the run's state")
    parser.add_argument("--seconds", type=float, default=300.0, help="of this piece, all in all")
    parser.add_argument("--total", type=float, default=300.0, help="seconds of all steps")
    parser.add_argument("--last", action="store_true", help="the training ends with this piece")
    parser.add_argument("--no-compile", action="store_true", help="run the model as it is")
    parser.add_argument("--workers", type=int, help="processes that make rooms; 0: none")
    parser.add_argument("--device", default="cuda" if on_gpu else "cpu")
    parser.add_argument("--log-every", type=int, default=50, help="steps")
    for field in dataclasses.fields(recipe):
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
