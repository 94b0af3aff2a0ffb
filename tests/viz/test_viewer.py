from dataclasses import replace

import numpy as np
import pytest
from plyfile import PlyData
from scipy.spatial.transform import Rotation

from moonseg_jax.cache import CacheReader
from moonseg_jax.eval import read_predictions
from moonseg_jax.structs import FrameResult
from moonseg_jax.viz import instance_colors
from moonseg_jax.viz.viewer.details import Details
from moonseg_jax.viz.viewer.export import glb_bytes, ply_bytes
from moonseg_jax.viz.viewer.growing import GrowingScene
from moonseg_jax.viz.viewer.levels import Levels
from moonseg_jax.viz.viewer.lines import box_edges, path_segments, vertical_fov
from moonseg_jax.viz.viewer.pace import Pace
from moonseg_jax.viz.viewer.pick import picked_point
from moonseg_jax.viz.viewer.scene import (
    BY_COLOR,
    ShownScene,
    View,
    point_colors,
    shown_points,
)
from moonseg_jax.viz.viewer.seen import first_seen
from moonseg_jax.viz.viewer.viewpoint import first_viewpoint

UP = np.array([0.0, -1.0, 0.0])


@pytest.fixture
def predictions(recording):
    return read_predictions(recording.result)


@pytest.fixture
def scene(predictions):
    return ShownScene.of(predictions)


def wall(z, half, step=0.02):
    x, y = np.meshgrid(np.arange(-half, half, step), np.arange(-half, half, step))
    return np.column_stack([x.ravel(), y.ravel(), np.full(x.size, z)]).astype(np.float32)


def test_a_point_is_seen_once_it_is_in_view_and_not_hidden():
    behind, board = wall(3.0, 0.3), wall(1.5, 0.4)
    beside = wall(3.0, 0.3) + np.float32([6, 0, 0])
    points = np.concatenate([behind, board, beside])
    poses = np.tile(np.eye(4), (4, 1, 1))
    poses[1, 0, 3] = 0.01
    poses[2, 0, 3] = 3.0  # Past the board's edge,
    poses[3, 0, 3] = 6.0
    K = np.tile([[100.0, 0, 80], [0, 100.0, 60], [0, 0, 1]], (4, 1, 1))
    poses[2, :3, :3] = Rotation.from_euler("y", -45, degrees=True).as_matrix()  # looking back.
    seen = np.split(first_seen(points, poses, K, (120, 160)), [len(behind), -len(beside)])
    assert np.mean(seen[1] == 0) > 0.99
    assert np.mean(seen[0] == 2) > 0.97
    assert (seen[2] == 3).all()


def test_at_the_end_everything_is_shown_and_before_only_what_was_seen(scene, predictions):
    last = scene.num_frames - 1
    assert len(shown_points(scene, View(frame=last), UP)) == len(scene.points)
    counts = [len(shown_points(scene, View(frame=i), UP)) for i in range(scene.num_frames)]
    assert counts == sorted(counts) and counts[0] < counts[-1]
    labelled = predictions.instance > 0
    until = predictions.last_frame[predictions.instance[labelled] - 1]
    assert (scene.first_seen[labelled] <= until).all()


def test_the_cut_hides_what_is_above(scene):
    heights = scene.points @ UP
    shown = shown_points(scene, View(frame=scene.num_frames - 1, cut=0.107), UP)
    np.testing.assert_array_equal(shown, np.flatnonzero(heights <= 0.107))


@pytest.fixture(scope="module")
def crowd():
    """A wall of 150,000 points that comes into view from left to right, in 30 instances."""
    points = wall(2.0, 1.0, step=2 / 388)[:150_000]
    column = ((points[:, 0] + 1) / 2).clip(0, 0.999)
    return ShownScene(
        points=points,
        colors=(255 * np.random.default_rng(1).random(points.shape)).astype(np.uint8),
        instance=(30 * column).astype(np.int32) + 1,
        first_seen=(10 * column).astype(np.int32),
        first_frame=np.arange(30, dtype=np.int32) // 3,
        boxes=np.zeros((0, 2, 3), np.float32),
        T_world_from_cam=np.tile(np.eye(4), (10, 1, 1)),
        intrinsics=np.tile(np.eye(3), (10, 1, 1)),
        image_size=(64, 64),
    )


def test_levels_share_out_the_cloud_evenly(crowd):
    levels = Levels(crowd)
    parts = [[piece.scene for piece in levels.pieces(level)] for level in range(2)]
    points = [np.concatenate([scene.points for scene in part]) for part in parts]
    assert [len(part) for part in points] == pytest.approx([10_000, 140_000], abs=500)
    everything = np.concatenate(points)
    assert len(np.unique(everything, axis=0)) == len(everything) == len(crowd.points)
    for axis in (0, 1):
        np.testing.assert_allclose(np.histogram(points[0][:, axis], 10)[0], 1000, rtol=0.15)
    for scene in parts[0] + parts[1]:
        assert (np.diff(scene.first_seen) >= 0).all() and len(scene.points) <= 100_000
    again = Levels(crowd).pieces(1)[0].scene
    np.testing.assert_array_equal(again.points, parts[1][0].points)


