"""Renders procedural rooms and caches them: the training data of the classical core.

python experiments/classical_core/make_caches.py --rooms=400 --out=out/classical_core/caches
"""

import argparse
import multiprocessing
import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

MASKS = {"exact": "instance", "corrupted": "masks"}


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Which rooms, how they are seen, who renders, and where to."""
    parser.add_argument("--rooms", type=int, default=400)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--masks", choices=list(MASKS), default="exact")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--recordings", type=Path, help="keep the rendered rooms in this folder")


def missing_rooms(args: argparse.Namespace) -> list[tuple[int, Path]]:
    """Seed and cache of each room that has no cache yet."""
    args.out.mkdir(parents=True, exist_ok=True)
    seeds = range(args.first_seed, args.first_seed + args.rooms)
    rooms = [(seed, args.out / f"room_{seed:05d}") for seed in seeds]
    return [(seed, cache) for seed, cache in rooms if not cache.exists()]


def record(seed: int, room: Path, frames: int) -> None:
    """Renders a room as a posed RGB-D folder with exact and corrupted masks."""
    from moonseg_jax.rooms import CorruptionRates, write_room

    write_room(room, seed=seed, frames=frames, rates=CorruptionRates())


@contextmanager
def open_workers(count: int | None) -> Iterator[ProcessPoolExecutor]:
    """Processes that render, on the CPU unless `JAX_PLATFORMS` says otherwise.

    What they have not begun when this ends is dropped.
    """
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    # A forked JAX would hang.
    pool = ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn"))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def make_cache(seed: int, cache: Path, args: argparse.Namespace) -> str:
    """A room in a worker from nothing to its cache."""
    from moonseg_cli.cache import cache_recording

    with tempfile.TemporaryDirectory() as folder:
        room = (args.recordings or Path(folder)) / cache.name
        record(seed, room, args.frames)
        cache_recording(str(room), cache, masks=str(room / MASKS[args.masks]))
    return cache.name


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_flags(parser)
    args = parser.parse_args(words)

    todo = missing_rooms(args)
    with open_workers(args.workers) as workers:
        jobs = [workers.submit(make_cache, seed, cache, args) for seed, cache in todo]
        for count, job in enumerate(jobs, start=1):
            name = job.result()
            if count % 20 == 0:
                print(f"{count}/{len(todo)} {name}", flush=True)


if __name__ == "__main__":
    main()
