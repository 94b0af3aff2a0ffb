import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest

from moonseg_jax.eval.align import (
    align_cameras,
    align_trajectories,
    nearest_instance,
    refine_icp,
    umeyama,
)
from moonseg_jax.eval.associate import associate, unproject_instances
from moonseg_jax.eval.ground_truth import load_ground_truth
from moonseg_jax.eval.predictions import Predictions, read_predictions
from moonseg_jax.eval.views import View, measured_poses, measured_views
from moonseg_jax.eval.votes import VertexVotes
from moonseg_jax.structs import InputError
from tests.eval.conftest import CENTRES, SIZE, K, pose, render


class Measured:
    """The recording that `conftest` writes, as it was measured; depth at another size, if asked."""

    path = Path("planes")
    image_size = SIZE
    intrinsics: np.ndarray | None = K
    has_depth = True

    def __init__(self, scale: float = 1.0, lost: tuple[str, ...] = ()) -> None:
        self.scale, self.lost = scale, lost

    def pose(self, name: str) -> np.ndarray | None:
        return None if name in self.lost else pose(CENTRES[int(name) // 10])

    def depth(self, name: str) -> np.ndarray:
        assert name not in self.lost
        return render(CENTRES[int(name) // 10], self.scale)[0].astype(np.float32)


def agreement(labels: np.ndarray, instance: np.ndarray) -> float:
    seen = labels > 0
    return float(np.mean(labels[seen] == instance[seen]))


def random_similarity(seed: int) -> tuple[float, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    Q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return rng.uniform(0.2, 5), Q * np.sign(np.linalg.det(Q)), rng.normal(size=3)


def moved(predictions: Predictions, seed: int) -> Predictions:
    """The same result in a world of another scale and origin."""
    scale, R, t = random_similarity(seed)
    poses = predictions.T_world_from_cam.copy()
    poses[:, :3, :3] = R @ poses[:, :3, :3]
    poses[:, :3, 3] = scale * poses[:, :3, 3] @ R.T + t
    points = (scale * predictions.points @ R.T + t).astype(np.float32)
    info = dataclasses.replace(predictions.info, poses="predicted", units="scene")
    return dataclasses.replace(predictions, info=info, points=points, T_world_from_cam=poses)


@pytest.mark.parametrize("scale", [1.0, 0.5, 1.5])
def test_protocol_a_labels_what_is_seen(recording, scale):
    truth = load_ground_truth(recording.folder)
    labels = associate(read_predictions(recording.result), truth, measured=Measured(scale))
    instance = np.maximum(truth.instance - 1, 0)
    assert np.mean(labels == instance) > 0.97
    assert agreement(labels, instance) > 0.96
    for i in (1, 2, 3):
        assert np.mean(labels[instance == i] == i) > 0.9


def test_protocol_a_from_the_cache_gives_the_same(recording):
    truth = load_ground_truth(recording.folder)
    predictions = read_predictions(recording.result)
    labels = associate(predictions, truth)
    assert np.mean(labels == associate(predictions, truth, measured=Measured())) > 0.99
    assert len(list(measured_views(predictions, None))) == 5


def test_protocol_a_does_not_look_at_predicted_geometry(recording):
    truth = load_ground_truth(recording.folder)
    predictions = read_predictions(recording.result)
    expected = associate(predictions, truth, measured=Measured())
    labels = associate(moved(predictions, seed=5), truth, measured=Measured())
    np.testing.assert_array_equal(labels, expected)


def test_hidden_vertices_have_no_votes():
    depth = np.full((4, 4), 1.0, np.float32)
    K = np.array([[4.0, 0, 2], [0, 4.0, 2], [0, 0, 1]])
    view = View(0, depth, K, np.eye(4), (1.0, 1.0, 0.0, 0.0))
    on, near, behind = [0.1, 0.1, 1.0], [0.1, 0.1, 1.03], [0.1, 0.1, 1.05]
    outside, behind_camera = [2.0, 0, 1.0], [0.1, 0.1, -1.0]
    vertices = np.array([on, near, behind, outside, behind_camera], np.float32)
    labels = unproject_instances(vertices, [view], lambda i: np.full((4, 4), 7), (4, 4))
    assert labels.tolist() == [7, 7, 0, 0, 0]


def test_unknown_depth_sees_nothing():
    view = View(0, np.full((2, 2), np.nan, np.float32), np.diag([2.0, 2, 1]), np.eye(4),
                (1.0, 1.0, 0.0, 0.0))  # fmt: skip
    vertices = np.array([[0.1, 0.1, 1.0]], np.float32)
    assert unproject_instances(vertices, [view], lambda i: np.ones((2, 2), int), (2, 2))[0] == 0


def test_most_votes_win_and_ties_go_to_the_lowest(monkeypatch):
    votes = VertexVotes(4)
    monkeypatch.setattr("moonseg_jax.eval.votes._COMPACT_AT", 3)
    for vertex, instance in [([0, 1], [5, 9]), ([0, 1], [5, 2]), ([0, 2], [3, 0]), ([2], [4])]:
        votes.add(np.array(vertex), np.array(instance))
    assert votes.winners().tolist() == [5, 2, 0, 0]


@pytest.mark.parametrize("seed", range(5))
def test_umeyama_recovers_a_similarity(seed):
    scale, R, t = random_similarity(seed)
    source = np.random.default_rng(seed + 100).normal(size=(6, 3))
    found = umeyama(source, scale * source @ R.T + t)
    np.testing.assert_allclose(found.scale, scale, rtol=1e-9)
    np.testing.assert_allclose(found.R, R, atol=1e-9)
    np.testing.assert_allclose(found.t, t, atol=1e-9)


def test_umeyama_never_mirrors():
    source = np.random.default_rng(0).normal(size=(8, 3))
    assert np.linalg.det(umeyama(source, source * [1, 1, -1]).R) == pytest.approx(1)


@pytest.mark.parametrize("association", ["sim3", "cameras"])
@pytest.mark.parametrize("icp", [False, True])
def test_protocol_b_undoes_scale_and_pose(recording, association, icp):
    truth = load_ground_truth(recording.folder)
    predictions = moved(read_predictions(recording.result), seed=3)
    measured = Measured(lost=("000010",))
    labels = associate(predictions, truth, association, measured=measured, icp=icp)
    assert np.mean(labels == np.maximum(truth.instance - 1, 0)) == 1.0


def test_protocol_b_of_measured_poses_moves_nothing(recording):
    truth = load_ground_truth(recording.folder)
    labels = associate(read_predictions(recording.result), truth, "sim3")
    assert np.mean(labels == np.maximum(truth.instance - 1, 0)) == 1.0


def test_icp_repairs_a_small_error():
    target = np.random.default_rng(0).uniform(size=(4000, 3)) * [2, 2, 0.02] + [0, 0, 1]
    target = np.concatenate([target, target[:, [2, 0, 1]]])
    off = umeyama(target, target * 1.01 + 0.01)
    fixed = refine_icp(off, target, target, gate=0.1)
    before = np.linalg.norm(off.apply(target) - target, axis=1).mean()
    assert np.linalg.norm(fixed.apply(target) - target, axis=1).mean() < 0.2 * before


def test_masks_do_not_grow_into_unlabelled_points():
    x, y = np.meshgrid(np.arange(-1, 1, 0.02), np.arange(-1, 1, 0.02))
    points = np.stack([x, y, 0 * x], -1).reshape(-1, 3)
    square = (np.abs(points[:, 0]) < 0.5) & (np.abs(points[:, 1]) < 0.5)
    labels = nearest_instance(points, points, square.astype(np.int32), radius=0.15)
    np.testing.assert_array_equal(labels, square)
    far = nearest_instance(
        points + np.array([0, 0, 0.2]), points, square.astype(np.int32), radius=0.15
    )
    assert not far.any()
    assert not nearest_instance(points, points[:0], np.zeros(0, np.int32), radius=0.15).any()


def test_degenerate_trajectories_are_refused():
    with pytest.raises(InputError, match="room: 2 frames have measured poses"):
        align_trajectories(np.eye(3)[:2], np.eye(3)[:2], "room")
    line = np.outer(np.arange(6.0), [1, 2, 3])
    wiggly = np.random.default_rng(0).normal(size=(6, 3))
    with pytest.raises(InputError, match="room: the predicted camera centres lie on one line"):
        align_trajectories(line, wiggly, "room")
    with pytest.raises(InputError, match="room: the measured camera centres lie on one line"):
        align_trajectories(wiggly, line, "room")


def test_cameras_tell_the_rotation_where_their_centres_do_not():
    scale, R, t = random_similarity(0)
    T, along = np.tile(np.eye(4), (20, 1, 1)), np.linspace(0, 1, 20)
    T[:, :3, 3] = np.stack([along, 0.1 * np.sin(3 * along), 0 * along], axis=1)
    measured = T.copy()
    measured[:, :3, :3] = R
    wrong = 0.03 * np.random.default_rng(0).normal(size=(20, 3))
    measured[:, :3, 3] = scale * (T[:, :3, 3] + wrong) @ R.T + t
    found = align_cameras(T, measured, "room")
    np.testing.assert_allclose(found.R, R, atol=1e-9)
    by_centres = align_trajectories(T[:, :3, 3], measured[:, :3, 3], "room")
    ahead = np.array([[0.0, 0.0, 3.0]])
    off, off_by_centres = (
        np.linalg.norm(similarity.apply(ahead) - scale * ahead @ R.T - t) / scale
        for similarity in (found, by_centres)
    )
    assert off < 0.3 and off < 0.5 * off_by_centres


def test_cameras_that_stay_tell_no_scale():
    stay = np.tile(np.eye(4), (5, 1, 1))
    with pytest.raises(InputError, match="room: cameras at one place"):
        align_cameras(stay, stay, "room")


def test_predicted_poses_need_a_recording(recording):
    truth = load_ground_truth(recording.folder)
    predictions = moved(read_predictions(recording.result), seed=0)
    for association in ("gt", "sim3"):
        with pytest.raises(InputError, match=r"poses of .*result were predicted.* --recording"):
            associate(predictions, truth, association)


def test_a_recording_without_depth_leaves_protocol_b(recording):
    truth = load_ground_truth(recording.folder)
    predictions = moved(read_predictions(recording.result), seed=0)
    flat, uncalibrated = Measured(), Measured()
    flat.has_depth, uncalibrated.intrinsics = False, None
    with pytest.raises(InputError, match=r"planes has no depth, .*use --association sim3, or name"):
        associate(predictions, truth, measured=flat)
    with pytest.raises(InputError, match=r"planes has no intrinsics, .*use --association sim3"):
        associate(predictions, truth, measured=uncalibrated)
    assert associate(predictions, truth, "sim3", measured=flat).any()


def test_a_cache_that_is_gone_is_missed(recording):
    truth = load_ground_truth(recording.folder)
    predictions = read_predictions(recording.result)
    shutil.rmtree(recording.cache)
    with pytest.raises(InputError, match=r"result lies in no recording, and its cache .* is gone"):
        associate(predictions, truth)
    with pytest.raises(InputError, match="and it has no cache: name its recording"):
        associate(dataclasses.replace(predictions, cache=""), truth)


def test_frames_without_a_usable_pose_are_left_out(recording):
    predictions = read_predictions(recording.result)
    lost = Measured(lost=("000020",))
    assert [view.index for view in measured_views(predictions, lost)] == [0, 1, 3, 4]
    assert list(measured_poses(predictions, lost)) == [0, 1, 3, 4]


def test_the_recording_of_another_scene_is_refused(recording):
    predictions = read_predictions(recording.result)
    other = Measured(lost=predictions.info.frame_names)
    with pytest.raises(InputError, match=r"planes has a pose for none of the 5 .*first: 000000"):
        measured_poses(predictions, other)
    other = Measured()
    other.image_size = (48, 64)
    with pytest.raises(InputError, match=r"has images of 64x48 and .*result was .* of 128x96"):
        list(measured_views(predictions, other))
    with pytest.raises(InputError, match="has images of 64x48"):
        measured_poses(predictions, other)
