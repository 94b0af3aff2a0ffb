"""The main line of commands on a small rendered recording."""

import json

import numpy as np
import pytest
from PIL import Image

from moonseg_cli.main import main
from moonseg_jax.cache import CacheReader


@pytest.fixture(scope="module")
def result(pristine, tmp_path_factory):
    out = tmp_path_factory.mktemp("result") / "result"
    assert main(["segment", f"--cache={pristine}/cache", f"--out={out}"]) == 0
    return out


def test_segment_writes_the_predictions_folder(result, pristine):
    with np.load(result / "instances.npz") as arrays:
        count = len(arrays["scores"])
        assert count > 0
        assert arrays["points"].shape == (*arrays["instance"].shape, 3)
        assert arrays["instance"].max() <= count
    frames = sorted((result / "frames").glob("*.png"))
    assert [file.stem for file in frames] == [f"{i:06d}" for i in range(6)]
    with Image.open(frames[0]) as image:
        assert image.mode == "I;16"
        assert image.size == CacheReader(pristine / "cache").info.mask_size[::-1]
    assert (result / "scene.ply").stat().st_size > 0
    assert (result / "picture.png").stat().st_size > 0


def test_eval_prints_one_json_object_and_keeps_it(result, pristine, capsys):
    words = [f"--predictions={result}", f"--ground-truth={pristine}/room", "--json"]
    assert main(["eval", *words]) == 0
    metrics = json.loads(capsys.readouterr().out)
    assert json.loads((result / "metrics.json").read_text()) == metrics
    assert metrics["gt_mode"] == "onlineanyseg"
    # Exact masks and measured geometry: what is left to get wrong is the association.
    assert metrics["ap25"] > 0.5


def test_a_gt_file_alone_is_scored_with_the_cache_geometry(result, pristine, tmp_path, capsys):
    alone = tmp_path / "gt.npz"
    alone.write_bytes((pristine / "room" / "gt.npz").read_bytes())
    assert main(["eval", f"--predictions={result}", f"--ground-truth={alone}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ap25"] > 0.5


def test_exported_masks_score_as_foreign_predictions(result, pristine, tmp_path, capsys):
    out, truth = tmp_path / "masks.npz", pristine / "room" / "gt.npz"
    words = [f"--predictions={result}", f"--ground-truth={truth}", f"--out={out}"]
    assert main(["export", *words]) == 0
    capsys.readouterr()
    assert main(["eval", f"--predictions={out}", f"--ground-truth={truth}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ap25"] > 0.5


def test_training_gives_weights_that_segment_takes(pristine, tmp_path):
    words = [f"--cache={pristine}/cache", "--config=configs/classical.py"]
    small = {
        "data.batch_clips": 1,
        "data.clip_frames": 2,
        "model.width": 16,
        "model.feed_forward": 16,
        "model.refine_layers": 1,
        "optimizer.warmup_steps": 0,
        "train.steps": 2,
        "train.eval_fraction": 0.0,
    }
    words += [f"--config.{name}={value}" for name, value in small.items()]
    assert main(["train", *words, f"--workdir={tmp_path}/run"]) == 0
    out = tmp_path / "result"
    words = [f"--cache={pristine}/cache", f"--checkpoint={tmp_path}/run", f"--out={out}"]
    assert main(["segment", *words]) == 0
    record = json.loads((out / "result.json").read_text())
    assert record["config"]["model"]["width"] == 16


def test_doctor_prints_one_json_object(capsys):
    assert main(["doctor", "--json"]) == 0
    findings = json.loads(capsys.readouterr().out)
    assert "classical" in findings["weights"]


@pytest.mark.parametrize("command", [[], ["cache"], ["segment"], ["train"], ["eval"], ["export"]])
def test_help_is_there(command, capsys):
    with pytest.raises(SystemExit) as caught:
        main([*command, "--help"])
    assert caught.value.code == 0
    assert "usage: moonseg" in capsys.readouterr().out
