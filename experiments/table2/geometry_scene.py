"""A scene of predicted and of measured points, on the same cells."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from bridges.backbones.cut3r import Cut3r, Cut3rStream, normalise_images, shrink_images
from bridges.sources.find import find_layout
from experiments.classical_core.separability import read_labels
from experiments.table2.in_memory import sample_labels
from moonseg_cli.measured import open_measured
from moonseg_jax.cache import CacheReader
from moonseg_jax.eval import SceneFiles, read_predictions
from moonseg_jax.eval.align import Similarity, align_trajectories
from moonseg_jax.eval.views import View, measured_views

MASKS = ("found", "true")
# Of a recording and its frames' names: ``[t h w 3]`` in each camera's frame.
OwnPoints = Callable[[Path, tuple[str, ...]], np.ndarray]


@dataclass(frozen=True)
class Sequence:
    """A scene frame by frame, on the cells of the pointmaps.

    Attributes:
        name: of the scene.
        world: ``[t h w 3]`` points as cached, brought to the true world by ``similarity``.
        own: ``[t h w 3]`` points in their own camera's frame, as predicted.
        true: ``[t h w 3]`` points in the camera's frame, metres; NaN where not measured.
        T: ``[t 4 4]`` predicted poses, brought to the true world.
        T_true: ``[t 4 4]``.
        similarity: of predicted camera centres to true ones.
        labels: by `MASKS`: ``[t h w]``, 0 = none.
    """

    name: str
    world: np.ndarray
    own: np.ndarray
    true: np.ndarray
    T: np.ndarray
    T_true: np.ndarray
    similarity: Similarity
    labels: dict[str, np.ndarray]


def read_sequence(scene: SceneFiles, cache: Path, own: OwnPoints) -> Sequence:
    """Reads a scene; ``own`` gives the points that its cache leaves out."""
    assert scene.predictions is not None
    predictions, reader = read_predictions(scene.predictions), CacheReader(cache)
    measured = open_measured(scene.recording, scene.ground_truth)
    info, views = reader.info, list(measured_views(predictions, measured))
    assert measured is not None and len(views) == len(info.frame_names)
    T = np.asarray(predictions.T_world_from_cam, np.float64)
    T_true = np.stack([view.T_world_from_cam for view in views]).astype(np.float64)
    similarity = align_trajectories(T[:, :3, 3], T_true[:, :3, 3], scene.scene)
    world = np.stack([np.asarray(frame.points, np.float64) for frame in reader.frames()])
    reader.close()
    size = world.shape[1:3]
    true = [sample_labels(read_labels(measured.path, name), info) for name in info.frame_names]
    found = [predictions.label_map(i) for i in range(len(views))]
    labels = {"found": found, "true": true}
    aligned = np.tile(np.eye(4), (len(T), 1, 1))
    aligned[:, :3, :3] = similarity.R @ T[:, :3, :3]
    aligned[:, :3, 3] = similarity.apply(T[:, :3, 3])
    return Sequence(
        name=scene.scene,
        world=similarity.apply(world),
        own=own(measured.path, info.frame_names),
        true=np.stack([true_points(view, size, info.point_stride) for view in views]),
        T=aligned,
        T_true=T_true,
        similarity=similarity,
        labels={kind: np.stack([thinned(m, size) for m in maps]) for kind, maps in labels.items()},
    )


@torch.no_grad()
def own_points(model: Cut3r, recording: Path, names: tuple[str, ...]) -> np.ndarray:
    """``[t h w 3]`` of the head that the caches leave out, in each camera's frame."""
    stream, points = Cut3rStream(model), []
    images = {frame.name: frame for frame in find_layout(recording).frames}
    for name in names:
        pixels = normalise_images(images[name].image()[None], model.initial_tokens.device)
        points.append(stream(shrink_images(pixels, model.config)).points_self[0].double().numpy())
    return np.stack(points)


def true_points(view: View, size: tuple[int, int], stride: int) -> np.ndarray:
    """``[h w 3]`` in the camera's frame at the cells' middles."""
    sx, sy, ox, oy = view.to_processed
    v, u = (
        ((np.arange(n) + 0.5) * stride - o) / s
        for n, o, s in zip(size, (oy, ox), (sy, sx), strict=True)
    )
    rows, columns = v.astype(int), u.astype(int)
    z = view.depth[rows[:, None], columns].astype(np.float64)
    u, v = np.meshgrid(columns + 0.5, rows + 0.5)
    pixels = np.stack([u, v, np.ones_like(u)], axis=-1)
    return z[..., None] * (pixels @ np.linalg.inv(view.intrinsics).T)


def thinned(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A label map at the cells' middles."""
    rows, columns = (
        ((np.arange(n) + 0.5) * full / n).astype(int)
        for n, full in zip(size, labels.shape, strict=True)
    )
    return labels[rows[:, None], columns].astype(np.int32)
