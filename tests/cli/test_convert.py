import argparse
import json
import os
import sys

import pytest
import torch
from safetensors import safe_open

from bridges.backbones.cut3r import TINY_DPT, Cut3r, checkpoint
from bridges.checkpoints import file_sha256
from moonseg_cli import convert
from moonseg_jax.structs import InputError


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """The tensors of a DPT head tell the tiny variant here."""
    monkeypatch.setattr(checkpoint, "DPT_512", TINY_DPT)


@pytest.fixture(scope="module")
def model():
    return Cut3r.random(TINY_DPT, seed=0)


@pytest.fixture
def published(model, tmp_path):
    """A training checkpoint in the published names, with parts that are not needed."""
    tensors = checkpoint.published_tensors(model.named_parameters(), TINY_DPT.head)
    tensors["downstream_head.dpt_rgb.head.0.weight"] = torch.ones(3)
    content = {"model": tensors, "args": argparse.Namespace(model="ARCroco3DStereo()"), "epoch": 9}
    torch.save(content, tmp_path / "published.pth")
    return tmp_path / "published.pth"


def run(*words):
    parser = argparse.ArgumentParser()
    convert.add_arguments(parser)
    convert.run(parser.parse_args([str(word) for word in words]))


def test_what_is_converted_is_the_same_model(published, model, tmp_path, capsys):
    target = tmp_path / "new" / "cut3r.safetensors"
    run(published, target)
    printed = capsys.readouterr().out
    assert file_sha256(target) in printed
    assert file_sha256(published) in printed
    assert [file.name for file in target.parent.iterdir()] == [target.name]
    read = Cut3r.from_checkpoint(target)
    for (name, a), b in zip(model.named_parameters(), read.parameters(), strict=True):
        assert torch.equal(a, b), name


def test_the_file_says_where_it_came_from(published, tmp_path):
    run(published, tmp_path / "a.safetensors")
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        origin = json.loads(file.metadata()["moonseg"])
        assert "downstream_head.dpt_rgb.head.0.weight" not in file.keys()  # noqa: SIM118
    assert origin["variant"] == TINY_DPT.name
    assert origin["source"] == "published.pth"
    assert origin["source_sha256"] == file_sha256(published)
    assert origin["code_version"]


def test_converting_again_gives_the_same_bytes(published, tmp_path):
    run(published, tmp_path / "a.safetensors")
    first = (tmp_path / "a.safetensors").read_bytes()
    run(published, tmp_path / "a.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == first


class Call:
    """Pickles to a call."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def test_a_malicious_checkpoint_leaves_nothing(tmp_path):
    content = {"model": {"a": torch.ones(2)}, "args": Call(os.system, f"touch {tmp_path}/ran")}
    torch.save(content, tmp_path / "evil.pth")
    with pytest.raises(InputError, match=r"would run posix\.system"):
        run(tmp_path / "evil.pth", tmp_path / "a.safetensors")
    assert [file.name for file in tmp_path.iterdir()] == ["evil.pth"]


def test_other_models_are_refused(tmp_path):
    torch.save({"model": {"a": torch.ones(2)}}, tmp_path / "other.pth")
    with pytest.raises(InputError, match=r"other\.pth"):
        run(tmp_path / "other.pth", tmp_path / "a.safetensors")
    assert not (tmp_path / "a.safetensors").exists()


def test_targets_that_cannot_be(published, tmp_path):
    for target, word in (
        (tmp_path / "a.pth", "suffix"),
        (published / "a.safetensors", "cannot be written"),
    ):
        with pytest.raises(InputError, match=word):
            run(published, target)
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        run(published, tmp_path / "folder.safetensors")


def test_a_write_that_fails_keeps_the_old_file(published, tmp_path, monkeypatch):
    target = tmp_path / "a.safetensors"
    target.write_text("old")

    def full(tensors, filename, metadata):
        filename.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(InputError, match="No space left"):
        run(published, target)
    assert target.read_text() == "old"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.safetensors", "published.pth"]


def test_without_torch_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(InputError, match=r"moonseg-jax\[torch\]"):
        run(tmp_path / "a.pth", tmp_path / "a.safetensors")
