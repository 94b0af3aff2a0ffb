from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from moonseg_jax.cache import CacheReader
from moonseg_jax.eval import read_predictions, write_predictions
from moonseg_jax.viz import instance_colors, write_contact_sheet
from moonseg_jax.viz.render import Camera, render, top_camera
from moonseg_jax.viz.upright import UprightCloud, stand_up
from tests.eval.conftest import perfect_scene


def room(tilt: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Floor, ceiling, a wall at y = 2 and a box; turned as a whole. Points, kinds, camera poses."""
    rng = np.random.default_rng(0)
    flat = rng.uniform(-2, 2, (3000, 2))
    floor = np.column_stack([flat, np.zeros(3000)])
    ceiling = np.column_stack([flat, np.full(3000, 2.5)])
    wall = np.column_stack([flat[:, 0], np.full(3000, 2.0), (flat[:, 1] + 2) * 0.62])
    box = np.column_stack([flat[:600] * 0.2, np.full(600, 0.6)])
    points = np.concatenate([floor, ceiling, wall, box])
    kind = np.repeat([0, 1, 2, 3], [3000, 3000, 3000, 600])
    poses = np.tile(np.eye(4), (4, 1, 1))
    # Looking along +y and a little down: x right, y down, z forward.
    poses[:, :3, :3] = np.array([[1, 0, 0], [0, -0.2, 0.98], [0, -0.98, -0.2]]).T[[0, 1, 2]].T
    poses[:, :3, 3] = [[-1, -1, 1.5], [1, -1, 1.5], [0, 0, 1.6], [0.5, -1.5, 1.4]]
    c, s = np.cos(tilt), np.sin(tilt)
    R = np.array([[1, 0, 0], [0, c, -s], [0, s, c]]) @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    poses[:, :3, :3] = R @ poses[:, :3, :3]
    poses[:, :3, 3] = poses[:, :3, 3] @ R.T
    return points @ R.T, kind, poses


@pytest.mark.parametrize("tilt", [0.0, 0.5, 2.0])
def test_a_tilted_room_is_stood_up(tilt):
    points, kind, poses = room(tilt)
    cloud = stand_up(points, poses)
    for level in (0, 1, 3):
        assert np.ptp(cloud.points[kind == level, 2]) < 0.05
    height = cloud.points[kind == 1, 2].mean() - cloud.points[kind == 0, 2].mean()
    assert height == pytest.approx(2.5, abs=0.05)
    wall = cloud.points[kind == 2]
    assert np.ptp(wall, axis=0)[:2].min() < 0.1
    assert cloud.normals[kind == 0, 2].mean() > 0.9
    assert cloud.normals[kind == 1, 2].mean() < -0.9


def test_ceiling_is_left_out_and_near_hides_far():
    points, kind, poses = room(0.0)
    colors = instance_colors(kind + 1)
    cloud = stand_up(points, poses)
    (picture,) = render(cloud, [colors], top_camera(), (120, 160))
    drawn = np.asarray(picture).astype(int)
    counts = [
        np.sum(np.abs(drawn - color).sum(-1) < 90) for color in instance_colors(np.arange(1, 5))
    ]
    assert counts[0] > 2000  # The floor shows,
    assert counts[3] > 60  # the box on it too,
    assert counts[1] < 50  # and no ceiling.
    (above,) = render(cloud, [colors], Camera(45, 42, 1.6), (60, 80))
    assert above.size == (80, 60)


def test_one_point_is_a_picture():
    cloud = UprightCloud(np.zeros((1, 3)), np.array([[0.0, 0, 1]]), np.full(1, 0.02))
    (picture,) = render(cloud, [np.array([[255, 0, 0]], np.uint8)], top_camera(), (40, 40))
    assert (np.asarray(picture)[20, 20] < 255).any()


def test_contact_sheet_of_a_result(recording, tmp_path):
    predictions, reader = read_predictions(recording.result), CacheReader(recording.cache)
    write_contact_sheet(tmp_path / "sheet.png", predictions, reader)
    sheet = read(tmp_path / "sheet.png")
    assert sheet.shape[1] == 1800
    for color in instance_colors(np.arange(1, 4)):
        shade = np.abs(sheet - color).sum(-1) < 80
        assert shade.sum() > 200


def test_contact_sheet_of_nothing(recording, tmp_path):
    scene = perfect_scene()
    for name in ("points", "colors", "instance", "scores", "queries", "tokens", "boxes",
                 "observations", "first_frame", "last_frame"):  # fmt: skip
        setattr(scene, name, getattr(scene, name)[:0])
    scene.label_maps = lambda: iter([np.zeros((48, 48), np.uint16)] * 5)
    reader = CacheReader(recording.cache)
    write_predictions(recording.result, scene, reader, config={}, checkpoint="none")
    write_contact_sheet(tmp_path / "sheet.png", read_predictions(recording.result), reader)
    assert read(tmp_path / "sheet.png").shape[1] == 1800


def read(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        return np.asarray(image).astype(int)
