"""Work ahead in threads, results in order."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def in_order(tasks: Iterable[Callable[[], T]], threads: int, ahead: int) -> Generator[T]:
    """Runs tasks in threads and yields what they return, in the order of the tasks.

    Args:
        tasks: taken lazily, in the caller's thread.
        threads: how many run at once.
        ahead: how many are started before the first result is handed out; bounds memory.

    Raises:
        Exception: whatever a task raises, when its turn comes; later tasks are then cancelled.
    """
    pending: deque[Future[T]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for task in tasks:
                pending.append(pool.submit(task))
                if len(pending) >= ahead:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
