"""Where Protocol A gets depth and poses from: the ground truth's recording, or the cache."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from moonseg_jax.cache import CacheReader
from moonseg_jax.eval.ground_truth import GroundTruth
from moonseg_jax.eval.predictions import Predictions
from moonseg_jax.structs import InputError


@dataclass(frozen=True)
class View:
    """One keyframe as the ground truth knows it.

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


def ground_truth_views(predictions: Predictions, truth: GroundTruth) -> Iterator[View]:
    """The keyframes of a result with measured depth and poses.

    From the ground truth's own folder where it is a posed RGB-D folder that has the result's
    frames (by name); else from the cache that the result was made from, where its poses were
    measured.

    Raises:
        InputError: neither is there.
    """
    folder = truth.path.parent
    if recorded_frames(predictions, folder):
        return _recording_views(predictions, folder)
    if predictions.info.poses == "sensor":
        if not Path(predictions.cache).is_dir():
            raise InputError(
                f"{folder} has no depth/ and pose/ of {predictions.path}, and its cache "
                f"{predictions.cache} is gone: give the recording's folder as ground truth"
            )
        return _cache_views(predictions)
    raise InputError(
        f"{folder} has no depth/ and pose/ for the frames of {predictions.path}: give a posed "
        "RGB-D folder as ground truth"
    )


def recorded_frames(predictions: Predictions, folder: Path) -> list[int]:
    """Indices of the result's frames that have a depth and a usable pose in a recording."""
    if not (folder / "intrinsics.txt").is_file():
        return []
    return [
        i
        for i, name in enumerate(predictions.info.frame_names)
        if _file(folder, "depth", name).is_file()
        and _file(folder, "pose", name).is_file()
        and np.isfinite(read_pose(folder, name)).all()
    ]


def read_pose(folder: Path, name: str) -> np.ndarray:
    """``[4 4]`` float64 T_world_from_cam of a posed RGB-D folder."""
    return _read_matrix(_file(folder, "pose", name), (4, 4))


def _recording_views(predictions: Predictions, folder: Path) -> Iterator[View]:
    # The file counts pixel centres from 0 and is of the colour image; ours are at +0.5.
    color_K = _read_matrix(folder / "intrinsics.txt", (3, 3))
    color_K[:2, 2] += 0.5
    sx, sy, ox, oy = predictions.info.image_transform
    for i in recorded_frames(predictions, folder):
        name = predictions.info.frame_names[i]
        depth = _read_depth(_file(folder, "depth", name))
        width, height = _color_size(folder, name)
        zoom_x, zoom_y = width / depth.shape[1], height / depth.shape[0]
        yield View(
            index=i,
            depth=depth,
            intrinsics=np.diag([1 / zoom_x, 1 / zoom_y, 1.0]) @ color_K,
            T_world_from_cam=read_pose(folder, name),
            to_processed=(sx * zoom_x, sy * zoom_y, ox, oy),
        )


def _cache_views(predictions: Predictions) -> Iterator[View]:
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


def _file(folder: Path, kind: str, name: str) -> Path:
    return folder / kind / f"{name}{'.png' if kind == 'depth' else '.txt'}"


def _color_size(folder: Path, name: str) -> tuple[int, int]:
    for suffix in (".jpg", ".png"):
        file = (folder / "color" / name).with_suffix(suffix)
        if file.is_file():
            with Image.open(file) as image:
                return image.size
    raise InputError(f"{folder / 'color' / name}.jpg is missing: intrinsics.txt is of its size")


def _read_depth(file: Path) -> np.ndarray:
    try:
        with Image.open(file) as image:
            millimetres = np.asarray(image)
    except (OSError, UnidentifiedImageError) as error:
        raise InputError(f"{file} cannot be read: expected a uint16 depth PNG") from error
    if millimetres.ndim != 2 or millimetres.dtype == np.uint8:
        raise InputError(f"{file} is not a depth map: expected one 16-bit channel, millimetres")
    return np.where(millimetres > 0, millimetres / 1000.0, np.nan).astype(np.float32)


def _read_matrix(file: Path, shape: tuple[int, int]) -> np.ndarray:
    try:
        return np.loadtxt(file).reshape(shape)
    except ValueError as error:
        raise InputError(f"{file}: expected a {shape[0]}x{shape[1]} matrix") from error
