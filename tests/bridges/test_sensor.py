import dataclasses

import numpy as np
import pytest

from bridges.backbones.patch_geometry import CHANNELS, WAVELENGTHS, describe_patches
from bridges.backbones.sensor import SensorGeometry, camera_points, drop_flying_pixels
from bridges.preprocess import plan_transform
from bridges.sources import open_source
from tests.bridges.conftest import WALL, pose_of

NORMAL = slice(5 + 6 * len(WAVELENGTHS), 8 + 6 * len(WAVELENGTHS))


def _run(recording, **kwargs):
    source = open_source(recording.path)
    sensor = SensorGeometry(plan_transform(source.image_size), **kwargs)
    frames = list(source)
    sensor.begin(frames[0])
    return sensor, frames, [sensor(frame, frame.image) for frame in frames]


@pytest.mark.parametrize("depth_size", [(60, 80), (120, 160), (24, 32)])
def test_points_lie_on_the_surface_and_project_to_their_cells(make_rgbd, depth_size):
    _, _, results = _run(make_rgbd(frames=3, depth_size=depth_size))
    for index, result in enumerate(results):
        valid = result.confidence > 0
        assert result.points.shape == (96, 128, 3) and result.points.dtype == np.float32
        np.testing.assert_array_equal(np.isfinite(result.points).all(-1), valid)
        assert 0.9 < valid.mean() < 1.0
        assert np.abs(result.points[valid][:, 2] - WALL).max() < 2e-3  # Depth is in millimetres.
        camera = np.linalg.inv(pose_of(index))
        local = result.points.astype(float) @ camera[:3, :3].T + camera[:3, 3]
        uv = local @ result.intrinsics.astype(float).T
        uv = uv[..., :2] / uv[..., 2:]
        v, u = np.meshgrid((np.arange(96) + 0.5) * 4, (np.arange(128) + 0.5) * 4, indexing="ij")
        half_pixel = 0.5 * 384 / depth_size[0]
        off = np.abs(uv - np.stack([u, v], -1))[valid]
        assert off.max() <= half_pixel + 0.05


def test_depth_is_sampled_not_averaged():
    depth = np.where(np.arange(640) < 321, 1.0, 3.0)[None].repeat(480, 0).astype(np.float32)
    K = np.array([[585.0, 0, 320], [0, 585, 240], [0, 0, 1]])
    points = camera_points(depth, K, plan_transform((480, 640)), 4)
    assert set(np.unique(points[..., 2])) == {1.0, 3.0}


def test_flying_pixels_are_dropped_and_edges_and_slopes_stay():
    depth = np.full((5, 9), 1.0, np.float32)
    depth[:, 5:] = 2.0
    np.testing.assert_array_equal(drop_flying_pixels(depth, 0.03), depth)
    slope = np.linspace(1.0, 1.1, 9, dtype=np.float32)[None].repeat(5, 0)
    np.testing.assert_array_equal(drop_flying_pixels(slope, 0.03), slope)
    depth[:, 4] = 1.4
    for d in (depth, depth.T, depth[:, ::-1]):
        clean = drop_flying_pixels(d, 0.03)
        np.testing.assert_array_equal(np.isnan(clean), d == np.float32(1.4))


def test_without_flying_keeps_all(make_rgbd):
    recording = make_rgbd(frames=1)
    sensor, (frame,), _ = _run(recording, flying=0.0)
    depth = frame.depth.copy()
    depth[:, 40] += np.linspace(0.5, 0.5, 60, dtype=np.float32)
    depth[:, 41:] += 1.0
    dropping = SensorGeometry(sensor.transform)
    dropping.begin(frame)
    kept, dropped = (
        run(dataclasses.replace(frame, depth=depth), frame.image) for run in (sensor, dropping)
    )
    assert kept.confidence.sum() > dropped.confidence.sum()


def test_descriptors_are_finite_and_of_comparable_scale(make_rgbd):
    _, _, results = _run(make_rgbd(frames=2))
    for result in results:
        features = result.features_3d.astype(np.float32)
        assert features.shape == (24, 32, CHANNELS) and result.features_3d.dtype == np.float16
        assert np.isfinite(features).all() and np.abs(features).max() <= 3.01


def test_descriptors_tell_place_and_normal_in_the_first_cameras_frame(make_rgbd):
    _, _, results = _run(make_rgbd(frames=3))
    first, last = results[0], results[2]
    for result in (first, last):
        inner = result.features_3d[4:-4, 4:-4].astype(float)
        np.testing.assert_allclose(inner[..., NORMAL].mean((0, 1)), (0, 0, -1), atol=0.02)
        np.testing.assert_allclose(inner[..., 4] * 3.2, WALL, atol=0.01)


def test_descriptors_do_not_depend_on_the_world_frame(make_rgbd):
    sensor, frames, results = _run(make_rgbd(frames=3))
    move = np.eye(4)
    move[:3, :3] = [[0, -1, 0], [1, 0, 0], [0, 0, 1]]
    move[:3, 3] = (5, -3, 1)
    first, last = (
        dataclasses.replace(frames[i], T_world_from_cam=move @ frames[i].T_world_from_cam)
        for i in (0, 2)
    )
    sensor.begin(first)
    again = sensor(last, last.image)
    np.testing.assert_allclose(again.features_3d, results[2].features_3d, atol=2e-2)
    assert not np.allclose(again.points, results[2].points, equal_nan=True)


def test_a_patch_without_depth_is_zero_and_an_edge_keeps_the_main_surface():
    points = np.zeros((8, 24, 3))
    x, y = np.meshgrid(np.arange(24) * 0.01, np.arange(8) * 0.01)
    points[..., 0], points[..., 1], points[..., 2] = x, y, 1.0
    points[:, 8:16] = np.nan
    points[:, 21:, 2] = 4.0
    features = describe_patches(points, np.eye(4), 8).astype(float)[0]
    assert (features[1] == 0).all() and features[0, 0] == features[2, 0] == 1
    assert features[2, 4] == pytest.approx(1.0 / 3.2, abs=1e-3)  # Not the mean of 1 and 4.
    farther = NORMAL.stop + 1 + 4 + 2 + 1
    assert features[2, farther] == pytest.approx(3 / 8, abs=1e-3) and features[0, farther] == 0


def test_a_fold_is_told_from_a_ridge():
    x, y = np.meshgrid((np.arange(32) - 15.5) * 0.02, (np.arange(16) - 7.5) * 0.02)
    turns = {}
    for name, sign in (("ridge", 1.0), ("fold", -1.0)):
        points = np.stack([x, y, 2.0 + sign * 0.5 * np.abs(x)], axis=-1)
        turns[name] = describe_patches(points, np.eye(4), 8).astype(float)[..., -4:]
    right = 0
    assert (turns["ridge"][:, 1, right] > 0.3).all() and (turns["fold"][:, 1, right] < -0.3).all()
    assert np.abs(turns["ridge"][:, 0, right]).max() < 0.05
    assert (turns["ridge"][:, 3, right] == 0).all()  # Nothing beyond the image.
