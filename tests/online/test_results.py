import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from moonseg_jax.config import default_config, features_only_config
from moonseg_jax.models import FeatureCore, split_core
from moonseg_jax.online import OnlineLoop, SceneResult, init, results
from moonseg_jax.online.surface import SurfaceVotes, vote_of_neighbours
from moonseg_jax.structs import InputError
from tests.reference.box_room import BoxRoom


@pytest.fixture(scope="module")
def segmented():
    room, config = BoxRoom(), features_only_config()
    config.online = default_config().online
    core = FeatureCore(config.model, room.c3, room.c2)
    segmenter = OnlineLoop(*split_core(core), room.info, config)
    collected = SceneResult(config, voxel=0.1)
    outputs = []
    for index in range(30):
        frame = room.frame(index)
        outputs.append(segmenter.step(frame))
        collected.add(frame, outputs[-1])
    return room, segmenter.state, outputs, collected.finish(segmenter.state)


def test_rows_seen_often_enough_are_the_instances(segmented):
    _, state, _, scene = segmented
    observations = np.asarray(state.bank.observations)[: int(state.num_rows)]
    kept = observations >= 2
    assert 0 < kept.sum() < len(kept)
    np.testing.assert_array_equal(scene.observations, observations[kept])
    assert scene.num_instances == kept.sum()
    assert (np.diff(scene.first_frame) >= 0).all()
    mean = np.asarray(state.bank.score_sum)[: len(kept)][kept] / scene.observations
    expected = mean * scene.observations / (scene.observations + 1)
    np.testing.assert_allclose(scene.scores, expected, rtol=1e-5)


def test_label_maps_are_the_id_maps_of_what_is_kept(segmented):
    _, state, outputs, scene = segmented
    observations = np.asarray(state.bank.observations)
    label = np.where(observations >= 2, np.cumsum(observations >= 2), 0)
    maps = list(scene.label_maps())
    assert len(maps) == len(outputs)
    for labels, output in zip(maps, outputs, strict=True):
        assert labels.dtype == np.uint16
        expected = np.concatenate([[0], label])[np.asarray(output.id_map)]
        np.testing.assert_array_equal(labels, expected)


def test_cloud_is_one_point_a_voxel_on_the_surface(segmented):
    room, _, _, scene = segmented
    cells = np.floor(scene.points / 0.1).astype(int)
    # Means of points of a voxel lie in it, up to rounding at its faces.
    assert len(np.unique(cells, axis=0)) > 0.99 * len(cells)
    size = np.array(room.size)
    assert np.isclose(np.minimum(scene.points, size - scene.points).min(1), 0, atol=0.1).all()
    assert set(np.unique(scene.instance)) <= set(range(scene.num_instances + 1))
    assert (scene.instance > 0).mean() > 0.9


def test_too_many_instances(config, monkeypatch):
    monkeypatch.setattr(results, "MAX_INSTANCES", 3)
    state = init(config, 4, 0)
    seen = state.bank.replace(observations=state.bank.observations + 2)
    state = state.replace(bank=seen, num_rows=state.num_rows + 4)
    with pytest.raises(InputError, match="min_observations"):
        SceneResult(config).finish(state)


def test_a_scene_without_frames_or_masks(config):
    scene = SceneResult(config).finish(init(config, 4, 0))
    assert scene.num_instances == len(scene.points) == 0
    assert list(scene.label_maps()) == []


@given(
    st.lists(
        st.tuples(
            hnp.arrays(np.int8, (7, 3), elements=st.integers(-2, 1)),
            hnp.arrays(np.int32, 7, elements=st.integers(-1, 3)),
        ),
        max_size=4,
    ),
    st.booleans(),
)
def test_votes_match_a_dictionary(frames, compact_often):
    votes = SurfaceVotes(0.5)
    expected = {}
    for cells, rows in frames:
        points = (cells + 0.5).astype(np.float32) * 0.5
        colors = np.full((7, 3), 10 * (rows[:, None] + 1), np.uint8)
        votes.add(points, colors, rows)
        if compact_often:
            votes.cloud(np.zeros(4, np.int32))
        for cell, row in zip(cells, rows, strict=True):
            counts = expected.setdefault(tuple(map(int, cell)), np.zeros(5, int))
            counts[row + 1] += 1
    label_of_row = np.array([1, 0, 2, 3], np.int32)  # Row 1 does not count.
    points, colors, labels = votes.cloud(label_of_row)
    ours = {
        tuple(np.floor(p / 0.5).astype(int).tolist()): (tuple(c), label)
        for p, c, label in zip(points, colors, labels, strict=True)
    }
    assert len(ours) == len(points)
    for cell, counts in expected.items():
        of_label = np.array([counts[0], counts[1], counts[3], counts[4]])
        color = np.rint(10 * (counts @ np.arange(5)) / counts.sum())
        assert ours.pop(cell) == ((color,) * 3, np.argmax(of_label))
    assert not ours


def test_memory_of_the_cloud_follows_the_surface():
    rng = np.random.default_rng(0)
    votes = SurfaceVotes(0.1)
    largest = 0
    for _ in range(300):
        points = rng.uniform(0, 1, (2000, 3)).astype(np.float32)
        votes.add(points, np.zeros((2000, 3), np.uint8), rng.integers(0, 3, 2000))
        largest = max(largest, votes._num_pending + len(votes._table[0]))
    # 1,000 voxels with three rows each, and what may wait before a compaction.
    assert largest <= 3000 + (1 << 16) + 2000


def test_neighbours_outvote_specks():
    """A wall in two halves; every tenth voxel says something else."""
    x, y = (axis.ravel() for axis in np.meshgrid(np.arange(40), np.arange(40)))
    points = np.stack([x, y, 0 * x], axis=1) * 0.02
    truth = np.where(x < 20, 1, 2)
    told = np.where(np.random.default_rng(0).random(len(x)) < 0.1, 0, truth)
    found = vote_of_neighbours(points, told, 32)
    assert np.mean(found == truth) > 0.98 > 0.92 > np.mean(told == truth)
    np.testing.assert_array_equal(vote_of_neighbours(7 * points, told, 32), found)


def test_few_points_keep_their_labels_and_ties_go_to_the_least():
    points, labels = np.eye(3), np.array([2, 0, 1])
    np.testing.assert_array_equal(vote_of_neighbours(points, labels, 4), labels)
    np.testing.assert_array_equal(vote_of_neighbours(points, labels, 3), [0, 0, 0])
