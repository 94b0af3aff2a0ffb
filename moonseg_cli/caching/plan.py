"""What there is to do: every scene looked at, those that are there already set aside."""

from dataclasses import dataclass, field

from moonseg_cli.caching.events import Described, Failed
from moonseg_cli.caching.jobs import Job, Jobs
from moonseg_cli.caching.runners import Runner
from moonseg_cli.caching.work import describe
from moonseg_cli.progress import track
from moonseg_jax.cache import discard_leftovers
from moonseg_jax.structs import InputError


@dataclass
class Plan:
    """What is to be done, by scene.

    Attributes:
        todo: scenes to cache.
        kept: scenes whose cache is there already, made with the same settings.
        failed: scenes that cannot be opened.
    """

    todo: dict[Job, Described] = field(default_factory=dict)
    kept: list[Job] = field(default_factory=list)
    failed: dict[Job, Failed] = field(default_factory=dict)

    @property
    def frames(self) -> int:
        """To cache."""
        return sum(scene.frames for scene in self.todo.values())

    @property
    def num_bytes(self) -> int:
        """That the caches will take, estimated."""
        return sum(scene.num_bytes for scene in self.todo.values())


def make_plan(runner: Runner, scenes: Jobs, overwrite: bool) -> Plan:
    """Looks at every scene; the leftovers of killed runs are removed, nothing is written.

    A cache that was made with the same settings is kept.

    Args:
        runner: who looks.
        scenes: what to look at.
        overwrite: whether a cache that was made with other settings is replaced.

    Raises:
        InputError: a cache is there that was made with other settings, or another process is
            writing it.
    """
    for job in scenes.jobs:
        discard_leftovers(job.out)
    plan = Plan()
    for job, event in track(runner.run(describe, scenes.jobs), "look", total=len(scenes.jobs)):
        if isinstance(event, Failed):
            plan.failed[job] = event
        elif isinstance(event, Described):
            if event.difference == "":
                plan.kept.append(job)
            elif event.difference and not overwrite:
                raise InputError(
                    f"{job.out} is there and not what is asked for ({event.difference}): add"
                    " --overwrite to make it again, or name another --out."
                )
            else:
                plan.todo[job] = event
    return plan
