"""Recordings on disk: frames are read one by one, in threads, and only those that are taken."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from bridges.ordered import in_order
from bridges.sources.files import same_shape, size_text
from bridges.sources.layouts import Layout, RecordedFrame
from bridges.sources.source import Source
from moonseg_jax.structs import InputError, SourceFrame

READ_THREADS = 4
NEAREST = 0.05  # Metres: no depth camera measures what is nearer.


class RecordingSource(Source):
    """Frames of a layout; poses are read and checked at once, images when their turn comes."""

    def __init__(self, path: Path, layout: Layout, stride: int = 1, max_frames: int = 0) -> None:
        self.path = path
        self.kind = layout.kind
        self.stride = stride
        self.all_names = tuple(frame.name for frame in layout.frames)
        self.lacks = layout.lacks
        self.intrinsics = layout.intrinsics
        self.skipped = []
        self._poses: dict[str, np.ndarray] = {}
        picked = layout.frames[::stride][: max_frames or None]
        self._frames = [frame for frame in picked if self._has_pose(frame)]
        if not self._frames:
            name, reason = self.skipped[0]
            raise InputError(
                f"{path} has no frame with a usable pose (first: {name}, {reason}): write 4x4"
                " camera-to-world matrices, or remove the poses."
            )
        self.names = tuple(frame.name for frame in self._frames)
        self.image_size = self._frames[0].image().shape[:2]
        self._check_intrinsics()
        self._check_unit()

    def __iter__(self) -> Iterator[SourceFrame]:
        tasks = (partial(self._read, frame) for frame in self._frames)
        yield from in_order(tasks, READ_THREADS, ahead=2 * READ_THREADS)

    def _has_pose(self, frame: RecordedFrame) -> bool:
        if frame.pose is None:
            return True
        T, reason = frame.pose()
        if T is None:
            self.skipped.append((frame.name, reason))
            return False
        self._poses[frame.name] = T
        return True

    def _read(self, frame: RecordedFrame) -> SourceFrame:
        image = frame.image()
        if image.shape[:2] != self.image_size:
            raise InputError(
                f"{frame.place} is {size_text(image.shape)} and {self._frames[0].place}"
                f" {size_text(self.image_size)}: all images of a recording must have one size."
            )
        depth = None if frame.depth is None else frame.depth()
        if depth is not None and not same_shape(depth.shape, self.image_size):
            raise InputError(
                f"{frame.place}: its depth map is {size_text(depth.shape)} and the colour image"
                f" {size_text(self.image_size)}: register depth to the colour image, so that both"
                " show the same field of view."
            )
        return SourceFrame(
            name=frame.name,
            timestamp=frame.timestamp,
            image=image,
            depth=depth,
            T_world_from_cam=self._poses.get(frame.name),
            intrinsics=self.intrinsics,
        )

    def _check_intrinsics(self) -> None:
        if self.intrinsics is None:
            return
        (height, width), K = self.image_size, self.intrinsics
        if not (0 < K[0, 2] < width and 0 < K[1, 2] < height):
            raise InputError(
                f"{self.path}: the principal point ({K[0, 2] - 0.5:g}, {K[1, 2] - 0.5:g}) of the"
                f" intrinsics lies outside the {width}x{height} colour image: give the intrinsics"
                " of the colour image as it is stored."
            )

    def _check_unit(self) -> None:
        """Depth of another unit would put all that is seen into the camera."""
        read = self._frames[0].depth
        depth = np.empty(0) if read is None else read()
        measured = depth[np.isfinite(depth)]
        if len(measured) and np.median(measured) < NEAREST:
            raise InputError(
                f"{self._frames[0].place}: half of its depth map is nearer than"
                f" {1e3 * np.median(measured):.2g} mm: write depth in millimetres."
            )
