import json
import time

import jax.numpy as jnp
import pytest

from moonseg_jax.train.metrics import (
    DivergedError,
    MetricsFile,
    StepClock,
    StepMetrics,
    read_metrics,
)


def metrics(loss=1.0, **changes):
    values = {"loss": loss, "grad_norm": 1.0, "param_norm": 1.0, **changes}
    return {name: jnp.float32(value) for name, value in values.items()}


def test_metrics_are_averaged_and_counts_summed():
    pending = StepMetrics(10)
    pending.add(metrics(1.0), {"dropped_masks": 2})
    pending.add(metrics(3.0), {"dropped_masks": 5})
    assert pending.collect() == {
        "loss": 2.0,
        "grad_norm": 1.0,
        "param_norm": 1.0,
        "dropped_masks": 7,
    }
    pending.add(metrics(5.0), {"dropped_masks": 0})
    assert pending.collect()["loss"] == 5.0


@pytest.mark.parametrize("name", ["loss", "grad_norm", "param_norm"])
def test_what_is_not_finite_is_reported_with_its_steps(name):
    pending = StepMetrics(20)
    pending.add(metrics(), {})
    pending.collect()
    for value in (1.0, float("nan"), 1.0):
        pending.add(metrics(**{name: value}), {})
    message = rf"^{name} became nan at step 23, in steps 22-24; all was finite up to step 21$"
    with pytest.raises(DivergedError, match=message):
        pending.collect()


def test_lines_after_the_resumed_step_are_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    first = MetricsFile(path, 0)
    for step in (5, 10, 15):
        first.write(step, {"loss": float(step)})
    with path.open("a") as file:
        file.write('{"step": 20, "lo')  # Killed while writing.
    MetricsFile(path, 10).write(15, {"loss": 1.5})
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"step": 5, "loss": 5.0},
        {"step": 10, "loss": 10.0},
        {"step": 15, "loss": 1.5},
    ]
    assert [line["step"] for line in read_metrics(path)] == [5, 10, 15]


def test_a_new_run_drops_what_one_killed_before_its_first_checkpoint_wrote(tmp_path):
    path = tmp_path / "metrics.jsonl"
    MetricsFile(path, 0).write(5, {"loss": 1.0})
    MetricsFile(path, 0)
    assert read_metrics(path) == []


class SlowOutput:
    """Looks to JAX like an array that is ready only after a while."""

    def __init__(self, seconds: float):
        self._seconds = seconds

    def block_until_ready(self):
        time.sleep(self._seconds)
        return self


def wait_share(step_seconds: float, input_seconds: float) -> float:
    clock = StepClock()
    clock.dispatched(SlowOutput(step_seconds))
    clock.lap(1, 1)
    for _ in range(4):
        asked = time.perf_counter()
        time.sleep(input_seconds)
        clock.arrived(asked)
        clock.dispatched(SlowOutput(step_seconds))
    share = clock.lap(1, 1)["input_wait"]
    clock.close()
    return share


def test_input_that_comes_while_the_device_works_costs_nothing():
    assert wait_share(step_seconds=0.15, input_seconds=0.01) < 0.1


def test_input_that_comes_late_counts_from_when_the_device_is_idle():
    # 0.04 s of every 0.1 s.
    assert wait_share(step_seconds=0.06, input_seconds=0.1) == pytest.approx(0.4, abs=0.2)


def test_throughput_counts_clips_and_frames():
    clock = StepClock()
    for _ in range(3):
        clock.dispatched(SlowOutput(0.0))
    time.sleep(0.1)
    lap = clock.lap(clips=4, frames=16)
    clock.close()
    assert 0 < lap["clips_per_second"] <= 12 / 0.1
    assert lap["frames_per_second"] == 16 * lap["clips_per_second"]
