"""Who works on the scenes: this process, or a pool of workers that may die.

A runner's ``run(task, jobs)`` yields ``(job, event)`` as things happen; every job ends with one
event that is no `Progress`.
"""

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, Self

from bridges.bridge import BridgeConfig
from bridges.lockstep import frames_at_once
from moonseg_cli.caching.events import Cause, Died, Event, Failed, Progress, Ready
from moonseg_cli.caching.jobs import Job
from moonseg_cli.caching.threads import ThreadWorkers
from moonseg_cli.caching.work import Task, Worker
from moonseg_jax.structs import InputError

ATTEMPTS = 3


class Runner(Protocol):
    """Runs tasks on scenes; a context, as workers end with it.

    Raises:
        InputError: the backbones cannot be loaded; on entering, or from `run`.
    """

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...

    def run(self, task: Task, jobs: Sequence[Job]) -> Iterator[tuple[Job, Event]]:
        """Yields each job's events; closing the iterator gives up what is not done."""
        ...


class InProcess:
    """One scene after the other, in this thread."""

    def __init__(self, config: BridgeConfig, frames: int = 0) -> None:
        self._worker = Worker(config, frames)

    def __enter__(self) -> Self:
        self._worker.load()
        return self

    def __exit__(self, *error: object) -> None:
        self._worker.close()

    def run(self, task: Task, jobs: Sequence[Job]) -> Iterator[tuple[Job, Event]]:
        """As `Runner` says."""
        for job in jobs:
            for event in self._worker.run(task, job):
                yield job, event


class Workers(Protocol):
    """Workers somewhere else, known by keys; each says `Ready` or `Failed` at first."""

    count: int

    def start(self) -> Any:
        """Starts one more worker; returns its key."""
        ...

    def submit(self, worker: Any, task: Task, job: Job) -> None:
        """Gives an idle worker something to do."""
        ...

    def wait(self) -> Sequence[tuple[Any, Event]]:
        """Waits for the next events; `Died` says that the worker is gone."""
        ...

    def stop(self) -> None:
        """Ends all workers; what they were at is given up."""
        ...


class Pool:
    """Keeps workers busy; a scene whose worker died is begun again by another one."""

    def __init__(self, workers: Workers, jobs: int) -> None:
        self._workers = workers
        self._count = min(workers.count, jobs)
        self._loading: set[Any] = set()
        self._idle: list[Any] = []
        self._false_starts = 0

    def __enter__(self) -> Self:
        for _ in range(self._count):
            self._start()
        return self

    def __exit__(self, *error: object) -> None:
        self._workers.stop()

    def run(self, task: Task, jobs: Sequence[Job]) -> Iterator[tuple[Job, Event]]:
        """As `Runner` says."""
        waiting = deque(jobs)
        attempts: Counter[Job] = Counter()
        busy: dict[Any, Job] = {}
        while waiting or busy:
            while waiting and self._idle:
                worker, job = self._idle.pop(), waiting.popleft()
                busy[worker] = job
                attempts[job] += 1
                self._workers.submit(worker, task, job)
            for worker, event in self._workers.wait():
                if worker not in busy:
                    self._heard(worker, event)
                    continue
                job = busy[worker]
                if not isinstance(event, Progress):
                    del busy[worker]
                    self._free(worker, event)
                if not isinstance(event, Died):
                    yield job, event
                elif attempts[job] < ATTEMPTS:
                    waiting.appendleft(job)
                else:
                    yield job, _lost(event)

    def _free(self, worker: Any, event: Event) -> None:
        if isinstance(event, Died):
            self._start()
        else:
            self._idle.append(worker)

    def _start(self) -> None:
        self._loading.add(self._workers.start())

    def _heard(self, worker: Any, event: Event) -> None:
        """Of a worker that is loading, or idle."""
        if isinstance(event, Ready):
            self._loading.remove(worker)
            self._idle.append(worker)
        elif isinstance(event, Died) and worker in self._idle:
            self._idle.remove(worker)
            self._start()
        elif isinstance(event, Died):
            self._start_again(worker, event)
        elif isinstance(event, Failed):
            kind = InputError if event.cause is Cause.INPUT else RuntimeError
            raise kind(event.details or event.sentence)

    def _start_again(self, worker: Any, event: Died) -> None:
        self._loading.remove(worker)
        self._false_starts += 1
        if self._false_starts >= ATTEMPTS:
            raise InputError(
                f"{ATTEMPTS} workers ended while they loaded the backbones ({event.reason}):"
                " fewer --workers may fit into the memory."
            )
        self._start()


def _lost(event: Died) -> Failed:
    return Failed(
        f"its worker ended {ATTEMPTS} times while at it (at last: {event.reason}): fewer"
        " --workers may fit into the memory",
        Cause.LOST,
    )


def open_runner(
    config: BridgeConfig, jobs: int, workers: int, ray: str | None, scenes_at_once: int = 0
) -> Runner:
    """Chooses who works.

    Args:
        config: of the backbones that everybody loads.
        jobs: how many scenes there are: more workers would be idle.
        workers: processes, or actors of Ray; 0 = this process, or as the cluster has room.
        ray: a cluster's address; empty for the one Ray finds or starts; None = no Ray.
        scenes_at_once: that this process runs in lockstep, or frames of a scene where it, or
            another worker, has one scene; 0 = as suits the device.

    Raises:
        InputError: Ray is not installed, or there is no such cluster.
    """
    if ray is not None:
        from moonseg_cli.caching.ray_workers import RayWorkers

        return Pool(RayWorkers(config, ray, workers, scenes_at_once), jobs)
    if min(workers, jobs) > 1:
        from moonseg_cli.caching.processes import ProcessWorkers

        return Pool(ProcessWorkers(config, workers, scenes_at_once), jobs)
    frames = scenes_at_once or frames_at_once(config)
    scenes = min(frames, jobs)
    if scenes > 1:
        return Pool(ThreadWorkers(Worker(config, frames, scenes), scenes), jobs)
    return InProcess(config, frames)
