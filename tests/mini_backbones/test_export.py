"""What a training leaves becomes weights that the backbones' own loaders read."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open

from bridges.backbones.cut3r import Cut3r
from bridges.backbones.cut3r.config import MINI
from bridges.backbones.mini_masks import MiniMasks
from bridges.backbones.mini_vit import MiniSemantics
from bridges.checkpoints import read_tensors, tensors_sha256
from experiments.mini_backbones.cut3r import checkpoint
from experiments.mini_backbones.cut3r.initialise import fresh_model
from experiments.mini_backbones.cut3r.recipe import FINISHING, Recipe
from experiments.mini_backbones.cut3r.trainer import Mode, Trainer
from experiments.mini_backbones.export import export_cut3r, export_masks, export_semantic
from experiments.mini_backbones.masks import learner as masks_learner
from experiments.mini_backbones.masks.recipe import Recipe as MasksRecipe
from experiments.mini_backbones.semantic.learner import Learner, save
from experiments.mini_backbones.semantic.recipe import Recipe as SemanticRecipe
from moonseg_jax.structs import InputError

TOLD = {"seconds": 7.0, "pieces": [{"command": "python -m x --run=RUN", "device": "CPU"}]}


def header(path):
    with safe_open(path, "pt") as file:
        return json.loads(file.metadata()["moonseg"])


@pytest.mark.parametrize("config", [MINI, replace(MINI, name="other", width=96, state_heads=3)])
def test_cut3r(config, tmp_path):
    training = Trainer(fresh_model(config, 0), Recipe(), Mode(compiled=False, graphs=False))
    for average in training.average:
        average.add_(0.01)
    checkpoint.save(training, tmp_path, TOLD)
    out = tmp_path / "weights.safetensors"
    export_cut3r(tmp_path, out, config)
    model = Cut3r.from_checkpoint(out, config)
    for loaded, average in zip(model.parameters(), training.average, strict=True):
        assert torch.equal(loaded, average)
    assert out.stat().st_size < 21e6
    told = header(out)
    assert told["variant"] == config.name
    assert told["tensors_sha256"] == tensors_sha256(read_tensors(out))
    assert told["training"]["pieces"] == TOLD["pieces"]
    with pytest.raises(InputError, match="does not fit"):
        Cut3r.from_checkpoint(out, "linear_224")


def test_exported_weights_are_trained_on(tmp_path):
    training = Trainer(fresh_model(MINI, 0), Recipe(), Mode(compiled=False, graphs=False))
    training.steps, training.seen = 70, 17_920
    checkpoint.save(training, tmp_path / "first", TOLD | {"chunks": 3})
    weights = tmp_path / "weights.safetensors"
    export_cut3r(tmp_path / "first", weights)
    second = tmp_path / "second"
    checkpoint.begin(second, weights, MINI, FINISHING)
    finishing = Trainer(fresh_model(MINI, 1), FINISHING, Mode(compiled=False, graphs=False))
    told = checkpoint.load(finishing, second)
    for began, ended in zip(finishing.parameters, training.average, strict=True):
        assert torch.equal(began, ended.half().float())
    assert (told["chunks"], told["seconds"], finishing.seen) == (3, 0.0, 17_920)
    assert FINISHING.rate(finishing.steps, 0.0) < 0.01 * FINISHING.learning_rate
    export_cut3r(second, tmp_path / "again.safetensors")
    assert header(tmp_path / "again.safetensors")["training"]["pieces"][0] == {
        "after": header(weights)
    }
    (second / "checkpoint" / "training.json").write_text("{}")
    checkpoint.begin(second, weights, MINI, FINISHING)  # What is there is not begun again.
    assert (second / "checkpoint" / "training.json").read_text() == "{}"


def test_semantic(tmp_path):
    learner = Learner(SemanticRecipe(width=32, depth=2, head=(32, 16)), "cpu")
    for p in learner.student.parameters():
        zeros = torch.zeros_like(p)
        learner.optimizer.state[p] = {"exp_avg": zeros, "exp_avg_sq": zeros}
    save(learner, tmp_path, TOLD)
    out = tmp_path / "mini.safetensors"
    export_semantic(tmp_path, out)
    encoder = MiniSemantics.from_checkpoint(out)
    images = torch.randint(0, 256, (2, 32, 48, 3), dtype=torch.uint8)
    expected = MiniSemantics(learner.teacher.encoder).batch(images)
    torch.testing.assert_close(encoder.batch(images), expected, atol=0.02, rtol=0)
    assert encoder.weights_sha256 == header(out)["tensors_sha256"]
    assert header(out)["training"]["seconds"] == 7


def test_masks(tmp_path):
    recipe = MasksRecipe(widths=(4, 6, 8, 8), depth=1, channels=3)
    learner = masks_learner.Learner(recipe, "cpu")
    for p in learner.network.parameters():
        zeros = torch.zeros_like(p)
        learner.optimizer.state[p] = {"exp_avg": zeros, "exp_avg_sq": zeros}
    masks_learner.save(learner, tmp_path, TOLD)
    out = tmp_path / "mini.safetensors"
    export_masks(tmp_path, out)
    masks = MiniMasks.from_checkpoint(out)
    image = np.random.default_rng(0).integers(0, 256, (1, 32, 48, 3), np.uint8)
    with torch.no_grad():
        told, expected = (m.model(m.prepare(image)) for m in (masks, MiniMasks(learner.network)))
    torch.testing.assert_close(told.scores, expected.scores, atol=0.02, rtol=0)
    assert masks.weights_sha256 == header(out)["tensors_sha256"]
    assert header(out)["model"] == "mini mask network"
    assert header(out)["training"]["recipe"]["picked"] == recipe.picked


@pytest.mark.parametrize("export", [export_cut3r, export_semantic, export_masks])
def test_a_folder_without_a_training_is_refused(export, tmp_path):
    with pytest.raises(InputError, match="give the folder of a training"):
        export(tmp_path, tmp_path / "x.safetensors")
