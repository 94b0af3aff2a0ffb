"""Renders procedural rooms and caches them: the training data of the classical core.

python experiments/classical_core/make_caches.py --rooms=400 --out=out/classical_core/caches
"""

import argparse
import multiprocessing
import os
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path


def make_cache(task: tuple[int, argparse.Namespace]) -> str:
    seed, args = task
    out, frames, masks = args.out, args.frames, args.masks
    target = out / f"room_{seed:05d}"
    if target.exists():
        return target.name
    from moonseg_cli.cache import cache_recording
    from moonseg_jax.rooms import CorruptionRates, write_room

    with tempfile.TemporaryDirectory() as folder:
        room = (args.recordings or Path(folder)) / target.name
        write_room(room, seed=seed, frames=frames, rates=CorruptionRates())
        source = str(room / {"exact": "instance", "corrupted": "masks"}[masks])
        cache_recording(str(room), target, masks=source)
    return target.name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rooms", type=int, default=400)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--masks", choices=("exact", "corrupted"), default="exact")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--recordings", type=Path, help="keep the rendered rooms in this folder")
    args = parser.parse_args()

    args.out.mkdir(parents=True, exist_ok=True)
    seeds = range(args.first_seed, args.first_seed + args.rooms)
    tasks = [(seed, args) for seed in seeds]
    # Rendering is on the CPU in every worker; a forked JAX would hang, so spawn.
    os.environ["JAX_PLATFORMS"] = "cpu"
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(args.workers, mp_context=context) as pool:
        for count, name in enumerate(pool.map(make_cache, tasks), start=1):
            if count % 20 == 0:
                print(f"{count}/{len(tasks)} {name}", flush=True)


if __name__ == "__main__":
    main()
