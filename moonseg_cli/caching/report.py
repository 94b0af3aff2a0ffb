"""What a run of `moonseg cache` says: what it will take, how each scene ended, what came of it."""

import sys
from collections import Counter
from collections.abc import Mapping

from moonseg_cli.caching.events import Cause, Done, Failed
from moonseg_cli.caching.jobs import Job, Jobs
from moonseg_cli.caching.plan import Plan
from moonseg_jax.structs import InputError


def estimate(plan: Plan, free: int) -> str:
    """What the plan will take of the disk."""
    text = f"{_scenes(len(plan.todo))}, {_frames(plan.frames)}: about {size(plan.num_bytes)}"
    text += f", and {size(free)} are free"
    return text + (f"; {_scenes(len(plan.kept))} there already" if plan.kept else "")


def nothing_to_do(out: str, plan: Plan) -> str:
    """Why a plan without work is one."""
    if not plan.kept:
        return f"{out}: nothing to do: this shard has no scene"
    return f"{out}: nothing to do: {_scenes(len(plan.kept))} there already, of the same settings"


def line(job: Job, result: Done | Failed) -> str:
    """How a scene ended."""
    if isinstance(result, Failed):
        return f"{job.name}: failed: {result.sentence}"
    text = f"{job.name}: {_frames(result.frames)}, {size(result.num_bytes)}"
    if result.skipped:
        name, reason = result.skipped[0]
        text += f"; skipped {len(result.skipped)}, the first {name}: {reason}"
    return text


def done(ended: Mapping[Job, Done | Failed]) -> list[Done]:
    """Those that did not fail."""
    return [result for result in ended.values() if isinstance(result, Done)]


def summary(out: str, plan: Plan, ended: Mapping[Job, Done | Failed], seconds: float) -> str:
    """What is in ``out`` now, and how fast it came there."""
    results = done(ended)
    frames = sum(result.frames for result in results)
    stages: Counter[str] = Counter()
    for result in results:
        stages.update(result.seconds)
    counts = f"{_scenes(len(results))} cached" + (
        f", {len(plan.kept)} there already" if plan.kept else ""
    )
    text = (
        f"{out}: {counts}; {_frames(frames)}, {size(sum(result.num_bytes for result in results))},"
        f" up to {max((result.num_masks for result in results), default=0)} masks a frame"
    )
    if frames:
        each = ", ".join(f"{stage} {1e3 * spent / frames:.1f}" for stage, spent in stages.items())
        text += f"\n{frames / seconds:.1f} frames/s; milliseconds a frame: {each}"
    return text


def failures(ended: Mapping[Job, Done | Failed], scenes: Jobs) -> int:
    """Lists the scenes that failed, on stderr.

    Returns:
        The command's exit code where no input is to blame: 0, or 1 where a scene failed.

    Raises:
        InputError: where input is to blame.
    """
    failed = {job: result for job, result in ended.items() if isinstance(result, Failed)}
    if not failed:
        return 0
    for result in failed.values():
        print(result.details, end="", file=sys.stderr)
    by_input = [r for r in failed.values() if r.cause in (Cause.INPUT, Cause.DISK)]
    if by_input and not scenes.many:
        raise InputError(by_input[0].sentence)
    for job, result in failed.items():
        print(line(job, result), file=sys.stderr)
    if by_input:
        count = f"{len(failed)} of {_scenes(len(scenes.jobs))} failed"
        raise InputError(f"{count}, as listed above; the last: {by_input[-1].sentence}")
    return 1


def size(num_bytes: float) -> str:
    """Bytes, for people."""
    for unit in ("bytes", "kB", "MB"):
        if num_bytes < 1000:
            return f"{num_bytes:.3g} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.1f} GB"


def _scenes(count: int) -> str:
    return f"{count} scene" if count == 1 else f"{count} scenes"


def _frames(count: int) -> str:
    return f"{count} frame" if count == 1 else f"{count} frames"
