"""OVIR-3D: masks fused into instances by overlap in view and by feature, with a visibility vote.

Method: Lu et al., "OVIR-3D: Open-Vocabulary 3D Instance Retrieval Without Training on 3D Data",
CoRL 2023, arXiv 2311.02873; read: github.com/shiyoung77/OVIR-3D at 1846740
(``src/proposed_fusion.py``). Online over frames, on a finished reconstruction: here the voxel cloud
of all frames of the cache. F2d of the cache stands for its features of detections.
"""

from dataclasses import dataclass

import numpy as np
from scipy.sparse.csgraph import connected_components

from comparators.clouds import density_clusters
from comparators.results import ComparedScene, LabelledCloud, one_label_each
from comparators.run import FrameReader, run_with_cloud
from comparators.views import View


@dataclass(frozen=True)
class Ovir3DConfig:
    """The published settings.

    Attributes:
        voxel: metres; of the reconstruction, which is given and not the method's.
        depth: metres; a point of the scene is visible this near the measured depth.
        min_points: smaller masks are dropped.
        score: masks of a better score keep their pixels where others overlap them.
        overlap: least IoU, in view, of a mask and its instance, and of two instances that merge.
        recall: least share of an instance in another, to merge.
        similarity: least cosine of the features for either.
        interval: frames between two rounds of filtering and merging; the last frame has one too.
        visibility: points stay that are in an instance in this share of the frames that see them.
        min_instance: smaller instances are dropped.
        split_radius: metres; of an instance only the largest part connected like this stays.
        reach: metres; from the scene to a labelled point.
    """

    voxel: float = 0.025
    depth: float = 0.04
    min_points: int = 25
    score: float = 0.5
    overlap: float = 0.25
    recall: float = 0.5
    similarity: float = 0.75
    interval: int = 300
    visibility: float = 0.2
    min_instance: int = 50
    split_radius: float = 0.1
    reach: float = 0.05


PUBLISHED = Ovir3DConfig()


def segment(reader: FrameReader, config: Ovir3DConfig = PUBLISHED) -> ComparedScene:
    """Segments a cache with OVIR-3D."""
    return run_with_cloud(
        reader, config.voxel, lambda points, colors: Ovir3D(points, colors, config)
    )


