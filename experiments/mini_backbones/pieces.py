"""A training in pieces of wall time, for GPUs that are shared."""

import faulthandler
import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, NoReturn

import torch

TO_SAVE = 8.0  # Seconds kept for the last steps and for writing.
TO_LEAVE = 10.0  # Seconds for the processes to end, after those of the piece.


@dataclass(frozen=True)
class Piece:
    """What a training is given now.

    Attributes:
        ends: when it is over, by `time.monotonic`; a checkpoint is written before.
        total: seconds of steps in the whole training.
        last: whether the training ends with it: ``total`` is what was, and what is left now.
    """

    ends: float
    total: float
    last: bool = False


class Clock:
    """Seconds of steps, of this piece and of those before; they run from `start` on.

    Args:
        piece: this one.
        before: seconds of those before.
    """

    def __init__(self, piece: Piece, before: float) -> None:
        self._piece, self._before, self._total = piece, before, piece.total
        self._started: float | None = None

    def start(self) -> None:
        """The first step begins."""
        self._started = time.monotonic()
        if self._piece.last:
            self._total = self._before + max(self._piece.ends - TO_SAVE - self._started, 1.0)

    @property
    def seconds(self) -> float:
        """Of the whole training so far."""
        now = 0.0 if self._started is None else time.monotonic() - self._started
        return self._before + now

    @property
    def progress(self) -> float:
        """From 0 to 1."""
        return min(self.seconds / self._total, 1.0)

    @property
    def left(self) -> float:
        """Seconds of this piece until it has to be saved; negative once they are over."""
        return self._piece.ends - TO_SAVE - time.monotonic()

    @property
    def over(self) -> bool:
        """Whether the training or the piece is."""
        return self.progress >= 1 or self.left < 0


class Spent:
    """Where the seconds of a piece go; what is inside of something counts there only.

    Args:
        began: the process, by `time.monotonic`.
        first: what the seconds since then went to, and those that nobody claims go to.
    """

    def __init__(self, began: float, first: str) -> None:
        self._last, self._inside = began, [first]
        self._seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def on(self, name: str) -> Iterator[None]:
        """Counts what is done within."""
        self._charge()
        self._inside.append(name)
        try:
            yield
        finally:
            self._charge()
            self._inside.pop()

    def __str__(self) -> str:
        self._charge()
        parts = (f"{name} {seconds:.1f}" for name, seconds in self._seconds.items())
        return f"{sum(self._seconds.values()):.1f} s: {', '.join(parts)}"

    def _charge(self) -> None:
        now = time.monotonic()
        self._seconds[self._inside[-1]] += now - self._last
        self._last = now


def leave_in_time(piece: Piece) -> None:
    """Ends this process when the piece does, whatever it compiles or waits for then.

    A training ends by its clock, before. This is for what it cannot look at its clock in: the main
    thread is interrupted at the end of the piece, or if the process is told to terminate; a few
    seconds later the process is gone, having printed where its threads were.
    """
    left = max(piece.ends - time.monotonic(), 1.0)
    signal.signal(signal.SIGALRM, _leave)
    signal.signal(signal.SIGTERM, _leave)
    signal.setitimer(signal.ITIMER_REAL, left)
    faulthandler.dump_traceback_later(left + TO_LEAVE, exit=True)


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    where = f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame else "nowhere"
    raise SystemExit(
        f"{signal.Signals(number).name} in {where}: the piece is over, its last checkpoint stands."
    )


def told_of(module: str, before: dict[str, Any], clock: Clock) -> dict[str, Any]:
    """For a checkpoint: seconds so far, and how every piece was run.

    Args:
        module: that is run, ``python -m ...``.
        before: what the checkpoint told that this piece began with.
        clock: of this piece.
    """
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    command = " ".join(["python", "-m", module, *sys.argv[1:]])
    piece = {"command": command, "device": device, "torch": torch.__version__}
    return {"seconds": clock.seconds, "pieces": [*before.get("pieces", []), piece]}


def spare_cores(most: int = 8) -> int:
    """Processes that may make rooms: all cores but two, up to as many as a GPU can need."""
    return max(1, min(len(os.sched_getaffinity(0)) - 2, most))
