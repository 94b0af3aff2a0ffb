"""Point clouds as binary PLY: opens in MeshLab, CloudCompare, Blender."""

from pathlib import Path

import numpy as np
from plyfile import PlyData, PlyElement


def write_ply(
    path: str | Path, points: np.ndarray, colors: np.ndarray, instance: np.ndarray | None = None
) -> None:
    """Writes a coloured cloud.

    Args:
        path: file to write.
        points: ``[n 3]`` float32.
        colors: ``[n 3]`` uint8.
        instance: ``[n]`` int, kept as the vertex property ``instance``; None leaves it out.
    """
    columns = [(axis, "<f4") for axis in "xyz"] + [(c, "u1") for c in ("red", "green", "blue")]
    columns += [("instance", "<i4")] if instance is not None else []
    vertex = np.empty(len(points), columns)
    for i in range(3):
        vertex[columns[i][0]] = points[:, i]
        vertex[columns[3 + i][0]] = colors[:, i]
    if instance is not None:
        vertex["instance"] = instance
    PlyData([PlyElement.describe(vertex, "vertex")], byte_order="<").write(str(path))
