import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from moonseg_jax.geometry import invert_pose
from moonseg_jax.memory.index import (
    clip_index_maps,
    gather_context,
    key_index_map,
    surface_depth,
)
from tests.reference import memory as twin
from tests.reference.parity import assert_agree, precision, to_torch

GRID, IMAGE, ROWS = (6, 8), (96, 128), 10
PATCHES = GRID[0] * GRID[1]
K = np.array([[90, 0, 64], [0, 95, 48], [0, 0, 1]], np.float32)


def make_pose(rng):
    axis = rng.normal(size=3) * 0.2
    angle = np.linalg.norm(axis)
    x, y, z = axis / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    R = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    T = np.eye(4, dtype=np.float32)
    T[:3, :3], T[:3, 3] = R, rng.normal(size=3) * 0.3
    return T


def make_clip_keys(rng, frames=5, masks=4):
    """Pooled points around a common volume (some behind a camera), validity, and members."""
    points = rng.normal(size=(frames, PATCHES, 3)) * [1.5, 1.2, 1.0] + [0, 0, 2]
    valid = rng.random((frames, PATCHES)) < 0.8
    member = rng.random((frames, masks, PATCHES)) < 0.3
    poses = np.stack([make_pose(rng) for _ in range(frames)])
    return points.astype(np.float32), valid, member, poses, np.tile(K, (frames, 1, 1))


def assert_maps_agree(ours, seen, doubtful):
    """Equal wherever no key is in the band of doubt, and never outside of what is possible."""
    ours = np.asarray(ours)
    patches, rows = ours.shape
    sure, doubt = (twin.index_map(x, patches, rows) for x in (seen, doubtful))
    np.testing.assert_array_equal(ours & ~doubt, sure & ~doubt)
    assert not (sure & ~ours).any()
    assert doubt.mean() < 0.02


@pytest.mark.parametrize("occlusion", [0.0, 0.2])
@pytest.mark.parametrize("seed", [0, 1])
def test_clip_index_maps_agree_with_the_twin(seed, occlusion):
    clip = make_clip_keys(np.random.default_rng(seed))
    maps = clip_index_maps(*clip, IMAGE, GRID, occlusion=occlusion)
    frames, masks = clip[2].shape[:2]
    assert maps.shape == (frames, PATCHES, frames * masks)
    assert maps.dtype == bool
    views = twin.clip_keys(*clip, IMAGE, GRID, occlusion)
    for t, (ours, view) in enumerate(zip(maps, views, strict=True)):
        assert_maps_agree(ours, *view)
        assert not ours[:, t * masks :].any()
    assert maps[1:].any(axis=(1, 2)).all()


@pytest.mark.parametrize("occlusion", [0.0, 0.2])
def test_key_index_map_agrees_with_the_twin(occlusion):
    rng = np.random.default_rng(2)
    points = (rng.normal(size=(400, 3)) * [1.5, 1.2, 1.5] + [0, 0, 1.5]).astype(np.float32)
    rows = rng.integers(-1, ROWS, 400).astype(np.int32)
    T = make_pose(rng)
    own, own_valid = points[:PATCHES], rng.random(PATCHES) < 0.7
    ours = key_index_map(
        points,
        rows,
        invert_pose(T),
        K,
        IMAGE,
        GRID,
        ROWS,
        surface_depth=surface_depth(own, own_valid, invert_pose(T)),
        occlusion=occlusion,
    )
    surface = twin.own_surface(own, own_valid, T, K)
    assert_maps_agree(ours, *twin.view_keys(points, rows, T, K, IMAGE, GRID, surface, occlusion))
    assert ours.any()


def test_the_online_map_and_the_clip_map_are_the_same():
    points, valid, member, poses, intrinsics = make_clip_keys(np.random.default_rng(3))
    maps = clip_index_maps(points, valid, member, poses, intrinsics, IMAGE, GRID)
    frames, masks = member.shape[:2]
    last = frames - 1
    frame, mask, patch = np.nonzero(member[:last] & valid[:last, None])
    rows = (frame * masks + mask).astype(np.int32)
    pose = invert_pose(jnp.asarray(poses))[last]
    online = key_index_map(points[frame, patch], rows, pose, K, IMAGE, GRID, frames * masks)
    np.testing.assert_array_equal(online, maps[last])


