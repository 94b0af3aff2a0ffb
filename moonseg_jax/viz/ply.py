"""Point clouds as binary PLY: opens in MeshLab, CloudCompare, Blender."""

from pathlib import Path

import numpy as np
from plyfile import PlyData, PlyElement


def write_ply(
    path: str | Path, points: np.ndarray, colors: np.ndarray, instance: np.ndarray
) -> None:
    """Writes a coloured cloud.

    Args:
        path: file to write.
        points: ``[n 3]`` float32.
        colors: ``[n 3]`` uint8.
        instance: ``[n]`` int, kept as the vertex property ``instance``.
    """
    columns = [(axis, "<f4") for axis in "xyz"] + [(c, "u1") for c in ("red", "green", "blue")]
    columns.append(("instance", "<i4"))
    vertex = np.empty(len(points), columns)
    for i in range(3):
        vertex[columns[i][0]] = points[:, i]
        vertex[columns[3 + i][0]] = colors[:, i]
    vertex["instance"] = instance
    PlyData([PlyElement.describe(vertex, "vertex")], byte_order="<").write(str(path))
