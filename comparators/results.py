"""What a comparator hands back: a segmented scene as ours, and what it cost."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.spatial import KDTree

from comparators.costs import Costs
from comparators.views import View
from moonseg_jax.structs import InputError

MAX_INSTANCES = 65535  # Label maps are 16-bit PNGs.


@dataclass(frozen=True)
class LabelledCloud:
    """Points with the instance of each.

    Attributes:
        points: ``[v 3]`` float32, world frame.
        colors: ``[v 3]`` uint8.
        instance: ``[v]`` int32 in ``0..n``; 0 = none.
        views: ``[n]`` int32, the 2D masks that instance was made of.
        reach: a point further than this from the cloud has no instance.
    """

    points: np.ndarray
    colors: np.ndarray
    instance: np.ndarray
    views: np.ndarray
    reach: float


@dataclass(frozen=True)
class ComparedScene:
    """A scene as `moonseg_jax.eval.write_predictions` takes it.

    The fields mean what they mean in `moonseg_jax.online.SegmentedScene`; ``queries`` and
    ``tokens`` have no columns. Scores are ``views / (views + 1)``, for the ranked number only:
    none of the methods has scores of its own.
    """

    points: np.ndarray
    colors: np.ndarray
    instance: np.ndarray
    scores: np.ndarray
    queries: np.ndarray
    tokens: np.ndarray
    boxes: np.ndarray
    observations: np.ndarray
    first_frame: np.ndarray
    last_frame: np.ndarray
    costs: Costs
    _maps: list[tuple[bytes, tuple[int, ...]]]

    @property
    def num_instances(self) -> int:
        """``n``."""
        return len(self.scores)

    def label_maps(self) -> Iterator[np.ndarray]:
        """Instance id per pixel of each frame: ``[Hm Wm]`` uint16, 0 = none."""
        for data, shape in self._maps:
            yield np.frombuffer(zlib.decompress(data), np.uint16).reshape(shape)


def label_scene(cloud: LabelledCloud, views: Iterator[View], costs: Costs) -> ComparedScene:
    """Looks every pixel's point up in the labelled cloud, which is the method's whole result.

    Raises:
        InputError: more instances than a 16-bit label map can name.
    """
    n = len(cloud.views)
    if n > MAX_INSTANCES:
        raise InputError(f"{n} instances do not fit 16-bit label maps")
    tree = KDTree(cloud.points) if len(cloud.points) else None
    maps, spans = [], []
    for view in views:
        labels = _look_up(cloud, tree, view)
        maps.append((zlib.compress(labels.tobytes(), level=1), labels.shape))
        spans.append(np.bincount(labels.ravel(), minlength=n + 1)[1:] > 0)
    seen = np.array(spans, bool).reshape(len(spans), n)
    return ComparedScene(
        points=cloud.points.astype(np.float32),
        colors=cloud.colors,
        instance=cloud.instance.astype(np.int32),
        scores=(cloud.views / (cloud.views + 1)).astype(np.float32),
        queries=np.zeros((n, 0), np.float32),
        tokens=np.zeros((n, 0), np.float32),
        boxes=_boxes(cloud, n),
        observations=seen.sum(axis=0).astype(np.int32),
        first_frame=np.argmax(seen, axis=0).astype(np.int32),
        last_frame=(len(seen) - 1 - np.argmax(seen[::-1], axis=0)).astype(np.int32),
        costs=costs,
        _maps=maps,
    )


def one_label_each(members: list[np.ndarray], num_points: int) -> np.ndarray:
    """``[v]`` int32: of the instances that share a point, the smallest; 0 = none."""
    instance = np.zeros(num_points, np.int32)
    for i in sorted(range(len(members)), key=lambda i: -len(members[i])):
        instance[members[i]] = i + 1
    return instance


def _look_up(cloud: LabelledCloud, tree: KDTree | None, view: View) -> np.ndarray:
    labels = np.zeros(view.labels.shape, np.uint16)
    if tree is not None:
        _, nearest = tree.query(view.points[view.seen], distance_upper_bound=cloud.reach)
        labels[view.seen] = np.append(cloud.instance, 0)[nearest]
    return labels


def _boxes(cloud: LabelledCloud, n: int) -> np.ndarray:
    boxes = np.zeros((n, 2, 3), np.float32)
    for i in range(n):
        points = cloud.points[cloud.instance == i + 1]
        if len(points):
            boxes[i] = points.min(axis=0), points.max(axis=0)
    return boxes
