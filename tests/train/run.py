"""Trains in a process of its own: ``python -m tests.train.run WORKDIR KILL_AT CACHE...``."""

import os
import signal
import sys

from moonseg_jax.train import train
from moonseg_jax.train.progress import TrainBar
from tests.train.rooms import tiny_config


def main(workdir: str, kill_at: int, caches: list[str]) -> None:
    """Runs `tiny_config`; after ``kill_at`` steps the process is gone, as by ``kill -9``."""
    steps_left = iter(range(kill_at - 1, -1, -1))

    def advance(_: TrainBar) -> None:
        if next(steps_left, None) == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    TrainBar.advance = advance
    train(tiny_config(), caches, workdir, progress=False)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
