"""What is shown, as files that other programs open."""

import tempfile
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from moonseg_jax.viz.ply import write_ply
from moonseg_jax.viz.viewer.scene import ShownScene, View, point_colors, shown_points

if TYPE_CHECKING:
    import viser


def screenshot_bytes(client: "viser.ClientHandle") -> bytes:
    """A PNG of what a browser shows, at its own size."""
    camera, buffer = client.camera, BytesIO()
    picture = client.get_render(camera.image_height, camera.image_width)
    Image.fromarray(picture).save(buffer, "png")
    return buffer.getvalue()


def cloud_bytes(kind: str, scene: ShownScene, view: View, up: np.ndarray) -> bytes:
    """The points that a view shows, in its colours.

    Args:
        kind: ``ply`` or ``glb``.
        scene: what there is.
        view: what of it is shown.
        up: ``[3]``, of the scene.
    """
    shown = shown_points(scene, view, up)
    cloud = scene.points[shown], point_colors(scene, view)[shown], scene.instance[shown]
    return ply_bytes(*cloud) if kind == "ply" else glb_bytes(*cloud, up)


def ply_bytes(points: np.ndarray, colors: np.ndarray, instance: np.ndarray) -> bytes:
    """A PLY file, as `write_ply` writes it.

    Args:
        points: ``[n 3]`` float32.
        colors: ``[n 3]`` uint8.
        instance: ``[n]`` int.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "cloud.ply"
        write_ply(file, points, colors, instance)
        return file.read_bytes()


def glb_bytes(
    points: np.ndarray, colors: np.ndarray, instance: np.ndarray, up: np.ndarray
) -> bytes:
    """A binary glTF file with a node for each instance, turned so that y is up as glTF has it.

    Args:
        points: ``[n 3]`` float32.
        colors: ``[n 3]`` uint8.
        instance: ``[n]`` int; 0 becomes the node ``rest``, 7 the node ``instance_7``.
        up: ``[3]``, of the scene.
    """
    import trimesh  # Comes with the extra `viewer`.
    from trimesh.exchange.gltf import export_glb

    T_gltf_from_world = np.eye(4)
    T_gltf_from_world[:3, :3] = Rotation.align_vectors([[0, 1, 0]], [up])[0].as_matrix()
    scene = trimesh.Scene()
    for i in np.unique(instance):
        part = instance == i
        scene.add_geometry(
            trimesh.PointCloud(points[part], colors[part]),
            node_name=f"instance_{i}" if i else "rest",
            transform=T_gltf_from_world,
        )
    return export_glb(scene)
