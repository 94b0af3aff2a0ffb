"""`moonseg COMMAND ...`: parses, dispatches, and turns a user's mistake into exit code 2."""

import argparse
import errno
import importlib
import logging
import sys
from collections.abc import Sequence
from typing import NoReturn

from moonseg_jax import __version__

COMMANDS = {
    "demo": "render a room, segment it, score it: the whole program in one command",
    "cache": "run the frozen backbones over a recording, once, and keep what they say",
    "train": "train the core on cached clips",
    "sweep": "train many runs at once in one program, sharing every batch",
    "segment": "fuse a recording, cached or live, into 3D instances, frame by frame",
    "eval": "score predictions against ground truth",
    "view": "look at a result in the browser, or as pictures without a display",
    "export": "write predictions in the formats of other projects and benchmarks",
    "convert": "turn CUT3R's published checkpoint into safetensors, running nothing in it",
    "doctor": "say what is installed, what is found, and what is missing",
}

KEPT = {
    "cache": "whole scenes are kept, and the same command goes on with the others",
    "train": "the last checkpoint is kept, and the same command goes on from it",
    "sweep": "the last checkpoint is kept, and the same command goes on from it",
}
NOTHING_KEPT = "nothing half-done is kept, and the same command begins anew"
# What a disk answers to those who may not, or can not.
REFUSALS = (
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT),
    *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP),
)
OURS = ("bridges", "moonseg_cli", "moonseg_jax")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Returns:
        0 on success, 2 on bad input (one sentence on stderr), 130 on Ctrl-C.
    """
    _set_up_logging()
    arguments = list(sys.argv[1:] if argv is None else argv)
    command = _chosen(arguments)
    try:
        return _run(parse(arguments))
    except KeyboardInterrupt:
        return _end(command, f"stopped; {KEPT.get(command, NOTHING_KEPT)}", 130)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parses a command line; ``--config.a.b=value`` overrides end up in ``args.overrides``."""
    parser = _Parser(
        prog="moonseg",
        description="Online, monocular, zero-shot 3D instance segmentation.",
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    # Only the chosen command's module is imported: `eval` must not need what `cache` needs.
    chosen = _chosen(arguments)
    for name, summary in COMMANDS.items():
        subparser = subparsers.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            allow_abbrev=False,
        )
        if name == chosen:
            _module(name).add_arguments(subparser)
            command_parser = subparser
    args, unknown = parser.parse_known_args(arguments)
    args.overrides = [word for word in unknown if word.startswith("--config.")]
    surplus = [word for word in unknown if word not in args.overrides]
    if surplus or (args.overrides and not hasattr(args, "config")):
        command_parser.error(f"unrecognized arguments: {' '.join(surplus or args.overrides)}")
    return args


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence; the usage is for those who ask."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


class _Stderr(logging.StreamHandler):
    """Writes to what stderr is now: while a progress bar is drawn, lines go above it."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def _run(args: argparse.Namespace) -> int:
    """Runs the command; what is the user's to mend becomes one sentence."""
    from moonseg_jax.structs import InputError  # After parsing: `--help` need not load JAX.

    try:
        return _module(args.command).run(args) or 0
    except InputError as error:
        return _end(args.command, str(error), 2)
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        place = f"{error.filename}: " if error.filename else ""
        what = f"{place}{error.strerror}: name another place, or make this one fit to be used"
        return _end(args.command, what, 2)


def _set_up_logging() -> None:
    """Our own messages as they are; of other packages, what goes wrong."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING, handlers=[_Stderr()])
    for name in OURS:
        logging.getLogger(name).setLevel(logging.INFO)
    for chatty in ("absl", "jax", "orbax"):
        logging.getLogger(chatty).setLevel(logging.ERROR)


def _chosen(arguments: Sequence[str]) -> str:
    """The command; empty where none is named."""
    return next((word for word in arguments if word in COMMANDS), "")


def _end(command: str, sentence: str, code: int) -> int:
    print(f"{f'moonseg {command}'.strip()}: {sentence}", file=sys.stderr)
    return code


def _module(command: str):
    return importlib.import_module(f"moonseg_cli.{command}")


if __name__ == "__main__":
    sys.exit(main())
