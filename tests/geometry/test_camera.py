import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from moonseg_jax.geometry import invert_pose, project, transform, unproject

seeds = st.integers(0, 2**32 - 1)


def random_pose(rng: np.random.Generator) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3] = Rotation.random(random_state=rng).as_matrix()
    pose[:3, 3] = rng.normal(size=3) * 3
    return pose


@given(seeds)
def test_inverse_pose_is_the_matrix_inverse(seed):
    with jax.enable_x64():
        pose = random_pose(np.random.default_rng(seed))
        np.testing.assert_allclose(invert_pose(jnp.asarray(pose)) @ pose, np.eye(4), atol=1e-12)


@given(seeds)
def test_transform_is_the_homogeneous_product(seed):
    rng = np.random.default_rng(seed)
    pose, points = random_pose(rng), rng.normal(size=(4, 5, 3))
    with jax.enable_x64():
        moved = transform(jnp.asarray(pose), jnp.asarray(points))
        expected = points @ pose[:3, :3].T + pose[:3, 3]
        np.testing.assert_allclose(moved, expected, atol=1e-12)


@given(seeds)
def test_projecting_what_was_unprojected_gives_pixel_centres(seed):
    rng = np.random.default_rng(seed)
    depth = rng.uniform(0.3, 9.0, size=(6, 8))
    intrinsics = np.array([[rng.uniform(5, 9), 0, 4.2], [0, rng.uniform(5, 9), 2.9], [0, 0, 1]])
    with jax.enable_x64():
        points = unproject(jnp.asarray(depth), jnp.asarray(intrinsics))
        uv, z = project(points, jnp.asarray(intrinsics))
    np.testing.assert_allclose(z, depth, rtol=1e-12)
    np.testing.assert_allclose(uv[..., 0], np.tile(np.arange(8) + 0.5, (6, 1)), atol=1e-9)
    np.testing.assert_allclose(uv[..., 1], np.tile(np.arange(6)[:, None] + 0.5, (1, 8)), atol=1e-9)


def test_points_behind_the_camera_project_to_finite_pixels():
    points = jnp.array([[0.0, 0.0, -1.0], [1.0, 2.0, 0.0]])
    uv, z = project(points, jnp.eye(3))
    assert np.all(np.asarray(z) <= 0)
    assert np.all(np.isfinite(uv))
