"""SAM3D: clouds of single frames, merged two by two in both directions.

Method: Yang et al., "SAM3D: Segment Anything in 3D Scenes", ICCV 2023 workshops, arXiv 2306.03908;
read: github.com/Pointcept/SegmentAnything3D at 2aaa8c9 (``sam3d.py``, ``util.py``). Not built here:
its last step, an ensemble with the over-segmentation of ScanNet's meshes: a cache has no mesh.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import KDTree

from comparators.clouds import voxel_keys
from comparators.results import ComparedScene, LabelledCloud
from comparators.run import FrameReader, run_fusion
from comparators.views import View


@dataclass(frozen=True)
class SAM3DConfig:
    """The published settings.

    Attributes:
        voxel: metres; one point stays in each.
        min_points: smaller groups of a cloud are dropped before each merge.
        match_voxels: nearest points match within this many voxels.
        overlap: share of the smaller group that must match.
        reach: metres; from the cloud to a labelled point.
    """

    voxel: float = 0.05
    min_points: int = 50
    match_voxels: float = 1.5
    overlap: float = 0.5
    reach: float = 0.6


PUBLISHED = SAM3DConfig()


@dataclass(frozen=True)
class GroupedCloud:
    """Points ``[v 3]``, colours ``[v 3]`` and group ``[v]`` of each; -1 = none."""

    points: np.ndarray
    colors: np.ndarray
    group: np.ndarray


def segment(reader: FrameReader, config: SAM3DConfig = PUBLISHED) -> ComparedScene:
    """Segments a cache with SAM3D."""
    return run_fusion(reader, SAM3D(config))


class SAM3D:
    """Neighbouring frames merge first, then neighbouring pairs, and so on.

    A cloud merges as soon as its partner of the same number of frames is there, which gives the
    same tree as merging level by level after the last frame.
    """

    def __init__(self, config: SAM3DConfig):
        self.config = config
        self._stack: list[tuple[int, GroupedCloud]] = []  # Level and cloud; levels fall.

    @property
    def nbytes(self) -> int:
        """Of the clouds that wait for a partner."""
        clouds = [cloud for _, cloud in self._stack]
        return sum(c.points.nbytes + c.colors.nbytes + c.group.nbytes for c in clouds)

    def add(self, view: View) -> None:
        """Takes in a frame."""
        cloud = GroupedCloud(
            view.points[view.seen], view.colors[view.seen], view.labels[view.seen] - 1
        )
        if not len(cloud.points):
            return
        self._stack.append((0, one_per_voxel(cloud, self.config.voxel)))
        while len(self._stack) > 1 and self._stack[-1][0] == self._stack[-2][0]:
            self._merge_last()

    def finish(self) -> LabelledCloud:
        """Merges what is left, the youngest first."""
        while len(self._stack) > 1:
            self._merge_last()
        if not self._stack:
            empty = np.zeros((0, 3), np.float32)
            none = np.zeros(0, np.int32)
            return LabelledCloud(empty, empty.astype(np.uint8), none, none, self.config.reach)
        cloud = self._stack[0][1]
        group = renumber(drop_small(cloud.group, self.config.min_points))
        # How many masks a group came from is not kept by the method: every one counts alike.
        views = np.ones(group.max(initial=-1) + 1, np.int32)
        return LabelledCloud(cloud.points, cloud.colors, group + 1, views, self.config.reach)

    def _merge_last(self) -> None:
        level, newer = self._stack.pop()
        older_level, older = self._stack.pop()
        merged = merge_clouds(older, newer, self.config)
        self._stack.append((max(level, older_level) + 1, merged))


def merge_clouds(first: GroupedCloud, second: GroupedCloud, config: SAM3DConfig) -> GroupedCloud:
    """The second cloud's groups are matched to the first's, then the first's to the second's."""
    group_0 = drop_small(first.group, config.min_points)
    group_1 = drop_small(second.group, config.min_points)
    radius = config.match_voxels * config.voxel
    group_1 = adopt(group_0, group_1, matches(second.points, first.points, radius), config.overlap)
    group_0 = adopt(group_1, group_0, matches(first.points, second.points, radius), config.overlap)
    both = GroupedCloud(
        np.concatenate([first.points, second.points]),
        np.concatenate([first.colors, second.colors]),
        renumber(np.concatenate([group_0, group_1])),
    )
    return one_per_voxel(both, config.voxel)


def adopt(
    target: np.ndarray, source: np.ndarray, match: tuple[np.ndarray, np.ndarray], overlap: float
) -> np.ndarray:
    """Groups of the source take the number of the target's group that most of their points match.

    Args:
        target: ``[u]`` group, -1 = none.
        source: ``[v]`` group.
        match: places in the source and, for each, in the target.
        overlap: least share, of the smaller of the two groups.

    Returns:
        ``[v]``, other source groups numbered after the target's; a matched point without a group
        takes that of its match.
    """
    offset = target.max() + 1
    source = np.where(source != -1, source + offset, -1)
    here, there = match
    size_0 = np.bincount(target[target >= 0])
    size_1 = np.bincount(source[source >= 0])
    loose = source[here] == -1
    firm = ~loose & (target[there] != -1)
    pairs = np.stack([source[here[firm]], target[there[firm]]], axis=1)
    adopted = source.copy()
    adopted[here[loose]] = target[there[loose]]
    if not len(pairs):
        return adopted
    pairs, first, count = np.unique(pairs, axis=0, return_index=True, return_counts=True)
    # The most frequent target of each group; at a tie the one met first.
    order = np.lexsort((first, -count, pairs[:, 0]))
    pairs, count = pairs[order], count[order]
    best = np.concatenate([[True], np.diff(pairs[:, 0]) != 0])
    for (group, other), shared in zip(pairs[best], count[best], strict=True):
        if shared / min(size_0[other], size_1[group]) >= overlap:
            adopted[adopted == group] = other
    return adopted


def matches(points: np.ndarray, others: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """The points with another within the radius, and the nearest such."""
    distance, nearest = KDTree(others).query(points)
    here = np.flatnonzero(distance < radius)
    return here, np.asarray(nearest)[here]


def one_per_voxel(cloud: GroupedCloud, voxel: float) -> GroupedCloud:
    """The first point of each voxel, sorted by voxel."""
    keys = voxel_keys(np.floor(cloud.points / voxel))
    _, first = np.unique(keys, return_index=True)
    return GroupedCloud(cloud.points[first], cloud.colors[first], cloud.group[first])


def drop_small(group: np.ndarray, min_points: int) -> np.ndarray:
    """Groups of fewer points become -1."""
    names, place, count = np.unique(group, return_inverse=True, return_counts=True)
    return np.where(count >= min_points, names, -1)[place]


def renumber(group: np.ndarray) -> np.ndarray:
    """Groups from 0 on without gaps, in their order; -1 stays."""
    names, place = np.unique(group, return_inverse=True)
    return place - np.count_nonzero(names == -1) if -1 in names else place
