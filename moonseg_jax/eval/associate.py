"""From a result to the ground truth's vertices: Protocol A (`gt`) and B (`sim3`, `cameras`)."""

from collections.abc import Callable, Iterable

import numpy as np

from moonseg_jax.eval.align import (
    Similarity,
    align_cameras,
    align_trajectories,
    nearest_instance,
    refine_icp,
)
from moonseg_jax.eval.ground_truth import GroundTruth
from moonseg_jax.eval.predictions import Predictions
from moonseg_jax.eval.views import MeasuredFrames, View, measured_poses, measured_views
from moonseg_jax.eval.votes import VertexVotes

ASSOCIATIONS = ("gt", "sim3", "cameras")
DEPTH_TOLERANCE = 0.04  # Metres: a vertex this close to the measured surface is visible.
RADIUS = 0.10  # Metres, Protocol B.
_SIMILARITY = (
    "a similarity between the camera {}, then every vertex takes the instance of the "
    f"nearest point within {RADIUS:g} m"
)
# What each `protocol` of a result does, for people.
ASSOCIATED = {
    "gt": f"vertices within {DEPTH_TOLERANCE:g} m of the measured depth of a frame vote for the "
    "instance of their pixel, or for none",
    "sim3": _SIMILARITY.format("centres"),
    "cameras": _SIMILARITY.format("centres, turned as the cameras are"),
    "sim3+icp": _SIMILARITY.format("centres, refined on the points"),
    "cameras+icp": _SIMILARITY.format("centres, turned as the cameras are, refined on the points"),
    "vertices": "the masks came on the vertices",
}


def associate(
    predictions: Predictions,
    truth: GroundTruth,
    association: str = "gt",
    *,
    measured: MeasuredFrames | None = None,
    icp: bool = False,
) -> np.ndarray:
    """The predicted instance of every ground-truth vertex.

    Args:
        predictions: a result.
        truth: with points.
        association: ``gt``, Protocol A: vertices are projected into the keyframes with measured
            poses and depth, and take the instance most frames give them (`unproject_instances`);
            or ``sim3``, Protocol B: a similarity between the camera centres brings the result's
            points to the vertices, and each takes the instance of the nearest within `RADIUS`;
            or ``cameras``, the same with the cameras' own rotation (`align_cameras`).
        measured: the recording that measured the result's frames; None: what the result's own
            cache has of it, where that was made from measured poses.
        icp: refine the similarity of Protocol B on the points.

    Returns:
        ``[v]`` int32, 0 = unlabelled.

    Raises:
        InputError: points, poses or depth are missing, or the trajectory is degenerate.
    """
    vertices = truth.require_points()
    if association == "gt":
        return unproject_instances(
            vertices,
            measured_views(predictions, measured),
            predictions.label_map,
            predictions.info.image_size,
        )
    align = {"sim3": _align_centres, "cameras": align_cameras}[association]
    return _nearest_after_similarity(predictions, measured, vertices, align, icp)


def unproject_instances(
    vertices: np.ndarray,
    views: Iterable[View],
    label_map: Callable[[int], np.ndarray],
    image_size: tuple[int, int],
) -> np.ndarray:
    """Protocol A, the paper's "unproject the merged masks to the ground truth point cloud".

    In each view a vertex is visible where its depth agrees with the measured one to
    `DEPTH_TOLERANCE`, and it votes for the instance of its pixel. A pixel of no instance is a vote
    for none: otherwise one stray boundary pixel in any frame decides, instances grow by the pixel
    size of the worst view, and perfect label maps at half resolution score an AP of 0.63 instead of
    0.98 (measured on a rendered living room of 50 frames). At a tie the lowest id wins, none first.

    Args:
        vertices: ``[v 3]``, world frame.
        views: with measured depth and pose.
        label_map: of a view's index: ``[Hm Wm]`` ids, 0 = none.
        image_size: ``(H, W)`` of the processed image.

    Returns:
        ``[v]`` int32, 0 = unlabelled: never seen, or mostly without an instance.
    """
    votes = VertexVotes(len(vertices))
    for view in views:
        visible, uv = visible_vertices(vertices, view)
        labels = label_map(view.index)
        sx, sy, ox, oy = view.to_processed
        u = (sx * uv[:, 0] + ox) * (labels.shape[1] / image_size[1])
        v = (sy * uv[:, 1] + oy) * (labels.shape[0] / image_size[0])
        inside = (u >= 0) & (u < labels.shape[1]) & (v >= 0) & (v < labels.shape[0])
        votes.add(visible[inside], labels[v[inside].astype(np.intp), u[inside].astype(np.intp)])
    return votes.winners()


def visible_vertices(vertices: np.ndarray, view: View) -> tuple[np.ndarray, np.ndarray]:
    """The vertices that a view sees.

    Returns:
        ``index [m]`` and ``uv [m 2]`` in pixels of the depth image.
    """
    R, t = view.T_world_from_cam[:3, :3], view.T_world_from_cam[:3, 3]
    camera = vertices @ R.astype(vertices.dtype) - (t @ R).astype(vertices.dtype)
    index = np.flatnonzero(camera[:, 2] > 0)
    K, camera = view.intrinsics, camera[index]
    u = K[0, 0] * camera[:, 0] / camera[:, 2] + K[0, 2]
    v = K[1, 1] * camera[:, 1] / camera[:, 2] + K[1, 2]
    height, width = view.depth.shape
    inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
    index, u, v, z = index[inside], u[inside], v[inside], camera[inside, 2]
    near = np.abs(z - view.depth[v.astype(np.intp), u.astype(np.intp)]) < DEPTH_TOLERANCE
    return index[near], np.stack([u[near], v[near]], axis=-1)


def _align_centres(predicted: np.ndarray, measured: np.ndarray, name: str) -> Similarity:
    return align_trajectories(predicted[:, :3, 3], measured[:, :3, 3], name)


def _nearest_after_similarity(
    predictions: Predictions,
    measured: MeasuredFrames | None,
    vertices: np.ndarray,
    align: Callable[[np.ndarray, np.ndarray, str], Similarity],
    icp: bool,
) -> np.ndarray:
    poses = measured_poses(predictions, measured)
    T = predictions.T_world_from_cam[list(poses)].astype(np.float64)
    T_measured = np.stack(list(poses.values())).astype(np.float64)
    similarity = align(T, T_measured, str(predictions.path))
    if icp:
        similarity = refine_icp(similarity, predictions.points, vertices, RADIUS)
    points = similarity.apply(predictions.points)
    return nearest_instance(vertices, points, predictions.instance, RADIUS)
