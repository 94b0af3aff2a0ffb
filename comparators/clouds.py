"""Small geometry on point clouds: voxels, density clusters, outliers, sets of neighbours."""

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

_BITS = 21  # Of a key per axis.
_HALF = 1 << (_BITS - 1)


def voxel_keys(cells: np.ndarray) -> np.ndarray:
    """``[n]`` int64, one number per integer cell ``[n 3]``."""
    shifted = np.clip(cells, -_HALF, _HALF - 1).astype(np.int64) + _HALF
    return (shifted[:, 0] << 2 * _BITS) | (shifted[:, 1] << _BITS) | shifted[:, 2]


def voxel_means(points: np.ndarray, voxel: float) -> np.ndarray:
    """The mean of the points in each voxel of a grid that starts half a voxel before the least."""
    if not len(points):
        return points
    cells = np.floor((points - (points.min(axis=0) - voxel / 2)) / voxel)
    _, cell, count = np.unique(voxel_keys(cells), return_inverse=True, return_counts=True)
    sums = [np.bincount(cell, points[:, axis], len(count)) for axis in range(3)]
    return np.stack(sums, axis=1) / count[:, None]


def grid_nodes_within(points: np.ndarray, voxel: float, radius: float) -> np.ndarray:
    """``[n 3]`` int64, sorted by key: all integer nodes within ``radius`` of some point."""
    reach = int(np.ceil(radius / voxel))
    steps = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 3, indexing="ij"), -1)
    nodes = np.round(points / voxel).astype(np.int64)[:, None] + steps.reshape(1, -1, 3)
    near = np.linalg.norm(nodes * voxel - points[:, None], axis=-1) < radius
    nodes = nodes[near]
    return nodes[np.unique(voxel_keys(nodes), return_index=True)[1]]


def density_clusters(points: np.ndarray, radius: float, min_points: int) -> np.ndarray:
    """DBSCAN: ``[n]`` int, the cluster of each point, -1 = noise.

    Clusters are numbered by their first core point; a border point goes to the first it touches.
    A point counts among its own neighbours.
    """
    n = len(points)
    if not n:
        return np.zeros(0, int)
    pairs = KDTree(points).query_pairs(radius, output_type="ndarray")
    degree = 1 + np.bincount(pairs.ravel(), minlength=n)
    core = degree >= min_points
    inner = pairs[core[pairs].all(axis=1)]
    graph = coo_matrix((np.ones(len(inner), bool), inner.T), shape=(n, n))
    component = connected_components(graph, directed=False)[1]
    _, number = np.unique(component[core], return_inverse=True)
    first = np.full(number.max(initial=-1) + 1, n)
    np.minimum.at(first, number, np.flatnonzero(core))
    labels = np.full(n, n)
    labels[core] = np.argsort(np.argsort(first))[number]
    edge = np.concatenate([pairs, pairs[:, ::-1]])
    edge = edge[core[edge[:, 0]] & ~core[edge[:, 1]]]
    np.minimum.at(labels, edge[:, 1], labels[edge[:, 0]])
    return np.where(labels == n, -1, labels)


def without_outliers(points: np.ndarray, neighbors: int = 20, deviations: float = 2.0):
    """``[n]`` bool: points whose mean distance to their neighbours is not exceptional.

    The neighbours include the point itself; the limit is mean + ``deviations`` · deviation over
    the cloud.
    """
    if len(points) < 2:
        return np.zeros(len(points), bool)
    distance, _ = KDTree(points).query(points, k=min(neighbors, len(points)))
    mean = distance.mean(axis=1)
    limit = mean.mean() + deviations * mean.std(ddof=1)
    return (mean > 0) & (mean < limit)


def neighbors_in_box(points: np.ndarray, scene: np.ndarray, radius: float) -> tuple:
    """Scene points inside the box of some points and near one of them.

    Args:
        points: ``[m 3]``, at least one.
        scene: ``[v 3]``.
        radius: strict.

    Returns:
        Sorted indices into the scene, and the share of ``points`` that have such a neighbour.
    """
    inside = ((scene > points.min(axis=0)) & (scene < points.max(axis=0))).all(axis=1)
    index = np.flatnonzero(inside)
    if not len(index):
        return index, 0.0
    found = KDTree(scene[index]).query_ball_point(points, np.nextafter(radius, 0))
    covered = np.fromiter(map(len, found), int, len(found)) > 0
    near = np.unique(np.concatenate([*map(np.asarray, found), []]).astype(np.int64))
    return index[near], float(covered.mean())
