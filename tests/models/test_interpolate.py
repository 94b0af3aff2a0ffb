"""Weights part of the way from the start of a training to its end."""

import jax
import numpy as np
import pytest

from experiments.classical_core import interpolate
from moonseg_jax.config import default_config
from moonseg_jax.models import load_weights, save_weights, weights_metadata
from tests.models.conftest import make_core, small_config
from tests.models.test_weights import scene

CONFIG = """
from moonseg_jax.config import default_config

def get_config():
    config = default_config()
    config.online.merge_threshold = 0.61
    return config
"""


@pytest.fixture
def trained(tmp_path):
    """Where a training with seed 3 ended: one further in every parameter."""
    config = small_config()
    recipe = default_config().to_dict() | {"seed": 3}
    metadata = weights_metadata(config, scene(), recipe=recipe)
    path = tmp_path / "weights.safetensors"
    save_weights(path, make_core(config)[1], metadata)
    start = interpolate.start_of(load_weights(path)[2])
    save_weights(path, jax.tree.map(lambda x: x + 1, start), metadata)
    return path, start


@pytest.mark.parametrize("way", [0.0, 0.25, 1.0])
def test_part_of_the_way(way, trained, tmp_path):
    path, start = trained
    out = tmp_path / "out.safetensors"
    interpolate.main([str(path), str(way), str(out)])
    _, mixed, info = load_weights(out)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y + way, atol=1e-6), mixed, start)
    before = load_weights(path)[2]
    assert (info.extra["way"], info.extra["end_sha256"]) == (way, before.sha256)
    assert info.extra["recipe"] == before.extra["recipe"]


def test_thresholds_of_a_config(trained, tmp_path):
    path, _ = trained
    config, out = tmp_path / "config.py", tmp_path / "out.safetensors"
    config.write_text(CONFIG)
    interpolate.main([str(path), "0.5", str(out), "--online", str(config)])
    recipe, before = (load_weights(file)[2].extra["recipe"] for file in (out, path))
    assert recipe["online"]["merge_threshold"] == 0.61
    assert {**recipe, "online": before["online"]} == before
