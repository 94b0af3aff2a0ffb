"""The command line of a training on single frames; its recipe's fields are options."""

import argparse
import dataclasses
import os
import time
from importlib import import_module
from pathlib import Path
from typing import Any


def run_piece(module: str, about: str, package: str) -> None:
    """A piece of the training that ``python -m module`` stands for.

    Args:
        module: ``experiments.mini_backbones.train_...``.
        about: its docstring.
        package: of ``experiments.mini_backbones``, with ``learner`` and ``recipe``.
    """
    began = time.monotonic()  # The imports below take seconds of the piece.
    # Before JAX is imported: the GPU's memory is PyTorch's, but for what rendering takes.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    import torch

    from experiments.mini_backbones.pieces import Piece, Spent, leave_in_time, spare_cores
    from experiments.mini_backbones.single_frames.training import Kind, train

    learner = import_module(f"experiments.mini_backbones.{package}.learner")
    recipe = import_module(f"experiments.mini_backbones.{package}.recipe").Recipe
    arguments = parser_of(about, recipe, torch.cuda.is_available()).parse_args()
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True  # Pictures have two sizes.
    piece = Piece(began + arguments.seconds, arguments.total, arguments.last)
    leave_in_time(piece)
    train(
        Kind(module, learner.begin, learner.load, learner.save),
        arguments.run,
        recipe_options(arguments, recipe),
        torch.device(arguments.device),
        compiled=arguments.device != "cpu" and not arguments.no_compile,
        workers=spare_cores() if arguments.workers is None else arguments.workers,
        log_every=arguments.log_every,
        piece=piece,
        spent=Spent(began, "start"),
    )


def parser_of(about: str, recipe: type, on_gpu: bool) -> argparse.ArgumentParser:
    """Options of a run, of this piece of it, and of its recipe."""
    parser = argparse.ArgumentParser(description=about.split("\n")[0])
    parser.add_argument("--run", type=Path, required=True, help="folder of the run's state")
    parser.add_argument("--seconds", type=float, default=300.0, help="of this piece, all in all")
    parser.add_argument("--total", type=float, default=300.0, help="seconds of all steps")
    parser.add_argument("--last", action="store_true", help="the training ends with this piece")
    parser.add_argument("--no-compile", action="store_true", help="run the model as it is")
    parser.add_argument("--workers", type=int, help="processes that make rooms; 0: none")
    parser.add_argument("--device", default="cuda" if on_gpu else "cpu")
    parser.add_argument("--log-every", type=int, default=50, help="steps")
    for field in dataclasses.fields(recipe):
        default: Any = field.default
        name, kind = f"--{field.name.replace('_', '-')}", type(default)
        if kind is bool:
            parser.add_argument(name, action=argparse.BooleanOptionalAction)
        elif kind is tuple:
            parser.add_argument(name, type=int, nargs=len(default))
        else:
            parser.add_argument(name, type=kind)
    return parser


def recipe_options(arguments: argparse.Namespace, recipe: type) -> dict[str, Any]:
    """The fields of the recipe that were given."""
    names = (field.name for field in dataclasses.fields(recipe))
    given = {name: getattr(arguments, name) for name in names}
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in given.items()
        if value is not None
    }
