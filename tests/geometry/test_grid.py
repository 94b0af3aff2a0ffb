import jax.numpy as jnp
import numpy as np
import pytest

from moonseg_jax.geometry import area_pool, cell_index, cell_points, pool_points


def test_area_pool_of_a_mask_is_the_covered_fraction():
    mask = np.random.default_rng(0).random((3, 8, 12)) > 0.5
    pooled = area_pool(jnp.asarray(mask), (2, 3))
    for q in range(3):
        for row in range(2):
            for col in range(3):
                cell = mask[q, 4 * row : 4 * row + 4, 4 * col : 4 * col + 4]
                assert pooled[q, row, col] == pytest.approx(cell.mean())


def test_area_pool_refuses_unequal_cells():
    with pytest.raises(ValueError, match="8x12"):
        area_pool(jnp.zeros((8, 12)), (3, 3))


def test_pool_points_leaves_out_nan_and_untrusted_points():
    points = np.random.default_rng(1).normal(size=(4, 4, 3)).astype(np.float32)
    points[0, 0] = np.nan
    points[2:, 2:] = np.nan
    confidence = np.ones((4, 4), np.float32)
    confidence[1, 1] = 0
    pooled, valid = pool_points(jnp.asarray(points), jnp.asarray(confidence), (2, 2))
    np.testing.assert_array_equal(valid, [[True, True], [True, False]])
    np.testing.assert_allclose(pooled[0, 0], (points[0, 1] + points[1, 0]) / 2, rtol=1e-5)
    np.testing.assert_array_equal(pooled[1, 1], 0)


def test_cell_index_marks_what_is_outside_or_behind():
    uv = jnp.array([[0.0, 0.0], [31.9, 15.9], [32.0, 1.0], [-0.1, 1.0], [1.0, 16.0], [1.0, 1.0]])
    z = jnp.array([1.0, 1.0, 1.0, 1.0, 1.0, -1.0])
    index = cell_index(uv, z, image_size=(16, 32), grid=(2, 4))
    np.testing.assert_array_equal(index, [0, 7, 8, 8, 8, 8])


def test_cell_points_sees_through_the_pose():
    T_cam_from_world = jnp.eye(4).at[2, 3].set(1.0)
    intrinsics = jnp.array([[8.0, 0, 8.0], [0, 8.0, 8.0], [0, 0, 1]])
    cell, z = cell_points(
        jnp.array([[0.5, -0.5, 0.0], [0.0, 0.0, -2.0]]),
        T_cam_from_world,
        intrinsics,
        (16, 16),
        (2, 2),
    )
    np.testing.assert_array_equal(cell, [1, 4])
    np.testing.assert_allclose(z, [1.0, -1.0])
