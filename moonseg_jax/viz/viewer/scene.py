"""What the viewer shows of a result, and how its points look under what the user has chosen."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from moonseg_jax.viz.palette import tint_instances
from moonseg_jax.viz.viewer.seen import first_seen

if TYPE_CHECKING:
    from moonseg_jax.eval.predictions import Predictions

BY_INSTANCE, BY_COLOR = "instance", "RGB"
_FADED = 0.75


@dataclass(frozen=True)
class ShownScene:
    """A labelled cloud and the cameras that saw it, all in the world frame.

    Attributes:
        points: ``[n 3]`` float32.
        colors: ``[n 3]`` uint8.
        instance: ``[n]`` int32 in ``0..N``; 0 = none.
        first_seen: ``[n]`` int32, the frame from which on a point is shown.
        first_frame: ``[N]`` int32, the frame from which on an instance is known.
        boxes: ``[N 2 3]``; empty while they are not known.
        T_world_from_cam: ``[t 4 4]``.
        intrinsics: ``[t 3 3]``, of the processed image.
        image_size: ``(H, W)`` of the processed image.
    """

    points: np.ndarray
    colors: np.ndarray
    instance: np.ndarray
    first_seen: np.ndarray
    first_frame: np.ndarray
    boxes: np.ndarray
    T_world_from_cam: np.ndarray
    intrinsics: np.ndarray
    image_size: tuple[int, int]

    @property
    def num_frames(self) -> int:
        """``t``."""
        return len(self.T_world_from_cam)

    @classmethod
    def of(cls, predictions: "Predictions") -> "ShownScene":
        """A finished result."""
        seen = first_seen(
            predictions.points,
            predictions.T_world_from_cam,
            predictions.intrinsics,
            predictions.info.image_size,
        )
        # A point of an instance was seen while the instance was.
        last = len(predictions.info.frame_names) - 1
        latest = np.concatenate([[last], predictions.last_frame])[predictions.instance]
        return cls(
            points=predictions.points,
            colors=predictions.colors,
            instance=predictions.instance,
            first_seen=np.minimum(seen, latest).astype(np.int32),
            first_frame=predictions.first_frame,
            boxes=predictions.boxes,
            T_world_from_cam=predictions.T_world_from_cam,
            intrinsics=predictions.intrinsics,
            image_size=predictions.info.image_size,
        )


@dataclass(frozen=True)
class View:
    """What the user has chosen.

    Attributes:
        color_by: `BY_INSTANCE` or `BY_COLOR`.
        selected: the instance that stands out; 0 = none.
        frame: of the timeline.
        cut: height above which nothing is shown, along the scene's up.
        boxes: shown.
        cameras: path and frustum shown.
        whole: all points are drawn as soon as nothing moves, however long a frame takes.
        page: of the list of instances.
    """

    color_by: str = BY_INSTANCE
    selected: int = 0
    frame: int = 0
    cut: float = np.inf
    boxes: bool = False
    cameras: bool = True
    whole: bool = False
    page: int = 0


def shown_points(scene: ShownScene, view: View, up: np.ndarray) -> np.ndarray:
    """Indices ``[k]`` of the points that the cameras had seen by then, below the cut."""
    seen = scene.first_seen <= view.frame
    if np.isfinite(view.cut):
        seen &= scene.points @ up.astype(np.float32) <= view.cut
    return np.flatnonzero(seen)


def point_colors(scene: ShownScene, view: View) -> np.ndarray:
    """``[n 3]`` uint8: by RGB or instance; with one selected, all else steps back.

    Instances that had not been found by the view's frame are grey like the rest.
    """
    known = np.concatenate([[True], scene.first_frame <= view.frame])[scene.instance]
    instance = np.where(known, scene.instance, 0)
    by_color = view.color_by == BY_COLOR
    shown = scene.colors if by_color else tint_instances(scene.colors, instance)
    if view.selected:
        stands_out = (instance == view.selected)[:, None]
        grey = scene.colors.mean(axis=-1, dtype=np.float32, keepdims=True)
        shown = np.where(stands_out, shown, _FADED * 255 + (1 - _FADED) * grey)
    return shown.astype(np.uint8)
