"""`moonseg cache`: run the backbones over recordings, once."""

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from moonseg_cli.backbones import add_backbones, add_frames, at_least, bridge_config
from moonseg_cli.progress import SceneBars

if TYPE_CHECKING:
    from bridges.loading import Backbones
    from moonseg_cli.caching.events import Done
    from moonseg_cli.caching.jobs import Job


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of DESIGN's main line, and those of many scenes."""
    parser.add_argument(
        "--source",
        required=True,
        nargs="+",
        action="extend",
        metavar="PATH",
        help="recording: folder, .sens or video file; or many: a folder of recordings, a quoted "
        "glob, a .txt list, or several of these",
    )
    parser.add_argument(
        "--out",
        required=True,
        metavar="CACHE",
        help="where the cache goes; of many scenes: the folder of their caches",
    )
    add_frames(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what it takes, write nothing")
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace caches that were made with other settings",
    )
    add_backbones(parser)
    _add_runners(parser.add_argument_group("many scenes"))


def _add_runners(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--scenes-at-once",
        type=at_least(0),
        default=0,
        metavar="B",
        help="scenes that advance together, a frame of each as one batch of the models (or B frames"
        " of one scene, in a worker); default: 8 on a GPU, else 1",
    )
    group.add_argument(
        "--workers",
        type=at_least(0),
        default=0,
        metavar="N",
        help="processes, or actors with --ray; each has its own models and one scene at a time, so"
        " that only encoders see batches: on a single GPU leave it out",
    )
    group.add_argument(
        "--ray",
        nargs="?",
        const="",
        metavar="ADDRESS",
        help="run on a Ray cluster, an actor a GPU; without an address one of this machine",
    )
    group.add_argument(
        "--shard", metavar="I/N", help="the I-th of N parts; slurm: this task of a job array"
    )


def run(args: argparse.Namespace) -> int:
    """Looks at the scenes, says what they take, caches them, says what was done.

    Returns:
        0 on success, 1 where a scene failed for no fault of its own.

    Raises:
        InputError: bad input; the scenes without it are cached nevertheless.
    """
    from moonseg_cli.caching import batch, report
    from moonseg_cli.caching.jobs import find_jobs
    from moonseg_cli.caching.plan import make_plan
    from moonseg_cli.caching.runners import open_runner

    config = bridge_config(args)
    scenes = find_jobs(
        args.source, Path(args.out), args.masks, args.stride, args.max_frames, args.shard
    )
    try:
        with open_runner(
            config, len(scenes.jobs), args.workers, args.ray, args.scenes_at_once
        ) as runner:
            plan = make_plan(runner, scenes, args.overwrite)
            if not plan.todo:
                if not plan.failed:
                    print(report.nothing_to_do(args.out, plan))
                return report.failures(plan.failed, scenes)
            free = batch.check_room(plan, Path(args.out))
            print(report.estimate(plan, free), flush=True)
            if args.dry_run:
                return report.failures(plan.failed, scenes)
            started = time.perf_counter()
            ended = dict(batch.execute(runner, plan))
            seconds = time.perf_counter() - started
    finally:
        batch.tidy(scenes)
    if report.done(ended):
        print(report.summary(args.out, plan, ended, seconds))
    return report.failures({**plan.failed, **ended}, scenes)


def cache_recording(
    source: str | Path,
    out: str | Path,
    *,
    rfm: str = "sensor",
    semantic: str = "classical",
    masks: str = "felzenszwalb",
    stride: int = 1,
    max_frames: int = 0,
) -> None:
    """Reads a recording, runs the backbones, commits one cache.

    Args:
        source: a recording.
        out: the cache's path; an older cache there is replaced once the new one is complete.
        rfm, semantic, masks: backbones by name; ``masks`` may be a folder of label maps.
        stride, max_frames: of the source's frames.

    Raises:
        InputError: whatever is wrong with the source; nothing is left behind.
    """
    from bridges.bridge import BridgeConfig, load_backbones
    from moonseg_cli.caching.jobs import Job

    backbones = load_backbones(BridgeConfig(rfm=rfm, semantic=semantic, masks=masks))
    cache_one(Job("cache", str(source), Path(out), masks, stride, max_frames), backbones)


def cache_one(job: "Job", backbones: "Backbones") -> "Done":
    """Caches one scene, with a bar, by backbones that are loaded already.

    Args:
        job: the scene.
        backbones: what sees it.

    Returns:
        What was done.

    Raises:
        InputError: whatever is wrong with the source; nothing is left behind.
    """
    from moonseg_cli.caching.events import Done, Progress
    from moonseg_cli.caching.report import line
    from moonseg_cli.caching.work import cache_scene

    with SceneBars() as bars:
        for event in cache_scene(job, backbones):
            if isinstance(event, Progress):
                bars.update(job.name, event.frames, event.total)
            elif isinstance(event, Done):
                bars.end(job.name, line(job, event) if event.skipped else "")
                return event
    raise AssertionError
