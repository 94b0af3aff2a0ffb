"""Caches of the small backbones' features, from rooms that other processes render."""

import runpy
from itertools import product

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from bridges.backbones.cut3r import MINI, Cut3r
from bridges.backbones.cut3r.checkpoint import published_tensors
from bridges.backbones.mini_vit import MiniVit, MiniVitConfig
from experiments.classical_core import make_caches as classical
from experiments.mini_core import make_caches
from moonseg_cli.configuration import load_config
from moonseg_jax.cache import CacheReader
from moonseg_jax.rooms import CorruptionRates, write_room


class AtOnce:
    """Workers that are this process, and small rooms."""

    def __init__(self, count):
        self.rendered = []

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def submit(self, task, seed, room, frames):
        from concurrent.futures import Future

        self.rendered.append(seed)
        write_room(room, seed=seed, frames=frames, size=(96, 128), rates=CorruptionRates())
        future = Future()
        future.set_result(None)
        return future


@pytest.fixture
def weights(tmp_path):
    torch.set_num_threads(1)
    tensors = published_tensors(Cut3r.random(MINI, seed=0).named_parameters(), MINI.head)
    save_file(tensors, tmp_path / "cut3r.safetensors")
    save_file(MiniVit(MiniVitConfig(32, 2)).state_dict(), tmp_path / "semantic.safetensors")
    kinds = {"rfm": "cut3r", "semantic": "semantic"}
    return [f"--{role}-weights={tmp_path}/{name}.safetensors" for role, name in kinds.items()]


@pytest.mark.parametrize("masks", ["exact", "corrupted"])
def test_rooms_are_seen_by_their_images_alone(masks, weights, tmp_path, monkeypatch, capsys):
    workers = AtOnce(1)
    monkeypatch.setattr(make_caches, "open_workers", lambda count: workers)
    out, kept = tmp_path / "caches", tmp_path / "rooms"
    words = ["--rooms=2", "--frames=3", f"--masks={masks}", f"--out={out}", "--device=cpu"]
    make_caches.main([*words, "--first-seed=8", f"--recordings={kept}", *weights])
    assert "2/2" in capsys.readouterr().out
    reader = CacheReader(out / "room_00008")
    info = reader.info
    assert (info.scene, info.poses) == ("room_00008", "predicted")
    assert info.source == f"images: {kept}/room_00008/color"
    assert (info.geometry.name, info.semantics.name) == ("mini", "mini")
    assert info.state_tokens == MINI.state_tokens
    folder = kept / "room_00008" / classical.MASKS[masks]
    assert info.masks.config["folder"] == str(folder)
    (frame, *_) = reader.frames()
    assert frame.state_attention.shape == (MINI.state_tokens, 24, 32)
    # A second run finds one room less to do, and takes away what nobody keeps.
    (tmp_path / "caches" / "room_00009").rename(tmp_path / "gone")
    make_caches.main([*words, "--first-seed=8", *weights])
    assert workers.rendered == [8, 9, 9]
    again = CacheReader(out / "room_00009")
    first = next(iter(CacheReader(tmp_path / "gone").frames()))
    assert np.array_equal(next(iter(again.frames())).features_3d, first.features_3d)


def test_a_room_that_cannot_be_cached_is_named(weights, tmp_path, monkeypatch):
    monkeypatch.setattr(make_caches, "open_workers", AtOnce)
    monkeypatch.setattr(make_caches, "cache_scene", lambda job, models: 1 / 0)
    words = ["--rooms=1", "--frames=3", f"--out={tmp_path}/caches", "--device=cpu", *weights]
    with pytest.raises(RuntimeError, match=r"room_00000: (?s:.)*ZeroDivisionError"):
        make_caches.main(words)


NAMES = ("mini", "mini_distillation", "mini_refinement")


@pytest.mark.parametrize("name", NAMES)
def test_configs(name):
    config = load_config(f"configs/{name}.py")
    assert bool(config.loss.xseg) == config.model.context == (name == "mini")
    assert bool(config.loss.dist) == (name != "mini_refinement")


def test_rows_of_the_sweep_are_the_configs():
    rows = runpy.run_path("experiments/mini_core/rows.py")
    members = rows["get_sweep"]()
    for number, (name, seed) in enumerate(product(NAMES, rows["SEEDS"])):
        config, expected = rows["get_config"](), load_config(f"configs/{name}.py")
        config.update_from_flattened_dict(members[number])
        expected.seed = seed
        assert config.to_dict() == expected.to_dict()
