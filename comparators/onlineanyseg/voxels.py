"""The voxels of masks: which there are, and which frames saw them in some mask."""

import numpy as np

from comparators.clouds import (
    density_clusters,
    grid_nodes_within,
    voxel_keys,
    voxel_means,
    without_outliers,
)
from comparators.onlineanyseg.config import OnlineAnySegConfig
from comparators.views import View

_WORD = 64


class VoxelTable:
    """Dense numbers for voxel keys, and for each voxel the set of frames as bits."""

    def __init__(self):
        self._keys = np.zeros(0, np.int64)  # Sorted.
        self._ids = np.zeros(0, np.int64)
        self._seen = np.zeros((1024, 1), np.uint64)

    @property
    def nbytes(self) -> int:
        """Of the table."""
        return self._keys.nbytes + self._ids.nbytes + self._seen.nbytes

    def numbers(self, keys: np.ndarray) -> np.ndarray:
        """``[n]`` int64 of unique keys; new ones are added."""
        new = np.setdiff1d(keys, self._keys, assume_unique=True)
        ids = np.arange(len(self._ids), len(self._ids) + len(new))
        place = np.searchsorted(self._keys, new)
        self._keys = np.insert(self._keys, place, new)
        self._ids = np.insert(self._ids, place, ids)
        return self._ids[np.searchsorted(self._keys, keys)]

    def keys(self) -> np.ndarray:
        """``[n]`` int64, the key of each number."""
        keys = np.empty_like(self._keys)
        keys[self._ids] = self._keys
        return keys

    def see(self, frame: int, voxels: np.ndarray) -> None:
        """These voxels were in masks of that frame."""
        rows, words = self._seen.shape
        while rows < len(self._ids):
            rows *= 2
        words = max(words, frame // _WORD + 1)
        grown = np.zeros((rows, words), np.uint64)
        grown[: self._seen.shape[0], : self._seen.shape[1]] = self._seen
        self._seen = grown
        self._seen[voxels, frame // _WORD] |= np.uint64(1) << np.uint64(frame % _WORD)

    def count_seen(self, voxels: np.ndarray, frames: np.ndarray) -> int:
        """How many of the voxels were seen in any of the frames, given as bits ``[words]``."""
        words = min(len(frames), self._seen.shape[1])
        return int((self._seen[voxels, :words] & frames[:words]).any(axis=1).sum())


def frame_bits(frame: int, words: int) -> np.ndarray:
    """``[words]`` uint64 with one bit set."""
    bits = np.zeros(max(words, frame // _WORD + 1), np.uint64)
    bits[frame // _WORD] = np.uint64(1) << np.uint64(frame % _WORD)
    return bits


def mask_voxels(view: View, config: OnlineAnySegConfig) -> tuple[list[int], list[np.ndarray]]:
    """The masks of a frame that hold enough, and the keys of their voxels; they may share some."""
    kept, keys = [], []
    for mask in range(view.num_masks):
        cells = (view.labels == mask + 1) & view.seen
        if cells.sum() < config.min_share * cells.size:
            continue
        points = voxel_means(view.points[cells].astype(np.float64), config.voxel)
        points = largest_part(points, config.radius)
        if len(points) < config.min_points:
            continue
        nodes = voxel_keys(grid_nodes_within(points, config.voxel, config.radius))
        if len(nodes) >= config.min_points:
            kept.append(mask)
            keys.append(nodes)
    return kept, keys


def largest_part(points: np.ndarray, radius: float) -> np.ndarray:
    """The largest density cluster (loose points count as one), without its outliers."""
    clusters = density_clusters(points, radius, min_points=4) + 1
    points = points[clusters == np.argmax(np.bincount(clusters))]
    return points[without_outliers(points)]


def without_shared(voxels: list[np.ndarray]) -> list[np.ndarray]:
    """Each set without the voxels that are in another one too."""
    if not voxels:
        return []
    unique, count = np.unique(np.concatenate(voxels), return_counts=True)
    shared = unique[count > 1]
    return [v[~np.isin(v, shared)] for v in voxels]
