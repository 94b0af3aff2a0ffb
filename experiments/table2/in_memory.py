"""Scenes of a data set in memory, so that many settings can be tried on them; their true labels."""

import argparse
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from experiments.classical_core.thresholds import Room
from moonseg_cli.measured import open_measured
from moonseg_jax.cache import CacheReader
from moonseg_jax.eval import Dataset, SceneFiles, load_ground_truth, place_of
from moonseg_jax.eval.views import folder_of, measured_views
from moonseg_jax.structs import SceneInfo


def read_rooms(args: argparse.Namespace, dataset: Dataset) -> list[Room]:
    """All scenes, from one to a few megabytes a frame.

    Args:
        args: of `experiments.dataset.add_data_flags`.
        dataset: of `experiments.dataset.open_dataset`.
    """
    return [
        read_room(scene, place_of(args.caches, scene.scene), args.gt_mode)
        for scene in dataset.scenes
    ]


def read_room(scene: SceneFiles, cache: Path, gt_mode: str) -> Room:
    """A scene as Protocol A scores it: by measured cameras, wherever its own come from."""
    reader = CacheReader(cache)
    measured = open_measured(scene.recording, scene.ground_truth)
    truth = load_ground_truth(scene.ground_truth, gt_mode, folder_of(measured))
    seen = SimpleNamespace(info=reader.info, cache=cache, path=cache)
    return Room(reader.info, list(reader.frames()), truth, list(measured_views(seen, measured)))


def sample_labels(labels: np.ndarray, info: SceneInfo) -> np.ndarray:
    """A label map ``[H W]`` of a source image at the size of the scene's masks ``[Hm Wm]``."""
    (sx, sy, ox, oy), (height, width) = info.image_transform, info.mask_size
    rows = ((np.arange(height) + 0.5) * info.mask_stride - oy) / sy
    columns = ((np.arange(width) + 0.5) * info.mask_stride - ox) / sx
    return labels[rows.astype(int)[:, None], columns.astype(int)]
