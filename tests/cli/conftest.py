"""A small rendered recording, cached once; tests that spoil it work on a copy."""

import shutil

import pytest
import torch
from safetensors.torch import save_file

from bridges.backbones.cut3r import TINY_DPT, Cut3r, checkpoint
from bridges.backbones.cut3r.checkpoint import published_tensors
from bridges.backbones.yolov8_seg import random_network
from moonseg_cli.main import main
from moonseg_jax.rooms import NO_CORRUPTION, write_room
from tests.eval.trees import SCANNET, SCENENN, shorter_room, write_scannet, write_scenenn


@pytest.fixture(scope="session")
def pristine(tmp_path_factory):
    """A folder with ``room/`` (6 frames and exact masks) and ``cache/`` of it."""
    folder = tmp_path_factory.mktemp("recording")
    room = write_room(folder / "room", seed=11, frames=6, size=(96, 128), rates=NO_CORRUPTION)
    assert (
        main(["cache", f"--source={room}", f"--masks={room}/masks", f"--out={folder}/cache"]) == 0
    )
    return folder


@pytest.fixture
def recording(pristine, tmp_path):
    """A copy of `pristine` to spoil."""
    shutil.copytree(pristine, tmp_path / "copy")
    return tmp_path / "copy"


@pytest.fixture
def refused(capsys):
    """Runs a command that must end with exit code 2 and one sentence; returns the sentence."""

    def run(*words: str) -> str:
        capsys.readouterr()
        try:
            code = main(list(words))
        except SystemExit as end:
            code = end.code
        assert code == 2
        (sentence,) = capsys.readouterr().err.splitlines()
        assert sentence.startswith(f"moonseg {words[0]}: ")
        return sentence

    return run


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory):
    """Random weights of tiny networks, in files named and laid out as the published ones."""
    from transformers import DINOv3ViTConfig, DINOv3ViTModel

    folder = tmp_path_factory.mktemp("weights")
    cut3r = published_tensors(Cut3r.random(TINY_DPT, seed=0).named_parameters(), TINY_DPT.head)
    save_file(cut3r, folder / "cut3r_512_dpt_4_64.safetensors")
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    vit = DINOv3ViTConfig(**sizes, num_attention_heads=4, num_register_tokens=4)
    DINOv3ViTModel(vit).save_pretrained(folder / "dinov3-vitl16-pretrain-lvd1689m")
    save_file(random_network("n", seed=0).state_dict(), folder / "FastSAM-x.safetensors")
    return folder


@pytest.fixture
def found_weights(tiny_weights, monkeypatch):
    """`tiny_weights` where the program looks; there a DPT head tells the tiny CUT3R."""
    torch.set_num_threads(1)
    monkeypatch.setattr(checkpoint, "DPT_512", TINY_DPT)
    monkeypatch.setenv("MOONSEG_WEIGHTS", str(tiny_weights))
    return tiny_weights


@pytest.fixture(scope="session")
def rooms(pristine, tmp_path_factory):
    """The rendered room, and a recording of it that ends early."""
    folder = tmp_path_factory.mktemp("rooms")
    return pristine / "room", shorter_room(pristine / "room", folder / "short", 3)


@pytest.fixture(scope="session")
def scannet(rooms, tmp_path_factory):
    """ScanNet in little, and ``results/`` of its two scenes."""
    root = tmp_path_factory.mktemp("scannet")
    return run_line(root, write_scannet(root, rooms), SCANNET)


@pytest.fixture(scope="session")
def scenenn(rooms, tmp_path_factory):
    """SceneNN in little, and ``results/``."""
    root = tmp_path_factory.mktemp("scenenn")
    return run_line(root, write_scenenn(root, rooms), SCENENN)


def run_line(root, source, scenes):
    masks = f"--masks={root}/masks/{{scene}}"
    assert main(["cache", f"--source={source}", masks, f"--out={root}/caches"]) == 0
    for scene in scenes:
        words = [f"--cache={root}/caches/{scene}", f"--out={root}/results/{scene}"]
        assert main(["segment", "--checkpoint=none", *words]) == 0
    return root
