"""Where a bridge's time goes, by stage."""

import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any


class StageTimes:
    """Seconds by stage of one scene, added up from any thread.

    What runs on a GPU is told by CUDA events, so that nobody waits for it: the span of the GPU's
    own time between the start of a stage and its end, idle moments included.
    """

    def __init__(self, stages: Iterable[str]) -> None:
        self._spent = dict.fromkeys(stages, 0.0)
        self._pending: deque[tuple[str, Any, Any, int]] = deque()
        self._lock = threading.Lock()

    @property
    def seconds(self) -> dict[str, float]:
        """So far; waits for the GPU to be done with what it was given."""
        with self._lock:
            self._settle(wait=True)
            return dict(self._spent)

    def add(self, stage: str, start: Any, end: Any, frames: int = 1) -> None:
        """Adds one frame's share of a stage that ran on ``frames`` of them; see `mark`."""
        with self._lock:
            self._pending.append((stage, start, end, frames))
            self._settle(wait=False)

    def _settle(self, wait: bool) -> None:
        while self._pending:
            stage, start, end, frames = self._pending[0]
            if isinstance(end, float):
                spent = end - start
            elif wait or end.query():
                end.synchronize()
                spent = start.elapsed_time(end) / 1e3
            else:
                return
            self._spent[stage] += spent / frames
            self._pending.popleft()


@contextmanager
def timed(stage: str, scenes: Sequence[StageTimes], on_gpu: bool = False) -> Iterator[None]:
    """Times what is inside, in equal shares for the frames whose ``scenes`` are given."""
    start = _mark(on_gpu)
    yield
    end = _mark(on_gpu)
    for times in scenes:
        times.add(stage, start, end, len(scenes))


def cuda() -> Any:
    """``torch.cuda`` where PyTorch uses a GPU, else None; imports nothing."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_initialized() else None


def _mark(on_gpu: bool) -> Any:
    device = cuda() if on_gpu else None
    if device is None:
        return time.perf_counter()
    event = device.Event(enable_timing=True)
    event.record()
    return event
