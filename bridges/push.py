"""A camera's frames, pushed in one by one as they come: what a robot's node has to hand."""

import time
import weakref
from collections.abc import Generator, Iterator
from pathlib import Path

import numpy as np

from bridges.bridge import Bridge
from bridges.loading import Backbones
from bridges.sources.files import (
    check_intrinsics,
    check_pose,
    from_opencv,
    same_shape,
    size_text,
    to_metres,
)
from bridges.sources.source import Source
from moonseg_jax.structs import Frame, InputError, SceneInfo, SourceFrame

FARTHEST = 100.0  # Metres; a depth map of which nothing is nearer holds millimetres.


class CameraBridge:
    """A bridge that is given images, instead of reading them.

        bridge = CameraBridge((480, 640), load_backbones(BridgeConfig()))
        segmenter = moonseg_jax.Segmenter(bridge.info)
        ...
        result = segmenter.step(bridge.push(rgb, depth, T_world_from_cam, intrinsics))

    Call it from the thread that loaded the backbones, one push after the other.

    Args:
        image_size: ``(H, W)`` of the images.
        backbones: as `load_backbones` gives them; ``rfm="sensor"`` needs depth, pose and
            intrinsics with every image, ``rfm="cut3r"`` the image alone.
        name: of the scene.

    Attributes:
        info: describes the frames.

    Raises:
        InputError: the backbones cannot work without a recording.
    """

    def __init__(
        self, image_size: tuple[int, int], backbones: Backbones, name: str = "camera"
    ) -> None:
        self._source = _PushedFrames(image_size, name)
        self._bridge = Bridge(self._source, backbones)
        self._frames = _frames(self._bridge)
        self._end = weakref.finalize(self, self._frames.close)  # At the latest at exit.
        self._count = 0
        self._start = time.monotonic()

    @property
    def info(self) -> SceneInfo:
        """Of the scene, for `moonseg_jax.Segmenter`."""
        return self._bridge.info

    def push(
        self,
        rgb: np.ndarray,
        depth: np.ndarray | None = None,
        T_world_from_cam: np.ndarray | None = None,
        intrinsics: np.ndarray | None = None,
        timestamp: float | None = None,
    ) -> Frame:
        """Runs the backbones on one image.

        Args:
            rgb: ``[H W 3]`` uint8, red first.
            depth: ``[Hd Wd]`` along z, registered to the image: float metres, 0, NaN or infinite
                where invalid, or uint16 millimetres, 0 where invalid.
            T_world_from_cam: ``[4 4]`` pose, camera to world, metres, OpenCV axes (x right, y
                down, z forward: a ROS *optical* frame).
            intrinsics: ``[3 3]`` of the image as calibrations give them (OpenCV, ROS's
                ``CameraInfo.k``): the centre of the first pixel at 0.
            timestamp: seconds; by default since this bridge was made.

        Returns:
            The frame, for `moonseg_jax.Segmenter.step`.

        Raises:
            InputError: an array that cannot be used, or one that is needed and missing; nothing
                was changed then.
        """
        if self._bridge.info.poses == "sensor":
            _check_given(depth=depth, T_world_from_cam=T_world_from_cam, intrinsics=intrinsics)
        _check_image(rgb, self._source.image_size)
        self._source.frame = SourceFrame(
            name=f"{self._count:06d}",
            timestamp=time.monotonic() - self._start if timestamp is None else float(timestamp),
            image=rgb,
            depth=None if depth is None else _metres(depth, rgb.shape),
            T_world_from_cam=None if T_world_from_cam is None else _pose(T_world_from_cam),
            intrinsics=None if intrinsics is None else _intrinsics(intrinsics, rgb.shape),
        )
        self._count += 1
        frame = next(self._frames, None)
        if frame is None:
            raise RuntimeError("closed, or a model failed on an earlier frame: make a new bridge")
        return frame

    def close(self) -> None:
        """Ends its threads; nothing can be pushed any more."""
        self._end()


class _PushedFrames(Source):
    """Yields, whenever asked, the frame that was pushed last."""

    kind = "camera"
    stride = 1
    all_names = names = lacks = ()

    def __init__(self, image_size: tuple[int, int], name: str) -> None:
        self.path = Path(name)
        self.image_size = image_size
        self.skipped = []
        self.frame: SourceFrame

    def __iter__(self) -> Iterator[SourceFrame]:
        while True:
            yield self.frame


def _frames(bridge: Bridge) -> Generator[Frame]:
    for _, frame in bridge.frames():
        yield frame


def _check_given(**arrays: np.ndarray | None) -> None:
    missing = [name for name, array in arrays.items() if array is None]
    if missing:
        raise InputError(
            f"{' and '.join(missing)} not given, which rfm='sensor' needs with every image: push"
            " depth, T_world_from_cam and intrinsics, or use rfm='cut3r'."
        )


def _check_image(rgb: np.ndarray, size: tuple[int, int]) -> None:
    if getattr(rgb, "dtype", None) != np.uint8 or rgb.shape != (*size, 3):
        raise InputError(
            f"rgb is {_kind(rgb)}: push uint8 {size[0]}x{size[1]}x3, red first, 0 to 255, of the"
            " size that the bridge was made for."
        )


def _metres(depth: np.ndarray, image: tuple[int, ...]) -> np.ndarray:
    kind = getattr(depth, "dtype", np.dtype(object))
    if np.ndim(depth) != 2 or not (kind == np.uint16 or np.issubdtype(kind, np.floating)):
        raise InputError(
            f"depth is {_kind(depth)}: push [H W], float metres or uint16 millimetres."
        )
    if not same_shape(depth.shape, image):
        raise InputError(
            f"depth is {size_text(depth.shape)} and the image {size_text(image)}: register depth"
            " to the image, so that both show the same field of view."
        )
    if kind == np.uint16:
        return to_metres(depth, 1000.0)
    metres = np.where(np.isfinite(depth) & (depth > 0), depth, np.nan).astype(np.float32)
    if np.isfinite(metres).any() and not (metres < FARTHEST).any():
        raise InputError(
            f"depth is {kind} and nowhere under {FARTHEST:g} m: push metres where it is float,"
            " millimetres where it is uint16."
        )
    return metres


def _pose(T_world_from_cam: np.ndarray) -> np.ndarray:
    T = _matrix("T_world_from_cam", T_world_from_cam, 4)
    pose, wrong = check_pose(T)
    if pose is None:
        raise InputError(
            f"T_world_from_cam: {wrong}; push a rotation and a translation in metres, camera to"
            " world, or leave the frame out."
        )
    return pose


def _intrinsics(intrinsics: np.ndarray, image: tuple[int, ...]) -> np.ndarray:
    K = check_intrinsics(_matrix("intrinsics", intrinsics, 3), "intrinsics")
    if not (0 < K[0, 2] < image[1] and 0 < K[1, 2] < image[0]):
        raise InputError(
            f"the principal point ({K[0, 2]:g}, {K[1, 2]:g}) lies outside the"
            f" {size_text(image)} image: push the intrinsics of the image as it is pushed."
        )
    return from_opencv(K)


def _matrix(name: str, matrix: np.ndarray, side: int) -> np.ndarray:
    try:
        array = np.asarray(matrix, np.float64).reshape(side, side)
    except (TypeError, ValueError):
        raise InputError(f"{name} is {_kind(matrix)}: push a {side}x{side} matrix.") from None
    return array


def _kind(array: object) -> str:
    """What it is, in words: ``float64 480x640x3``."""
    if not isinstance(array, np.ndarray):
        return f"a {type(array).__name__}"
    return f"{array.dtype} {'x'.join(map(str, array.shape))}"
