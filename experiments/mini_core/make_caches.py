"""Renders procedural rooms and caches what the small backbones make of their images alone.

    python -m experiments.mini_core.make_caches --rooms=320 --out=out/mini_core/caches

Processes render; this one holds the backbones, for several rooms at a time on a GPU, and caches a
room as soon as it is rendered. The same command goes on where it ended.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path

from bridges.bridge import BridgeConfig
from experiments.classical_core.make_caches import (
    MASKS,
    add_flags,
    missing_rooms,
    open_workers,
    record,
)
from experiments.dataset import run_script
from moonseg_cli.caching.events import Done, Event, Failed
from moonseg_cli.caching.jobs import Job
from moonseg_cli.caching.runners import open_runner
from moonseg_cli.caching.work import Models, cache_scene


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    add_flags(parser)
    parser.add_argument("--rfm-weights", default="", help="default: what ships")
    parser.add_argument("--semantic-weights", default="", help="default: what ships")
    parser.add_argument("--device", default="auto", help="of the backbones")
    parser.add_argument("--at-once", type=int, default=0, help="rooms; default: 8 on a GPU, else 1")
    args = parser.parse_args(words)

    config = BridgeConfig(
        rfm="mini",
        semantic="mini",
        rfm_weights=args.rfm_weights,
        semantic_weights=args.semantic_weights,
        device=args.device,
        state_attention=True,
    )
    todo = missing_rooms(args)
    with (
        tempfile.TemporaryDirectory() as folder,
        open_workers(args.workers) as workers,
        open_runner(config, len(todo), 0, None, args.at_once) as runner,
    ):
        place = args.recordings or Path(folder)
        jobs = [job_of(place / cache.name, cache, args.masks) for _, cache in todo]
        rendered = {
            job: workers.submit(record, seed, place / job.name, args.frames)
            for job, (seed, _) in zip(jobs, todo, strict=True)
        }
        task = partial(cache_rendered, rendered, keep=args.recordings is not None)
        started = time.perf_counter()
        frames = rooms = 0
        for job, event in runner.run(task, jobs):
            if isinstance(event, Failed):
                raise RuntimeError(f"{job.name}: {event.details or event.sentence}")
            if isinstance(event, Done):
                frames, rooms = frames + event.frames, rooms + 1
                rate = frames / (time.perf_counter() - started)
                if rooms % 20 == 0 or rooms == len(jobs):
                    print(f"{rooms}/{len(jobs)} {job.name} {rate:.1f} frames/s", flush=True)


def job_of(room: Path, cache: Path, masks: str) -> Job:
    """A room's images, and nothing else of it but the masks."""
    return Job(room.name, str(room / "color"), cache, str(room / MASKS[masks]))


def cache_rendered(
    rendered: Mapping[Job, "Future[None]"], job: Job, models: Models, keep: bool
) -> Generator[Event]:
    """Waits for a room, caches it, and takes it away unless it is to be kept."""
    rendered[job].result()
    yield from cache_scene(job, models)
    if not keep:
        shutil.rmtree(Path(job.source).parent)


if __name__ == "__main__":
    run_script(main)