def test_two_keys_of_one_row_count_once_and_empty_slots_not_at_all():
    ahead = np.array([[0.1, 0.1, 2], [0.11, 0.1, 2], [0.1, 0.11, 2], [0.1, 0.1, 2]], np.float32)
    rows = np.array([3, 3, 5, -1], np.int32)
    index = key_index_map(ahead, rows, np.eye(4, dtype=np.float32), K, IMAGE, GRID, ROWS)
    assert index.sum() == 2
    patch = int(index.any(axis=1).argmax())
    np.testing.assert_array_equal(np.flatnonzero(index[patch]), [3, 5])
    bank = np.arange(ROWS, dtype=np.float32)[:, None]
    context, present = gather_context(index, bank)
    assert context[patch, 0] == 4
    np.testing.assert_array_equal(np.flatnonzero(present), [patch])


def test_keys_outside_or_behind_are_not_seen():
    points = np.array([[0, 0, -2], [0, 0, 0], [9, 0, 2], [-9, 0, 2], [0, 9, 2]], np.float32)
    rows = np.arange(5, dtype=np.int32)
    eye = np.eye(4, dtype=np.float32)
    assert not key_index_map(points, rows, eye, K, IMAGE, GRID, ROWS).any()
    # The last row in the last patch is the last entry: it must not be taken for "nowhere".
    corner = np.array([[63.0 / 90, 47.0 / 95, 1.0]], np.float32)
    index = key_index_map(corner, rows[-1:] + 5, eye, K, IMAGE, GRID, ROWS)
    assert index[-1, -1]


def test_occlusion_hides_what_is_behind_and_nothing_else():
    depth = np.full(PATCHES, 2.0, np.float32)
    depth[PATCHES // 2 :] = np.inf  # No surface of its own there: nothing to hide behind.
    points = np.array(
        [[-0.1, -0.1, 1.5], [-0.1, -0.1, 2.05], [-0.1, -0.1, 3], [0.1, 0.1, 3]], np.float32
    )
    rows = np.arange(4, dtype=np.int32)
    eye = np.eye(4, dtype=np.float32)
    view = (points, rows, eye, K, IMAGE, GRID, ROWS)
    seen = key_index_map(*view, surface_depth=depth, occlusion=0.1).any(axis=0)
    np.testing.assert_array_equal(np.flatnonzero(seen), [0, 1, 3])
    assert key_index_map(*view, surface_depth=depth).any(axis=0)[:4].all()


def test_capacity_of_rows_and_keys_changes_nothing():
    rng = np.random.default_rng(4)
    points = rng.normal([0, 0, 2], size=(60, 3)).astype(np.float32)
    rows = rng.integers(0, ROWS, 60).astype(np.int32)
    eye = np.eye(4, dtype=np.float32)
    small = key_index_map(points, rows, eye, K, IMAGE, GRID, ROWS)
    more_points = np.concatenate([points, np.zeros((40, 3), np.float32)])
    more_rows = np.concatenate([rows, np.full(40, -1, np.int32)])
    large = key_index_map(more_points, more_rows, eye, K, IMAGE, GRID, 2 * ROWS)
    np.testing.assert_array_equal(large[:, :ROWS], small)
    assert not large[:, ROWS:].any()
    bank = rng.normal(size=(2 * ROWS, 7)).astype(np.float32)
    context, present = gather_context(small, bank[:ROWS])
    larger = gather_context(large, bank)
    np.testing.assert_allclose(larger[0], context, atol=1e-6)
    np.testing.assert_array_equal(larger[1], present)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_gather_context_agrees_with_the_twin(dtype):
    rng = np.random.default_rng(5)
    index, valid = rng.random((PATCHES, ROWS)) < 0.15, rng.random(ROWS) < 0.8
    with precision(dtype) as tolerance:
        bank = jnp.asarray(rng.normal(size=(ROWS, 7)), dtype)
        (context, present), pullback = jax.vjp(lambda b: gather_context(index, b, valid), bank)
        cotangent = np.asarray(rng.normal(size=context.shape), dtype)
        (grad,) = pullback((jnp.asarray(cotangent), np.zeros(PATCHES, jax.dtypes.float0)))
        tensor = to_torch(bank, True)
        expected, expected_present = twin.gather_context(torch.tensor(index), tensor, valid)
        (expected * to_torch(cotangent)).sum().backward()
        assert_agree(context, expected, tolerance)
        assert_agree(grad, tensor.grad, tolerance)
    np.testing.assert_array_equal(present, expected_present)
    assert 0 < np.sum(present) < PATCHES
