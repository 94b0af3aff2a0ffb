"""Protocol B: a similarity brings a reconstruction without metric poses onto the ground truth."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import KDTree

from moonseg_jax.structs import InputError

_MIN_SPREAD = 0.01  # Of the second axis of the camera centres against the first.
_ICP_STEPS = 30
_ICP_POINTS = 20_000


@dataclass(frozen=True)
class Similarity:
    """``x ↦ scale · R x + t``."""

    scale: float
    R: np.ndarray
    t: np.ndarray

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Moves ``[n 3]`` points."""
        return self.scale * points @ self.R.T + self.t


def umeyama(source: np.ndarray, target: np.ndarray) -> Similarity:
    """The similarity that best maps one set of points on another, in least squares.

    Args:
        source: ``[n 3]``, not all on one line.
        target: ``[n 3]``, the points they should become.

    Source: S. Umeyama, "Least-squares estimation of transformation parameters between two point
    patterns", PAMI 1991, Eq. 40-43.
    """
    mean_s, mean_t = source.mean(axis=0), target.mean(axis=0)
    s, t = source - mean_s, target - mean_t
    U, D, Vt = np.linalg.svd(t.T @ s / len(s))
    # The reflection, if there is one, goes to the least axis.
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(U) * np.linalg.det(Vt))])
    R = (U * sign) @ Vt
    scale = float(D @ sign / np.mean(np.sum(s * s, axis=1)))
    return Similarity(scale, R, mean_t - scale * R @ mean_s)


def align_trajectories(predicted: np.ndarray, measured: np.ndarray, name: str) -> Similarity:
    """The similarity between two trajectories of the same frames.

    Args:
        predicted: ``[t 3]`` camera centres.
        measured: ``[t 3]``.
        name: of the scene, for the message.

    Raises:
        InputError: fewer than three frames, or centres (nearly) on one line, about which the
            rotation would be arbitrary.
    """
    if len(predicted) < 3:
        raise InputError(
            f"{name}: {len(predicted)} frames have measured poses, sim3 needs 3: name the "
            "recording it was made from with --recording"
        )
    for centres, whose in ((predicted, "predicted"), (measured, "measured")):
        spread = np.linalg.svd(centres - centres.mean(axis=0), compute_uv=False)
        if spread[1] <= _MIN_SPREAD * spread[0]:
            raise InputError(
                f"{name}: the {whose} camera centres lie on one line, about which sim3 cannot "
                "tell the rotation: use --association gt"
            )
    return umeyama(predicted, measured)


def align_cameras(predicted: np.ndarray, measured: np.ndarray, name: str) -> Similarity:
    """The similarity between two trajectories, turned as the cameras are and not as their paths.

    The path of a hand-held camera is short: its centres, a few centimetres wrong each, tell the
    rotation to some degrees only, which moves what is metres away by more than objects are thick.

    Args:
        predicted: ``[t 4 4]`` T_world_from_cam.
        measured: ``[t 4 4]``, of the same frames.
        name: of the scene, for the message.

    Raises:
        InputError: fewer than two frames, or cameras that stay where they are.
    """
    moved = [np.ptp(T[:, :3, 3], axis=0).max(initial=0) > 0 for T in (predicted, measured)]
    if len(predicted) < 2 or not all(moved):
        raise InputError(
            f"{name}: cameras at one place tell no scale: use --association gt, or name the "
            "recording it was made from with --recording"
        )
    R = _mean_rotation(measured[:, :3, :3] @ predicted[:, :3, :3].swapaxes(1, 2))
    source, target = predicted[:, :3, 3] @ R.T, measured[:, :3, 3]
    mean_s, mean_t = source.mean(axis=0), target.mean(axis=0)
    s, t = source - mean_s, target - mean_t
    scale = float(np.sum(s * t) / np.sum(s * s))
    return Similarity(scale, R, mean_t - scale * mean_s)


def _mean_rotation(R: np.ndarray) -> np.ndarray:
    """The rotation nearest to all of ``[t 3 3]``, in least squares."""
    U, _, Vt = np.linalg.svd(R.sum(axis=0))
    return U @ np.diag([1.0, 1.0, np.linalg.det(U @ Vt)]) @ Vt


def refine_icp(
    start: Similarity, points: np.ndarray, target: np.ndarray, gate: float
) -> Similarity:
    """Point-to-point ICP with scale.

    Args:
        start: where to begin.
        points: ``[n 3]``, the reconstruction, as `start` takes it.
        target: ``[v 3]``.
        gate: pairs further apart do not count, metres.
    """
    tree = KDTree(target)
    sample = points[:: max(1, len(points) // _ICP_POINTS)]
    current, error = start, np.inf
    for _ in range(_ICP_STEPS):
        distance, nearest = tree.query(current.apply(sample), distance_upper_bound=gate)
        near = np.isfinite(distance)
        if near.sum() < 3 or distance[near].mean() > 0.999 * error:
            break
        error = distance[near].mean()
        current = umeyama(sample[near], target[np.asarray(nearest)[near]])
    return current


def nearest_instance(
    vertices: np.ndarray, points: np.ndarray, instance: np.ndarray, radius: float
) -> np.ndarray:
    """The instance of the nearest predicted point; points without one count as nearest too.

    Leaving them out, as is sometimes done, lets masks grow into unlabelled space by the radius.

    Args:
        vertices: ``[v 3]`` of the ground truth.
        points: ``[n 3]`` predicted, aligned.
        instance: ``[n]``, 0 = none.
        radius: further away is unlabelled, metres.

    Returns:
        ``[v]``, 0 = unlabelled.
    """
    if len(points) == 0:
        return np.zeros(len(vertices), instance.dtype)
    _, nearest = KDTree(points).query(vertices, distance_upper_bound=radius)
    return np.append(instance, 0)[nearest]  # A miss is answered with len(points).
