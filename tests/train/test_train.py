import math
from contextlib import ExitStack

import jax
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import load_file

from moonseg_jax.cache import CacheReader
from moonseg_jax.data import ClipLoader
from moonseg_jax.models import load_weights
from moonseg_jax.structs import InputError
from moonseg_jax.train import DivergedError, train
from moonseg_jax.train.checkpoints import Checkpoints
from moonseg_jax.train.mesh import data_mesh
from moonseg_jax.train.metrics import read_metrics
from moonseg_jax.train.setup import set_up
from tests.train.rooms import tiny_config


def test_the_loss_falls(finished):
    lines = read_metrics(finished.workdir / "metrics.jsonl")
    assert lines[-1]["loss"] < 0.65 * lines[0]["loss"]
    assert lines[-1]["seg"] < 0.65 * lines[0]["seg"]


def test_one_trace(finished):
    assert finished.traces == 1


def test_every_log_is_complete(finished):
    lines = read_metrics(finished.workdir / "metrics.jsonl")
    assert [line["step"] for line in lines] == [4, 5, 8, 10, 12, 15, 16, 20, 24]
    assert [line["step"] for line in lines if "score" in line] == [5, 10, 15, 20, 24]
    wanted = {"loss", "seg", "dist", "xseg", "grad_norm", "update_norm", "param_norm"}
    wanted |= {"learning_rate", "dropped_masks", "clips_per_second", "frames_per_second"}
    for line in lines:
        assert wanted | {"input_wait"} <= line.keys()
        assert all(math.isfinite(value) for value in line.values())
        assert line["frames_per_second"] == pytest.approx(3 * line["clips_per_second"])
        parts = line["seg"] + 0.1 * line["dist"] + 0.5 * line["xseg"]
        assert line["loss"] == pytest.approx(parts, rel=1e-5)


def test_the_folder_of_a_run(finished):
    names = sorted(path.name for path in finished.workdir.iterdir())
    assert names == ["checkpoints", "config.json", "metrics.jsonl", "weights.safetensors"]


def test_weights_are_those_of_the_best_checkpoint(finished, rooms):
    lines = read_metrics(finished.workdir / "metrics.jsonl")
    best = min((line["score"], line["step"]) for line in lines if "score" in line)
    assert finished.result.best == (best[1], best[0])
    graphdef, params, info = load_weights(finished.result.weights)
    assert nnx.merge(graphdef, params).width == 16
    info.check_fits(CacheReader(rooms[0]).info, rooms[0])
    assert info.extra["step"] == best[1]
    assert info.extra["recipe"] == tiny_config().to_dict()

    checkpoints = Checkpoints(finished.workdir / "checkpoints")
    kept = checkpoints._manager.restore(best[1])["state"]["params"]
    checkpoints.close()
    stored = sum(float(np.sum(np.abs(x))) for x in jax.tree.leaves(kept))
    loaded = sum(float(np.sum(np.abs(x))) for x in jax.tree.leaves(params))
    assert stored == pytest.approx(loaded, rel=1e-5)


def test_held_out_scenes_pick_the_best(rooms, tmp_path):
    config = tiny_config(**{"train.eval_fraction": 0.4})
    result = train(config, rooms, tmp_path, progress=False)
    lines = read_metrics(tmp_path / "metrics.jsonl")
    scores = {line["step"]: line["score"] for line in lines if "score" in line}
    assert result.best == min(scores.items(), key=lambda item: item[1])
    assert scores[24] < scores[5]


def test_bfloat16_is_close(finished, rooms, tmp_path, quick_compile):
    result = train(tiny_config(**{"train.dtype": "bfloat16"}), rooms, tmp_path, progress=False)
    assert all(x.dtype == np.float32 for x in load_file(result.weights).values())
    full = read_metrics(finished.workdir / "metrics.jsonl")
    half = read_metrics(tmp_path / "metrics.jsonl")
    assert half[0]["loss"] != full[0]["loss"]
    assert half[0]["loss"] == pytest.approx(full[0]["loss"], rel=0.02)
    assert half[-1]["loss"] < 0.65 * half[0]["loss"]


def test_a_nan_stops_the_run_and_leaves_the_checkpoint(rooms, tmp_path, monkeypatch):
    batches = iter(range(1, 100))
    read = ClipLoader.__next__

    def poisoned(loader):
        batch, counts = read(loader)
        if next(batches) == 7:
            batch = batch.replace(features_3d=np.full_like(batch.features_3d, np.nan))
        return batch, counts

    with monkeypatch.context() as patch:
        patch.setattr(ClipLoader, "__next__", poisoned)
        message = "loss became nan at step 7, in steps 6-8; all was finite up to step 5"
        with pytest.raises(DivergedError, match=message):
            train(tiny_config(), rooms, tmp_path, progress=False)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["5"]
    assert load_weights(tmp_path / "weights.safetensors")[2].extra["step"] == 5
    assert [line["step"] for line in read_metrics(tmp_path / "metrics.jsonl")] == [4, 5]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("train.dtype", "float16", "train.dtype is 'float16'"),
        ("train.eval_fraction", 1.0, "train.eval_fraction=1.0"),
        ("optimizer.warmup_steps", 24, "optimizer.warmup_steps=24"),
        ("data.max_masks", 33, "data.max_masks is 33"),
    ],
)
def test_a_bad_config_is_refused_before_anything_is_written(rooms, tmp_path, field, value, message):
    with pytest.raises(InputError, match=message):
        train(tiny_config(**{field: value}), rooms, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_clips_that_do_not_divide_are_refused(rooms, tmp_path):
    with pytest.raises(InputError, match=r"data\.batch_clips=2 does not divide by 3 devices"):
        train(tiny_config(), rooms, tmp_path / "run", devices=jax.devices() * 3, progress=False)
    assert not (tmp_path / "run").exists()


def test_epochs_count_where_steps_do_not(rooms):
    config = tiny_config(**{"train.steps": 0, "train.epochs": 3})
    with ExitStack() as stack:
        assert set_up(config, rooms, data_mesh(jax.devices(), 2), stack).steps == 3 * (5 // 2)
