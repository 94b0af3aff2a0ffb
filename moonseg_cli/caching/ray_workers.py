"""Workers that are actors of a Ray cluster: the GPUs and CPUs of many machines."""

import logging
import math
import os
import socket
from typing import Any

from bridges.bridge import BridgeConfig
from moonseg_cli.caching.events import Died, Event, Progress
from moonseg_cli.caching.jobs import Job
from moonseg_cli.caching.work import Task, Worker
from moonseg_jax.structs import InputError, install

CPUS_A_WORKER = 2  # Where there are no GPUs: what one bridge keeps busy.
CONNECT_SECONDS = 10.0


class RayWorkers:
    """One actor a GPU, or a share of the CPUs where there is none; known by their numbers.

    Args:
        config: backbones of every actor.
        address: of the cluster; empty: the one that Ray finds, else one of this machine's own.
        count: how many actors; 0 = as the cluster has room.
        frames: of a scene that the models are given at a time; 0 = as suits the device.

    Raises:
        InputError: Ray is not installed, or there is no cluster at ``address``.
    """

    def __init__(self, config: BridgeConfig, address: str, count: int, frames: int = 0) -> None:
        self._ray = _connect(address)
        resources = self._ray.cluster_resources()
        gpus = 0 if config.device == "cpu" else int(resources.get("GPU", 0))
        cpus = resources.get("CPU", 1)
        self.count = count or gpus or max(1, int(cpus / CPUS_A_WORKER))
        self._actor = self._ray.remote(
            num_gpus=1 / math.ceil(self.count / gpus) if gpus else 0,
            num_cpus=1 if gpus else min(CPUS_A_WORKER, cpus / self.count),
            # Ray would give each actor other numbers of threads, and sums other last bits.
            runtime_env={"env_vars": {"OMP_NUM_THREADS": _threads()}},
        )(Worker)
        self._config = config
        self._frames = frames
        self._actors: list[Any] = []
        self._streams: dict[Any, int] = {}

    def start(self) -> int:
        """Starts one more worker."""
        worker = len(self._actors)
        self._actors.append(self._actor.remote(self._config, self._frames))
        self._listen(worker, "begin")
        return worker

    def submit(self, worker: int, task: Task, job: Job) -> None:
        """Gives an idle worker something to do."""
        self._listen(worker, "run", task, job)

    def wait(self) -> list[tuple[int, Event]]:
        """Waits for the next events; `Died` says that the worker is gone."""
        ready, _ = self._ray.wait(list(self._streams))
        events = ((self._streams.pop(stream), stream) for stream in ready)
        return [(worker, self._receive(worker, stream)) for worker, stream in events]

    def stop(self) -> None:
        """Ends all workers and lets go of the cluster."""
        self._ray.shutdown()

    def _listen(self, worker: int, method: str, *arguments: Any) -> None:
        call = getattr(self._actors[worker], method).options(num_returns="streaming")
        self._streams[call.remote(*arguments)] = worker

    def _receive(self, worker: int, stream: Any) -> Event:
        try:
            event = self._ray.get(next(stream))
        except self._ray.exceptions.RayError as error:
            self._ray.kill(self._actors[worker])
            return Died(str(error).strip().splitlines()[0])
        if isinstance(event, Progress):
            self._streams[stream] = worker
        return event


def _connect(address: str) -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Tells nobody what runs here.
    try:
        import ray
    except ImportError:
        raise InputError(f"--ray needs Ray: {install('cluster')}.") from None
    try:
        _knock(address)
        ray.init(
            address=address or None,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(
            f"--ray={address}: no cluster there ({error}): give the HOST:PORT that `ray start"
            " --head` told, on one of the cluster's machines (with RAY_AUTH_MODE=token where the"
            " cluster asks for a token)."
        ) from error
    return ray


def _knock(address: str) -> None:
    """Raises where nobody listens; Ray itself would try for minutes."""
    if address not in ("", "auto", "local"):
        host, _, port = address.rpartition(":")
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()


def _threads() -> str:
    """Of OpenMP in this process, which results in its last bits depend on."""
    return os.environ.get("OMP_NUM_THREADS") or str(len(os.sched_getaffinity(0)))
