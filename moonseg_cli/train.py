"""`moonseg train`: train the core on cached clips."""

import argparse
import glob
import sys

from moonseg_cli.configuration import add_config_argument


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of DESIGN's main line."""
    add_config_argument(parser)
    parser.add_argument("--cache", required=True, metavar="GLOB", help="caches, quoted pattern")
    parser.add_argument(
        "--workdir", required=True, metavar="RUN", help="checkpoints and curves; resumes if there"
    )


def run(args: argparse.Namespace) -> int:
    """Trains, or goes on training, and says where the weights are.

    Returns:
        0, or 1 where the loss stopped being a number.
    """
    from moonseg_cli.configuration import apply_overrides, load_config
    from moonseg_jax.structs import InputError
    from moonseg_jax.train import DivergedError, train

    config = apply_overrides(load_config(args.config), args.overrides)
    caches = sorted(glob.glob(args.cache))
    if not caches:
        raise InputError(f"no cache matches {args.cache}: make some with `moonseg cache`")
    try:
        result = train(config, caches, args.workdir)
    except DivergedError as error:
        print(f"moonseg train: {error}", file=sys.stderr)
        return 1
    print(f"{args.workdir}: {result.step} of {result.steps} steps; best weights: {result.weights}")
    return 0
