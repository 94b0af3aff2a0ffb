"""From clusters of masks to objects: split, filter points, drop duplicates."""

from dataclasses import dataclass

import numpy as np

from comparators.clouds import density_clusters
from comparators.maskclustering.config import MaskClusteringConfig
from comparators.maskclustering.graph import Nodes


@dataclass(frozen=True)
class ScannedObject:
    """An object.

    Attributes:
        points: indices of its scene points.
        box: ``[2 3]``, of the part before its points were filtered.
        masks: its 2D masks.
    """

    points: np.ndarray
    box: np.ndarray
    masks: list[int]


def extract_objects(
    nodes: Nodes,
    points_of_mask: list[np.ndarray],
    frame_of_mask: np.ndarray,
    scene: np.ndarray,
    config: MaskClusteringConfig,
) -> list[ScannedObject]:
    """Objects of every cluster of two masks or more.

    Args:
        nodes: the clusters.
        points_of_mask: of each mask, sorted indices of scene points.
        frame_of_mask: ``[m]``.
        scene: ``[v 3]``.
        config: of the method.
    """
    seen = _points_in_frames(points_of_mask, frame_of_mask, len(scene))
    objects = []
    for node, masks in enumerate(nodes.masks):
        if len(masks) >= 2:
            frames = np.flatnonzero(nodes.visible[node])
            own = np.unique(np.concatenate([points_of_mask[m] for m in masks]))
            cluster = density_clusters(scene[own], config.split_radius, min_points=4)
            # Noise, -1, is taken for a part as well.
            parts = [own[cluster == c] for c in np.unique(cluster)]
            objects += _filter(
                parts, masks, frames, seen, points_of_mask, frame_of_mask, scene, config
            )
    return without_duplicates(objects, config.duplicate)


def without_duplicates(objects: list[ScannedObject], share: float) -> list[ScannedObject]:
    """Drops the one of two objects that lies in the other with more than this share."""
    dropped = np.zeros(len(objects), bool)
    for i, one in enumerate(objects):
        for j in range(i + 1, len(objects)) if not dropped[i] else ():
            # As in the public code, an object that is dropped here is still compared with the rest.
            if dropped[j] or _apart(one.box, objects[j].box):
                continue
            other = objects[j].points
            common = np.isin(one.points, other, assume_unique=True).sum()
            if common / len(one.points) > share:
                dropped[i] = True
            elif common / len(other) > share:
                dropped[j] = True
    return [o for o, drop in zip(objects, dropped, strict=True) if not drop]


def _filter(
    parts: list[np.ndarray],
    masks: list[int],
    frames: np.ndarray,
    seen: np.ndarray,
    points_of_mask: list[np.ndarray],
    frame_of_mask: np.ndarray,
    scene: np.ndarray,
    config: MaskClusteringConfig,
) -> list[ScannedObject]:
    """Keeps the points that are in the object in most of the frames that see them."""
    masks_of_part: list[list[int]] = [[] for _ in parts]
    detected = [np.zeros((len(part), len(frames)), bool) for part in parts]
    for mask in masks:
        column = np.searchsorted(frames, frame_of_mask[mask])
        common = [np.isin(part, points_of_mask[mask], assume_unique=True) for part in parts]
        for rows, hits in zip(detected, common, strict=True):
            rows[hits, column] = True
        sizes = [hits.sum() for hits in common]
        masks_of_part[int(np.argmax(sizes))].append(mask)
    objects = []
    for part, rows, own in zip(parts, detected, masks_of_part, strict=True):
        times = seen[np.ix_(part, frames)].sum(axis=1)
        kept = part[rows.sum(axis=1) / (times + 1e-6) > config.detection]
        if len(kept) and len(own) >= 2:
            box = np.stack([scene[part].min(axis=0), scene[part].max(axis=0)])
            objects.append(ScannedObject(kept, box, own))
    return objects


def _points_in_frames(
    points_of_mask: list[np.ndarray], frame_of_mask: np.ndarray, num_points: int
) -> np.ndarray:
    """``[v f]`` bool: the point is in some mask of the frame."""
    seen = np.zeros((num_points, int(frame_of_mask.max(initial=-1)) + 1), bool)
    for points, frame in zip(points_of_mask, frame_of_mask, strict=True):
        seen[points, frame] = True
    return seen


def _apart(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(((a[0] > b[1]) | (b[0] > a[1])).any())
