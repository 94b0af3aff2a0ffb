"""The command line of a training whose recipe's fields are options."""

import argparse
import dataclasses
from pathlib import Path
from typing import Any


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