@pytest.mark.parametrize(
    "count, sizes", [(0, []), (19_000, []), (150_000, [1e4]), (3_000_000, [1e4, 1e5, 1e6])]
)
def test_small_clouds_are_not_cut_up(crowd, count, sizes):
    many = np.broadcast_to(np.float32(0), (count, 3))
    shares = Levels(replace(crowd, points=many)).shares
    assert shares == [*(size / max(count, 1) for size in sizes), 1.0]


def test_pieces_look_the_same_until_something_of_theirs_changes(crowd):
    first, last = Levels(crowd).pieces(1)

    def changed(piece, before, after):
        same = piece.look(before) == piece.look(after)
        shown = [shown_points(piece.scene, view, UP) for view in (before, after)]
        colors = [point_colors(piece.scene, view) for view in (before, after)]
        drawn = [color[part].tobytes() for part, color in zip(shown, colors, strict=True)]
        assert not same or drawn[0] == drawn[1]  # What looks the same is the same.
        return not same

    assert changed(first, View(frame=2), View(frame=3))
    assert not changed(first, View(frame=8), View(frame=9))  # It has been seen by then.
    assert changed(last, View(frame=8), View(frame=9))
    assert not changed(last, View(frame=1), View(frame=2))  # It has not been yet.
    for other in (View(frame=9, cut=0.0), View(frame=9, color_by=BY_COLOR), View(9, selected=4)):
        assert changed(last, View(frame=9), other)
    late = replace(first.scene, first_frame=np.full(30, 9, np.int32))
    assert changed(replace(first, scene=late), View(frame=8), View(frame=9))  # Instances found.


def motion(pace, gap, frames, start, levels=9):
    """When it ends; how often other levels are to be drawn from then on."""
    times = start + gap * np.arange(frames)
    # A second update follows that of a frame.
    changes = [pace.moved(1, at + late, levels) for at in times for late in (0, 0.01)]
    return times[-1], sum(changes)


def test_detail_follows_the_browser():
    pace = Pace()
    now, changes = motion(pace, 0.03, 28, 100.0)
    assert pace.level == 4 and changes == 4  # The beginning is one.
    motion(pace, 0.03, 60, now + 60, levels=5)
    assert pace.level == 5  # There are no more.
    now, _ = motion(pace, 0.2, 60, now + 120)
    assert pace.level == 1
    motion(pace, 0.03, 60, now + 60)
    assert pace.level == 1  # It was too much once.
    steady = Pace()
    motion(steady, 0.07, 60, 100.0)  # Neither fast nor slow.
    assert steady.level == 1


def test_rest_comes_some_frames_after_the_last():
    pace = Pace()
    assert pace.rest_in(100.0) == 0
    now, _ = motion(pace, 0.03, 20, 100.0)
    assert 0.5 < pace.rest_in(now) < 1 and pace.rest_in(now + 1) == 0
    now, _ = motion(pace, 0.5, 20, now + 60)
    assert 0.9 < pace.rest_in(now) < 2
    pace.touched(now + 60)
    assert 0.9 < pace.rest_in(now + 60) < 2


def test_a_browser_that_takes_long_over_a_frame_is_not_at_rest():
    pace = Pace()
    pace.moved(1, 100.0, 9)
    assert pace.moved(1, 102.0, 9)  # Thought to be at rest, it was shown everything once more.
    _, changes = motion(pace, 2.0, 5, 104.0)
    assert changes == 0
    now, _ = motion(pace, 0.07, 60, 200.0)
    assert pace.rest_in(now) < 1


def test_two_browsers_at_once_are_not_taken_for_a_fast_one():
    pace = Pace()
    for i in range(100):
        pace.moved(i % 2, 100 + 0.04 * i, 9)
    assert pace.level == 1


def test_colours(scene):
    late = replace(scene, first_frame=np.array([0, 3, 0]))
    by_instance = point_colors(late, View(frame=2)).astype(int)
    hue = np.ptp(by_instance, axis=1)  # Grey has none.
    assert (hue[late.instance == 1] > 30).all() and (hue[late.instance == 0] == 0).all()
    assert (hue[late.instance == 2] == 0).all()  # Not found yet.
    np.testing.assert_array_equal(point_colors(late, View(color_by=BY_COLOR)), late.colors)
    selected = point_colors(late, View(color_by=BY_COLOR, selected=1))
    own = late.instance == 1
    np.testing.assert_array_equal(selected[own], late.colors[own])
    assert selected[~own].min() > 185


def test_the_nearest_point_under_the_click():
    points = np.concatenate([wall(3.0, 0.3), wall(1.5, 0.3), wall(-1.5, 0.3)])
    hit = picked_point(points, np.zeros(3), np.array([0.05, 0.05, 2.0]), 0.01)
    assert points[hit, 2] == 1.5 and np.abs(points[hit, :2] - 0.0375).max() < 0.03
    assert picked_point(points, np.zeros(3), np.array([1.0, 0, 0]), 0.01) is None
    assert picked_point(points[:0], np.zeros(3), np.array([0, 0, 1.0]), 0.01) is None


