"""The surface seen so far, on the host: a voxel cloud in which every frame votes for rows."""

import numpy as np
from scipy.spatial import KDTree

_BITS = 21  # Of a code per axis: a million voxels to either side of the origin.
_FIRST_COMPACTION = 1 << 16


class SurfaceVotes:
    """Points, colours and votes per voxel; its memory is bounded by the surface, not by time.

    Args:
        voxel: side of a voxel in scene units.
    """

    def __init__(self, voxel: float):
        self.voxel = voxel
        self._table = _reduce(np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros((0, 7)))
        self._pending: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._num_pending = 0

    def add(self, points: np.ndarray, colors: np.ndarray, rows: np.ndarray) -> None:
        """Adds one frame's points.

        Args:
            points: ``[m 3]`` finite, in the world frame.
            colors: ``[m 3]`` uint8.
            rows: ``[m]`` int, the bank row each point votes for; -1 = none.
        """
        sums = np.concatenate([points, colors, np.ones((len(points), 1))], axis=1)
        self._pending.append(_reduce(self._codes(points), rows.astype(np.int32), sums))
        self._num_pending += len(self._pending[-1][0])
        # Compacting when the pending outweigh the table keeps both the memory and the total work
        # within a factor of the surface.
        if self._num_pending > max(_FIRST_COMPACTION, len(self._table[0])):
            self._compact()

    def cloud(self, label_of_row: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The voxels, each with the label most votes are for.

        A point in no mask votes for 0, "none": otherwise one stray boundary pixel decides, and
        specks of instances surround every object (the same rule as Protocol A's).

        Args:
            label_of_row: ``[n]`` int32 > 0, or 0 for rows whose votes do not count.

        Returns:
            Mean points ``[v 3]`` float32, mean colours ``[v 3]`` uint8, labels ``[v]`` int32 (0
            where no vote counts; the lower label where votes are equal).
        """
        self._compact()
        codes, rows, sums = self._table
        voxels, voxel_of_entry = np.unique(codes, return_inverse=True)
        total = np.stack(
            [np.bincount(voxel_of_entry, sums[:, i], len(voxels)) for i in range(7)], axis=1
        )
        mean = total[:, :6] / total[:, 6:]
        labels = np.concatenate([np.zeros(1, np.int32), label_of_row])[rows + 1]
        votes = np.where((labels > 0) | (rows < 0), sums[:, 6], 0)
        # Sorted so that the winning entry of each voxel comes last and is written last.
        order = np.lexsort((-labels, votes))
        winner = np.zeros(len(voxels), np.int32)
        winner[voxel_of_entry[order]] = labels[order]
        return mean[:, :3].astype(np.float32), np.rint(mean[:, 3:]).astype(np.uint8), winner

    def _codes(self, points: np.ndarray) -> np.ndarray:
        half = 1 << (_BITS - 1)
        cells = np.floor(points.astype(np.float64) / self.voxel).astype(np.int64)
        cells = np.clip(cells, -half, half - 1) + half
        return (cells[:, 0] << 2 * _BITS) | (cells[:, 1] << _BITS) | cells[:, 2]

    def _compact(self) -> None:
        parts = [self._table, *self._pending]
        codes, rows, sums = (np.concatenate(part) for part in zip(*parts, strict=True))
        self._table = _reduce(codes, rows, sums)
        self._pending, self._num_pending = [], 0


def vote_of_neighbours(points: np.ndarray, labels: np.ndarray, neighbours: int) -> np.ndarray:
    """The label most of each point's nearest neighbours have, itself among them.

    A voxel is seen a few times, so that one missed or split mask decides it; where cells are as
    large as voxels, most are seen once.

    Args:
        points: ``[v 3]``.
        labels: ``[v]``; of equally frequent ones the least wins.
        neighbours: how many, of all points; so nothing hangs on the scene's scale.

    Returns:
        ``[v]``.
    """
    if len(points) < neighbours:
        return labels
    _, nearest = KDTree(points).query(points, k=neighbours)
    votes = np.sort(labels[nearest], axis=1)
    place = np.arange(neighbours)
    starts = np.ones(votes.shape, bool)
    starts[:, 1:] = votes[:, 1:] != votes[:, :-1]
    run = place - np.maximum.accumulate(np.where(starts, place, 0), axis=1)
    return votes[np.arange(len(votes)), run.argmax(axis=1)]


def _reduce(
    codes: np.ndarray, rows: np.ndarray, sums: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Adds up the entries of equal (voxel, row), sorted by both."""
    if not len(codes):
        return codes, rows, sums
    order = np.lexsort((rows, codes))
    codes, rows = codes[order], rows[order]
    differs = (np.diff(codes) != 0) | (np.diff(rows) != 0)
    start = np.flatnonzero(np.concatenate([[True], differs]))
    return codes[start], rows[start], np.add.reduceat(sums[order], start, axis=0)
