import numpy as np
import pytest

from moonseg_jax.rooms import RoomConfig, camera_path, sample_room
from moonseg_jax.rooms.occlusion import clearance


@pytest.mark.parametrize("seed", range(8))
def test_rooms_hold_what_the_config_says(seed):
    config = RoomConfig()
    room = sample_room(seed, config)
    p = room.primitives
    assert config.instances[0] <= room.count <= config.instances[1]
    assert np.all(p.used <= np.array(p.capacity))
    used = np.concatenate(
        [np.arange(n) < k for n, k in zip(p.capacity, np.asarray(p.used), strict=True)]
    )
    ids = np.asarray(p.instance)
    assert set(range(1, int(room.count) + 1)) <= set(ids[used].tolist())
    assert not ids[~used].any()
    # Every object is in the room: bounding boxes, up to tilted backs and the thickness of a frame.
    reach = np.sum(np.abs(np.asarray(p.rotation) * np.asarray(p.half)[:, None]), axis=-1)[used]
    low, high = np.asarray(p.centre)[used] - reach, np.asarray(p.centre)[used] + reach
    size = np.asarray(room.size)
    assert np.all(high[:, :2] < size[:2] / 2 + 0.05) and np.all(low[:, :2] > -size[:2] / 2 - 0.05)
    assert np.all(low[:, 2] > -0.01) and np.all(high[:, 2] < size[2])


@pytest.mark.parametrize("seed", [0, 3])
def test_objects_stand_on_something(seed):
    room = sample_room(seed)
    ids, centre = np.asarray(room.primitives.instance), np.asarray(room.primitives.centre)
    half, R = np.asarray(room.primitives.half), np.asarray(room.primitives.rotation)
    reach = np.sum(np.abs(R * half[:, None]), axis=-1)
    hung = 0
    for i in range(1, int(room.count) + 1):
        low = (centre - reach)[ids == i].min(axis=0)
        high = (centre + reach)[ids == i].max(axis=0)
        others = (ids > 0) & (ids != i)
        tops = (centre + reach)[others, 2]
        beneath = np.all(np.abs(centre[others, :2] - (low + high)[:2] / 2) < reach[others, :2], 1)
        on_floor = abs(low[2]) < 0.01
        on_top = np.any(beneath & (np.abs(tops - low[2]) < 0.012))
        hung += not (on_floor or on_top)
        if not (on_floor or on_top):  # Then it hangs on a wall.
            to_wall = np.asarray(room.size)[:2] / 2 - np.maximum(np.abs(low), np.abs(high))[:2]
            assert to_wall.min() < 0.01
    assert hung < 6


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_path_is_smooth_rigid_and_never_inside(seed):
    room = sample_room(seed)
    path = camera_path(room, seed, 400)
    assert path.shape == (400, 4, 4) and path.dtype == np.float32
    R = path[:, :3, :3]
    eye = np.broadcast_to(np.eye(3), R.shape)
    np.testing.assert_allclose(np.swapaxes(R, 1, 2) @ R, eye, atol=1e-5)
    assert np.all(np.linalg.det(R) > 0.99)
    steps = np.linalg.norm(np.diff(path[:, :3, 3], axis=0), axis=1)
    assert steps.max() < 0.2 and steps.mean() > 0.03
    between = np.einsum("tij,tij->t", R[1:], R[:-1])
    turns = np.degrees(np.arccos(np.clip((between - 1) / 2, -1, 1)))
    assert turns.max() < 20 and np.median(turns) < 6
    assert np.asarray(clearance(room, path[:, :3, 3])).min() > 0.05
    assert path[:, 2, 3].min() > 1.15 and path[:, 2, 3].max() < 1.75
    assert np.all(path[:, 2, 1] < 0)  # The camera's down is down.


def test_path_comes_back(room):
    eyes = camera_path(room, 0, 600)[:, :3, 3]
    late = np.linalg.norm(eyes[:50, None] - eyes[None, 300:], axis=-1)
    assert np.median(late.min(axis=1)) < 0.3


def test_an_impossible_config_is_refused():
    config = RoomConfig(instances=(60, 60), capacity=(32, 32, 32))
    with pytest.raises(ValueError, match="no room for 60"):
        sample_room(0, config)
