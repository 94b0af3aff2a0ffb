"""Runs that are cut short and started again end with the bits of one that was not."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file

from moonseg_jax.structs import InputError
from moonseg_jax.train import train
from moonseg_jax.train.checkpoints import Checkpoints
from moonseg_jax.train.metrics import read_metrics
from moonseg_jax.train.progress import TrainBar
from tests.train.rooms import tiny_config

TIMES = ("clips_per_second", "frames_per_second", "input_wait")


def curve(workdir: Path) -> list[dict]:
    lines = read_metrics(workdir / "metrics.jsonl")
    return [{k: v for k, v in line.items() if k not in TIMES} for line in lines]


def final_state(workdir: Path) -> dict[str, bytes]:
    """Every array of the last checkpoint, read as any tool would."""
    checkpoints = Checkpoints(workdir / "checkpoints")
    step = checkpoints._manager.latest_step()
    restored = checkpoints._manager.restore(step)
    checkpoints.close()
    assert restored["loader"]["next_batch"] == step
    leaves = jax.tree_util.tree_leaves_with_path(restored["state"])
    return {jax.tree_util.keystr(path): np.asarray(x).tobytes() for path, x in leaves}


def assert_same_run(workdir: Path, reference: Path) -> None:
    ours, theirs = final_state(workdir), final_state(reference)
    assert ours.keys() == theirs.keys() and len(ours) > 50
    assert ours == theirs
    ours, theirs = (load_file(folder / "weights.safetensors") for folder in (workdir, reference))
    assert ours.keys() == theirs.keys()
    assert all(ours[name].tobytes() == theirs[name].tobytes() for name in ours)


def run_and_kill(workdir: Path, rooms: list[Path], kill_at: int) -> None:
    command = [sys.executable, "-m", "tests.train.run", workdir, kill_at, *rooms]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr


def test_killed_and_started_again(finished, rooms, tmp_path):
    kill_at = int(np.random.default_rng().integers(1, 24))
    print(f"killed after step {kill_at}")
    workdir = tmp_path / "run"
    run_and_kill(workdir, rooms, kill_at)
    result = train(tiny_config(), rooms, workdir, progress=False)
    assert result.step == result.steps == 24
    assert result.best == finished.result.best
    assert_same_run(workdir, finished.workdir)
    assert curve(workdir) == curve(finished.workdir)


@pytest.mark.slow
def test_killed_again_and_again(finished, rooms, tmp_path):
    workdir = tmp_path / "run"
    for kill_at in (1, 6, 5, 7, 10):
        run_and_kill(workdir, rooms, kill_at)
    train(tiny_config(), rooms, workdir, progress=False)
    assert_same_run(workdir, finished.workdir)
    assert curve(workdir) == curve(finished.workdir)


def test_a_signal_saves_and_leaves(finished, rooms, tmp_path, monkeypatch):
    steps = iter(range(1, 100))

    def advance(_):
        if next(steps) == 7:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(TrainBar, "advance", advance)
        stopped = train(tiny_config(), rooms, tmp_path, progress=False)
    assert (stopped.step, stopped.steps) == (7, 24)
    assert stopped.best is not None and stopped.best[0] == 5
    assert [line["step"] for line in curve(tmp_path)] == [4, 5, 7]

    result = train(tiny_config(), rooms, tmp_path, progress=False)
    assert result.step == 24
    assert_same_run(tmp_path, finished.workdir)


def test_a_complete_run_returns_at_once(finished, rooms, monkeypatch):
    before = (finished.workdir / "metrics.jsonl").read_text()
    again = train(tiny_config(), rooms[::-1], finished.workdir, progress=False)
    assert again == finished.result
    assert (finished.workdir / "metrics.jsonl").read_text() == before


def test_another_model_is_refused(finished, rooms):
    with pytest.raises(InputError, match=r"model\.width=16 and cannot go on with 32"):
        train(tiny_config(**{"model.width": 32}), rooms, finished.workdir, progress=False)


def test_a_missing_scene_is_refused(finished, rooms):
    with pytest.raises(InputError, match="5 other scenes than the 4"):
        train(tiny_config(), rooms[1:], finished.workdir, progress=False)
