"""What a segmentation cost."""

import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Elapsed:
    """Seconds by the wall, and of CPU time of all threads."""

    wall: float
    cpu: float

    @classmethod
    def now(cls) -> "Elapsed":
        """Since some moment in the past."""
        return cls(time.perf_counter(), time.process_time())

    def since(self, start: "Elapsed") -> "Elapsed":
        """Between two moments."""
        return Elapsed(self.wall - start.wall, self.cpu - start.cpu)


@dataclass(frozen=True)
class Costs:
    """What a method spent on a scene.

    Attributes:
        frames: the time of each frame.
        finish: the time after the last frame.
        state_bytes: what it kept at the end.
    """

    frames: list[Elapsed]
    finish: Elapsed
    state_bytes: int

    def ms_per_frame(self, clock: str) -> float:
        """Everything, spread over the frames, by the ``wall`` or the ``cpu`` clock."""
        total = sum(getattr(spent, clock) for spent in [*self.frames, self.finish])
        return 1e3 * total / max(len(self.frames), 1)