class Ovir3D:
    """The instances so far.

    Args:
        points: ``[v 3]`` of the scene.
        colors: ``[v 3]`` uint8.
        config: of the method.

    Attributes:
        counts: ``[n v]`` int32, masks of each instance that hold each point.
        features: ``[n c]``, sum over its masks.
        sizes: of each instance, the points of each of its masks.
    """

    def __init__(self, points: np.ndarray, colors: np.ndarray, config: Ovir3DConfig):
        self.config = config
        self._points, self._colors = points, colors
        self.counts = np.zeros((0, len(points)), np.int32)
        self.features = np.zeros((0, 0), np.float32)
        self.sizes: list[list[int]] = []
        self._times_seen = np.zeros(len(points), np.int32)
        self._last = -1
        self._cleaned = -1

    @property
    def nbytes(self) -> int:
        """Of a count for every instance and point, and the features."""
        return self.counts.nbytes + self.features.nbytes + self._times_seen.nbytes

    def add(self, view: View) -> None:
        """Takes in a frame."""
        visible, cells = visible_points(self._points, view, self.config.depth)
        masks = keep_best(view.masks, view.scores, self.config.score)
        inside = masks.reshape(len(masks), view.labels.size)[:, cells]
        self.add_masks(view.index, visible, inside, view.semantics)

    def add_masks(
        self, frame: int, visible: np.ndarray, inside: np.ndarray, features: np.ndarray
    ) -> None:
        """New masks over the visible points.

        Args:
            frame: its index.
            visible: ``[u]`` indices of the points it sees.
            inside: ``[q u]`` bool, which of them each mask holds.
            features: ``[q c]`` of length 1.
        """
        if len(inside):
            self._times_seen[visible] += 1
            large = inside.sum(axis=1) >= self.config.min_points
            self._fuse(visible, inside[large], features[large])
            self._last = frame
            if frame % self.config.interval == 0:
                self.clean()

    def clean(self) -> None:
        """Drops points that are rarely in their instance, small instances, and merges the rest."""
        config = self.config
        share = self.counts / np.maximum(self._times_seen, 1).astype(np.float32)
        self.counts[share.astype(np.float32) < np.float32(config.visibility)] = 0
        size = np.count_nonzero(self.counts, axis=1)
        # An instance must have grown past its typical mask: what was seen once only is dropped.
        typical = np.array([np.median(s) for s in self.sizes])
        self._group([[i] for i in np.flatnonzero((size > config.min_instance) & (size > typical))])
        iou, recall = overlaps(self.counts > 0)
        alike = cosine(self.features, self.features) >= config.similarity
        linked = ((iou >= config.overlap) | (recall >= config.recall)) & alike
        _, component = connected_components(linked | linked.T, directed=False)
        self._group([np.flatnonzero(component == c) for c in np.unique(component)])
        self._cleaned = self._last

    def finish(self) -> LabelledCloud:
        """The instances' points."""
        members, views = self.instances()
        instance = one_label_each(members, len(self._points))
        return LabelledCloud(
            self._points, self._colors, instance, np.array(views, np.int32), self.config.reach
        )

    def instances(self) -> tuple[list[np.ndarray], list[int]]:
        """Cleans once more; points of the largest part of every instance, and its masks' number."""
        if self._cleaned < self._last:
            self.clean()
        members, views = [], []
        for counts, sizes in zip(self.counts, self.sizes, strict=True):
            own = np.flatnonzero(counts)
            part = density_clusters(self._points[own], self.config.split_radius, min_points=1)
            own = own[part == np.argmax(np.bincount(part))]
            if len(own) > self.config.min_instance:
                members.append(own)
                views.append(len(sizes))
        return members, views

    def _fuse(self, visible: np.ndarray, inside: np.ndarray, features: np.ndarray) -> None:
        """Each mask goes to the most overlapping instance that is alike, or starts one."""
        known = self.counts[:, visible] > 0
        common = inside.astype(np.float32) @ known.T.astype(np.float32)
        union = inside.sum(axis=1)[:, None] + known.sum(axis=1) - common
        iou = common / (union + 1e-6)
        good = iou >= self.config.overlap
        if len(known):
            good &= cosine(features, self.features) >= self.config.similarity
        new = []
        for mask, row in enumerate(np.where(good, iou, -1)):
            if good[mask].any():
                best = int(np.argmax(row))
                self.counts[best, visible] += inside[mask]
                self.features[best] += features[mask]
                self.sizes[best].append(int(inside[mask].sum()))
            else:
                new.append(mask)
        started = np.zeros((len(new), self.counts.shape[1]), np.int32)
        started[:, visible] = inside[new]
        self.counts = np.concatenate([self.counts, started])
        self.features = np.concatenate(
            [self.features.reshape(-1, features.shape[1]), features[new]]
        )
        self.sizes += [[int(inside[mask].sum())] for mask in new]

    def _group(self, groups: list) -> None:
        """Instances become the sums of groups of them; those in no group are dropped."""
        shape = (len(groups), self.counts.shape[1])
        counts, sizes = np.zeros(shape, np.int32), []
        features = np.zeros((len(groups), self.features.shape[1]), np.float32)
        for i, group in enumerate(groups):
            counts[i] = self.counts[group].sum(axis=0)
            features[i] = self.features[group].sum(axis=0)
            sizes.append([size for j in group for size in self.sizes[j]])
        self.counts, self.features, self.sizes = counts, features, sizes


def visible_points(
    points: np.ndarray, view: View, tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """The scene points a view sees, and the flat cell of each."""
    T_cam_from_world, K = np.linalg.inv(view.T_world_from_cam), view.intrinsics
    camera = points @ T_cam_from_world[:3, :3].T + T_cam_from_world[:3, 3]
    index = np.flatnonzero(camera[:, 2] > 1e-6)
    camera = camera[index]
    u, v = (K[i, i] * camera[:, i] / camera[:, 2] + K[i, 2] for i in (0, 1))
    height, width = view.labels.shape
    inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
    cell = v[inside].astype(int) * width + u[inside].astype(int)
    near = np.abs(camera[inside, 2] - view.depth().ravel()[cell]) < tolerance
    return index[inside][near], cell[near]


def keep_best(masks: np.ndarray, scores: np.ndarray, score: float) -> np.ndarray:
    """``[q H W]`` bool: a pixel stays in its best masks, and in all of a score above the limit."""
    at = np.where(masks, scores[:, None, None], 0)
    return masks & ((at == at.max(axis=0, initial=0)) | (at > score))


def overlaps(members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """IoU ``[n n]``, and the share of instance i in instance j, of ``[n v]`` bool."""
    members = members.astype(np.float32)
    common, size = members @ members.T, members.sum(axis=1)
    return common / (size[:, None] + size - common + 1e-6), common / (size[:, None] + 1e-6)


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """``[n m]`` of ``[n c]`` and ``[m c]``."""
    a = a / np.maximum(np.linalg.norm(a, axis=1, keepdims=True), 1e-8)
    return a @ (b / np.maximum(np.linalg.norm(b, axis=1, keepdims=True), 1e-8)).T
