"""MaskClustering: masks on the scene's points, then the graph, clusters and objects."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from comparators.maskclustering import MaskClustering, MaskClusteringConfig
from comparators.maskclustering.fusion import cluster_masks
from comparators.run import add_surface
from experiments.table1.upstream.stand_ins import public_code
from moonseg_jax.online.surface import SurfaceVotes
from tests.comparators.scene import TiledRoom

CONFIG = MaskClusteringConfig(contained=0.7)


def scene_points(room: TiledRoom) -> np.ndarray:
    """The reconstruction."""
    surface = SurfaceVotes(CONFIG.voxel)
    for view in room.views():
        add_surface(surface, view)
    return surface.cloud(np.zeros(0, np.int32))[0]


def ours(room: TiledRoom) -> dict[str, Any]:
    """Points of every mask, and of every object."""
    scene = scene_points(room)
    fusion = MaskClustering(scene, np.zeros(scene.shape, np.uint8), CONFIG)
    for view in room.views():
        fusion.add(view)
    frames = np.array(fusion._frames)
    objects = cluster_masks(fusion._masks, frames, scene, CONFIG)
    return {
        "masks": fusion._masks,
        "frames": frames,
        "objects": sorted([np.sort(o.points) for o in objects], key=_name),
    }


def theirs(room: TiledRoom, folder: Path, mine: dict[str, Any]) -> dict[str, Any]:
    """The same by the public code; its graph gets our masks, so that each stage is judged alone."""
    scene = scene_points(room)
    with public_code(folder / "MaskClustering") as load:
        masks = _backproject(load("utils.mask_backprojection"), room, scene)
        frames = list(range(int(mine["frames"].max()) + 1))
        given = {f: {} for f in frames}
        for i, (points, frame) in enumerate(zip(mine["masks"], mine["frames"], strict=True)):
            given[int(frame)][i + 1] = set(points.tolist())
        construction = load("graph.construction")
        construction.frame_backprojection = lambda dataset, points, frame: (
            given[frame],
            sorted(set().union(*given[frame].values())) if given[frame] else [],
        )
        args = SimpleNamespace(
            debug=False,
            mask_visible_threshold=CONFIG.visible_share,
            contained_threshold=CONFIG.contained,
            undersegment_filter_threshold=CONFIG.undersegment,
            point_filter_threshold=CONFIG.detection,
        )
        with torch.no_grad():
            nodes, thresholds, clouds, seen = construction.mask_graph_construction(
                args, scene, frames, None
            )
            clustering = load("graph.iterative_clustering")
            found = clustering.iterative_clustering(nodes, thresholds, CONFIG.consensus, False)
        process = load("utils.post_process")
        objects: list[np.ndarray] = []
        process.export = lambda dataset, points, masks, args: objects.extend(points)
        process.post_process(None, found, clouds, scene, seen, frames, args)
    return {"masks": masks, "objects": sorted([np.sort(o) for o in objects], key=_name)}


def compare(mine: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Overlap of the masks' points one by one, and whether the objects are the same points."""
    same = len(mine["objects"]) == len(other["objects"]) and all(
        np.array_equal(a, b) for a, b in zip(mine["objects"], other["objects"], strict=True)
    )
    ious = [
        len(np.intersect1d(a, b)) / max(len(np.union1d(a, b)), 1)
        for a, b in zip(mine["masks"], other["masks"], strict=True)
    ]
    return {
        "masks": len(ious),
        "least IoU of a mask's points": round(float(min(ious)), 4),
        "objects": len(other["objects"]),
        "identical": same,
    }


def _backproject(module: Any, room: TiledRoom, scene: np.ndarray) -> list[np.ndarray]:
    """Masks of all frames on the scene, from the same points instead of a depth image."""
    masks = []
    for view in room.views():
        seen, height, width = view.seen, *view.labels.shape
        dataset = SimpleNamespace(
            get_intrinsics=lambda frame: None,
            get_extrinsic=lambda frame: np.eye(4),
            get_depth=lambda frame, seen=seen: seen.astype(np.float32),
        )
        points = view.points[seen].astype(np.float64)
        module.backproject = lambda *args, points=points: SimpleNamespace(points=points)
        info, kept, _ = module.turn_mask_to_point(
            dataset, torch.from_numpy(scene), view.labels.reshape(height, width), view.index
        )
        masks += [np.sort(np.array(list(info[i]))) for i in kept]
    return masks


def _name(points: np.ndarray) -> tuple:
    return tuple(points[:5].tolist()), len(points)


def decisions(result: dict[str, Any]) -> list[np.ndarray]:
    """Points of every object."""
    return result["objects"]
