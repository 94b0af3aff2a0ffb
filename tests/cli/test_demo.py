"""The demo on a small room: what it prints, what it leaves, and the errors and colours it tells."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from moonseg_cli import demo
from moonseg_cli.demo_errors import reconstruction_errors
from moonseg_cli.demo_picture import ids_of_truth
from moonseg_cli.main import main
from moonseg_jax.cache import CacheReader, CacheWriter


@pytest.fixture
def small_room(pristine, monkeypatch):
    """Takes the rendered room for the one that the demo would render."""
    monkeypatch.setattr(
        demo, "make_recording", lambda room, seed, frames: shutil.copytree(pristine / "room", room)
    )


@pytest.mark.parametrize("kind", ["mini", "classical"])
def test_a_room_from_images_to_scores(kind, small_room, tmp_path, capsys):
    out = tmp_path / "demo"
    assert main(["demo", f"--backbones={kind}", f"--out={out}", "--frames=6"]) == 0
    told = capsys.readouterr().out
    for row in demo.KINDS[kind].rows:
        assert row in told
    assert ("geometry: measured" in told) == (kind == "classical")
    assert ("masks: found in the images" in told) == (kind == "mini")
    info = CacheReader(out / "cache").info
    assert info.scene == "room"
    assert info.source.startswith("images:") == (kind == "mini")
    assert bool(info.state_tokens) == (kind == "mini")
    assert info.masks.name == ("mini" if kind == "mini" else "label-maps")
    metrics = json.loads((out / "metrics.json").read_text())
    assert (metrics["protocol"], metrics["aligned"]["protocol"]) == ("gt", "cameras")
    assert metrics["rows"].keys() == demo.KINDS[kind].rows.keys()
    with Image.open(out / "picture.png") as picture:
        assert picture.width == 1800
    assert (out / "scene.ply").is_file()


def test_colours_follow_the_truth_one_to_one():
    instance = np.array([1, 1, 1, 2, 2, 0, 4])
    votes = np.array([3, 3, 1, 1, 0, 2, 0])
    ids = ids_of_truth(votes, instance, count=3)
    # 3 is most of object 1, so that 1 is left with object 2; 2 lies on no object.
    assert ids.tolist() == [0, 2, 6, 1]


def test_errors_of_a_world_that_is_turned_and_scaled_and_of_one_that_is_bent(pristine, tmp_path):
    turned = moved(pristine, tmp_path / "turned", depth_scale=1.0)
    said = reconstruction_errors(turned, pristine / "room")
    assert "scale 0.500: depth 0.0 % off" in said and "cameras 0.0 cm (0.0 %" in said
    assert said.endswith("and 0.0° (means)")
    bent = moved(pristine, tmp_path / "bent", depth_scale=1.1)
    assert "depth 10.0 % off" in reconstruction_errors(bent, pristine / "room")


def moved(pristine, folder, depth_scale):
    """A result of the room as a reconstruction would tell it: turned, and twice as large."""
    reader = CacheReader(pristine / "cache")
    turn = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    with CacheWriter(folder / "cache", replace(reader.info, poses="predicted")) as writer:
        for name, frame in zip(reader.info.frame_names, reader.frames(), strict=True):
            T = np.array(frame.T_world_from_cam, np.float64)
            rays = (np.asarray(frame.points) - T[:3, 3]) @ turn.T
            T[:3, :3], T[:3, 3] = turn @ T[:3, :3], 2 * turn @ T[:3, 3] + 1
            points = 2 * depth_scale * rays + T[:3, 3]
            pose, points = T.astype(np.float32), points.astype(np.float32)
            writer.append(name, replace(frame, T_world_from_cam=pose, points=points))
    words = [f"--cache={folder}/cache", f"--out={folder}/result", "--checkpoint=none"]
    assert main(["segment", *words]) == 0
    return folder / "result"
