"""``--config=FILE`` and ``--config.a.b=value``: an experiment file, then overrides."""

import argparse
import ast
import difflib
import runpy
from collections.abc import Sequence
from pathlib import Path

from ml_collections import ConfigDict

from moonseg_jax.config import check_choices, default_config
from moonseg_jax.structs.errors import InputError


def add_config_argument(parser: argparse.ArgumentParser) -> None:
    """Adds ``--config``; single fields are overridden with ``--config.group.field=value``."""
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="Python file with get_config(); override fields with --config.group.field=value",
    )


def load_config(path: str | None) -> ConfigDict:
    """Reads an experiment file, or the defaults where none is given.

    Raises:
        InputError: no such file, or it has no ``get_config()``, or names an unknown field.
    """
    if path is None:
        return default_config()
    if not Path(path).is_file():
        raise InputError(f"config {path} does not exist: give a file such as configs/classical.py")
    try:
        return runpy.run_path(path)["get_config"]()
    except KeyError as error:
        reason = "no get_config()" if error.args == ("get_config",) else error.args[0]
        raise InputError(f"config {path} cannot be used: {reason}") from error
    except Exception as error:
        reason = " ".join(str(error).replace("\\n", " ").split())
        raise InputError(f"config {path} cannot be used: {reason}") from error


def apply_overrides(config: ConfigDict, overrides: Sequence[str]) -> ConfigDict:
    """Applies ``--config.a.b=value`` words to a copy of a config.

    Raises:
        InputError: a word without a value, an unknown field, or a value that it cannot have.
    """
    config = config.copy_and_resolve_references()
    fields = dict(_flatten(config))
    for word in overrides:
        name, separator, text = word.removeprefix("--config.").partition("=")
        if not separator:
            raise InputError(f"{word} has no value: write --config.{name}=VALUE")
        if name not in fields:
            close = difflib.get_close_matches(name, fields, n=1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(fields)}"
            raise InputError(f"there is no config field {name}: {hint}")
        value = _parse(name, text, type(fields[name]))
        config.update_from_flattened_dict({name: value})
    check_choices(config)
    return config


def _parse(name: str, text: str, kind: type):
    if kind is str:
        return text
    try:
        value = ast.literal_eval(text.capitalize() if kind is bool else text)
    except (ValueError, SyntaxError):
        value = None
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not kind:
        raise InputError(f"config field {name} takes a value of type {kind.__name__}, not {text!r}")
    return value


def _flatten(config: ConfigDict, prefix: str = ""):
    for key, value in config.items():
        if isinstance(value, ConfigDict):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
