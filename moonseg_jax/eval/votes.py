"""Counting votes of frames for the instance of each vertex."""

import numpy as np

_IDS = 1 << 16  # Instance ids are uint16.
_COMPACT_AT = 1 << 24


class VertexVotes:
    """Sparse counts of (vertex, instance id): memory follows the surface, not the sequence."""

    def __init__(self, num_vertices: int):
        self.num_vertices = num_vertices
        self._keys = np.zeros(0, np.int64)
        self._counts = np.zeros(0, np.int64)
        self._pending: list[np.ndarray] = []

    def add(self, vertex: np.ndarray, instance: np.ndarray) -> None:
        """One frame's votes: ``vertex [m]`` for ``instance [m]``."""
        self._pending.append(vertex.astype(np.int64) * _IDS + instance)
        if sum(map(len, self._pending)) > _COMPACT_AT:
            self._compact()

    def winners(self) -> np.ndarray:
        """``[v]`` int32, the most voted id of each vertex, at a tie the lowest; 0 without votes."""
        self._compact()
        vertex, instance = np.divmod(self._keys, _IDS)
        # Worst first, so that the best is what stays written.
        order = np.lexsort((-instance, self._counts))
        winner = np.zeros(self.num_vertices, np.int32)
        winner[vertex[order]] = instance[order]
        return winner

    def _compact(self) -> None:
        pending, once = np.unique(
            np.concatenate([np.zeros(0, np.int64), *self._pending]), return_counts=True
        )
        keys, place = np.unique(np.concatenate([self._keys, pending]), return_inverse=True)
        counts = np.bincount(place, np.concatenate([self._counts, once]), len(keys))
        self._keys, self._counts, self._pending = keys, counts.astype(np.int64), []
