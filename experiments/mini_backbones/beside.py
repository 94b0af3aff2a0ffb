"""What goes on beside the training: processes make rooms, a thread renders them, ahead of need."""

import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, suppress
from multiprocessing import get_context
from queue import Empty, Queue
from threading import Event, Thread
from typing import Generic, TypeVar

import jax
import torch

AHEAD = 3  # Chunks of rooms that are being made while one is rendered.
GLANCE = 0.1  # Seconds between two looks at whether to stop.
Task = TypeVar("Task")
Made = TypeVar("Made")


class Feed(Generic[Made]):
    """Runs a generator in a thread, on a CUDA stream of its own.

    Args:
        produce: makes the generator; the event says when to stop, also while it waits.
        device: whose stream.
        ahead: how much is kept until it is taken.
    """

    def __init__(
        self,
        produce: Callable[[Event], Generator[Made, None, None]],
        device: torch.device,
        ahead: int = 1,
    ) -> None:
        self._produce, self._device = produce, device
        self._ready: Queue[Made | BaseException] = Queue(ahead)
        self._stop = Event()
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def take(self, patience: float) -> Made | None:
        """The next, or none after so many seconds; what went wrong in the thread is raised here."""
        if patience <= 0:
            return None
        try:
            made = self._ready.get(timeout=patience)
        except Empty:
            return None
        if isinstance(made, BaseException):
            raise made
        return made

    def close(self) -> None:
        """Ends the thread, once it has finished what it is at."""
        self._stop.set()
        while self._thread.is_alive():
            with suppress(Empty):
                self._ready.get(timeout=GLANCE)

    def _run(self) -> None:
        try:
            if self._device.type == "cuda":
                torch.cuda.set_stream(torch.cuda.Stream(self._device))
            with closing(self._produce(self._stop)) as produced:
                for made in produced:
                    if self._stop.is_set():
                        return
                    self._ready.put(made)
        except BaseException as error:  # Raised where it is taken.
            self._ready.put(error)


def made_ahead(
    make: Callable[[Task], Made], chunks: Iterator[Sequence[Task]], workers: int, stop: Event
) -> Generator[list[Made], None, None]:
    """What is made of tasks, chunk after chunk.

    Args:
        make: of a module, for processes to import.
        chunks: of tasks, without an end.
        workers: processes; 0 makes all here.
        stop: ends it and the processes, whatever they are at.
    """
    if not workers:
        while not stop.is_set():
            yield [make(task) for task in next(chunks)]
        return
    with get_context("spawn").Pool(workers, _on_one_core) as pool:
        pending = deque(pool.map_async(make, next(chunks), chunksize=1) for _ in range(AHEAD))
        while not stop.is_set():
            if pending[0].ready():
                yield pending.popleft().get()
                pending.append(pool.map_async(make, next(chunks), chunksize=1))
            else:
                pending[0].wait(GLANCE)


def _on_one_core() -> None:
    """Never on the GPU that trains."""
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    jax.config.update("jax_platforms", "cpu")
