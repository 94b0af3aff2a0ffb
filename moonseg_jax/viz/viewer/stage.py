"""The three-dimensional side of the page: the cloud, boxes, the camera's path and its frustum."""

from collections.abc import Callable

import numpy as np
import viser
from viser.transforms import SO3

from moonseg_jax.viz.palette import instance_colors
from moonseg_jax.viz.viewer.levels import Levels, Piece
from moonseg_jax.viz.viewer.lines import box_edges, path_segments, vertical_fov
from moonseg_jax.viz.viewer.scene import ShownScene, View, point_colors, shown_points
from moonseg_jax.viz.viewer.viewpoint import Viewpoint

_PATH = (90, 90, 90)
_FRUSTUM = (230, 120, 20)
_GAPS = 1.3


class Stage:
    """Draws a scene under a view; what has not changed is not sent.

    The cloud is drawn in as many of its levels as are asked for: of a part, each point is larger.
    Levels that are not asked for stay in the browser, hidden; they are brought up to date when they
    are again.

    Args:
        scene_api: of viser's server.
    """

    def __init__(self, scene_api: viser.SceneApi):
        self._api = scene_api
        self._clouds: dict[str, viser.PointCloudHandle] = {}
        self._looks: dict[str, tuple[object, ...]] = {}
        self._levels: Levels | None = None
        self._scene: ShownScene | None = None
        self._frame = -1
        self._boxed: tuple[int, ...] = ()
        self._widening = 1.0

    @property
    def num_levels(self) -> int:
        """Of the cloud."""
        return len(self._levels.shares) if self._levels else 1

    def set_point_size(self, size: float) -> None:
        """In scene units, of a point where all are drawn."""
        for cloud in list(self._clouds.values()):
            cloud.point_size = size * self._widening

    def draw(
        self,
        scene: ShownScene,
        view: View,
        viewpoint: Viewpoint,
        picture: Callable[[], np.ndarray | None],
        point_size: float,
        detail: int | None,
    ) -> None:
        """Brings the page up to date.

        Args:
            scene: to draw.
            view: what the user has chosen.
            viewpoint: of the scene.
            picture: ``[H W 3]`` uint8 of the view's frame, where there is one.
            point_size: in scene units.
            detail: levels to draw; None = all.
        """
        other = scene is not self._scene
        if self._levels is None or other:
            self._levels = Levels(scene)
            self._looks.clear()
        self._draw_clouds(self._levels, view, viewpoint.up, point_size, detail)
        self._draw_boxes(scene, view, viewpoint, anew=other)
        if other and scene.num_frames > 1:
            path = path_segments(scene.T_world_from_cam)
            self._api.add_line_segments("/path", path, _PATH, thickness=0.0008 * viewpoint.diameter)
        if other or view.frame != self._frame:
            self._draw_camera(scene, view, viewpoint, picture())
        for name in ("/path", "/camera"):
            node = self._api.get_handle_by_name(name)
            if node is not None:
                node.visible = view.cameras
        self._scene, self._frame = scene, view.frame

    def _draw_clouds(
        self, levels: Levels, view: View, up: np.ndarray, point_size: float, detail: int | None
    ) -> None:
        shown = levels.shares[:detail]
        # As much surface is covered; more, for random points leave gaps where even ones do not.
        self._widening = 1.0 if shown[-1] == 1 else _GAPS * float(shown[-1] ** -0.5)
        drawn = set()
        for level in range(len(shown)):
            for place, piece in enumerate(levels.pieces(level)):
                name = f"/cloud/{level}-{place}"
                drawn.add(name)
                self._draw_piece(name, piece, view, up, point_size * self._widening)
        for name in self._clouds.keys() - drawn:
            if name in self._looks:
                self._clouds[name].visible = False
            else:  # Of an earlier scene.
                self._clouds.pop(name).remove()

    def _draw_piece(
        self, name: str, piece: Piece, view: View, up: np.ndarray, point_size: float
    ) -> None:
        cloud, look = self._clouds.get(name), piece.look(view)
        if self._looks.get(name) != look:
            shown = shown_points(piece.scene, view, up)
            points, colors = piece.scene.points[shown], point_colors(piece.scene, view)[shown]
            if cloud is not None and len(cloud.points) == len(points):
                cloud.points, cloud.colors = points, colors
            elif len(points):
                # A cloud of another length is a new one: its parts never disagree.
                cloud = self._clouds[name] = self._api.add_point_cloud(
                    name,
                    points,
                    colors,
                    point_size=point_size,
                    point_shape="circle",
                    precision="float32",
                    point_shading="flat",
                )
            elif cloud is not None:
                self._clouds.pop(name).remove()
                cloud = None
            self._looks[name] = look
        if cloud is not None:
            cloud.point_size, cloud.visible = point_size, True

    def _draw_boxes(
        self, scene: ShownScene, view: View, viewpoint: Viewpoint, *, anew: bool
    ) -> None:
        ids = np.arange(1, len(scene.boxes) + 1)
        known = scene.first_frame[: len(ids)] <= view.frame
        ids = ids[known & (view.boxes | (ids == view.selected))]
        boxed = tuple(ids.tolist())
        if boxed == self._boxed and not anew:
            return
        self._boxed = boxed
        self._api.remove_by_name("/boxes")
        if len(ids):
            colors = instance_colors(ids)[:, None, None]
            self._api.add_line_segments(
                "/boxes",
                box_edges(scene.boxes[ids - 1]).reshape(-1, 2, 3),
                np.broadcast_to(colors, (len(ids), 12, 2, 3)).reshape(-1, 2, 3),
                thickness=0.001 * viewpoint.diameter,
            )

    def _draw_camera(
        self, scene: ShownScene, view: View, viewpoint: Viewpoint, picture: np.ndarray | None
    ) -> None:
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
