"""Members of a sweep are what they would be by themselves."""

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file

from moonseg_jax.data import ClipLoader
from moonseg_jax.models import load_weights
from moonseg_jax.structs import InputError
from moonseg_jax.train import DivergedError, read_metrics, sweep, train
from moonseg_jax.train.members import make_members
from moonseg_jax.train.mesh import sweep_mesh
from moonseg_jax.train.progress import TrainBar
from tests.train.conftest import quickly_compiled
from tests.train.rooms import tiny_config

FIELDS = {"model.refine_layers": 2, "train.steps": 12, "train.cut_masks": 0.5}
CHANGES = [
    {},
    {
        "seed": 1,
        "optimizer.learning_rate": 1e-2,
        "optimizer.clip_norm": 1.0,
        "optimizer.warmup_steps": 5,
        "optimizer.b2": 0.99,
        "model.sources": "2d",
    },
    {
        "loss.xseg": 0.0,
        "loss.dist": 0.0,
        "model.context": False,
        "model.refine_layers": 1,
        "model.sources": "3d",
    },
]
TIMES = ("clips_per_second", "frames_per_second", "input_wait")


def curve(folder: Path) -> list[dict]:
    lines = read_metrics(folder / "metrics.jsonl")
    return [{k: v for k, v in line.items() if k not in TIMES} for line in lines]


def member(workdir: Path, index: int) -> Path:
    return workdir / "members" / str(index)


@pytest.fixture(scope="module", autouse=True)
def compile_quickly():
    """As `quick_compile`, for all of this file."""
    with quickly_compiled():
        yield


@pytest.fixture(scope="module")
def swept(rooms, tmp_path_factory):
    """A sweep that nothing disturbed."""
    workdir = tmp_path_factory.mktemp("sweeps") / "swept"
    result = sweep(tiny_config(**FIELDS), CHANGES, rooms, workdir, progress=False)
    return workdir, result


@pytest.mark.parametrize("index", [1, 2])
def test_a_member_equals_its_solo_run(swept, rooms, tmp_path, index):
    config = tiny_config(**FIELDS)
    config.update_from_flattened_dict(CHANGES[index])
    alone = train(config, rooms, tmp_path, data_seed=0, progress=False)
    ours, theirs = curve(member(swept[0], index)), curve(tmp_path)
    assert [line["step"] for line in ours] == [4, 5, 8, 10, 12]
    for one, other in zip(ours, theirs, strict=True):
        assert one.keys() == other.keys()
        for name in ("loss", "seg", "grad_norm", "update_norm", "param_norm", "learning_rate"):
            np.testing.assert_allclose(one[name], other[name], rtol=1e-4, err_msg=name)
        np.testing.assert_allclose(one.get("score", 0), other.get("score", 0), rtol=1e-4)
    assert swept[1].members[index].best[0] == alone.best[0]

    ours, theirs = (
        load_file(folder / "weights.safetensors") for folder in (member(swept[0], index), tmp_path)
    )
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        # A key's bias cancels in the softmax: its gradient is rounding, which Adam makes steps of.
        if "key.bias" not in name:
            np.testing.assert_allclose(ours[name], value, atol=1e-3, err_msg=name)


@pytest.mark.slow
def test_one_after_another_they_are_the_same(swept, rooms, tmp_path):
    config = tiny_config(**FIELDS, **{"train.members_at_once": 1})
    sweep(config, CHANGES, rooms, tmp_path, progress=False)
    for index in range(len(CHANGES)):
        ours, theirs = (curve(member(folder, index)) for folder in (tmp_path, swept[0]))
        for name in ("loss", "grad_norm", "update_norm", "param_norm"):
            values = ([line[name] for line in lines] for lines in (ours, theirs))
            np.testing.assert_allclose(*values, rtol=1e-4, err_msg=name)


def test_weights_say_which_member_they_are(swept):
    _, _, info = load_weights(member(swept[0], 2) / "weights.safetensors")
    assert info.model["context"] is False and info.model["refine_layers"] == 1
    assert info.extra["recipe"]["loss"]["dist"] == 0.0
    assert info.extra["step"] == swept[1].members[2].best[0]


def test_a_complete_sweep_returns_at_once(swept, rooms):
    before = (member(swept[0], 1) / "metrics.jsonl").read_text()
    again = sweep(tiny_config(**FIELDS), CHANGES, rooms, swept[0], progress=False)
    assert again == swept[1]
    assert (member(swept[0], 1) / "metrics.jsonl").read_text() == before


def test_stopped_and_started_again(swept, rooms, tmp_path, monkeypatch):
    steps = iter(range(1, 100))

    def advance(_):
        if next(steps) == 7:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(TrainBar, "advance", advance)
        stopped = sweep(tiny_config(**FIELDS), CHANGES, rooms, tmp_path, progress=False)
    assert (stopped.step, stopped.steps) == (7, 12)
    assert stopped.members[0].best is not None and stopped.members[0].best[0] == 5
    result = sweep(tiny_config(**FIELDS), CHANGES, rooms, tmp_path, progress=False)
    assert [m.best for m in result.members] == [m.best for m in swept[1].members]
    for k in range(len(CHANGES)):
        ours, theirs = (
            load_file(member(w, k) / "weights.safetensors") for w in (tmp_path, swept[0])
        )
        assert all(ours[name].tobytes() == theirs[name].tobytes() for name in theirs)
        assert curve(member(tmp_path, k))[-1] == curve(member(swept[0], k))[-1]


