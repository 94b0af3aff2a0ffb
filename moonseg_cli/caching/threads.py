"""Workers that are threads of this process: scenes that advance in lockstep."""

import threading
from contextlib import closing
from queue import Queue

from moonseg_cli.caching.events import Event
from moonseg_cli.caching.jobs import Job
from moonseg_cli.caching.work import Task, Worker


class ThreadWorkers:
    """Threads that share the models of one `Worker`; known by their numbers.

    Args:
        worker: with room for so many scenes.
        count: how many.
    """

    def __init__(self, worker: Worker, count: int) -> None:
        self.count = count
        self._worker = worker
        self._events: Queue[tuple[int, Event]] = Queue()
        self._started = 0
        self._threads: dict[int, threading.Thread] = {}
        self._stopped = False

    def start(self) -> int:
        """Starts one more worker; the first one loads the models, in this thread."""
        self._started += 1
        for event in self._worker.begin():
            self._events.put((self._started, event))
        return self._started

    def submit(self, worker: int, task: Task, job: Job) -> None:
        """Gives an idle worker something to do."""
        thread = threading.Thread(target=self._run, args=(worker, task, job), daemon=True)
        self._threads[worker] = thread
        thread.start()

    def wait(self) -> list[tuple[int, Event]]:
        """Waits for the next event."""
        return [self._events.get()]

    def stop(self) -> None:
        """Gives up what is not done: each worker notices at its next event."""
        self._stopped = True
        for thread in self._threads.values():
            thread.join()
        self._worker.close()

    def _run(self, worker: int, task: Task, job: Job) -> None:
        with closing(self._worker.run(task, job)) as events:
            for event in events:
                if self._stopped:
                    return
                self._events.put((worker, event))
