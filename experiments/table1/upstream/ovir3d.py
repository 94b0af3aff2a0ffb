"""OVIR-3D: the whole fusion of a sequence, up to the instances' points."""

import importlib
import json
import tempfile
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch

from comparators.ovir3d import Ovir3D, Ovir3DConfig
from experiments.table1.upstream.maskclustering import scene_points
from experiments.table1.upstream.stand_ins import public_code
from tests.comparators.scene import TiledRoom

CONFIG = Ovir3DConfig(interval=10, min_points=15)
FIXED_IN_CODE = 25  # Their least points of a mask.


def ours(room: TiledRoom) -> list[np.ndarray]:
    """Points of every instance, ascending, which may share some."""
    scene = scene_points(room)
    config = Ovir3DConfig(interval=CONFIG.interval, min_points=FIXED_IN_CODE)
    fusion = Ovir3D(scene, np.zeros(scene.shape, np.uint8), config)
    for view in room.views():
        fusion.add(view)
    return sorted(fusion.instances()[0], key=_name)


def theirs(room: TiledRoom, folder: Path) -> list[np.ndarray]:
    """The same by the public code: files of poses and depth, its own projection and fusion."""
    open3d = importlib.import_module("open3d")
    scene = open3d.geometry.PointCloud()
    scene.points = open3d.utility.Vector3dVector(scene_points(room).astype(np.float64))
    views = list(room.views())
    with public_code(folder / "OVIR-3D" / "src") as load, tempfile.TemporaryDirectory() as name:
        fusion = load("proposed_fusion")
        fusion.np = _StableNumpy("numpy")
        _write_video(Path(name), views)
        fusion.cv2.IMREAD_UNCHANGED = -1
        fusion.cv2.imread = lambda path, flag: np.load(f"{path}.npy")
        by_name = {f"{v.index:04d}": v for v in views}
        fusion.read_detectron_instances = lambda path: _detections(by_name[path.name[:4]])
        with torch.no_grad():
            counts, _, _ = fusion.instance_fusion(
                Path(name),
                "none",
                scene,
                iou_thresh=CONFIG.overlap,
                recall_thresh=CONFIG.recall,
                feature_similarity_thresh=CONFIG.similarity,
                depth_thresh=CONFIG.depth,
                size_thresh=CONFIG.min_instance,
                interval=CONFIG.interval,
                visibility_thresh=CONFIG.visibility,
                disable_tqdm=True,
                device="cpu",
            )
    return sorted([np.flatnonzero(row) for row in counts.numpy()], key=_name)


def compare(mine: list[np.ndarray], other: list[np.ndarray]) -> dict[str, Any]:
    """Whether the instances are the same points."""
    same = len(mine) == len(other) and all(
        np.array_equal(a, b) for a, b in zip(mine, other, strict=True)
    )
    return {"instances": len(other), "identical": same}


class _StableNumpy(ModuleType):
    """NumPy, but that equal overlaps are sorted by their place, not by what the machine does."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    @staticmethod
    def argsort(values: np.ndarray) -> np.ndarray:
        return np.argsort(values, kind="stable")


def _write_video(folder: Path, views: list) -> None:
    K = views[0].intrinsics.copy()
    K[:2, 2] -= 0.5  # Their pixel centres are integers.
    (folder / "config.json").write_text(json.dumps({"cam_intr": K.tolist(), "depth_scale": 1}))
    for sub in ("color", "poses", "depth"):
        (folder / sub).mkdir()
    for view in views:
        name = f"{view.index:04d}"
        (folder / "color" / f"{name}-color.png").touch()
        np.savetxt(folder / "poses" / f"{name}-pose.txt", view.T_world_from_cam)
        np.save(folder / "depth" / f"{name}-depth.png.npy", np.nan_to_num(view.depth()))


def _detections(view: Any) -> SimpleNamespace:
    features = np.zeros((view.num_masks, 512), np.float32)  # Their width is fixed.
    features[:, : view.semantics.shape[1]] = view.semantics
    return SimpleNamespace(
        scores=torch.from_numpy(view.scores),
        pred_masks=torch.from_numpy(view.masks),
        pred_box_features=torch.from_numpy(features),
    )


def _name(points: np.ndarray) -> tuple:
    return tuple(points[:5].tolist()), len(points)


def decisions(result: list[np.ndarray]) -> list[np.ndarray]:
    """Points of every instance."""
    return result
