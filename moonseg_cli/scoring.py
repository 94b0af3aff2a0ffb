"""Scoring many scenes, each in one of several processes."""

import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial

from moonseg_cli.measured import open_measured
from moonseg_cli.runtime import end_with_parent
from moonseg_jax.eval import EvalSettings, SceneFiles, SceneScore, score_scene
from moonseg_jax.structs import InputError


def score_scenes(
    scenes: Sequence[SceneFiles], settings: EvalSettings, workers: int = 0
) -> Iterator[SceneScore]:
    """Yields the score of every scene, in order, the same whatever the number of processes.

    Args:
        scenes: where each lies.
        settings: how.
        workers: processes; 0 = one a core; 1 = this one.

    Raises:
        InputError: a file is missing or does not fit, or a process died.
    """
    if workers < 0:
        raise InputError(f"--workers={workers}: give a number of processes, or 0.")
    count = min(workers or os.cpu_count() or 1, len(scenes))
    task = partial(score_files, settings=settings)
    if count <= 1:
        yield from map(task, scenes)
        return
    spawn = multiprocessing.get_context("spawn")  # A forked JAX hangs.
    pool = ProcessPoolExecutor(count, spawn, initializer=_begin)
    try:
        yield from pool.map(task, scenes)
    except BrokenProcessPool as error:
        raise InputError(
            f"one of {count} processes ended (out of memory?): fewer --workers may fit"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def score_files(files: SceneFiles, settings: EvalSettings) -> SceneScore:
    """Scores one scene with the poses and depth of its recording."""
    measured = None
    if files.predictions is not None:
        measured = open_measured(files.recording, files.ground_truth)
    return score_scene(files.predictions, files.ground_truth, settings, measured, files.scene)


def _begin() -> None:
    """Ctrl-C reaches all processes, and the parent tidies up; workers of a killed one end too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
