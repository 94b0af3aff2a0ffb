"""How far a predicted reconstruction is from what was measured."""

from pathlib import Path

import numpy as np

from moonseg_cli.measured import RecordedFrames
from moonseg_jax.cache import CacheReader
from moonseg_jax.eval import read_predictions
from moonseg_jax.eval.align import Similarity, align_trajectories
from moonseg_jax.eval.predictions import Predictions
from moonseg_jax.eval.views import measured_poses, measured_views


def onto_measured(predictions: Predictions, measured: RecordedFrames) -> Similarity:
    """What brings a result's world onto the recording's, by the camera centres."""
    poses = measured_poses(predictions, measured)
    centres = np.stack([T[:3, 3] for T in poses.values()]).astype(np.float64)
    predicted = predictions.T_world_from_cam[list(poses), :3, 3].astype(np.float64)
    return align_trajectories(predicted, centres, str(predictions.path))


def reconstruction_errors(result: Path, recording: Path) -> str:
    """Depth and cameras against the measured ones, after one similarity for all, in words."""
    predictions, measured = read_predictions(result), RecordedFrames(recording)
    if predictions.info.poses != "predicted":
        return "geometry: measured"
    similarity = onto_measured(predictions, measured)
    true = np.stack(list(measured_poses(predictions, measured).values())).astype(np.float64)
    told = predictions.T_world_from_cam.astype(np.float64)
    off = np.linalg.norm(similarity.apply(told[:, :3, 3]) - true[:, :3, 3], axis=1)
    path = np.linalg.norm(np.diff(true[:, :3, 3], axis=0), axis=1).sum()
    turned = np.swapaxes(_since_first(told), 1, 2) @ _since_first(true)
    cosine = (np.trace(turned, axis1=1, axis2=2) - 1) / 2
    angle = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    depth = _depth_error(predictions, measured, similarity.scale)
    return (
        f"geometry, after a similarity of scale {similarity.scale:.3f}: depth {100 * depth:.1f} %"
        f" off (median), cameras {100 * off.mean():.1f} cm"
        f" ({100 * off.mean() / path:.1f} % of a path of {path:.1f} m) and {angle.mean():.1f}°"
        " (means)"
    )


def _since_first(T_world_from_cam: np.ndarray) -> np.ndarray:
    """``[t 3 3]``, how each camera is turned against the first."""
    R = T_world_from_cam[:, :3, :3]
    return R[0].T @ R


def _depth_error(predictions: Predictions, measured: RecordedFrames, scale: float) -> float:
    """Median relative error along z, of points seen at the centres of the pointmap's cells."""
    reader = CacheReader(predictions.cache)
    stride, errors = reader.info.point_stride, []
    for view, frame in zip(measured_views(predictions, measured), reader.frames(), strict=True):
        T = np.asarray(frame.T_world_from_cam)
        z = scale * ((np.asarray(frame.points) - T[:3, 3]) @ T[:3, 2])
        true = _at_cells(view.depth, view.to_processed, z.shape, stride)
        errors.append((np.abs(z - true) / true).ravel())
    reader.close()
    return float(np.nanmedian(np.concatenate(errors)))


def _at_cells(
    depth: np.ndarray,
    to_processed: tuple[float, float, float, float],
    size: tuple[int, ...],
    stride: int,
) -> np.ndarray:
    sx, sy, ox, oy = to_processed
    rows = ((np.arange(size[0]) + 0.5) * stride - oy) / sy
    columns = ((np.arange(size[1]) + 0.5) * stride - ox) / sx
    return depth[rows.astype(int)[:, None], columns.astype(int)]
