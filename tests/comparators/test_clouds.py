import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from comparators.clouds import (
    density_clusters,
    grid_nodes_within,
    voxel_means,
    without_outliers,
)
from comparators.views import densify, paint


def dbscan(points, radius, least):
    """As the textbook has it."""
    near = np.linalg.norm(points[:, None] - points[None], axis=-1) <= radius
    core, labels, count = near.sum(axis=1) >= least, np.full(len(points), -1), 0
    for seed in range(len(points)):
        if not core[seed] or labels[seed] >= 0:
            continue
        labels[seed], queue = count, [seed]
        while queue:
            i = queue.pop()
            for j in np.flatnonzero(near[i] & (labels < 0)) if core[i] else ():
                labels[j] = count
                queue.append(int(j))
        count += 1
    return labels


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 60), st.integers(1, 6))
def test_density_clusters_are_dbscan(seed, n, least):
    points = np.random.default_rng(seed).random((n, 3))
    expected = dbscan(points, 0.25, least)
    np.testing.assert_array_equal(density_clusters(points, 0.25, least), expected)


def test_voxel_means_and_nodes():
    points = np.array([[0.0, 0, 0], [0.01, 0, 0], [0.5, 0, 0]])
    means = voxel_means(points, 0.1)
    np.testing.assert_allclose(means, [[0.005, 0, 0], [0.5, 0, 0]])
    nodes = grid_nodes_within(np.array([[0.0, 0, 0]]), 0.1, 0.12)
    assert len(nodes) == 7  # The node itself and its six neighbours.
    assert (np.abs(nodes).sum(axis=1) <= 1).all()


def test_outliers_go():
    points = np.stack(np.meshgrid(*[np.arange(5.0)] * 3), -1).reshape(-1, 3)
    kept = without_outliers(np.concatenate([points, [[40.0, 0, 0]]]))
    assert not kept[-1]
    assert kept[:-1].all()


def test_densify_interpolates_a_surface_and_not_a_rim():
    rows, cols = np.mgrid[:4, :6].astype(np.float32)
    points = np.stack([cols * 0.01, rows * 0.01, np.ones((4, 6))], -1).astype(np.float32)
    points[:, 3:, 2] = 3.0
    dense = densify(points, np.ones((4, 6)), (8, 12))
    np.testing.assert_allclose(dense[:, 0:2, 0], 0.0 + np.array([[0, 0.0025]] * 8), atol=1e-6)
    assert set(np.unique(dense[..., 2])) == {1.0, 3.0}
    holes = densify(points, np.zeros((4, 6)), (8, 12))
    assert np.isnan(holes).all()


def test_paint_puts_the_better_then_the_smaller_on_top():
    masks = np.zeros((3, 1, 4), bool)
    masks[0, 0, :], masks[1, 0, :2], masks[2, 0, 1:3] = True, True, True
    labels = paint(masks, np.array([0.5, 0.5, 0.9]))
    assert labels.tolist() == [[2, 3, 3, 1]]
