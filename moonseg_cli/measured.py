"""The measured poses and depth that scores are made with, from recordings of any layout."""

from pathlib import Path

import numpy as np

from bridges.sources.find import find_layout
from bridges.sources.scannet import check_registered
from moonseg_jax.structs import InputError


class RecordedFrames:
    """A recording as `moonseg_jax.eval` asks for it: frame by frame, one image for all.

    Args:
        path: a folder or a ``.sens`` file, as `bridges.sources.open_source` takes them.

    Attributes:
        path: the same.
        image_size: ``(H, W)`` of the images, read off the first one.
        intrinsics: ``[3 3]`` of the images, pixel centres at +0.5; None where unknown.
        has_depth: whether there are depth maps.

    Raises:
        InputError: there is no recording, or one without poses.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.exists():
            raise InputError(
                f"{path} does not exist: give the folder of a recording, or its .sens file"
            )
        if not (self.path.is_dir() or self.path.suffix.lower() == ".sens"):
            raise InputError(
                f"{path} is no recording with poses: give the folder of one, or a .sens file"
            )
        layout = find_layout(self.path)
        if "poses" in layout.lacks:
            raise InputError(
                f"{path} has no camera poses, which scores need: give the recording with its poses"
            )
        height, width, _ = layout.frames[0].image().shape
        self.image_size = height, width
        self.intrinsics = layout.intrinsics
        self.has_depth = "depth" not in layout.lacks
        self._frames = {frame.name: frame for frame in layout.frames}

    def pose(self, name: str) -> np.ndarray | None:
        """``[4 4]`` T_world_from_cam of a frame; None where it has none that is usable."""
        frame = self._frames.get(name)
        return frame.pose()[0] if frame and frame.pose else None

    def depth(self, name: str) -> np.ndarray:
        """``[Hd Wd]`` float32 along z, metres, NaN where invalid; shows what the image shows."""
        frame = self._frames[name]
        assert frame.depth is not None  # `has_depth`.
        depth = frame.depth()
        check_registered(frame.place, self.image_size, depth.shape)
        return depth


def open_measured(recording: str | Path | None, ground_truth: str | Path) -> RecordedFrames | None:
    """A recording or, where none is named, the one that ground truth lies in.

    None where that is none that can be read: then the result's cache may know more.
    """
    if recording is not None:
        return RecordedFrames(recording)
    path = Path(ground_truth)
    try:
        return RecordedFrames(path if path.is_dir() else path.parent)
    except InputError:
        return None
