"""SAM3D: the whole merge of a sequence."""

from pathlib import Path
from typing import Any

import numpy as np

from comparators.clouds import voxel_keys
from comparators.sam3d import SAM3D, GroupedCloud, SAM3DConfig, one_per_voxel
from experiments.table1.upstream.stand_ins import public_code
from tests.comparators.scene import TiledRoom

CONFIG = SAM3DConfig(voxel=0.03, min_points=20)


def ours(room: TiledRoom) -> np.ndarray:
    """``[n 2]``: voxel and group of each point, before the last filter."""
    fusion = SAM3D(CONFIG)
    for view in room.views():
        fusion.add(view)
    while len(fusion._stack) > 1:
        fusion._merge_last()
    return _table(fusion._stack[0][1].points, fusion._stack[0][1].group)


def theirs(room: TiledRoom, folder: Path) -> np.ndarray:
    """The same by the public code, but for the point that stays in a voxel.

    Its sort is not stable, so that which point stays depends on the machine; ours is used.
    """
    with public_code(folder / "SegmentAnything3D") as load:
        sam3d = load("sam3d")
        frames = [
            _voxelize(
                {
                    "coord": v.points[v.seen],
                    "color": v.colors[v.seen],
                    "group": v.labels[v.seen].astype(int) - 1,
                }
            )
            for v in room.views()
        ]
        while len(frames) > 1:
            frames = [
                sam3d.cal_2_scenes(frames, pair, CONFIG.voxel, _voxelize, th=CONFIG.min_points)
                for pair in sam3d.pairwise_indices(len(frames))
            ]
    return _table(frames[0]["coord"], frames[0]["group"])


def compare(mine: np.ndarray, other: np.ndarray) -> dict[str, Any]:
    """How many points and groups agree, the numbers of the groups included."""
    same = len(mine) == len(other) and bool((mine == other).all())
    return {"points": len(other), "groups": len(np.unique(other[:, 1])), "identical": same}


def _voxelize(cloud: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    kept = one_per_voxel(GroupedCloud(cloud["coord"], cloud["color"], cloud["group"]), CONFIG.voxel)
    return {"coord": kept.points, "color": kept.colors, "group": kept.group}


def _table(points: np.ndarray, group: np.ndarray) -> np.ndarray:
    keys = voxel_keys(np.floor(points / CONFIG.voxel))
    order = np.argsort(keys)
    return np.stack([keys[order], group[order]], axis=1)


def decisions(result: np.ndarray) -> list[np.ndarray]:
    """Voxels of every group."""
    return [result[result[:, 1] == group, 0] for group in np.unique(result[:, 1])]
