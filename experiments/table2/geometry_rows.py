"""The points of a scene in the true world, by what of their geometry is true."""

import numpy as np

from experiments.table2.geometry_scene import Sequence
from moonseg_jax.eval.align import Similarity, align_cameras, refine_icp, umeyama
from moonseg_jax.eval.associate import RADIUS

AS_IT_IS, ALL_TRUE = "as it is", "all true"
ROTATIONS = "rotation from the cameras' own"
ERRORS = (0.5, 0.25, 0.125)
RIM = 0.05  # Share of depth by which neighbours differ at a rim.


def geometries(seen: Sequence, vertices: np.ndarray) -> dict[str, np.ndarray]:
    """``[t h w 3]`` points in the true world, by the name of the row."""
    exact, length = moved(seen.T_true, seen.true), seen.similarity.scale
    depths = np.where(np.isfinite(seen.true[..., 2]), seen.own[..., 2], np.nan)
    ratio = np.nanmedian(seen.true[..., 2], axis=(1, 2)) / np.nanmedian(depths, axis=(1, 2))
    scaled = seen.own * ratio[:, None, None, None]
    as_they_are = Similarity(1.0, np.eye(3), np.zeros(3))
    fitted = refine_icp(as_they_are, flat(seen.world), vertices, RADIUS)
    turned = align_cameras(seen.T, seen.T_true, seen.name)
    T_turned = np.tile(np.eye(4), (len(seen.T), 1, 1))
    T_turned[:, :3, :3] = turned.R @ seen.T[:, :3, :3]
    T_turned[:, :3, 3] = turned.apply(seen.T[:, :3, 3])
    each = [by_points(p[None], e[None]) for p, e in zip(seen.world, exact, strict=True)]
    rows = {
        AS_IT_IS: seen.world,
        "refined on the points (ICP)": fitted.apply(seen.world),
        "without the rims of depth": without_rims(seen.world, seen.own[..., 2]),
        "own view's points by their pose": moved(seen.T, length * seen.own),
        "true depth, predicted poses": moved(seen.T, seen.true),
        f"{ROTATIONS}: as it is": turned.apply(seen.world),
        f"{ROTATIONS}: own view's points": moved(T_turned, length * turned.scale * seen.own),
        f"{ROTATIONS}: the same, each frame's median depth true": moved(T_turned, scaled),
        f"{ROTATIONS}: true depth": moved(T_turned, seen.true),
        "aligned by the first camera, in metres": by_first_camera(seen).apply(seen.world),
        "aligned by the true points": by_points(seen.world, exact),
        "each frame aligned by its true points": np.concatenate(each),
        "predicted depth, true poses": moved(seen.T_true, seen.own),
        "the same, each frame's median depth true": moved(seen.T_true, scaled),
    }
    for share in ERRORS:
        error = rows[f"{ROTATIONS}: as it is"] - exact
        rows[f"{ROTATIONS}: errors times {share:g}"] = exact + share * error
    return rows | {ALL_TRUE: exact}


def by_first_camera(seen: Sequence) -> Similarity:
    """From aligned cameras to true ones: the first on the first, lengths as told."""
    T = seen.T_true[0] @ np.linalg.inv(seen.T[0])
    scale = 1 / seen.similarity.scale
    centre = seen.T[0, :3, 3]
    return Similarity(scale, T[:3, :3], seen.T_true[0, :3, 3] - scale * T[:3, :3] @ centre)


def by_points(points: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """Points after the similarity that brings them nearest to the true ones, outliers aside."""
    there = np.isfinite(points).all(axis=-1) & np.isfinite(exact).all(axis=-1)
    source, target = points[there], exact[there]
    kept = np.ones(len(source), bool)
    for _ in range(10):
        best = umeyama(source[kept], target[kept])
        apart = np.linalg.norm(best.apply(source) - target, axis=1)
        kept = apart <= 2 * np.median(apart)
    return best.apply(points)


def moved(T: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points ``[t h w 3]`` of each frame by its pose ``[t 4 4]``."""
    return np.einsum("tij,thwj->thwi", T[:, :3, :3], points) + T[:, None, None, :3, 3]


def without_rims(points: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Points where depth changes by less than `RIM` of it to all four neighbours, else NaN."""
    near = np.ones(depth.shape, bool)
    for axis in (1, 2):
        ratio = np.abs(np.diff(np.log(depth), axis=axis)) < RIM
        first, last = [(slice(None),) * axis + (s,) for s in (slice(1, None), slice(None, -1))]
        near[first] &= ratio
        near[last] &= ratio
    return np.where(near[..., None], points, np.nan)


def flat(points: np.ndarray) -> np.ndarray:
    """``[n 3]``, those that are there."""
    points = points.reshape(-1, 3)
    return points[np.isfinite(points).all(axis=-1)]
