"""The three-dimensional side of the page: the cloud, boxes, the camera's path and its frustum."""

import numpy as np
import viser
from viser.transforms import SO3

from moonseg_jax.viz.palette import instance_colors
from moonseg_jax.viz.viewer.lines import box_edges, path_segments, vertical_fov
from moonseg_jax.viz.viewer.scene import ShownScene, View, point_colors, random_part, shown_points
from moonseg_jax.viz.viewer.viewpoint import Viewpoint

_PATH = (90, 90, 90)
_FRUSTUM = (230, 120, 20)
_GAPS = 1.3


class Stage:
    """Draws a scene under a view.

    The cloud is one node, so that a browser draws it in one call whatever its size: choosing
    another colouring sends the colours alone, the timeline and the cut send the points they show.
    Of more points than the view asks for, a random part is drawn, each point larger.

    Args:
        scene_api: of viser's server.
    """

    def __init__(self, scene_api: viser.SceneApi):
        self._api = scene_api
        self._cloud: viser.PointCloudHandle | None = None
        self._scene: ShownScene | None = None
        self._frame = -1
        self._widening = 1.0
        self.shown = np.zeros(0, int)
        self.colors = np.zeros((0, 3), np.uint8)

    def set_point_size(self, size: float) -> None:
        """In scene units, of a point where all are drawn."""
        if self._cloud is not None:
            self._cloud.point_size = size * self._widening

    def draw(
        self,
        scene: ShownScene,
        view: View,
        viewpoint: Viewpoint,
        picture: np.ndarray | None,
        point_size: float,
    ) -> None:
        """Brings the page up to date; what has not changed is not sent.

        Args:
            scene: to draw.
            view: what the user has chosen.
            viewpoint: of the scene.
            picture: ``[H W 3]`` uint8 of the view's frame, where there is one.
            point_size: in scene units.
        """
        self.shown = shown_points(scene, view, viewpoint.up)
        colors = point_colors(scene, view)
        self.colors = colors[self.shown]
        drawn = random_part(self.shown, view.most, len(scene.points))
        # As much surface is covered; more, for random points leave gaps where even ones do not.
        whole = len(drawn) == len(self.shown)
        self._widening = 1.0 if whole else _GAPS * float(np.sqrt(len(self.shown) / len(drawn)))
        self._draw_cloud(scene.points[drawn], colors[drawn], point_size * self._widening)
        self._draw_boxes(scene, view, viewpoint)
        if scene is not self._scene or view.frame != self._frame:
            self._draw_cameras(scene, view, viewpoint, picture)
        for name in ("/path", "/camera"):
            node = self._api.get_handle_by_name(name)
            if node is not None:
                node.visible = view.cameras
        self._scene, self._frame = scene, view.frame

    def _draw_cloud(self, points: np.ndarray, colors: np.ndarray, point_size: float) -> None:
        cloud = self._cloud
        if cloud is not None and len(points) == len(cloud.points) > 0:
            cloud.points, cloud.colors = points, colors
            cloud.point_size, cloud.visible = point_size, True
        elif len(points):
            # A cloud of another length is a new one: its parts never disagree.
            self._cloud = self._api.add_point_cloud(
                "/cloud",
                points,
                colors,
                point_size=point_size,
                point_shape="circle",
                precision="float32",
                point_shading="flat",
            )
        elif cloud is not None:
            cloud.visible = False

    def _draw_boxes(self, scene: ShownScene, view: View, viewpoint: Viewpoint) -> None:
        ids = np.arange(1, len(scene.boxes) + 1)
        known = scene.first_frame[: len(ids)] <= view.frame
        ids = ids[known & (view.boxes | (ids == view.selected))]
        self._api.remove_by_name("/boxes")
        if len(ids):
            colors = instance_colors(ids)[:, None, None]
            self._api.add_line_segments(
                "/boxes",
                box_edges(scene.boxes[ids - 1]).reshape(-1, 2, 3),
                np.broadcast_to(colors, (len(ids), 12, 2, 3)).reshape(-1, 2, 3),
                thickness=0.001 * viewpoint.diameter,
            )

    def _draw_cameras(
        self, scene: ShownScene, view: View, viewpoint: Viewpoint, picture: np.ndarray | None
    ) -> None:
        if scene.num_frames > 1:
            path = path_segments(scene.T_world_from_cam)
            thickness = 0.0008 * viewpoint.diameter
            self._api.add_line_segments("/path", path, _PATH, thickness=thickness)
        T, K = scene.T_world_from_cam[view.frame], scene.intrinsics[view.frame]
        self._api.add_camera_frustum(
            "/camera",
            vertical_fov(K, scene.image_size),
            scene.image_size[1] / scene.image_size[0],
            scale=0.05 * viewpoint.diameter,
            thickness=0.001 * viewpoint.diameter,
            color=_FRUSTUM,
            image=picture,
            wxyz=SO3.from_matrix(T[:3, :3].astype(np.float64)).wxyz,
            position=T[:3, 3],
        )
