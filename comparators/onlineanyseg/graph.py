"""The masks merged so far, and how much of each the others contain."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from comparators.onlineanyseg.config import OnlineAnySegConfig
from comparators.onlineanyseg.voxels import VoxelTable, frame_bits


@dataclass(frozen=True)
class MergedMask:
    """One or more 2D masks taken for one object.

    Attributes:
        voxels: sorted numbers in the `VoxelTable`.
        frames: bits of the frames its 2D masks are from.
        weight: number of 2D masks.
        semantic: ``[c2]``, their sum.
        geometric: ``[c3]``, their mean.
        changed: frame of the last merge, or of the mask.
    """

    voxels: np.ndarray
    frames: np.ndarray
    weight: int
    semantic: np.ndarray
    geometric: np.ndarray
    changed: int


class MaskGraph:
    """Merged masks and their containing matrix.

    Attributes:
        table: of all voxels.
        masks: the merged masks, in order.
        contain: ``[m m]``, entry ``(i, j)``: the share of mask j that mask i contains, of what the
            frames of i could see of j.
    """

    def __init__(self, config: OnlineAnySegConfig):
        self._config = config
        self.table = VoxelTable()
        self.masks: list[MergedMask] = []
        self.contain = np.zeros((0, 0))

    @property
    def nbytes(self) -> int:
        """Of masks, matrix and table."""
        own = sum(
            m.voxels.nbytes + m.frames.nbytes + m.semantic.nbytes + m.geometric.nbytes
            for m in self.masks
        )
        return own + self.contain.nbytes + self.table.nbytes

    @property
    def weights(self) -> np.ndarray:
        """``[m]`` int."""
        return np.array([m.weight for m in self.masks], int)

    def add(
        self, frame: int, voxels: list[np.ndarray], semantic: np.ndarray, geometric: np.ndarray
    ) -> None:
        """New masks of one frame, which share no voxels."""
        first = len(self.masks)
        bits = frame_bits(frame, 1)
        for v, s, g in zip(voxels, semantic, geometric, strict=True):
            self.masks.append(MergedMask(v, bits, 1, s, g, frame))
        grown = np.eye(len(self.masks))
        grown[:first, :first] = self.contain
        self.contain = grown
        self._relate(np.arange(first, len(self.masks)))

    def merge(self, frame: int, linked: np.ndarray) -> bool:
        """Merges the connected components of ``linked [m m]``; says whether there were any."""
        count, component = connected_components(linked, directed=False)
        if count == len(self.masks):
            return False
        members = [np.flatnonzero(component == c) for c in range(count)]
        alone = [m[0] for m in members if len(m) == 1]
        together = [m for m in members if len(m) > 1]
        merged = [_unite(frame, [self.masks[i] for i in group]) for group in together]
        self._keep(alone, merged)
        return True

    def remove(self, masks: np.ndarray) -> None:
        """Drops masks for good."""
        self._keep([i for i in range(len(self.masks)) if i not in set(masks.tolist())], [])

    def _keep(self, kept: list[int], merged: list[MergedMask]) -> None:
        """The kept masks come first, then the merged ones, whose containing ratios are new."""
        contain = np.eye(len(kept) + len(merged))
        contain[: len(kept), : len(kept)] = self.contain[np.ix_(kept, kept)]
        self.contain = contain
        self.masks = [self.masks[i] for i in kept] + merged
        self._relate(np.arange(len(kept), len(self.masks)))

    def _relate(self, rows: np.ndarray) -> None:
        """Fills the rows and columns of some masks in the containing matrix."""
        for i, overlaps in zip(rows.tolist(), self._overlaps(rows), strict=True):
            for j in np.flatnonzero(overlaps).tolist():
                if i != j:
                    self.contain[i, j] = self._ratio(i, j, overlaps[j])
                    self.contain[j, i] = self._ratio(j, i, overlaps[j])

    def _overlaps(self, rows: np.ndarray) -> np.ndarray:
        """``[r m]``: voxels that the masks in ``rows`` share with every mask."""
        sizes = [len(m.voxels) for m in self.masks]
        index = np.concatenate([np.zeros(0, int), *(m.voxels for m in self.masks)])
        start = np.concatenate([[0], np.cumsum(sizes)]).astype(int)
        width = max(index.max(initial=-1) + 1, 1)
        shape = (len(sizes), width)
        sets = csr_matrix((np.ones(len(index), np.int32), index, start), shape=shape)
        return (sets[rows] @ sets.T).toarray()

    def _ratio(self, i: int, j: int, overlap: int) -> float:
        """The share of mask j that mask i contains, of what the frames of i see of j."""
        config, inner = self._config, self.masks[j]
        visible = self.table.count_seen(inner.voxels, self.masks[i].frames)
        enough = (
            visible > config.visible_share * len(inner.voxels) or visible > config.visible_voxels
        )
        # A shared voxel need not have been seen in the other's frames: boundaries are left out.
        ratio = overlap / visible if visible else 0.0
        return min(ratio, 1.0) if enough and ratio > config.min_contain else 0.0


def _unite(frame: int, masks: list[MergedMask]) -> MergedMask:
    weights = np.array([m.weight for m in masks])
    frames = np.zeros(max(len(m.frames) for m in masks), np.uint64)
    for mask in masks:
        frames[: len(mask.frames)] |= mask.frames
    geometric = np.stack([m.geometric for m in masks])
    return MergedMask(
        voxels=np.unique(np.concatenate([m.voxels for m in masks])),
        frames=frames,
        weight=int(weights.sum()),
        semantic=np.sum([m.semantic for m in masks], axis=0),
        geometric=weights @ geometric / weights.sum(),
        changed=frame,
    )
