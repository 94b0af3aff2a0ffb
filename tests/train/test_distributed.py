"""Two processes give the losses of one."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from moonseg_jax.structs import InputError
from moonseg_jax.train import join_processes, processes, read_metrics, sweep, train
from tests.train.rooms import tiny_config

CHANGES = [{"seed": 0}, {"seed": 1}]
# Noise too is to be the same, though the clips of a batch lie in another order.
FIELDS = {
    "data.batch_clips": 4,
    "train.steps": 4,
    "train.log_every": 1,
    "train.checkpoint_every": 2,
    "train.cut_masks": 0.5,
    "train.feature_noise": 0.1,
    "train.eval_fraction": 0.2,
}
SCRIPT = """
import os, signal, sys
from moonseg_jax.train import join_processes, sweep, train
from moonseg_jax.train.progress import TrainBar
from tests.train.rooms import tiny_config
from tests.train.test_distributed import CHANGES, FIELDS

address, index, kind, workdir, *rooms = sys.argv[1:]
join_processes(f"{address},2,{index}")
advance, config = TrainBar.advance, tiny_config(**FIELDS)

def stop(bar):
    os.kill(os.getpid(), signal.SIGTERM)
    TrainBar.advance = advance

def run():
    if kind == "train":
        return train(config, rooms, workdir, progress=False)
    return sweep(config, CHANGES, rooms, workdir, progress=False)

# The signal reaches one process, and both save.
if index == "1":
    TrainBar.advance = stop
print("stopped", run().step)
print(run())
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run_processes(script: str, *words: str) -> list[str]:
    """What two processes of one device each print."""
    address = f"127.0.0.1:{free_port()}"
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=1"}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", script, address, str(index), *words],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]
    ended = [process.communicate() for process in running]
    for process, (_, errors) in zip(running, ended, strict=True):
        assert process.returncode == 0, errors
    return [output for output, _ in ended]


def assert_same_curves(ours: Path, theirs: Path) -> None:
    ours, theirs = (read_metrics(folder / "metrics.jsonl") for folder in (ours, theirs))
    assert [line["step"] for line in ours] == [line["step"] for line in theirs] == [1, 2, 3, 4]
    for one, other in zip(ours, theirs, strict=True):
        assert one.keys() == other.keys()
        for name in ("loss", "seg", "dist", "xseg", "grad_norm", "param_norm", "dropped_masks"):
            np.testing.assert_allclose(one[name], other[name], rtol=1e-4, err_msg=name)
        if "score" in one:
            np.testing.assert_allclose(one["score"], other["score"], rtol=1e-4)


def run_both(kind: str, workdir: Path, rooms: list[Path]) -> None:
    """Both processes stop and go on, and say the same of it."""
    outputs = run_processes(SCRIPT, kind, str(workdir), *map(str, rooms))
    first, second = (output.splitlines()[-2:] for output in outputs)
    assert first == second and first[0] == "stopped 1"


@pytest.mark.slow
def test_two_processes_equal_one(rooms, tmp_path, quick_compile):
    run_both("train", tmp_path / "two", rooms)
    train(tiny_config(**FIELDS), rooms, tmp_path / "one", progress=False)
    assert_same_curves(tmp_path / "two", tmp_path / "one")


@pytest.mark.slow
def test_a_sweep_of_two_processes_equals_that_of_one(rooms, tmp_path, quick_compile):
    run_both("sweep", tmp_path / "two", rooms)
    result = sweep(tiny_config(**FIELDS), CHANGES, rooms, tmp_path / "one", progress=False)
    for k, member in enumerate(result.members):
        both = tmp_path / "two" / "members" / str(k)
        assert_same_curves(both, member.workdir)
        ours, theirs = (load_file(f / "weights.safetensors") for f in (both, member.workdir))
        assert ours.keys() == theirs.keys()


@pytest.mark.parametrize("where", ["host:1234", "host:1234,2,x", "host:1234,2,2"])
def test_an_address_that_says_nothing_is_refused(where):
    with pytest.raises(InputError, match="HOST:PORT,COUNT,INDEX"):
        join_processes(where)


def test_a_folder_that_is_not_shared_is_refused(monkeypatch):
    monkeypatch.setattr(processes, "_gather", lambda step: [step, 0])
    with pytest.raises(InputError, match="a file system that all machines share"):
        processes.check_shared(4, "run")
    processes.check_shared(0, "run")
