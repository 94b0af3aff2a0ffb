"""Workers that are processes of this machine."""

import glob
import multiprocessing
import os
import signal
from collections import Counter
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from bridges.bridge import BridgeConfig
from moonseg_cli.caching.events import Died, Event
from moonseg_cli.caching.jobs import Job
from moonseg_cli.caching.work import Task, Worker
from moonseg_cli.runtime import end_with_parent

# A forked JAX or CUDA hangs.
_SPAWN = multiprocessing.get_context("spawn")
STOP_SECONDS = 20.0


class ProcessWorkers:
    """Processes that share the machine's GPUs evenly; each is known by the pipe to it.

    Args:
        config: of the backbones of each.
        count: how many.
        frames: of a scene that the models are given at a time; 0 = as suits the device.
    """

    def __init__(self, config: BridgeConfig, count: int, frames: int = 0) -> None:
        self.count = count
        self._config = config
        self._frames = frames
        self._processes: dict[Connection, BaseProcess] = {}
        self._gpus = visible_gpus() if config.device in ("auto", "cuda") else []
        self._gpu_of: dict[Connection, str] = {}

    def start(self) -> Connection:
        """Starts one more worker."""
        ours, theirs = _SPAWN.Pipe()
        if self._gpus:
            load = Counter(self._gpu_of[worker] for worker in self._processes)
            self._gpu_of[ours] = min(self._gpus, key=load.__getitem__)
        arguments = (theirs, self._config, self._frames, self._gpu_of.get(ours))
        self._processes[ours] = _SPAWN.Process(target=serve, args=arguments, daemon=True)
        with _without_interrupts():
            self._processes[ours].start()
        theirs.close()  # So that the worker's death closes the pipe.
        return ours

    def submit(self, worker: Connection, task: Task, job: Job) -> None:
        """Gives an idle worker something to do."""
        with suppress(BrokenPipeError):  # `wait` says that it died.
            worker.send((task, job))

    def wait(self) -> list[tuple[Connection, Event]]:
        """Waits for the next events; `Died` says that the worker is gone."""
        ready = wait(list(self._processes))
        heard = [worker for worker in self._processes if worker in ready]
        return [(worker, self._receive(worker)) for worker in heard]

    def stop(self) -> None:
        """Ends all workers: each sees its pipe closed, and removes what it has half written."""
        for worker in self._processes:
            worker.close()
        for process in self._processes.values():
            process.join(STOP_SECONDS)
            process.kill()
            process.join()

    def _receive(self, worker: Connection) -> Event:
        try:
            return worker.recv()
        except (EOFError, ConnectionResetError):
            worker.close()
            process = self._processes.pop(worker)
            process.join()
            return Died(f"exit code {process.exitcode}")


def serve(connection: Connection, config: BridgeConfig, frames: int, gpu: str | None) -> None:
    """A worker's life: load the backbones, then one task after the other until the pipe closes."""
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu  # Before anything asks CUDA.
    end_with_parent()
    worker = Worker(config, frames)
    try:
        _tell(connection, worker.begin())
        while True:
            _tell(connection, worker.run(*connection.recv()))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # The parent is gone, or has no more to do.


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Ctrl-C reaches all: what is started inside never hears it, and the parent tidies up."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _tell(connection: Connection, events: Generator[Event]) -> None:
    with closing(events):  # A broken pipe in the middle of a scene gives the scene up.
        for event in events:
            connection.send(event)


def visible_gpus(environ: Mapping[str, str] = os.environ) -> list[str]:
    """NVIDIA GPUs by the names ``CUDA_VISIBLE_DEVICES`` knows them; asks no driver."""
    if "CUDA_VISIBLE_DEVICES" in environ:
        return [name for name in environ["CUDA_VISIBLE_DEVICES"].split(",") if name]
    return [str(i) for i in range(len(glob.glob("/dev/nvidia[0-9]*")))]
