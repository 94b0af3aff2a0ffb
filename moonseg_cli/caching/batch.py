"""Caching what is planned: room on the disk, bars, and a tidy end."""

import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from moonseg_cli.caching import report
from moonseg_cli.caching.events import Cause, Done, Failed, Progress
from moonseg_cli.caching.jobs import Job, Jobs
from moonseg_cli.caching.plan import Plan
from moonseg_cli.caching.runners import Runner
from moonseg_cli.caching.work import cache_scene
from moonseg_cli.progress import SceneBars
from moonseg_jax.cache import discard_leftovers
from moonseg_jax.structs import InputError


def check_room(plan: Plan, out: Path) -> int:
    """Compares what the caches will take with what is free where they go.

    Returns:
        Free bytes.

    Raises:
        InputError: they cannot fit.
    """
    place = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.exists())
    free = shutil.disk_usage(place).free
    more = sum(max(0, scene.num_bytes - scene.old_bytes) for scene in plan.todo.values())
    if more > free:
        raise InputError(
            f"{out}: {plan.frames} frames take about {report.size(more)} and {report.size(free)}"
            " are free: free some room, name another --out, or take fewer frames (--stride,"
            " --max-frames)."
        )
    return free


def execute(runner: Runner, plan: Plan) -> Iterator[tuple[Job, Done | Failed]]:
    """Caches what is to do, with bars; yields each scene as it ends.

    Ends early when the disk is full. Scenes in flight when it is closed leave nothing behind.
    """
    # Only images of one size fit into one batch.
    jobs = sorted(plan.todo, key=lambda job: (plan.todo[job].image_size, job.name))
    with SceneBars(len(jobs), plan.frames) as bars:
        for job, event in runner.run(cache_scene, jobs):
            if isinstance(event, Progress):
                bars.update(job.name, event.frames, event.total)
            elif isinstance(event, Done | Failed):
                # One failure of many is told at once; a single one is the command's last word.
                told = isinstance(event, Done) or len(plan.todo) > 1
                bars.end(job.name, report.line(job, event) if told else "")
                yield job, event
                if isinstance(event, Failed) and event.cause is Cause.DISK:
                    return


def tidy(scenes: Jobs) -> None:
    """Removes what workers that were stopped in the middle of a scene left."""
    for job in scenes.jobs:
        with suppress(InputError):  # One that has not ended yet; the next run tidies up.
            discard_leftovers(job.out)
