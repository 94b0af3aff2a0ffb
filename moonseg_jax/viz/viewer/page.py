"""The viewer's page: a server on this machine that a browser opens."""

import contextlib
import io
import threading
import time
from dataclasses import replace

import numpy as np
import viser

from moonseg_jax.eval.predictions import Predictions
from moonseg_jax.structs import Frame, FrameResult, Recording, SceneInfo
from moonseg_jax.viz.viewer.details import Details
from moonseg_jax.viz.viewer.export import cloud_bytes, screenshot_bytes
from moonseg_jax.viz.viewer.growing import GrowingScene
from moonseg_jax.viz.viewer.pace import Pace
from moonseg_jax.viz.viewer.panel import PER_PAGE, Panel
from moonseg_jax.viz.viewer.pick import picked_point
from moonseg_jax.viz.viewer.scene import ShownScene, View, shown_points
from moonseg_jax.viz.viewer.server import LOOPBACK, Server, check_host
from moonseg_jax.viz.viewer.stage import Stage
from moonseg_jax.viz.viewer.viewpoint import Viewpoint, first_viewpoint

_LIVE_SHARE = 0.2  # Of the time, that drawing may take while a scene is being segmented.
_LIVE_PAUSE = 0.5
_JOINING = 1.5  # Seconds.
_SETTLED = 20  # Frames after which the view is the user's, however the scene grows.


