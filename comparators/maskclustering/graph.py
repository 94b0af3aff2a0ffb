"""The mask graph: which frames see a mask, which masks contain it, and what that joins."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse.csgraph import connected_components

from comparators.maskclustering.config import MaskClusteringConfig


@dataclass(frozen=True)
class Nodes:
    """Clusters of masks.

    Attributes:
        masks: of each node, the 2D masks it holds.
        visible: ``[n f]`` bool, frames in which it was seen.
        contained: ``[n m]`` bool, masks that contain it.
    """

    masks: list[list[int]]
    visible: np.ndarray
    contained: np.ndarray


def observe_masks(
    points: list[np.ndarray],
    frame_of_mask: np.ndarray,
    num_points: int,
    config: MaskClusteringConfig,
) -> tuple[Nodes, np.ndarray]:
    """Where every mask is seen, and which others contain it.

    Args:
        points: of each mask, sorted indices of scene points.
        frame_of_mask: ``[m]``, ascending.
        num_points: of the scene.
        config: of the method.

    Returns:
        Every mask that is not several objects at once, as a node of its own; and of all masks,
        those too, ``[m f]`` bool: the frames in which it is visible.
    """
    num_masks = len(points)
    num_frames = int(frame_of_mask.max(initial=-1)) + 1
    mask_at, boundary = _masks_at_points(points, frame_of_mask, num_points, num_frames)
    visible = np.zeros((num_masks, num_frames), bool)
    contained = np.zeros((num_masks, num_masks), bool)
    mixed = np.zeros(num_masks, bool)
    for mask, own in enumerate(points):
        inner = own[~boundary[own]]
        counts = np.bincount(mask_at[inner].ravel(), minlength=num_masks + 1)[1:]
        mixed[mask] = _observe(mask, counts, len(inner), frame_of_mask, visible, contained, config)
    # What a mask of several objects says about the others is taken back.
    for mask in np.flatnonzero(mixed):
        visible[contained[:, mask], frame_of_mask[mask]] = False
        contained[:, mask] = False
    kept = np.flatnonzero(~mixed)
    return Nodes([[int(m)] for m in kept], visible[kept], contained[kept]), visible


def observer_thresholds(visible: np.ndarray) -> list[float]:
    """Least numbers of common frames, from the 95th percentile of all pairs down to one."""
    common = visible.astype(np.float32) @ visible.T.astype(np.float32)
    common = common[common > 0]
    thresholds: list[float] = []
    for percentile in range(95, -5, -5) if len(common) else ():
        least = float(np.percentile(common, percentile))
        if least <= 1 and percentile < 50:
            break
        thresholds.append(max(least, 1.0))
    return thresholds


def cluster(nodes: Nodes, thresholds: list[float], consensus: float) -> Nodes:
    """Joins nodes round by round, those with the most common frames first."""
    for least in thresholds:
        if not nodes.masks:
            break
        visible, contained = (x.astype(np.float32) for x in (nodes.visible, nodes.contained))
        observers, supporters = visible @ visible.T, contained @ contained.T
        linked = (supporters / (observers + 1e-7) >= consensus) & (observers >= least)
        np.fill_diagonal(linked, False)
        nodes = _join(nodes, linked)
    return nodes


def _masks_at_points(
    points: list[np.ndarray], frame_of_mask: np.ndarray, num_points: int, num_frames: int
) -> tuple[np.ndarray, np.ndarray]:
    """``[v f]``: mask + 1 of points in frames, 0 where none or several; ``[v]``: ever several."""
    mask_at = np.zeros((num_points, num_frames), np.int32)
    boundary = np.zeros(num_points, bool)
    for frame in range(num_frames):
        masks = np.flatnonzero(frame_of_mask == frame)
        times = np.zeros(num_points, np.int32)
        for mask in masks:
            mask_at[points[mask], frame] = mask + 1
            times[points[mask]] += 1
        mask_at[times > 1, frame] = 0
        boundary |= times > 1
    return mask_at, boundary


def _observe(
    mask: int,
    counts: np.ndarray,
    size: int,
    frame_of_mask: np.ndarray,
    visible: np.ndarray,
    contained: np.ndarray,
    config: MaskClusteringConfig,
) -> bool:
    """Fills a mask's rows from how many of its points lie in each mask; says if it is mixed."""
    num_frames = visible.shape[1]
    in_frame = np.bincount(frame_of_mask, counts, num_frames)
    possible = (in_frame > 0) & (
        (1 - (size - in_frame) / max(size, 1) >= config.visible_share)
        | (in_frame >= config.visible_points)
    )
    most = np.zeros(num_frames)
    np.maximum.at(most, frame_of_mask, counts)
    inside = possible & (most / np.maximum(in_frame, 1) > config.contained)
    visible[mask] = inside
    # The first mask of a frame with the most points; `contained` > 1/2 leaves no ties.
    is_most = (counts == most[frame_of_mask]) & inside[frame_of_mask]
    contained[mask] = is_most & (counts > 0)
    split = np.count_nonzero(possible & ~inside)
    seen = np.count_nonzero(possible)
    return bool(seen == 0 or split / seen > config.undersegment)


def _join(nodes: Nodes, linked: np.ndarray) -> Nodes:
    count, component = connected_components(linked, directed=False)
    masks: list[list[int]] = [[] for _ in range(count)]
    visible = np.zeros((count, nodes.visible.shape[1]), bool)
    contained = np.zeros((count, nodes.contained.shape[1]), bool)
    for node, c in enumerate(component):
        masks[c] += nodes.masks[node]
        visible[c] |= nodes.visible[node]
        contained[c] |= nodes.contained[node]
    return Nodes(masks, visible, contained)
