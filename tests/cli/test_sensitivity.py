"""The studies of what the results depend on, at toy sizes."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from bridges.backbones.cut3r import TINY_LINEAR, Cut3r
from experiments.mini_backbones.cut3r.batches import Batch, relative_poses
from experiments.mini_backbones.cut3r.clips import Clip
from experiments.sensitivity import drift, online, run
from experiments.table2.in_memory import read_room
from moonseg_jax.eval import SceneFiles
from moonseg_jax.rooms import NO_CORRUPTION, CorruptionRates


@pytest.fixture
def data(pristine, tmp_path):
    """Flags that name the rendered room as a data set of one scene."""
    (tmp_path / "caches").mkdir()
    (tmp_path / "caches" / "room").symlink_to(pristine / "cache")
    (tmp_path / "list.txt").write_text("room\n")
    return [
        f"--caches={tmp_path}/caches",
        f"--ground-truth={pristine}",
        f"--scenes={tmp_path}/list.txt",
    ]


@pytest.fixture
def room(pristine):
    scene = SceneFiles("room", None, pristine / "room")
    return read_room(scene, pristine / "cache", "onlineanyseg")


def study(monkeypatch, out, *words):
    """Runs one and returns the places of its points, with what it left beside checked."""
    monkeypatch.setattr(sys, "argv", ["run", *map(str, words), f"--out={out}"])
    run.main()
    record = json.loads((out / f"{words[0]}.json").read_text())
    table = (out / f"{words[0]}.md").read_text().splitlines()
    assert len(table) == 2 + len(record["points"]) + 2 and table[-1] == record["about"]
    with Image.open(out / f"{words[0]}.png") as picture:
        assert np.ptp(np.asarray(picture)) > 200
    return [(point["curve"], point["x"], point["numbers"]) for point in record["points"]]


def test_thresholds(data, tmp_path, monkeypatch):
    tried = ["--merge", 0.87, "--match", 1.4, 3.1]
    points = study(monkeypatch, tmp_path, "thresholds", *data, *tried)
    assert [(curve, x) for curve, x, _ in points] == [
        ("none, merge 0.87", 1.4),
        ("none, merge 0.87", 3.1),
    ]
    # Nothing is ever matched above the greatest score, and what is seen once does not stay.
    assert points[0][2]["ap25"] > 0.5 and points[1][2]["ap25"] == 0


def test_masks(data, tmp_path, monkeypatch):
    words = [
        "--kinds",
        "all",
        "miss",
        "--factors",
        0,
        1,
        10,
        "--fields",
        "online.match_threshold=1",
    ]
    points = study(monkeypatch, tmp_path, "masks", *data, *words)
    aps = {(curve, x): numbers["ap25"] for curve, x, numbers in points}
    assert aps["none, all", 0] == aps["none, miss", 0] > 0.5
    assert aps["none, miss", 10] == 0  # Every object is missed.


def test_strides(data, pristine, tmp_path, monkeypatch):
    points = study(monkeypatch, tmp_path, "stride", *data, "--strides", 1, 5)
    assert [x for _, x, _ in points] == [1, 5]
    assert points[0][2] != points[1][2]
    (tmp_path / "at5").mkdir()
    (tmp_path / "at5" / "room").symlink_to(pristine / "cache")
    own = [f"--caches={tmp_path}/at{{stride}}", *data[1:], "--strides", 5]
    ((_, _, numbers),) = study(monkeypatch, tmp_path, "stride", *own)
    assert numbers == points[0][2]  # This cache is taken as it is.


def test_rates():
    assert online.rates_of("all", 0) == NO_CORRUPTION
    assert online.rates_of("all", 1) == CorruptionRates()
    assert online.rates_of("merge", 2) == replace(NO_CORRUPTION, merge=2 * CorruptionRates().merge)


def test_masks_without_errors_are_those_of_the_cache(room, pristine):
    """That one was made of the same label maps."""
    again = online.with_masks(room, pristine / "room", NO_CORRUPTION, seed=0)
    for one, other in zip(again.frames, room.frames, strict=True):
        np.testing.assert_array_equal(one.masks, other.masks)
        np.testing.assert_array_equal(one.mask_valid, other.mask_valid)
        np.testing.assert_array_equal(one.mask_scores, other.mask_scores)


def test_every_other_frame_keeps_its_view(room):
    thinned = online.every(room, 2)
    assert thinned.info.frame_names == room.info.frame_names[::2]
    assert thinned.info.stride == 2 * room.info.stride
    assert [view.index for view in thinned.views] == [0, 1, 2]
    for view, frame in zip(thinned.views, thinned.frames, strict=True):
        np.testing.assert_allclose(view.T_world_from_cam, frame.T_world_from_cam, atol=1e-4)


def walk(frames, rooms=2):
    """Cameras on a bent line; there is no room."""
    poses = np.tile(np.eye(4, dtype=np.float32), (rooms, frames, 1, 1))
    at = np.arange(frames)
    poses[..., :3, 3] = np.stack([0.08 * at, 0.01 * at**2, np.sin(at)], axis=-1)
    K = np.tile(np.eye(3, dtype=np.float32), (rooms, 1, 1))
    return Clip(None, poses, K, np.zeros(rooms, np.uint32))  # type: ignore[arg-type]


def grey_batch(clips, device):
    """In place of rendering; each frame is as bright as its camera is far along."""
    T = torch.from_numpy(clips.poses).to(device).movedim(1, 0)
    bright = T[..., 0, 3][..., None, None].expand(*T.shape[:2], 48, 48)
    images = bright[:, :, None].expand(-1, -1, 3, -1, -1).contiguous()
    K = torch.from_numpy(clips.intrinsics).to(device)
    return Batch(images, 1 + bright, relative_poses(T), K)


def test_long_clips_are_put_together_of_pieces(monkeypatch):
    monkeypatch.setattr(drift, "as_batch", grey_batch)
    monkeypatch.setattr(drift, "PIECE", 3)
    clips, device = walk(8), torch.device("cpu")
    for one, other in zip(drift.long_batch(clips, device), grey_batch(clips, device), strict=True):
        torch.testing.assert_close(one, other)


def test_lengths(tmp_path, monkeypatch):
    monkeypatch.setattr(drift, "as_batch", grey_batch)
    monkeypatch.setattr(drift, "unseen_rooms", lambda rooms, frames, first: walk(frames, rooms))
    model = Cut3r.random(TINY_LINEAR, 0)
    monkeypatch.setattr(Cut3r, "from_checkpoint", lambda *_: model)
    words = ["--weights=w.safetensors", "--rooms=2", "--lengths", 4, 8, "--reset-every=4"]
    points = study(monkeypatch, tmp_path, "length", *words)
    assert [(curve, x) for curve, x, _ in points] == [
        (curve, x) for curve in ("cut3r", "ttt3r", "cut3r, reset every 4") for x in (4, 8)
    ]
    found = {(curve, x): numbers["position"] for curve, x, numbers in points}
    assert found["cut3r", 4] == found["cut3r, reset every 4", 4]
    assert found["cut3r", 8] != found["cut3r, reset every 4", 8]
    assert found["cut3r", 4] != found["ttt3r", 4]