def test_lines():
    edges = box_edges(np.array([[[0, 0, 0], [1, 2, 3.0]]]))
    assert edges.shape == (1, 12, 2, 3)
    lengths = np.linalg.norm(edges[0, :, 0] - edges[0, :, 1], axis=-1)
    assert sorted(lengths) == [1] * 4 + [2] * 4 + [3] * 4
    T = np.tile(np.eye(4), (3, 1, 1))
    T[:, 0, 3] = [0, 1, 5]
    np.testing.assert_array_equal(path_segments(T)[:, :, 0], [[0, 1], [1, 5]])
    K = np.array([[50.0, 0, 50], [0, 50, 50], [0, 0, 1]])
    assert np.degrees(vertical_fov(K, (100, 100))) == pytest.approx(90)


def test_details(predictions, recording):
    details = Details(predictions, CacheReader(recording.cache))
    assert (np.diff(predictions.scores[details.order - 1]) <= 0).all()
    for instance in (1, 2, 3):
        frames = details.frames(instance)
        marked = [i for i in range(5) if (predictions.label_map(i) == instance).any()]
        np.testing.assert_array_equal(frames, marked)
        assert f"Instance {instance}" in details.text(instance)
        assert f"{predictions.scores[instance - 1]:.3f}" in details.text(instance)
    tiles = details.best_frames(1)
    assert tiles is not None and tiles.shape[1] == 480
    tint = np.abs(tiles.astype(int) - instance_colors(np.array(2))).sum(-1) < 60
    assert tint.mean() < 0.01  # Of one instance only.
    assert details.picture(0).shape == (*recording.info.point_size, 3)


def test_details_without_the_cache(predictions):
    details = Details(predictions)
    assert details.picture(0) is None
    frame = details.labelled(0, width=48)
    assert frame.shape == (48, 48, 3)
    assert (frame == 225).all(-1).any() and (np.ptp(frame, axis=-1) > 30).any()


def test_ranges_of_frames(predictions):
    details = Details(predictions)
    details._pixels = np.zeros((40, 4), int)
    details._pixels[[0, 1, 2, 7, 10, 11], 1] = 5
    details._pixels[::2, 2] = 1
    assert "in frames 0-2, 7, 10-11" in details.text(1)
    assert details.text(2).endswith("18, …")
    assert details.text(3).endswith("none")
    assert details.best_frames(3) is None


def test_a_growing_scene(recording):
    reader = CacheReader(recording.cache)
    growing = GrowingScene(reader.info.image_size)
    size = reader.info.mask_size
    id_map = np.zeros(size, np.int32)
    id_map[:, : size[1] // 2] = 2
    sizes = []
    for frame in reader.frames():
        result = FrameResult(
            instance=np.array([1]), is_new=np.array([False]), similarity=np.zeros(1),
            id_map=id_map, num_rows=np.array(2), num_keys=np.array(9),
        )  # fmt: skip
        growing.add(frame, result)
        scene = growing.scene()
        sizes.append((scene.num_frames, len(scene.points)))
        assert set(np.unique(scene.instance)) == {0, 2}
        assert len(shown_points(scene, View(frame=0), UP)) == len(scene.points)
    assert [t for t, _ in sizes] == [1, 2, 3, 4, 5]
    assert sizes[0][1] < sizes[-1][1]
    np.testing.assert_array_equal(growing.picture, reader.colors(4))
    left = scene.points[scene.instance == 2]
    assert left[:, 0].mean() < scene.points[:, 0].mean()
    assert point_colors(scene, View()).shape == scene.points.shape


def test_viewpoint_stands_the_scene_up(scene):
    viewpoint = first_viewpoint(scene)
    assert np.linalg.norm(viewpoint.up) == pytest.approx(1)
    look = viewpoint.look_at - viewpoint.position
    assert look @ viewpoint.up < 0  # From above.
    assert viewpoint.heights[0] < viewpoint.heights[1]
    few = replace(scene, points=scene.points[:3], instance=scene.instance[:3])
    np.testing.assert_array_equal(first_viewpoint(few).up, UP)


def test_files_hold_what_is_shown(scene, tmp_path):
    trimesh = pytest.importorskip("trimesh")
    colors = point_colors(scene, View())
    (tmp_path / "a.ply").write_bytes(ply_bytes(scene.points, colors, scene.instance))
    vertex = PlyData.read(tmp_path / "a.ply")["vertex"]
    np.testing.assert_array_equal(vertex["instance"], scene.instance)
    (tmp_path / "a.glb").write_bytes(glb_bytes(scene.points, colors, scene.instance, UP))
    nodes = trimesh.load_scene(tmp_path / "a.glb")
    assert {"rest", "instance_1", "instance_2", "instance_3"} <= set(nodes.graph.nodes_geometry)
    transform, name = nodes.graph["instance_1"]
    cloud = nodes.geometry[name]
    own = scene.instance == 1
    upright = cloud.vertices @ transform[:3, :3].T
    np.testing.assert_allclose(upright[:, 1], scene.points[own] @ UP, atol=1e-5)
    np.testing.assert_array_equal(cloud.colors[:, :3], colors[own])
