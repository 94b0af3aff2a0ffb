"""What was measured of a result's frames: by a recording, or what its own cache has of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from moonseg_jax.cache import CacheReader
from moonseg_jax.eval.predictions import Predictions
from moonseg_jax.structs import InputError

# Pixels of the resized image; its odd pixel is cut off in centring the crop.
_CROP_SLACK = 1.5


class MeasuredFrames(Protocol):
    """Poses and depth of a recording, read as they are asked for.

    Recordings are read outside this package; the command line brings the two together.

    Attributes:
        path: where it lies, for messages.
        image_size: ``(H, W)`` of its images.
        intrinsics: ``[3 3]`` of its images, pixel centres at +0.5; None where unknown.
        has_depth: whether there are depth maps.
    """

    path: Path
    image_size: tuple[int, int]
    intrinsics: np.ndarray | None
    has_depth: bool

    def pose(self, name: str) -> np.ndarray | None:
        """``[4 4]`` T_world_from_cam of a frame; None where it has none that is usable."""
        ...

    def depth(self, name: str) -> np.ndarray:
        """``[Hd Wd]`` float32 along z, metres, NaN where invalid; shows what the image shows."""
        ...


def folder_of(measured: MeasuredFrames | None) -> Path | None:
    """Where a recording's other files lie."""
    if measured is None:
        return None
    return measured.path if measured.path.is_dir() else measured.path.parent


@dataclass(frozen=True)
class View:
    """One keyframe as it was measured.

    Attributes:
        index: of the frame among the predictions'.
        depth: ``[Hd Wd]`` float32 along z, metres; NaN where invalid.
        intrinsics: ``[3 3]`` of the depth image, pixel centres at +0.5.
        T_world_from_cam: ``[4 4]``.
        to_processed: ``(sx, sy, ox, oy)``: depth pixel ``(u, v)`` lies at ``(sx·u + ox,
            sy·v + oy)`` in the processed image.
    """

    index: int
    depth: np.ndarray
    intrinsics: np.ndarray
    T_world_from_cam: np.ndarray
    to_processed: tuple[float, float, float, float]


def measured_views(predictions: Predictions, measured: MeasuredFrames | None) -> Iterator[View]:
    """The keyframes of a result with measured depth and poses.

    Args:
        predictions: the result.
        measured: its recording; None: the cache it was made from, where its poses were measured.

    Raises:
        InputError: depth, poses or intrinsics are not there.
    """
    if measured is None:
        return _cache_views(predictions)
    return _recording_views(predictions, measured)


def measured_poses(
    predictions: Predictions, measured: MeasuredFrames | None
) -> dict[int, np.ndarray]:
    """``[4 4]`` T_world_from_cam by index of the frame, for the frames that have one.

    Args:
        predictions: the result.
        measured: its recording; None: the result's own poses, where they were measured.

    Raises:
        InputError: no frame has one, or the recording is another one.
    """
    if measured is None:
        _check_measured(predictions)
        return dict(enumerate(predictions.T_world_from_cam))
    names = predictions.info.frame_names
    found = {i: measured.pose(name) for i, name in enumerate(names)}
    poses = {i: T for i, T in found.items() if T is not None}
    if not poses:
        raise InputError(
            f"{measured.path} has a pose for none of the {len(names)} frames of"
            f" {predictions.path} (first: {names[0]}): name the recording it was made from with"
            " --recording"
        )
    _check_same_images(predictions, measured)
    return poses


def _recording_views(predictions: Predictions, measured: MeasuredFrames) -> Iterator[View]:
    poses = measured_poses(predictions, measured)
    color_K = measured.intrinsics
    if color_K is None or not measured.has_depth:
        raise InputError(
            f"{measured.path} has no {'depth' if color_K is not None else 'intrinsics'}, and"
            " --association gt needs depth and intrinsics: use --association sim3, or name a"
            " recording that has them with --recording"
        )
    height, width = measured.image_size
    sx, sy, ox, oy = predictions.info.image_transform
    for i, T in poses.items():
        depth = measured.depth(predictions.info.frame_names[i])
        zoom_x, zoom_y = width / depth.shape[1], height / depth.shape[0]
        yield View(
            index=i,
            depth=depth,
            intrinsics=np.diag([1 / zoom_x, 1 / zoom_y, 1.0]) @ color_K,
            T_world_from_cam=T,
            to_processed=(sx * zoom_x, sy * zoom_y, ox, oy),
        )


def _cache_views(predictions: Predictions) -> Iterator[View]:
    _check_measured(predictions)
    if not (predictions.cache and Path(predictions.cache).is_dir()):
        gone = f"its cache {predictions.cache} is gone" if predictions.cache else "it has no cache"
        raise InputError(
            f"the ground truth of {predictions.path} lies in no recording, and {gone}: name its"
            " recording with --recording"
        )
    reader = CacheReader(predictions.cache)
    stride = float(reader.info.point_stride)
    for i, frame in enumerate(reader.frames()):
        T = np.asarray(frame.T_world_from_cam, np.float64)
        depth = (np.asarray(frame.points, np.float64) - T[:3, 3]) @ T[:3, 2]
        valid = np.asarray(frame.confidence) > 0
        yield View(
            index=i,
            depth=np.where(valid, depth, np.nan).astype(np.float32),
            intrinsics=np.diag([1 / stride, 1 / stride, 1.0]) @ np.asarray(frame.intrinsics),
            T_world_from_cam=T,
            to_processed=(stride, stride, 0.0, 0.0),
        )
    reader.close()


def _check_measured(predictions: Predictions) -> None:
    if predictions.info.poses != "sensor":
        raise InputError(
            f"the poses of {predictions.path} were predicted, and its ground truth lies in no"
            " recording with measured ones: name its recording with --recording"
        )


def _check_same_images(predictions: Predictions, measured: MeasuredFrames) -> None:
    """Pixels of a recording whose images have another size would be looked up in wrong places."""
    sx, sy, ox, oy = predictions.info.image_transform
    (height, width), (H, W) = measured.image_size, predictions.info.image_size
    # Crops are centred: what is left of the resized image is cut off on both sides.
    resized = W - 2 * ox, H - 2 * oy
    if abs(width * sx - resized[0]) > _CROP_SLACK or abs(height * sy - resized[1]) > _CROP_SLACK:
        raise InputError(
            f"{measured.path} has images of {width}x{height} and {predictions.path} was made of"
            f" images of {resized[0] / sx:.0f}x{resized[1] / sy:.0f}: name the recording it was"
            " made from with --recording"
        )
