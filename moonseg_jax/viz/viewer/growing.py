"""The scene as it fills in, while it is being segmented."""

import numpy as np
from PIL import Image

from moonseg_jax.online.surface import SurfaceVotes
from moonseg_jax.structs import Frame, FrameResult
from moonseg_jax.viz.viewer.scene import ShownScene


class GrowingScene:
    """Collects frames; its memory is bounded by the surface seen, a camera per frame aside.

    Instances are the rows of the memory, all of them: which stay is known at the end only, and
    the result numbers those anew.

    Args:
        image_size: ``(H, W)`` of the processed image.
        voxel: side of the cloud's voxels in scene units.
    """

    def __init__(self, image_size: tuple[int, int], voxel: float = 0.02):
        self._image_size = image_size
        self._surface = SurfaceVotes(voxel)
        self._cameras: list[tuple[np.ndarray, np.ndarray]] = []
        self._num_rows = 0
        self.picture: np.ndarray | None = None

    def add(self, frame: Frame, result: FrameResult) -> None:
        """Takes in a frame, and what `Segmenter.step` said about it."""
        points, colors = np.asarray(frame.points), np.asarray(frame.colors)
        trusted = np.isfinite(points).all(axis=-1) & (np.asarray(frame.confidence) > 0)
        id_map = Image.fromarray(np.asarray(result.id_map, np.int32))
        size = (points.shape[1], points.shape[0])
        rows = np.asarray(id_map.resize(size, Image.Resampling.NEAREST)) - 1
        self._surface.add(points[trusted], colors[trusted], rows[trusted])
        self._cameras.append((np.asarray(frame.T_world_from_cam), np.asarray(frame.intrinsics)))
        self._num_rows = int(result.num_rows)
        self.picture = colors

    @property
    def num_frames(self) -> int:
        """Taken in so far."""
        return len(self._cameras)

    def scene(self) -> ShownScene:
        """What there is so far; at least one frame."""
        ids = np.arange(1, self._num_rows + 1, dtype=np.int32)
        points, colors, instance = self._surface.cloud(ids)
        T_world_from_cam, intrinsics = zip(*self._cameras, strict=True)
        return ShownScene(
            points=points,
            colors=colors,
            instance=instance,
            first_seen=np.zeros(len(points), np.int32),
            first_frame=np.zeros(len(ids), np.int32),
            boxes=np.zeros((0, 2, 3), np.float32),
            T_world_from_cam=np.stack(T_world_from_cam),
            intrinsics=np.stack(intrinsics),
            image_size=self._image_size,
        )
