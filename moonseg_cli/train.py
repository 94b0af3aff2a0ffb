"""`moonseg train`: train the core on cached clips."""

import argparse
import glob
import sys

from moonseg_cli.configuration import add_config_argument


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of DESIGN's main line."""
    add_run_arguments(parser)
    parser.add_argument(
        "--data-seed",
        type=int,
        metavar="N",
        help="order of the clips and noise on them, where not the config's seed: a sweep's member "
        "by itself takes that of the sweep",
    )


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """What `moonseg train` and `moonseg sweep` share."""
    add_config_argument(parser)
    parser.add_argument("--cache", required=True, metavar="GLOB", help="caches, quoted pattern")
    parser.add_argument(
        "--workdir", required=True, metavar="RUN", help="checkpoints and curves; resumes if there"
    )
    parser.add_argument(
        "--distributed",
        nargs="?",
        const="",
        metavar="HOST:PORT,COUNT,INDEX",
        help="train with the other processes that run this command: found by themselves under "
        "Slurm, Open MPI, Kubernetes and on TPU pods; elsewhere, the address of process 0, the "
        "number of processes, and which this one is",
    )


def run(args: argparse.Namespace) -> int:
    """Trains, or goes on training, and says where the weights are.

    Returns:
        0, or 1 where the loss stopped being a number.
    """
    from moonseg_cli.configuration import apply_overrides, load_config
    from moonseg_jax.train import DivergedError, is_main, train

    config = apply_overrides(load_config(args.config), args.overrides)
    caches = start(args)
    try:
        result = train(config, caches, args.workdir, data_seed=args.data_seed)
    except DivergedError as error:
        print(f"moonseg train: {error}", file=sys.stderr)
        return 1
    if is_main():
        steps = f"{result.step} of {result.steps} steps"
        print(f"{args.workdir}: {steps}; best weights: {result.weights}")
    return 0


def start(args: argparse.Namespace) -> list[str]:
    """Joins the other processes, if there are any, and finds the caches.

    Raises:
        InputError: no caches, or no other processes where ``--distributed`` says so.
    """
    from moonseg_cli.runtime import enable_compilation_cache
    from moonseg_jax.structs import InputError
    from moonseg_jax.train import join_processes

    caches = sorted(glob.glob(args.cache))
    if not caches:
        raise InputError(f"no cache matches {args.cache}: make some with `moonseg cache`")
    if args.distributed is not None:
        join_processes(args.distributed or None)
    enable_compilation_cache()
    return caches
