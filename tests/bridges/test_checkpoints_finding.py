import os
import subprocess
import sys
from pathlib import Path

import pytest

from bridges.checkpoints import KNOWN, find_weights, found_weights, weights_folder
from moonseg_jax.structs import InputError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty weights folder, and a hub cache of its own."""
    monkeypatch.setenv("MOONSEG_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    (tmp_path / "weights").mkdir()
    return tmp_path / "weights"


def hub_snapshot(root: Path, hub_id: str, *files: str) -> Path:
    """A repository as the hub's tools keep it."""
    repository = root / f"models--{hub_id.replace('/', '--')}"
    snapshot = repository / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    for name in files:
        (snapshot / name).write_text("{}")
    return snapshot


def known(name):
    return next(entry for entry in KNOWN if entry.name == name)


def test_the_folder_is_the_users_choice(monkeypatch, tmp_path):
    monkeypatch.delenv("MOONSEG_WEIGHTS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert weights_folder() == tmp_path / "moonseg" / "weights"
    monkeypatch.setenv("MOONSEG_WEIGHTS", "~/mine")
    assert weights_folder() == Path.home() / "mine"


def test_a_given_path_wins(folder, tmp_path):
    (folder / "cut3r_512_dpt_4_64.pth").touch()
    (tmp_path / "other.pth").touch()
    assert find_weights("cut3r", str(tmp_path / "other.pth")) == tmp_path / "other.pth"


def test_the_first_known_is_taken_and_what_was_converted_before_what_was_downloaded(folder):
    (folder / "cut3r_224_linear_4.pth").touch()
    assert find_weights("cut3r").name == "cut3r_224_linear_4.pth"
    (folder / "cut3r_512_dpt_4_64.pth").touch()
    assert find_weights("cut3r").name == "cut3r_512_dpt_4_64.pth"
    (folder / "cut3r_512_dpt_4_64.safetensors").touch()
    assert find_weights("cut3r").name == "cut3r_512_dpt_4_64.safetensors"


@pytest.mark.parametrize("given", ["cut3r_224_linear_4", "cut3r_224_linear_4.pth"])
def test_a_given_name_is_looked_for_alone(folder, given):
    (folder / "cut3r_512_dpt_4_64.pth").touch()
    with pytest.raises(InputError, match=r"download cut3r_224_linear_4\.pth"):
        find_weights("cut3r", given)
    (folder / "cut3r_224_linear_4.pth").touch()
    assert find_weights("cut3r", given) == folder / "cut3r_224_linear_4.pth"


def test_files_as_wget_leaves_them(folder):
    name = "dinov3_vitl16_pretrain_lvd1689m-8aa4cbdd.pth?Policy=eyJ&Signature=x"
    (folder / name).touch()
    assert find_weights("dinov3") == folder / name


def test_hub_folders_in_the_weights_folder(folder):
    (folder / "dinov3-vitb16-pretrain-lvd1689m").mkdir()
    assert find_weights("dinov3").name == "dinov3-vitb16-pretrain-lvd1689m"


@pytest.mark.parametrize("given", ["", "facebook/dinov3-vits16-pretrain-lvd1689m", "dinov3_vits16"])
def test_the_hubs_own_cache(folder, given):
    hub_id = "facebook/dinov3-vits16-pretrain-lvd1689m"
    snapshot = hub_snapshot(folder.parent / "hub", hub_id, "config.json", "model.safetensors")
    assert find_weights("dinov3", given) == snapshot


def test_a_hub_id_of_others(folder):
    snapshot = hub_snapshot(folder.parent / "hub", "me/mine", "config.json", "model.safetensors")
    assert find_weights("dinov3", "me/mine") == snapshot
    with pytest.raises(InputError, match="--semantic-weights=me/other is no file or folder"):
        find_weights("dinov3", "me/other")


def test_a_half_downloaded_snapshot_is_not_found(folder):
    known_small = known("dinov3_vits16")
    hub_snapshot(folder.parent / "hub", known_small.hub_id, "config.json")
    assert found_weights(known_small) is None


@pytest.mark.parametrize("given", ["no/such/path.pth", "nothing", "bad id/x", ""])
@pytest.mark.parametrize("kind", ["cut3r", "dinov3", "fastsam", "sam2"])
def test_what_is_missing_is_said_with_where_to_put_it(folder, kind, given):
    with pytest.raises(InputError) as caught:
        find_weights(kind, given)
    sentence = str(caught.value)
    assert str(folder) in sentence
    assert "-weights=" in sentence
    assert given in sentence


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("cut3r", ("cut3r_512_dpt_4_64.pth", "github.com/CUT3R", "CC BY-NC-SA 4.0")),
        ("dinov3", ("facebook/dinov3-vitl16-pretrain-lvd1689m", "ai.meta.com", "gated")),
        ("fastsam", ("FastSAM-x.pt", "ultralytics", "AGPL-3.0")),
        ("sam2", ("facebook/sam2.1-hiera-large", "facebookresearch/sam2", "Apache-2.0")),
    ],
)
def test_what_to_download_is_said_with_its_licence(folder, kind, words):
    with pytest.raises(InputError) as caught:
        find_weights(kind)
    for word in words:
        assert word in str(caught.value)


def test_finding_needs_no_torch():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from bridges.checkpoints import KNOWN, found_weights\n"
        "print(any(found_weights(known) for known in KNOWN))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "MOONSEG_WEIGHTS": "/nowhere", "HF_HUB_CACHE": "/nowhere"},
        capture_output=True,
        text=True,
    )
    assert ran.stdout.strip() == "False", ran.stderr
