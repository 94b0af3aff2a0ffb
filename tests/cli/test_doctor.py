import json
import sys
import tomllib
from pathlib import Path

import pytest

from moonseg_cli import doctor
from moonseg_cli.main import main


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """An empty weights folder."""
    folder = tmp_path / "weights"
    monkeypatch.setenv("MOONSEG_WEIGHTS", str(folder))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return folder


@pytest.fixture
def findings(weights, capsys):
    """Runs ``moonseg doctor --json`` and returns its one object."""

    def run() -> dict:
        capsys.readouterr()
        assert main(["doctor", "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return run


def test_what_is_missing_is_said_with_where_to_get_it(findings, weights):
    found = findings()["backbone weights"]
    assert found["looked for in"] == str(weights)
    for name, words in {
        "cut3r_512_dpt_4_64": ("missing", "github.com/CUT3R", "CC BY-NC-SA"),
        "dinov3_vitl16": ("missing", "ai.meta.com", "gated"),
        "FastSAM-s": ("missing", "AGPL-3.0"),
        "sam2.1-hiera-tiny": ("missing", "Apache-2.0"),
        "CropFormer": ("CC BY-NC", "folder"),
    }.items():
        for word in words:
            assert word in found[name], name


def test_what_is_there_is_found(findings, weights):
    weights.mkdir()
    (weights / "cut3r_512_dpt_4_64.pth").touch()
    (weights / "sam2.1-hiera-tiny").mkdir()
    found = findings()["backbone weights"]
    assert found["cut3r_512_dpt_4_64"] == str(weights / "cut3r_512_dpt_4_64.pth")
    assert found["sam2.1-hiera-tiny"] == str(weights / "sam2.1-hiera-tiny")


@pytest.mark.parametrize("name", ["mini_cut3r", "mini_semantic", "mini_masks"])
def test_small_backbones_are_named_with_or_without_weights(findings, tmp_path, monkeypatch, name):
    path = tmp_path / f"{name}.safetensors"
    monkeypatch.setattr(f"bridges.weights.{name.upper()}", path)
    assert "experiments/mini_backbones" in findings()["backbone weights"][name]
    path.touch()
    assert findings()["backbone weights"][name] == str(path)


def test_packages_devices_shipped_weights_and_disk(findings, weights):
    found = findings()
    assert "classical" in found["weights"]
    assert found["packages"]["jax"]
    assert found["optional"]["torch"][0].isdigit()
    assert found["devices"]["jax device 0"]
    assert "GB free" in found["disk"][str(weights)]


def test_without_the_extras_it_says_how_to_install_them(weights, monkeypatch):
    for name in doctor.OPTIONAL:
        monkeypatch.setitem(sys.modules, name, None)
    found = doctor.examine()
    assert found["devices"]["torch"] == "not installed"
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    for name, (extra, _) in doctor.OPTIONAL.items():
        installs = project["optional-dependencies"][extra]
        assert any(requirement.startswith(name) for requirement in installs)
        assert f"pip install 'moonseg-jax[{extra}]'" in found["optional"][name]


def test_a_gpu_that_nobody_sees_is_said(weights, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("jax.default_backend", lambda: "cpu")
    devices = doctor.examine()["devices"]
    assert "moonseg-jax[gpu]" in devices["jax and the GPU"]
    assert "does not see the GPU" in devices["torch"]


def test_the_table_has_every_finding(weights, capsys):
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    for group, entries in doctor.examine().items():
        assert f"{group}:" in text
        for name, value in entries.items():
            if group != "disk":
                assert f"  {name} " in text
                assert value in text
