"""`moonseg train`: train the core on cached clips."""

import argparse
import glob

from moonseg_cli.configuration import add_config_argument


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of DESIGN's main line."""
    add_config_argument(parser)
    parser.add_argument("--cache", required=True, metavar="GLOB", help="caches, quoted pattern")
    parser.add_argument(
        "--workdir", required=True, metavar="RUN", help="checkpoints and curves; resumes if there"
    )


def run(args: argparse.Namespace) -> None:
    """Trains, or goes on training, and says where the weights are."""
    from moonseg_cli.configuration import apply_overrides, load_config
    from moonseg_jax.structs import InputError
    from moonseg_jax.train import train

    config = apply_overrides(load_config(args.config), args.overrides)
    caches = sorted(glob.glob(args.cache))
    if not caches:
        raise InputError(f"no cache matches {args.cache}: make some with `moonseg cache`")
    result = train(config, caches, args.workdir)
    print(f"{args.workdir}: {result}")
