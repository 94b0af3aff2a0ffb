"""The panel beside the scene: display, timeline, instances, files."""

from collections.abc import Callable

import numpy as np
import viser

from moonseg_jax.structs import SceneInfo
from moonseg_jax.viz.palette import instance_colors
from moonseg_jax.viz.viewer.details import Details
from moonseg_jax.viz.viewer.scene import BY_COLOR, BY_INSTANCE, View
from moonseg_jax.viz.viewer.viewpoint import Viewpoint

PER_PAGE = 8
FILES = {"Screenshot": "png", "GLB": "glb", "PLY": "ply"}
_BLANK = np.full((3, 4, 3), 255, np.uint8)


class Panel:
    """Tells of every choice of the user, and shows what it is told.

    Args:
        gui: of viser's server.
        info: of the scene.
        change: called with the fields of `View` that the user changed.
        resize: called with a new point size.
        save: called with the kind of file, a value of `FILES`, and the click.
    """

    def __init__(
        self,
        gui: viser.GuiApi,
        info: SceneInfo,
        change: Callable[..., None],
        resize: Callable[[float], None],
        save: Callable[[str, viser.GuiEvent], None],
    ):
        self._gui, self._info, self._change = gui, info, change
        self._details: Details | None = None
        self._listed: list[int] = []
        self._told = -1  # The instance that is told about,
        self._pictured = -1  # and the frame that is shown.
        gui.configure_theme(show_logo=False, show_share_button=False)
        self._status = gui.add_markdown("")
        self._add_display(resize)
        self._add_timeline()
        self._add_instances()
        with gui.add_folder("Save"):
            for label, kind in FILES.items():
                button = gui.add_button(label)
                button.on_click(lambda event, kind=kind: save(kind, event))

    @property
    def point_size(self) -> float:
        """In scene units."""
        return self._point_size.value

    def set_live(self, num_frames: int, num_instances: int) -> None:
        """While it fills in: the timeline follows, instances are not listed yet."""
        self._status.content = (
            f"**{self._info.scene}**  \nframe {num_frames}, {num_instances} instances so far …"
        )

    def set_result(self, details: Details, viewpoint: Viewpoint) -> None:
        """A finished result: everything can be used."""
        self._details, self._pictured = details, -1
        info, count = details.predictions.info, details.predictions.num_instances
        self._status.content = (
            f"**{info.scene}**  \n{count} instances, {len(info.frame_names)} frames,"
            f" {len(details.predictions.points):,} points  \n"
            f"{info.geometry.name} geometry, {info.semantics.name} features"
        )
        height = viewpoint.heights[1] - viewpoint.heights[0]
        self._cut.max = float(np.ceil(100 * height) / 100)
        self._cut.value = min(viewpoint.cut - viewpoint.heights[0], self._cut.max)
        self._floor = viewpoint.heights[0]
        self._cut.visible = height > 0
        self._point_size.value = viewpoint.spacing

    def show(self, view: View, num_frames: int) -> None:
        """Brings the panel up to date with a view."""
        self._timeline.max = max(num_frames - 1, 1)
        self._timeline.value = view.frame
        if self._details is None:
            return
        if view.frame != self._pictured:
            self._pictured = view.frame
            self._frame_picture.image = self._details.labelled(view.frame)
            self._frame_picture.visible = True
            self._frame_name.content = f"`{self._details.predictions.info.frame_names[view.frame]}`"
        self._show_list(self._details, view)
        self._show_selected(self._details, view.selected)

    def _add_display(self, resize: Callable[[float], None]) -> None:
        gui = self._gui
        with gui.add_folder("Display"):
            color_by = gui.add_dropdown("Colour", (BY_INSTANCE, BY_COLOR))
            self._point_size = gui.add_slider("Point size", 0.001, 0.1, 0.001, 0.02)
            whole = gui.add_checkbox("All points", False, hint="at rest, however long it takes")
            self._cut = gui.add_slider("Cut above", 0.0, 1.0, 0.01, 1.0, visible=False)
            boxes = gui.add_checkbox("Boxes", False)
            cameras = gui.add_checkbox("Cameras", True)
        self._floor = 0.0
        color_by.on_update(lambda event: self._change(color_by=color_by.value))
        self._point_size.on_update(lambda event: resize(self._point_size.value))
        whole.on_update(lambda event: self._change(whole=whole.value))
        self._cut.on_update(lambda event: self._change(cut=self._height()))
        boxes.on_update(lambda event: self._change(boxes=boxes.value))
        cameras.on_update(lambda event: self._change(cameras=cameras.value))

    def _height(self) -> float:
        """In the world, of the slider that counts from the lowest point; its end cuts nothing."""
        uncut = self._cut.value >= self._cut.max - 1e-6
        return np.inf if uncut else self._floor + self._cut.value

    def _add_timeline(self) -> None:
        gui = self._gui
        with gui.add_folder("Timeline"):
            self._timeline = gui.add_slider("Frame", 0, 1, 1, 0)
            self._frame_name = gui.add_markdown("")
            self._frame_picture = gui.add_image(_BLANK, visible=False)

        @self._timeline.on_update
        def _(event: viser.GuiEvent) -> None:
            if event.client is not None:  # Moved by a person, not by `show`.
                self._change(frame=self._timeline.value)

    def _add_instances(self) -> None:
        gui = self._gui
        with gui.add_folder("Instances"):
            self._selected = gui.add_markdown("")
            self._best_frames = gui.add_image(_BLANK, visible=False)
            self._clear = gui.add_button("Show all", visible=False)
            self._rows = [gui.add_button("", visible=False) for _ in range(PER_PAGE)]
            self._pager = gui.add_button_group("", ("previous", "next"), visible=False)
        self._clear.on_click(lambda event: self._change(selected=0))
        for place, row in enumerate(self._rows):
            row.on_click(lambda event, place=place: self._change(selected=self._listed[place]))
        self._pager.on_click(lambda event: self._turn_page())

    def _turn_page(self) -> None:
        step = 1 if self._pager.value == "next" else -1
        self._change(page_step=step)

    def _show_list(self, details: Details, view: View) -> None:
        start = view.page * PER_PAGE
        self._listed = [int(i) for i in details.order[start : start + PER_PAGE]]
        for place, row in enumerate(self._rows):
            row.visible = place < len(self._listed)
            if row.visible:
                instance = self._listed[place]
                row.label = details.label(instance)
                red, green, blue = instance_colors(np.array(instance)).tolist()
                row.color = (red, green, blue)
        self._pager.visible = len(details.order) > PER_PAGE

    def _show_selected(self, details: Details, selected: int) -> None:
        if selected == self._told:
            return
        self._told = selected
        self._clear.visible = selected > 0
        tiles = details.best_frames(selected) if selected else None
        self._best_frames.visible = tiles is not None
        if tiles is not None:
            self._best_frames.image = tiles
        self._selected.content = (
            details.text(selected) if selected else "Click one here or in the cloud."
        )