def test_one_that_is_not_finite_stops_no_other(rooms, tmp_path, caplog):
    config = tiny_config(**{"train.steps": 10})
    changes = [{"optimizer.learning_rate": 1e-3}, {"optimizer.learning_rate": 1e38}]
    result = sweep(config, changes, rooms, tmp_path / "both", progress=False)
    assert result.members[0].diverged is None
    died = result.members[1].diverged
    assert died is not None and died <= 5 and result.members[1].best is None
    assert f"learning_rate=1e+38: no longer finite at step {died}" in caplog.text
    healthy = curve(member(tmp_path / "both", 0))
    assert healthy[-1]["step"] == 10 and math.isfinite(healthy[-1]["loss"])
    assert all(line["step"] < died for line in curve(member(tmp_path / "both", 1)))
    again = sweep(config, changes, rooms, tmp_path / "both", progress=False)
    assert again == result


def test_none_that_is_finite_ends_it(rooms, tmp_path, monkeypatch):
    read = ClipLoader.__next__

    def poisoned(loader):
        batch, counts = read(loader)
        return batch.replace(features_3d=np.full_like(batch.features_3d, np.nan)), counts

    monkeypatch.setattr(ClipLoader, "__next__", poisoned)
    with pytest.raises(DivergedError, match="no member is finite any more at step 4"):
        sweep(tiny_config(), [{"seed": 0}, {"seed": 1}], rooms, tmp_path, progress=False)


@pytest.mark.parametrize(
    ("fields", "changes", "message"),
    [
        ({}, [], "has no members"),
        ({}, [{"model.width": 8}], r"model\.width cannot be swept"),
        ({}, [{"data.batch_clips": 4}], r"data\.batch_clips cannot be swept"),
        ({}, [{"optimizer.rate": 1.0}], r"optimizer\.rate: there is no such config field"),
        ({}, [{"seed": 0.5}], "seed is a int, not 0.5"),
        ({}, [{"model.context": 1}], "model.context is a bool, not 1"),
        ({}, [{"model.sources": "4d"}], "model.sources is '4d'"),
        ({}, [{"model.refine_layers": 0}, {}], "model.refine_layers=0"),
        (
            {"model.feature_norm": "joint"},
            [{"model.sources": "2d"}, {"model.sources": "both"}],
            "model.sources cannot be swept",
        ),
    ],
)
def test_what_cannot_be_swept_is_refused(fields, changes, message):
    with pytest.raises(InputError, match=message):
        make_members(tiny_config(**fields), changes)


def test_a_bad_member_is_refused_before_anything_is_written(rooms, tmp_path):
    with pytest.raises(InputError, match=r"optimizer\.warmup_steps=24"):
        changes = [{}, {"optimizer.warmup_steps": 24}]
        sweep(tiny_config(), changes, rooms, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_a_sweep_is_no_run_and_no_other_sweep(swept, rooms):
    with pytest.raises(InputError, match=r"holds a sweep .* and cannot go on as a run by itself"):
        train(tiny_config(**FIELDS), rooms, swept[0], progress=False)
    with pytest.raises(InputError, match=r"holds a sweep .* and cannot go on as a sweep"):
        sweep(tiny_config(**FIELDS), CHANGES[:2], rooms, swept[0], progress=False)
    with pytest.raises(InputError, match="not empty and holds no run"):
        train(tiny_config(**FIELDS), rooms, member(swept[0], 0), progress=False)


DEVICES = """
import json, sys
import jax
from moonseg_jax.train import sweep
from moonseg_jax.train.metrics import read_metrics
from moonseg_jax.train.mesh import sweep_mesh
from tests.train.rooms import tiny_config

assert dict(sweep_mesh(jax.devices(), 4, 2).shape) == {"member": 2, "data": 2}
changes = [{"seed": 0}, {"seed": 1}]
config = tiny_config(**{"data.batch_clips": 4, "train.steps": 3, "train.log_every": 1})
curves = []
for count in (1, 4):
    result = sweep(config, changes, sys.argv[2:], f"{sys.argv[1]}/{count}",
                   devices=jax.devices()[:count], progress=False)
    curves.append([read_metrics(m.workdir / "metrics.jsonl") for m in result.members])
print(json.dumps(curves))
"""


def test_members_come_before_clips():
    mesh = sweep_mesh(jax.devices() * 8, 8, 6)
    assert dict(mesh.shape) == {"member": 2, "data": 4}
    with pytest.raises(InputError, match=r"data\.batch_clips=4 does not divide by 8 devices"):
        sweep_mesh(jax.devices() * 8, 4, 6)


@pytest.mark.slow
def test_four_devices_equal_one(rooms, tmp_path):
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=4"}
    done = subprocess.run(
        [sys.executable, "-c", DEVICES, str(tmp_path), *map(str, rooms)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    one, four = json.loads(done.stdout.splitlines()[-1])
    for ours, theirs in zip(four, one, strict=True):
        assert len(ours) == 3
        for name in ("loss", "grad_norm", "param_norm"):
            values = ([line[name] for line in lines] for lines in (ours, theirs))
            np.testing.assert_allclose(*values, rtol=1e-4, err_msg=name)
