"""Vertices of annotated meshes."""

from pathlib import Path

import numpy as np
from plyfile import PlyData, PlyElement, PlyParseError

from moonseg_jax.structs import InputError


def read_vertices(file: Path) -> PlyElement:
    """The vertices of a PLY with all their properties, or an `InputError`."""
    try:
        return PlyData.read(file)["vertex"]
    except (OSError, KeyError, ValueError, PlyParseError) as error:
        raise InputError(
            f"{file} cannot be read as a mesh ({error}): copy or download it again"
        ) from error


def positions(vertex: PlyElement) -> np.ndarray:
    """``[v 3]`` float32."""
    return np.stack([vertex["x"], vertex["y"], vertex["z"]], -1).astype(np.float32)
