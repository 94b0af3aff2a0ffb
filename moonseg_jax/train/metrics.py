"""What a run says about itself: step metrics, the wait for input, and ``metrics.jsonl``."""

import json
import math
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import numpy as np

from moonseg_jax.train.processes import is_main, total_counts, wait_for_all
from moonseg_jax.train.workdir import write_atomically

# A finite loss can come with a NaN gradient; the next checkpoint would keep it.
MUST_BE_FINITE = ("loss", "grad_norm", "param_norm")


class DivergedError(Exception):
    """The loss, the gradient or the parameters became NaN or infinite."""


class StepMetrics:
    """Metrics of the steps since the last log.

    They stay on the device until then, so that looking at them does not hold up every step.
    """

    def __init__(self, step: int):
        self._logged = step
        self._pending: list[dict[str, jax.Array]] = []
        self._counts: dict[str, int] = {}

    def add(self, metrics: dict[str, jax.Array], counts: Mapping[str, int]) -> None:
        """Takes what the step and the loader say about one step."""
        self._pending.append(metrics)
        for name, count in counts.items():
            self._counts[name] = self._counts.get(name, 0) + int(count)

    def collect(self) -> dict[str, float]:
        """Waits for the device; means of the step's metrics, sums of the loader's counts.

        Raises:
            DivergedError: naming the step and the range since the last finite log.
        """
        steps, counts = self._take()
        values = [{name: float(value) for name, value in step.items()} for step in steps]
        self._check_finite(values)
        self._logged += len(steps)
        return _means(values) | counts

    def collect_members(self, members: Iterable[int]) -> dict[int, dict[str, float]]:
        """The same of some members of a sweep, whose metrics are ``[k]``; all of them finite."""
        steps, counts = self._take()

        def of(member: int) -> list[dict[str, float]]:
            return [{name: float(value[member]) for name, value in step.items()} for step in steps]

        return {member: _means(of(member)) | counts for member in members}

    def _take(self) -> tuple[list[dict[str, np.ndarray]], dict[str, int]]:
        steps, counts = jax.device_get(self._pending), total_counts(self._counts)
        self._pending, self._counts = [], {}
        return steps, counts

    def _check_finite(self, steps: list[dict[str, float]]) -> None:
        for i, metrics in enumerate(steps):
            bad = [name for name in MUST_BE_FINITE if not math.isfinite(metrics[name])]
            if bad:
                first, last = self._logged + 1, self._logged + len(steps)
                raise DivergedError(
                    f"{bad[0]} became {metrics[bad[0]]} at step {self._logged + i + 1}, in steps "
                    f"{first}-{last}; all was finite up to step {self._logged}"
                )


def _means(steps: list[dict[str, float]]) -> dict[str, float]:
    return {name: math.fsum(step[name] for step in steps) / len(steps) for name in steps[0]}


class StepClock:
    """Measures throughput, and how long the device had nothing to do because input was late.

    Asynchronous dispatch hides the latter from the loop: waiting for the loader costs nothing
    while the device is still at work on the step before.
    """

    def __init__(self) -> None:
        self._watcher = ThreadPoolExecutor(1, thread_name_prefix="step-done")
        self._done: Future[float] | None = None
        self._start = time.perf_counter()
        self._waited, self._steps = 0.0, 0

    def arrived(self, asked: float) -> None:
        """Input has arrived that was asked for at ``asked`` (`time.perf_counter`)."""
        now = time.perf_counter()
        if self._done is None:
            self._waited += now - asked
        elif self._done.done():
            self._waited += max(0.0, now - max(asked, self._done.result()))

    def dispatched(self, output: jax.Array) -> None:
        """A step is on its way; returns once the step before is done.

        One step in flight keeps the device busy; more would only pile up batches in its memory.
        """
        before = self._done
        self._done = self._watcher.submit(_finish_time, output)
        self._steps += 1
        if before is not None:
            before.result()

    def lap(self, clips: int, frames: int) -> dict[str, float]:
        """Since the last lap: throughput, all included, and the share of waiting for input.

        Args:
            clips: of a step.
            frames: of a clip.
        """
        now = time.perf_counter()
        seconds = now - self._start
        clips_per_second = self._steps * clips / seconds
        share = min(1.0, self._waited / seconds)
        self._start, self._waited, self._steps = now, 0.0, 0
        return {
            "clips_per_second": clips_per_second,
            "frames_per_second": clips_per_second * frames,
            "input_wait": share,
        }

    def close(self) -> None:
        """Ends the watching thread."""
        self._watcher.shutdown()


def _finish_time(output: jax.Array) -> float:
    jax.block_until_ready(output)
    return time.perf_counter()


class MetricsFile:
    """``metrics.jsonl``: one object a log, with its ``step``."""

    def __init__(self, path: Path, step: int):
        """Opens for appending after ``step``: later lines of a run cut short are dropped."""
        kept = [line for line in read_metrics(path) if line["step"] <= step]
        self._path = path
        wait_for_all("metrics are read")
        if is_main():
            write_atomically(path, "".join(json.dumps(line) + "\n" for line in kept))

    def write(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Appends one line; of several processes, one does."""
        if not is_main():
            return
        with self._path.open("a") as file:
            file.write(json.dumps({"step": step, **metrics}) + "\n")


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Reads ``metrics.jsonl``; a last line that was cut off by a kill is left out."""
    if not path.exists():
        return []
    whole = path.read_text().split("\n")[:-1]
    return [json.loads(line) for line in whole]
