import jax
import jax.numpy as jnp
import numpy as np
import pytest

from moonseg_jax.rooms import camera_path, render, sample_room
from moonseg_jax.rooms.occlusion import clearance
from tests.rooms.conftest import SIZE


def world_points(frame, pose, K):
    rows, cols = np.indices(frame.depth.shape)
    x = (cols + 0.5 - K[0, 2]) / K[0, 0] * frame.depth
    y = (rows + 0.5 - K[1, 2]) / K[1, 1] * frame.depth
    return np.stack([x, y, frame.depth], -1) @ pose[:3, :3].T + pose[:3, 3]


def test_same_seed_same_frame_other_seed_other_frame(room, path, camera):
    again = sample_room(1)
    jax.tree.map(np.testing.assert_array_equal, room, again)
    np.testing.assert_array_equal(path, camera_path(again, 1, 60))
    a, b = (camera(r, path[3], jax.random.key(0)) for r in (room, again))
    jax.tree.map(np.testing.assert_array_equal, a, b)
    noisy = camera(room, path[3], jax.random.key(1))
    np.testing.assert_array_equal(a.depth, noisy.depth)
    assert np.mean(a.image != noisy.image) > 0.1
    assert not np.allclose(sample_room(2).size, room.size)


def test_ids_depth_and_image_are_sane(room, path, camera):
    seen = set()
    for pose in path[::10]:
        frame = camera(room, pose, jax.random.key(0))
        assert frame.image.dtype == np.uint8 and frame.depth.dtype == np.float32
        assert np.all(np.isfinite(frame.depth)) and np.all(frame.depth > 0)
        assert frame.instance.min() >= 0 and frame.instance.max() <= room.count
        assert 20 < frame.image.mean() < 240 and frame.image.std() > 10
        seen |= set(np.unique(frame.instance).tolist())
    assert len(seen - {0}) >= 4


def test_every_pixel_lies_on_a_surface(room, path, camera, intrinsics):
    frame = camera(room, path[0], jax.random.key(0))
    points = world_points(frame, path[0], intrinsics)
    apart = np.abs(clearance(room, jnp.asarray(points, jnp.float32)))
    # Distances to frustums and ellipsoids are approximate but vanish on their surfaces.
    assert np.quantile(apart, 0.999) < 2e-3


def test_points_of_one_frame_are_where_another_sees_them(room, path, camera, intrinsics):
    compared = 0
    for i, j in ((0, 3), (10, 14), (30, 33)):
        a, b = (camera(room, path[k], jax.random.key(0)) for k in (i, j))
        points = world_points(a, path[i], intrinsics).reshape(-1, 3)
        local = (points - path[j][:3, 3]) @ path[j][:3, :3]
        u = local[:, 0] / local[:, 2] * intrinsics[0, 0] + intrinsics[0, 2]
        v = local[:, 1] / local[:, 2] * intrinsics[1, 1] + intrinsics[1, 2]
        col, row = np.floor(u).astype(int), np.floor(v).astype(int)
        # Off the edges: where b's instance is the same all around.
        inside = (local[:, 2] > 0.1) & (col > 0) & (row > 0)
        inside &= (col < SIZE[1] - 1) & (row < SIZE[0] - 1)
        ids = a.instance.reshape(-1)[inside]
        col, row, z = col[inside], row[inside], local[inside, 2]
        around = [(row + dr, col + dc) for dr in (-1, 0, 1) for dc in (-1, 0, 1)]
        calm = np.all([b.instance[at] == b.instance[row, col] for at in around], axis=0)
        near = [b.depth[at] for at in around]
        low, high = np.min(near, axis=0), np.max(near, axis=0)
        visible = calm & (z < high + 0.02)
        assert np.mean(z[visible] > low[visible] - 0.02) > 0.98
        assert np.mean(ids[visible] == b.instance[row, col][visible]) > 0.98
        compared += visible.sum()
    assert compared > 1000


def test_vmap_over_cameras_and_rooms_is_the_same_as_one_by_one(room, path, camera, intrinsics):
    other = sample_room(2)
    poses = np.stack([path[0], path[30], camera_path(other, 2, 1)[0]])
    rooms = jax.tree.map(lambda *leaves: jnp.stack(leaves), room, room, other)
    keys = jax.random.split(jax.random.key(7), 3)
    batch = jax.vmap(lambda r, pose, key: render(r, pose, intrinsics, SIZE, key))
    together = jax.device_get(jax.jit(batch)(rooms, poses, keys))
    for i, one in enumerate((room, room, other)):
        alone = camera(one, poses[i], keys[i])
        np.testing.assert_allclose(together.depth[i], alone.depth, rtol=1e-4)
        assert np.mean(together.instance[i] != alone.instance) < 1e-3
        off = np.abs(together.image[i].astype(int) - alone.image)
        assert np.mean(off > 2) < 1e-2


def test_size_must_be_made_of_tiles(room, path, intrinsics):
    with pytest.raises(ValueError, match="tiles"):
        render(room, path[0], intrinsics, (40, 60), jax.random.key(0))