class Viewer:
    """A scene in the browser, filled in frame by frame, or shown as a whole.

    One thread draws, from the scene and the latest view: however many events come, the page is
    never more than one drawing behind.

    Args:
        info: of the scene.
        host: to listen at; the default is reached from this machine only.
        port: to listen at; the next free one where it is taken.

    Raises:
        OSError: this machine has no such address.
    """

    def __init__(self, info: SceneInfo, *, host: str = LOOPBACK, port: int = 8080):
        check_host(host)
        with contextlib.redirect_stdout(io.StringIO()):  # It prints a banner.
            self._server = Server(host=host, port=port, label="moonseg", verbose=False)
        self._info = info
        self._lock = threading.Lock()
        self._wake, self._closed = threading.Event(), threading.Event()
        self._scene: ShownScene | None = None
        self._viewpoint: Viewpoint | None = None
        self._growing: GrowingScene | None = None
        self._details: Details | None = None
        self._view = View()
        self._framed = 0  # Frames that the viewpoint was chosen for.
        self._stage = Stage(self._server.scene)
        self._panel = Panel(
            self._server.gui, info, self._change, self._stage.set_point_size, self._save
        )
        self._pace = Pace()
        self._server.on_client_connect(self._follow)
        self._server.scene.on_click()(self._click)
        self._thread = threading.Thread(target=self._work, name="viewer", daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """To open in a browser on this machine."""
        host = self._server.get_host()
        return f"http://{'localhost' if host == '0.0.0.0' else host}:{self._server.get_port()}"

    def add_frame(self, frame: Frame, result: FrameResult) -> None:
        """Shows one frame more of a scene that is being segmented.

        Args:
            frame: as `Segmenter.step` took it.
            result: what it said.
        """
        with self._lock:
            if self._growing is None:
                self._growing = GrowingScene(self._info.image_size)
            self._growing.add(frame, result)
        self._wake.set()

    def set_result(self, predictions: Predictions, recording: Recording | None = None) -> None:
        """Shows a finished result, in place of what was there.

        Args:
            predictions: the result.
            recording: of which it is the result, for the pictures of its frames.
        """
        scene, details = ShownScene.of(predictions), Details(predictions, recording)
        viewpoint = first_viewpoint(scene)
        with self._lock:
            live = self._growing is not None
            self._growing, self._details = None, details
            self._scene, self._viewpoint = scene, viewpoint
            self._view = View(frame=scene.num_frames - 1, cut=viewpoint.cut, whole=self._view.whole)
        self._look_from(viewpoint, move=not live)
        self._panel.set_result(details, viewpoint)
        self._wake.set()

    def wait(self) -> None:
        """Serves the page until Ctrl-C."""
        try:
            self._closed.wait()
        except KeyboardInterrupt:
            self.close()

    def close(self) -> None:
        """Ends the page."""
        self._closed.set()
        self._wake.set()
        self._thread.join()
        with contextlib.redirect_stdout(io.StringIO()):
            self._server.stop()

    def _work(self) -> None:
        wait: float | None = None
        while True:
            self._wake.wait(wait)
            if self._closed.is_set():
                return
            self._wake.clear()
            started = time.perf_counter()
            live = self._take_live()
            rest = self._pace.rest_in(time.time())
            self._draw(moving=rest > 0)
            wait = rest or None
            spent = time.perf_counter() - started
            if live:  # What is being segmented comes first.
                self._closed.wait(max(_LIVE_PAUSE, spent / _LIVE_SHARE - spent))

    def _take_live(self) -> bool:
        """Takes over what has been added since; whether anything has."""
        with self._lock:
            shown = 0 if self._scene is None else self._scene.num_frames
            if self._growing is None or self._growing.num_frames == shown:
                return False
            self._scene = scene = self._growing.scene()
            self._view = replace(self._view, frame=scene.num_frames - 1)
        self._panel.set_live(scene.num_frames, len(scene.first_frame))
        if scene.num_frames >= 2 * self._framed:
            self._framed, viewpoint = scene.num_frames, first_viewpoint(scene)
            with self._lock:
                self._viewpoint = viewpoint
                self._view = replace(self._view, cut=viewpoint.cut)
            self._look_from(viewpoint, move=scene.num_frames <= _SETTLED)
        return True

    def _draw(self, *, moving: bool) -> None:
        with self._lock:
            scene, view, viewpoint, details = (
                self._scene, self._view, self._viewpoint, self._details,
            )  # fmt: skip
            live = self._growing.picture if self._growing else None
        if scene is None or viewpoint is None:
            return
        level = self._pace.level
        detail = level if moving else None if view.whole else level + 1
        with self._server.atomic():
            self._stage.draw(
                scene,
                view,
                viewpoint,
                lambda: live if details is None else details.picture(view.frame),
                self._panel.point_size,
                detail,
            )
            self._panel.show(view, scene.num_frames)

    def _follow(self, client: viser.ClientHandle) -> None:
        """Looks how a browser keeps up with its camera."""
        joined = time.time()

        @client.camera.on_update
        async def _(camera: viser.CameraHandle) -> None:
            at = camera.update_timestamp
            if at < joined + _JOINING:  # It is told where to look from, and tells so.
                return
            if self._pace.moved(client.client_id, at, self._stage.num_levels):
                self._wake.set()

    def _look_from(self, viewpoint: Viewpoint, *, move: bool) -> None:
        """For whoever opens the page from now on; ``move`` takes along who is there."""
        self._server.scene.set_up_direction(viewpoint.up)
        self._server.initial_camera.position = viewpoint.position
        self._server.initial_camera.look_at = viewpoint.look_at
        for client in self._server.get_clients().values() if move else ():
            client.camera.position = viewpoint.position
            client.camera.look_at = viewpoint.look_at

    def _change(self, page_step: int = 0, **fields: object) -> None:
        """The user has chosen something."""
        if {"frame", "cut"} & fields.keys():  # By a slider, and not for the last time.
            self._pace.touched(time.time())
        with self._lock:
            self._view = replace(self._view, **fields)
            if self._details is not None:
                order = self._details.order
                page = self._view.page + page_step
                if fields.get("selected"):
                    page = int(np.flatnonzero(order == fields["selected"])[0]) // PER_PAGE
                self._view = replace(self._view, page=page % max(1, -(-len(order) // PER_PAGE)))
        self._wake.set()

    def _click(self, event: viser.SceneClickEvent) -> None:
        with self._lock:
            scene, view, viewpoint = self._scene, self._view, self._viewpoint
        if scene is None or viewpoint is None or self._details is None:
            return
        shown = shown_points(scene, view, viewpoint.up)
        ray = np.array(event.ray_origin), np.array(event.ray_direction)
        hit = picked_point(scene.points[shown], *ray, radius=self._panel.point_size / 2)
        self._change(selected=0 if hit is None else int(scene.instance[shown[hit]]))

    def _save(self, kind: str, event: viser.GuiEvent) -> None:
        """Sends a file of what is shown."""
        with self._lock:
            scene, view, viewpoint = self._scene, self._view, self._viewpoint
        client = event.client
        if scene is None or viewpoint is None or client is None:
            return
        if kind == "png":
            content = screenshot_bytes(client)
        else:
            content = cloud_bytes(kind, scene, view, viewpoint.up)
        client.send_file_download(f"{self._info.scene}.{kind}", content, save_immediately=True)
